"""Every example of docs/library.md is run as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tinytales.cli.main import run
from tinytales.library import Library
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Story

DOCS = Path(__file__).parents[2] / "docs" / "library.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)


def test_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Library() as library:
        for n in range(2):
            library.add(
                Story(f"A kite, {n}.", StoryPrompt(), Sampling(seed=n), "end", id=f"3fa2{n}")
            )  # fmt: skip
        library.favorite("3fa20")
    lines = [
        shlex.split(line, comments=True) for block in blocks("sh") for line in block.split("\n")
    ]
    commands = [words[1:] for words in lines if words and words[1] == "library"]
    assert len(commands) >= 12
    for args in commands:
        args = ["3fa21" if word == "3fa2" else word for word in args]
        if args[1:2] == ["export"]:
            args.append("--force")
        assert run(args) == 0, (args, capsys.readouterr().err)
    written = {path.name for path in tmp_path.iterdir()}
    assert {"kite.md", "mine.jsonl", "tinytales.html"} <= written


def test_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (program,) = blocks("python")
    exec(compile(program, str(DOCS), "exec"), {})
    assert "This book belongs to" in (tmp_path / "kite.html").read_text(encoding="utf-8")
    with Library() as library:
        assert [story.sampling.seed for story in library] == [7]
