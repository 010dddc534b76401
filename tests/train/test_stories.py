"""Counting what was told."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Finish, Story
from tinytales.train.stories import count_told


def story(text: str, words: tuple[str, ...], finish: Finish = "end") -> Story:
    return Story(text=text, prompt=StoryPrompt(words), sampling=Sampling(seed=1), finish=finish)


def test_words_count_in_any_form_and_in_the_very_form() -> None:
    told = count_told(
        [
            story("He climbed a tree.", ("climb", "tree")),
            story("The kitten sat.", ("kite", "sat"), "context"),
        ]
    )
    assert told.words == pytest.approx(3 / 4)
    assert told.exact == pytest.approx(2 / 4)
    assert told.ended == pytest.approx(1 / 2)
