"""The doctor: right about what is well, and about each thing that is broken."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tinytales.cli import checks as looks
from tinytales.cli import doctor
from tinytales.cli.main import run


def diagnose(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, dict[str, dict]]:
    """The exit code, and the checks by name (section.name where names repeat)."""
    code = run(["doctor", "--json", *args])
    data = json.loads(capsys.readouterr().out)
    assert data["ok"] == (code == 0)
    return code, {f"{c['section']}.{c['name']}": c for c in data["checks"]}


def test_all_is_well_with_a_bundle(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, checks = diagnose(capsys, "--model", str(tiny_bundle), "--data-dir", str(tmp_path))
    assert code == 0
    assert {c["state"] for c in checks.values()} <= {"ok", "note"}
    assert "20 tokens" in checks["bundle.tells"]["text"]
    assert checks["folders.stories"]["text"].startswith(str(tmp_path))
    assert not list(tmp_path.iterdir())  # the doctor leaves nothing behind


def test_the_table_is_for_people(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--model", str(tiny_bundle)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.split("\n"))) <= 100
    for section in ("machine", "engines", "bundle", "folders", "settings", "terminal", "extras"):
        assert f"\n{section}\n" in f"\n{shown}"
    assert shown.rstrip().endswith("tell stories here.")


def test_no_bundle_is_broken_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, checks = diagnose(capsys, "--model", str(tmp_path / "nothing"))
    assert code == 1
    assert checks["bundle.bundle"]["state"] == "broken"
    assert "nothing" in checks["bundle.bundle"]["text"]
    assert checks["bundle.bundle"]["hint"]


def test_one_flipped_byte_is_found(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    model = copy / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    code, checks = diagnose(capsys, "--model", str(copy))
    assert code == 1
    assert "altered" in checks["bundle.bundle"]["text"]


def test_a_file_where_a_folder_should_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").write_text("not a folder")
    code, checks = diagnose(capsys, "--data-dir", str(tmp_path / "data"))
    assert code == 1
    assert checks["folders.stories"]["state"] == "broken"


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(looks.tempfile, "TemporaryFile", refuse)
    code, checks = diagnose(capsys, "--data-dir", str(tmp_path))
    assert code == 1
    assert "Read-only" in checks["folders.stories"]["text"]
    assert "--data-dir" in checks["folders.stories"]["hint"]


def test_a_garbled_library_is_told_and_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = tmp_path / "library.sqlite"
    library.write_bytes(b"once upon a time" * 300)
    before = library.read_bytes()
    code, checks = diagnose(capsys, "--data-dir", str(tmp_path))
    assert code == 1
    assert checks["folders.library"]["state"] == "broken"
    assert library.read_bytes() == before


def test_a_sound_library_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(tmp_path / "library.sqlite") as connection:
        connection.execute("CREATE TABLE story (id TEXT)")
    connection.close()
    _, checks = diagnose(capsys, "--data-dir", str(tmp_path))
    assert checks["folders.library"]["state"] == "ok"


def test_wrong_settings_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "settings.toml").write_text('saftey = "gentle"\n')
    code, checks = diagnose(capsys, "--data-dir", str(tmp_path))
    assert code == 1
    assert "saftey" in checks["settings.settings"]["text"]
    assert "safety" in checks["settings.settings"]["hint"]


def test_a_broken_engine_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load = looks.importlib.import_module

    def refuse(name: str) -> object:
        if name == "onnxruntime":
            raise ImportError("libonnxruntime.so: cannot open shared object file\nand more")
        return load(name)

    monkeypatch.setattr(looks.importlib, "import_module", refuse)
    code = run(["doctor"])
    shown = capsys.readouterr().out
    assert code == 1
    assert "cannot open shared object file" in shown
    assert "and more" not in shown


def test_missing_extras_come_with_their_pip_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = looks._version
    monkeypatch.setattr(
        looks, "_version", lambda name: None if name == "uvicorn" else version(name)
    )
    _, checks = diagnose(capsys)
    assert checks["extras.serve"]["state"] == "note"
    assert "uvicorn" in checks["extras.serve"]["text"]
    assert checks["extras.serve"]["hint"] == "pip install 'tinytales[serve]'"


def test_a_check_that_fails_itself_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def ill() -> None:
        raise RuntimeError("no such register\nat all")

    monkeypatch.setattr(looks, "machine", ill)
    first = next(doctor.examine())
    assert (first.state, first.text) == ("broken", "could not be checked: no such register")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "16 million"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "off"),
        ({"TERM": "dumb"}, "none"),
        ({"TERM": "linux"}, "16 (TERM=linux)"),
    ],
)
def test_colors(environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TERM", "COLORTERM", "NO_COLOR", "WT_SESSION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert looks.colors().startswith(said)
