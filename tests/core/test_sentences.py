"""Sentences: the unit of checking, showing, retelling and reading aloud."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytales.sentences import ends_sentence, split_sentences, whole_sentences


def sentences(text: str) -> list[str]:
    return [text[a:b] for a, b in split_sentences(text)]


def test_quotations_stay_with_their_speakers() -> None:
    text = '"Run!" said Tom. Mr. Fox ran. "Why?" she cried.\nHe sat down. The end'
    assert sentences(text) == [
        '"Run!" said Tom.',
        "Mr. Fox ran.",
        '"Why?" she cried.',
        "He sat down.",
        "The end",
    ]


@pytest.mark.parametrize("text", ["He ran.", 'She said, "Go!"', "Oh…", "(Yes?)"])
def test_ends(text: str) -> None:
    assert ends_sentence(text)


@pytest.mark.parametrize("text", ["He ran", "Mr.", "", "and then,", "Hello, Mrs."])
def test_does_not_end(text: str) -> None:
    assert not ends_sentence(text)


def test_whole_sentences_drop_the_unfinished_one() -> None:
    assert whole_sentences("He ran. She sat. Then the") == "He ran. She sat."
    assert whole_sentences("Then the") == ""


@given(st.text(max_size=200))
def test_spans_are_ordered_and_lose_only_space(text: str) -> None:
    spans = split_sentences(text)
    assert all(a < b for a, b in spans)
    assert all(b <= c for (_, b), (c, _) in itertools.pairwise(spans))
    assert "".join("".join(text[a:b] for a, b in spans).split()) == "".join(text.split())
