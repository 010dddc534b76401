"""`tinytales replay`: the same story again, or where it differs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tinytales.cli.main import run
from tinytales.library import Library
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Story
from tinytales.storyteller import Storyteller


@pytest.fixture
def told(tiny_bundle: Path, _no_home: Path) -> Story:
    """A story of some sentences, saved."""
    with Storyteller.open(tiny_bundle) as teller, Library() as library:
        story = teller.tell(
            StoryPrompt(words=["fox"], opening="One day"), Sampling(seed=5, max_words=60)
        )
        library.add(story)
    return story


def replay(capsys: pytest.CaptureFixture[str], bundle: Path, *args: str) -> tuple[int, str, str]:
    code = run(["replay", *args, "--model", str(bundle)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_word_for_word(told: Story, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = replay(capsys, tiny_bundle, told.id)
    assert code == 0
    assert out == told.text + "\n"
    assert "word for word" in err
    code, out, _ = replay(capsys, tiny_bundle, "last", "--check")
    assert (code, out) == (0, "")


def test_a_stopped_story_is_the_same_as_far_as_it_goes(
    told: Story, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Library() as library:
        half = told.text[: len(told.text) // 2]
        library.add(replace(told, text=half, finish="cancelled"))
    code, _, err = replay(capsys, tiny_bundle, told.id, "--check")
    assert code == 0, err


def test_a_difference_is_shown(
    told: Story, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = told.text.split(" ")
    with Library() as library:
        library.add(replace(told, text=" ".join([*words[:2], "zebras", *words[3:]])))
    code, out, err = replay(capsys, tiny_bundle, told.id, "--check")
    assert (code, out) == (1, "")
    assert "differs from word 3 on: 'zebras" in err
    code, out, _ = replay(capsys, tiny_bundle, told.id, "--json")
    assert code == 1
    assert json.loads(out) == {"id": told.id, "same": False, "differs_at_word": 2}


def test_another_voice_says_so(
    told: Story, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Library() as library:
        library.add(replace(told, bundle="grandmother", bundle_digest="ff" * 32))
    code, out, err = replay(capsys, tiny_bundle, told.id)
    assert (code, out) == (1, "")
    assert "told by grandmother (ffffffffffff)" in err
    assert "--model" in err


def test_no_story_and_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = replay(capsys, tmp_path, "last")
    assert code == 1
    assert "no story is saved yet" in err
