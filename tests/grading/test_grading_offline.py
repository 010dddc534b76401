"""Marks without a judge: each fault that is planted is found, and good stories are left alone."""

from __future__ import annotations

import json
import lzma
import random
import re
from importlib import resources
from pathlib import Path

import pytest

from tinytales.bundle import Bundle
from tinytales.grading import offline, offline_marks
from tinytales.grading.sources import story_of
from tinytales.story import Story

GOOD = (
    'Mia had a red kite. One windy day, she ran up the hill with her brother Sam. "Hold on," said '
    "Sam. Mia laughed and climbed on. The kite danced in the sky. Then Mia and Sam went home."
)
STRANGERS = (
    "Mia sat. Mia ran. So Mia sang to Mia. Then Mia was glad. At the end, Bob ran off and, as "
    "ever, Lily was very glad, and she said that Tim was kind."
)
ODD = ["!", "…", "a", "😀 🎈", "日本語の物語。", '"' * 99, "x" * 5000, "\u200b."]


def tale(text: str, **more: object) -> Story:
    return story_of({"text": text, **more})


def originals(count: int) -> list[Story]:
    packed = resources.files("tinytales.assets").joinpath("originals.jsonl.xz").read_bytes()
    lines = lzma.decompress(packed).decode().split("\n")
    return [tale(json.loads(line)["text"]) for line in lines[:count]]


def test_a_good_story_has_no_faults() -> None:
    marks = offline_marks(tale(GOOD, words=["kite", "climb", "windy"]))
    assert marks.faults == [] and marks.wishes_met == 1
    assert marks.words == 38 and marks.sentences == 6 and marks.reading_grade < 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("danced", "dranced"), "dranced"),
        (GOOD.replace("hill", "hilp"), "hilp"),
        (GOOD + " They were happy. They were happy. They were happy. They were happy.", "repeats"),
        (GOOD[:-1], "does not end"),
        (GOOD + " The end of the", "does not end"),
        (GOOD.replace('"Hold on,"', '"Hold on,'), "quotation"),
        (STRANGERS, "from nowhere"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found(text: str, says: str) -> None:
    assert any(says in fault for fault in offline_marks(tale(text)).faults)


def test_missing_words_and_all_their_forms() -> None:
    marks = offline_marks(tale(GOOD, words=["kite", "river", "go", "dance", "laugh"]))
    assert marks.missing_words == ("river",) and marks.wishes_met == pytest.approx(0.8)
    words = "hopped babies leaves wolves bigger swam children hungrily".split()
    for wish in ("hop", "baby", "leaf", "wolf", "big", "swim", "child", "hungry"):
        assert offline.told(wish, words), wish
    assert not offline.told("hope", ["hop"]) and not offline.told("car", ["carpet"])
    assert offline.told("ice cream", ["cold", "ice", "cream"])


def test_names_and_sounds_are_no_non_words() -> None:
    text = GOOD + " Zorbo said mmm and whoosh and shhh to the moonlight, and Zorbo slept."
    assert offline_marks(tale(text)).non_words == ()


def test_originals_are_left_alone_and_scrambled_words_are_found() -> None:
    """Of words with two letters swapped, most are noticed; of real words almost none."""
    stories = originals(60)
    rows = [offline_marks(story) for story in stories]
    assert sum(len(m.non_words) for m in rows) / sum(m.words for m in rows) < 0.001
    assert sum(m.whole_ending and m.quotes_balanced for m in rows) >= 57
    dice, planted, found = random.Random(2), 0, 0
    for story in stories:
        longer = [w for w in re.findall(r"(?<= )[a-z]{6,9}(?= )", story.text) if w[2] != w[3]]
        word = dice.choice(longer)
        broken = word[:2] + word[3] + word[2] + word[4:]
        text = story.text.replace(f" {word} ", f" {broken} ")
        planted += 1
        found += broken in offline_marks(tale(text)).non_words
    assert found / planted > 0.9


@pytest.mark.parametrize(
    "text", ["!", "…", "a", "😀 🎈", "日本語の物語。", '"' * 99, "x" * 5000, "\u200b."]
)
def test_odd_texts_do_not_break_it(text: str) -> None:
    assert offline_marks(tale(text)).to_dict()["words"] >= 0


def test_bits_per_byte_of_a_voice_prefer_its_own_language(tiny_bundle: Path) -> None:
    reference = offline.Reference(Bundle.open(tiny_bundle))
    story, *_ = originals(1)
    words = story.text.split()
    random.Random(1).shuffle(words)
    plain = reference.bits_per_byte(story)
    assert 0 < plain < reference.bits_per_byte(tale(" ".join(words))) < 20
    reference.close()
