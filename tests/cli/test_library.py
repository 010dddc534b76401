"""`tinytales library`: what is on stdout, what on stderr, and how it ends."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinytales import paths
from tinytales.cli.main import run
from tinytales.library import Library, library_path
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Story


def story(text: str, id: str) -> Story:
    return Story(
        text=text, prompt=StoryPrompt(), sampling=Sampling(seed=1), finish="end", id=id,
        created=f"2026-01-0{id[-1]}T00:00:00+00:00",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _two_stories(_no_home: Path) -> Iterator[None]:
    with Library() as library:
        library.add(story("A fox had a kite.", "aa1"))
        library.add(story("A bear found honey.\nIt was sweet.", "ab2"))
        library.rename("ab2", "Honey")
    yield
    paths.override(None)  # what --data-dir set


def call(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = run(["library", *args])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_list_and_search(capsys: pytest.CaptureFixture[str]) -> None:
    for args in ((), ("list",)):
        code, out, err = call(capsys, *args)
        assert (code, err) == (0, "")
        assert [line.split()[0] for line in out.splitlines()] == ["ab2", "aa1"]
    code, out, _ = call(capsys, "list", "--sort", "oldest", "--limit", "1", "--json")
    assert [(e["id"], e["words"]) for e in json.loads(out)] == [("aa1", 5)]
    code, out, _ = call(capsys, "search", "hon", "swe")
    assert out.startswith("ab2")
    code, out, err = call(capsys, "search", "zebra")
    assert (code, out) == (0, "")
    assert "no story" in err


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "show", "last")[1] == "Honey\n\nA bear found honey.\nIt was sweet.\n"
    record = json.loads(call(capsys, "show", "aa", "--json")[1])
    assert record["text"] == "A fox had a kite."
    assert record["tellings"] == [{"id": "aa1", "depth": 0}]


def test_put_away_and_brought_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert "undelete ab2" in call(capsys, "delete", "last")[2]
    assert call(capsys, "list")[1].startswith("aa1")
    assert call(capsys, "list", "--deleted")[1].startswith("ab2")
    assert call(capsys, "undelete", "ab2")[0] == 0
    call(capsys, "delete", "aa1", "ab2")
    assert call(capsys, "delete", "--empty-trash")[2].startswith("2 stories")
    code, out, err = call(capsys)
    assert (code, out) == (0, "")
    assert "no story is here yet" in err


def test_rename_and_favorite(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "rename", "aa1", "My Kite")[0] == 0
    assert call(capsys, "favorite", "aa1")[0] == 0
    assert "* My Kite" in call(capsys, "list", "--favorites")[1]
    call(capsys, "favorite", "aa1", "--off")
    assert call(capsys, "list", "--favorites")[1] == ""


def test_export_and_import_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = call(capsys, "export", "last")
    assert (code, out) == (0, "honey.html\n")
    assert "This book belongs to" in (tmp_path / "honey.html").read_text()
    code, _, err = call(capsys, "export", "last")
    assert code == 2
    assert "--force" in err
    assert call(capsys, "export", "last", "--force")[0] == 0
    code, out, _ = call(capsys, "export", "--all", "-o", "all.jsonl")
    assert out == "all.jsonl\n"
    assert call(capsys, "import", "all.jsonl", "--json")[1] == '{"added": 0, "known": 2}\n'
    other = str(tmp_path / "other")
    assert call(capsys, "--data-dir", other, "import", "all.jsonl")[2].startswith("2 added")
    assert "Honey" in call(capsys, "--data-dir", other, "list")[1]
    code, out, _ = call(capsys, "--data-dir", other, "export", "aa1", "-o", "-")
    assert "A fox had a kite.\n" in out


def test_import_takes_stdin_or_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = io.TextIOWrapper(io.BytesIO(b'{"text": "Fine."}\n{"text": 5}\n'))
    monkeypatch.setattr(sys, "stdin", lines)
    code, _, err = call(capsys, "import", "-")
    assert code == 2
    assert "line 2" in err
    assert len(call(capsys, "list")[1].splitlines()) == 2


BAD_CALLS: dict[str, tuple[list[str], int, str]] = {
    "unknown command": (["lst"], 2, "list"),
    "unknown id": (["show", "zz"], 1, "there is no story 'zz'"),
    "two of them": (["show", "a"], 1, "aa1, ab2"),
    "unknown order": (["list", "--sort", "titel"], 2, "did you mean 'title'?"),
    "unknown format": (["export", "last", "--format", "markdwn"], 2, "'markdown'"),
    "unknown suffix": (["export", "last", "-o", "x.pdf"], 2, ".pdf"),
    "nothing to export": (["export"], 2, "--all"),
    "no favorites": (["export", "--favorites", "-o", "-"], 2, "no story"),
    "nothing to delete": (["delete"], 2, "--empty-trash"),
    "no such file": (["import", "/nowhere"], 2, "No such file"),
    "not text": (["import", sys.executable], 2, "not UTF-8"),
    "negative": (["list", "--limit", "-3"], 2, "--limit"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    args, code, said = BAD_CALLS[case]
    ended, out, err = call(capsys, *args)
    assert (ended, out) == (code, "")
    assert said in err
    assert err.startswith("error: ")


def test_terminals_are_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    with Library() as library:
        library.add(story("Evil \x1b[2J fox", "ac3"))
    for args in (["show", "ac3"], ["search", "evil"], ["export", "ac3", "-o", "-"]):
        assert "\x1b" not in call(capsys, *args)[1]


def test_a_damaged_library_is_said_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with library_path().open("r+b") as file:
        file.write(bytes(100))
    code, out, err = call(capsys, "list")
    assert code == 0
    assert len(out.splitlines()) == 2
    assert "note: " in err
    assert "2 stories could be saved" in err
    assert call(capsys, "list")[2] == ""


def test_a_terminal_without_unicode_gets_question_marks() -> None:
    with Library() as library:
        library.add(story("Grüße 🦊", "ac3"))
    done = subprocess.run(
        [sys.executable, "-c", "from tinytales.cli.main import main; main()", "library", "show"],
        capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("Gr??e ?\n")
