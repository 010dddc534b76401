"""Counting what was told, and what was learned by heart."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Finish, Story
from tinytales.train.stories import count_told, nearest_overlap


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


def test_overlap_is_with_one_nearest_story_not_with_all_of_them() -> None:
    text = "a b c d e"
    pooled = ["x a b y", "x b c y", "x c d y", "d e"]
    assert nearest_overlap([text], pooled) == [pytest.approx(1 / 4)]
    assert nearest_overlap([text, "q r"], [text, *pooled]) == [pytest.approx(1.0), 0.0]


def test_a_pair_told_twice_must_stand_there_twice() -> None:
    assert nearest_overlap(["a b a b"], ["a b"]) == [pytest.approx(1 / 3)]
