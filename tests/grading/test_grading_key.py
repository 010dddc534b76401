"""The key is in no output and no file, whatever a judge does with it: the real command line.

Each command runs in a process of its own against a judge that repeats the key in every word and
header (as it is, URL-encoded, in base64, in hex, cut), with the packages' own debugging switched
on. Then everything it printed and every file below its home and temporary folders is searched.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from judge_server import JudgeServer

from tinytales.grading import Desk
from tinytales.grading.secret import Secret
from tinytales.story import Story

KEY = "sk-proj-7Qd/x9+Lm2Vt=R4kZ8"
RAW = KEY.encode()
#: The key, its halves, and what they look like when they are wrapped.
FORMS = {
    "as it is": KEY,
    "first half": KEY[: len(KEY) // 2],
    "second half": KEY[len(KEY) // 2 :],
    "URL-encoded": quote(KEY, safe=""),
    "hex": RAW.hex(),
    **{
        f"base64 after {n} bytes": base64.b64encode(b"\0" * n + RAW).decode()[4:-6]
        for n in range(3)
    },
}


@pytest.fixture
def judge() -> Iterator[JudgeServer]:
    # Not 127.0.0.1: to the grader this is a judge elsewhere, which needs a key.
    with JudgeServer(key=KEY, leak=True, host="127.0.0.2", retry_after="0") as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, tales: Callable[..., list[Story]]) -> Path:
    for name in ("home", "tmp", "work"):
        (tmp_path / name).mkdir()
    lines = "".join(json.dumps(story.to_dict()) + "\n" for story in tales(2, "voice"))
    (tmp_path / "work" / "stories.jsonl").write_text(lines)
    return tmp_path


def run(home: Path, *arguments: str, key: str = KEY, **extra: str) -> tuple[int, str]:
    """`tinytales …` as a family has it; its exit code and everything it said."""
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home / "home"), "TMPDIR": str(home / "tmp"),
        "OPENAI_LOG": "debug", "HTTPX_LOG_LEVEL": "trace", "PYTHONASYNCIODEBUG": "1",
        "OMP_NUM_THREADS": "1", "TINYTALES_DATA_DIR": str(home / "data"),
        **({"OPENAI_API_KEY": key} if key else {}), **extra,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tinytales", *arguments],
        env=environment, cwd=home / "work", capture_output=True, timeout=120,
    )  # fmt: skip
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


def search(home: Path, output: str) -> None:
    """The key stands nowhere, in none of its forms."""
    places = {"the output": output}
    for path in home.rglob("*"):
        if path.is_file():
            places[str(path)] = path.read_bytes().decode("latin-1")
    assert any(name.endswith("grades.sqlite") for name in places)
    for name, text in places.items():
        for form, needle in FORMS.items():
            assert needle.lower() not in text.lower(), f"{form} in {name}"


ALL = ["--report", "r.html", "--report", "r.md", "--report", "r.svg", "--out", "scores.jsonl"]
BATCH = ["--rubric", "gentle", "--batch", "--poll", "0.1"]


@pytest.mark.allow_loopback
@pytest.mark.parametrize(
    ("trouble", "arguments", "code", "says"),
    [
        ({}, ["stories.jsonl", *ALL], 0, "2 of 2"),
        ({}, ["stories.jsonl", "--rubric", "gentle", "--json"], 0, "2 of 2"),
        ({"key": "another"}, ["stories.jsonl"], 1, "does not accept the key"),
        ({"status": 404}, ["stories.jsonl"], 1, "is not there"),
        ({"status": 422}, ["stories.jsonl", "--json", *ALL[:-4]], 1, "cannot be asked"),
        ({"faults": {"500": 0.15, "429": 0.1, "half": 0.05}}, ["stories.jsonl", *ALL], 0, "of 2"),
        ({"faults": {"refusal": 1.0}}, ["stories.jsonl", *ALL], 1, "refused"),
        ({}, ["stories.jsonl", *BATCH, *ALL], 0, "2 of 2"),
        ({"batch_lines": "error"}, ["stories.jsonl", *BATCH, *ALL], 0, "of 2"),
        ({"batch_lines": "failed"}, ["stories.jsonl", *BATCH], 1, "failed"),
        ({}, ["duel", "stories.jsonl", "stories.jsonl", "--out", "scores.jsonl"], 0, "ties: 2"),
    ],
    ids=["graded", "json", "401", "404", "422", "5xx", "refusal", "batch", "batch lines",
         "batch failed", "duel"],
)  # fmt: skip
def test_the_key_stays_in_the_environment(
    judge: JudgeServer, home: Path, trouble: dict[str, object], arguments: list[str], code: int,
    says: str,
) -> None:  # fmt: skip
    for name, value in trouble.items():
        setattr(judge, name, value)
    left, output = run(home, "grade", *arguments, "--base-url", judge.url, "--yes", "--rpm", "0")
    assert left == code and says in output, output
    assert judge.sent_key == KEY and "[key]" in output + _written(home)
    search(home, output)


def _written(home: Path) -> str:
    """What was kept, to see that the judge's words with the key in them came as far as that."""
    files = [home / "work" / "scores.jsonl", home / "data" / "grades.sqlite"]
    files.append(home / "data" / "grades.sqlite-wal")
    return "".join(file.read_bytes().decode("latin-1") for file in files if file.exists())


