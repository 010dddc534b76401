"""Every way a command can end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinytales.cli.main import COMMANDS, run


def tinytales(*args: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    code = "from tinytales.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True, text=True, timeout=60, **kwargs,  # type: ignore[call-overload]
    )  # fmt: skip


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert "--help" in capsys.readouterr().out


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tel"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "did you mean 'tell'?" in shown.err


BAD_CALLS: dict[str, tuple[list[str], int, str]] = {
    "unknown flag": (["tell", "--temprature", "1"], 2, "no such option"),
    "unknown feature": (["tell", "--feature", "dialog"], 2, "did you mean 'dialogue'?"),
    "no words": (["tell", "--max-words", "0"], 2, "at least 1"),
    "not a number": (["tell", "--seed", "seven"], 2, "--seed"),
    "negative seed": (["tell", "--seed", "-4"], 2, "from 0 up"),
    "hot": (["tell", "--temperature", "99"], 2, "from 0 to 5"),
    "unknown safety": (["tell", "--safety", "gentel"], 2, "gentle"),
    "no such model": (["tell", "--model", "/nowhere"], 1, "no bundle at /nowhere"),
    "a file as model": (["tell", "--model", "/etc/passwd"], 1, "not a tinytales bundle"),
    "unkind opening": (["tell", "He took the gun and"], 2, "gun"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls_get_one_clear_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    args, code, said = BAD_CALLS[case]
    assert run(args) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert shown.err.startswith("error: ")
    assert len(shown.err.strip().split("\n")) <= 2


def tell(bundle: Path, *args: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    return tinytales("tell", "--model", str(bundle), *args, **kwargs)


def test_tells_and_tells_the_same_again(tiny_bundle: Path) -> None:
    first = tell(tiny_bundle, "One day", "--seed", "3", "--max-words", "20")
    again = tell(tiny_bundle, "One day", "--seed", "3", "--max-words", "20", "--no-stream")
    assert first.returncode == 0
    assert first.stdout == again.stdout
    assert first.stdout.startswith("One day")
    assert first.stdout.endswith("\n")


def test_json_is_the_whole_record(tiny_bundle: Path) -> None:
    done = tell(tiny_bundle, "--words", "fox,ran", "--seed", "3", "--max-words", "9", "--json")
    record = json.loads(done.stdout)
    assert record["prompt"]["words"] == ["fox", "ran"]
    assert record["sampling"]["seed"] == 3
    assert len(record["bundle_digest"]) == 64


def test_stdin_is_an_opening(tiny_bundle: Path) -> None:
    done = tell(tiny_bundle, "-", "--seed", "1", "--max-words", "9", input="A cat \U0001f431 sat\n")
    assert done.stdout.startswith("A cat \U0001f431 sat")


@pytest.mark.parametrize("opening", ["", "   ", "\x00\x1b[2J", "\U0001f600" * 20, "مرحبا"])
def test_odd_openings_are_told(tiny_bundle: Path, opening: str) -> None:
    done = tell(tiny_bundle, "-", "--seed", "1", "--max-words", "9", input=opening)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert done.stdout.strip()


def test_a_huge_opening_is_refused(tiny_bundle: Path) -> None:
    done = tell(tiny_bundle, "-", input="One fox ran home. " * 5000)
    assert done.returncode == 2
    assert "too long" in done.stderr


def test_a_closed_pipe_is_no_error(tiny_bundle: Path) -> None:
    code = f"from tinytales.cli.main import main; main(['tell', '--model', {str(tiny_bundle)!r}])"
    done = subprocess.run(
        f'"{sys.executable}" -c "{code}" | true; echo ${{PIPESTATUS[0]}}',
        shell=True, executable="/bin/bash", capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() in ("0", "141")
    assert "Traceback" not in done.stderr


def test_ctrl_c_leaves_with_130(tiny_bundle: Path) -> None:
    code = (
        "import time, tinytales.draft as d\n"
        "step = d.Draft.step\n"
        "d.Draft.step = lambda *a: (time.sleep(0.05), step(*a))[1]\n"
        "print('ready', flush=True)\n"
        f"from tinytales.cli.main import main; main(['tell', '--model', {str(tiny_bundle)!r}])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err


def test_a_full_output_says_so(tiny_bundle: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from tinytales.cli.main import main; main()", "tell",
             "--model", str(tiny_bundle), "--max-words", "5"],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert "disk is full" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_terminal_bare_tinytales_tells_a_story(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = tinytales(stdin=subprocess.DEVNULL, env={**os.environ, "TERM": "dumb"})
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) > 20


def test_what_is_left_out_is_as_in_the_settings(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tinytales import settings

    settings.save(settings.Settings(temperature=0.0, safety="careful", model=str(tiny_bundle)))
    assert run(["tell", "--max-words", "5", "--top-p", "0.5", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["sampling"]["temperature"] == 0
    assert record["sampling"]["top_p"] == 0.5
    assert record["safety"] == "careful"
