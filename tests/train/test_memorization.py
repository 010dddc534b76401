"""Recited or told: the overlap with the training texts, counted by hand and by properties."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st

from tinytales import assets as tinytales_assets
from tinytales.cli.main import run as tinytales
from tinytales.errors import TinytalesError
from tinytales.train.corpus.duplicates import words_of
from tinytales.train.data import PreparedCorpus
from tinytales.train.fixture import build_tiny
from tinytales.train.memorization import (
    cut,
    grams,
    measure,
    rouge_f,
    rouge_precision,
    story_of,
    training_stories,
)

WORDS = st.lists(st.sampled_from("a fox ran up the hill".split()), min_size=2, max_size=30)


def pairs(text: str) -> dict[tuple[str, ...], int]:
    return grams(words_of(text), 2)


def test_pairs_are_counted_as_by_hand() -> None:
    told, true = pairs("The fox ran. The fox sat."), pairs("the fox ran up the hill")
    # told: the-fox twice, fox-ran, ran-the, fox-sat; true has the-fox and fox-ran once.
    assert rouge_precision(told, true) == 2 / 5
    assert rouge_f(told, true) == 2 * 2 / (5 + 5)
    assert rouge_precision(grams([], 2), true) == 0.0


@given(WORDS, WORDS)
def test_overlap_is_a_share_and_its_f_is_the_same_both_ways(a: list[str], b: list[str]) -> None:
    left, right = grams(a, 2), grams(b, 2)
    assert 0 <= rouge_precision(left, right) <= 1
    assert rouge_precision(left, left) == rouge_f(left, left) == 1
    assert rouge_f(left, right) == rouge_f(right, left)


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, min_size=1, max_size=5))
def test_the_nearest_is_what_comparing_one_by_one_finds(
    told: list[list[str]], known: list[list[str]]
) -> None:
    stories, texts = [" ".join(w) for w in told], [" ".join(w) for w in known]
    found = measure(stories, [("texts", t) for t in texts])
    for story, nearest in zip(stories, found.nearest, strict=True):
        one_by_one = max(rouge_precision(pairs(story), pairs(t)) for t in texts)
        assert nearest.precision == pytest.approx(one_by_one)
        if nearest.text:
            assert rouge_precision(pairs(story), pairs(nearest.text)) == pytest.approx(one_by_one)


def test_a_recited_story_is_found_and_a_new_one_is_not() -> None:
    known = ["Once a cat sat on a mat and sang to the moon all night.", "A dog dug a deep hole."]
    new = "My small boat sails over green water without any wind today my friend."
    found = measure([known[0], new], [("texts", text) for text in known])
    assert found.nearest[0].precision == 1
    assert (found.nearest[0].source, found.nearest[0].text) == ("texts", known[0])
    assert found.nearest[1].precision == 0
    assert 0 < found.phrases[10] < 1
    assert found.figures()["kin_largest"] == 0


def test_a_story_without_words_is_one_clear_error() -> None:
    with pytest.raises(TinytalesError, match="cannot be compared"):
        measure(["..."], [])
    with pytest.raises(TinytalesError):
        measure([], [])


def test_an_opening_is_forty_percent() -> None:
    opening, ending = cut("one two three four five six seven eight nine ten")
    assert (opening, ending) == ("one two three four", "five six seven eight nine ten")


@pytest.mark.parametrize(
    ("document", "story"),
    [
        ("Once.\nTwice.", "Once.\nTwice."),
        ("Story:\nOnce.", "Once."),
        ("Words: a, b\nSummary: So.\nStory:\nOnce.\nTwice.", "Once.\nTwice."),
        ("Tom said: Story:\nonce.", "Tom said: Story:\nonce."),
    ],
)
def test_the_header_is_not_part_of_a_story(document: str, story: str) -> None:
    assert story_of(document) == story


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("memory") / "corpus")


def test_every_document_of_a_corpus_comes_back(corpus: Path) -> None:
    opened = PreparedCorpus(corpus)
    texts = [text for source, text in training_stories(opened) if source == "originals"]
    assert len(texts) == sum(s["renderings"] for s in opened.about["sources"])
    assert all(len(text.split()) >= 20 for text in texts)
    assert not any("<|endoftext|>" in text or "\nStory:\n" in text for text in texts)


def test_a_pair_told_twice_must_stand_there_twice() -> None:
    assert measure(["a b a b"], [("texts", "a b")]).nearest[0].precision == pytest.approx(1 / 3)


def test_overlap_is_with_one_nearest_story_not_with_all_of_them() -> None:
    pooled = [("texts", text) for text in ("x a b y", "x b c y", "x c d y", "d e")]
    assert measure(["a b c d e"], pooled).nearest[0].precision == 1 / 4


def test_the_command_tells_how_much_is_recited(
    corpus: Path, tiny_bundle: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = Path(tinytales_assets.__file__).parent / "originals.jsonl.xz"
    for model, against in ((tiny_bundle, corpus), (tiny_checkpoint, texts)):
        command = ["evaluate", str(model), "--stories", "2", "--against", str(against), "--json"]
        assert tinytales(command) == 0
        figures = json.loads(capsys.readouterr().out)["by heart"]
        assert 0 <= figures["nearest_median"] <= figures["nearest_largest"] <= 1
        assert figures["phrases_10_words"] <= figures["phrases_4_words"]
        assert {"endings_median", "kin_median"} <= figures.keys()


def test_against_needs_stories_and_a_corpus(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tinytales(["evaluate", str(tiny_bundle), "--against", str(tmp_path)]) == 2
    assert "--stories" in capsys.readouterr().err
    command = ["evaluate", str(tiny_bundle), "--stories", "1", "--against", str(tmp_path)]
    assert tinytales(command) == 1
    assert "corpus build" in capsys.readouterr().err