@pytest.mark.allow_loopback
def test_the_suite_and_its_reports(judge: JudgeServer, home: Path, tiny_bundle: Path) -> None:
    small = ["--beginnings", "2", "--completions", "2"]
    asks = ["--base-url", judge.url, "--yes", "--rpm", "0", *ALL]
    left, output = run(home, "grade", "suite", str(tiny_bundle), *small, *asks)
    assert left == 0 and "paper 256×8" in output
    assert "[key]" in (home / "work" / "r.html").read_text()
    search(home, output)


@pytest.mark.allow_loopback
def test_a_key_of_the_keyring_is_used_and_stays_there(judge: JudgeServer, home: Path) -> None:
    backend = home / "vault"
    backend.mkdir()
    (backend / "vault.py").write_text(
        "import os\nfrom keyring.backend import KeyringBackend\n"
        "class Vault(KeyringBackend):\n"
        "    priority = 9\n"
        "    def get_password(self, service, user):\n"
        "        import base64\n"
        "        known = (service, user) == ('tinytales', '127.0.0.2')\n"
        f"        return bytes(reversed({bytes(reversed(RAW))!r})).decode() if known else None\n"
        "    def set_password(self, *a): raise OSError\n"
        "    def delete_password(self, *a): raise OSError\n"
    )
    pytest.importorskip("keyring")
    vault = {"PYTHONPATH": str(backend), "PYTHON_KEYRING_BACKEND": "vault.Vault"}
    asks = ["--base-url", judge.url, "--yes", "--rpm", "0"]
    left, output = run(home, "grade", "stories.jsonl", *asks, key="", **vault)
    assert left == 0 and judge.sent_key == KEY, output
    search(home, output)


def test_what_sends_nothing_shows_no_key(home: Path) -> None:
    said = ""
    for arguments in (["stories.jsonl", "--dry-run"], ["later", "stories.jsonl"],
                      ["stories.jsonl", "--offline"], ["agree"], ["--help"],
                      ["stories.jsonl", "--base-url", f"http://me:{KEY}@host/v1"],
                      ["stories.jsonl", "--base-url", f"http://host/v1?key={quote(KEY)}"],
                      ["stories.jsonl", "--base-url", f"http://host/{KEY}/v1"],
                      ["stories.jsonl", "--judge", KEY], ["stories.jsonl", "--base-url", KEY],
                      ["stories.jsonl", "--judge", "sk-another-key-than-ours-000"]):  # fmt: skip
        said += run(home, "grade", *arguments)[1]
    assert "2 stories" in said and "a user, a password or a query" in said
    assert said.count("looks like a key") == 5 and "sk-another" not in said
    search(home, said)


@pytest.mark.parametrize("key", [KEY, "abcdef", "x" * 200, "schlüssel-mit-ü"])
def test_a_secret_is_found_in_every_form(key: str) -> None:
    secret = Secret(key)
    raw = key.encode()
    for said in (
        key, quote(key, safe=""), raw.hex(), key.upper(), key[: max(6, len(key) // 2 + 1)],
        *(base64.b64encode(b"b" * n + raw + b"!").decode() for n in range(5)),
        base64.urlsafe_b64encode(raw).decode(), "".join(f"%{byte:02X}" for byte in raw),
    ):  # fmt: skip
        hidden = secret.hide(f"Error: {said}, sorry")
        assert "[key]" in hidden and hidden.startswith("Error: ") and hidden.endswith(", sorry")
        assert len(hidden) < 40
    assert secret.hide("A story about a small fox.") == "A story about a small fox."
    assert key not in repr(secret)


def test_no_key_hides_nothing() -> None:
    assert Secret("").hide("none of this") == "none of this"


@pytest.mark.allow_loopback
def test_the_packages_on_the_wire_do_not_log(desk: Desk) -> None:
    """Whatever an application around us logs: replies' headers may hold the key."""
    from tinytales.grading.judge import WIRE_LOGGERS, Wire

    for name in WIRE_LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    wire = Wire("http://127.0.0.1:9/v1", KEY, desk.cache)
    asyncio.run(wire.close())
    for name in (*WIRE_LOGGERS, "openai._base_client", "httpcore2.http11"):
        assert not logging.getLogger(name).isEnabledFor(logging.WARNING)
