"""Help for words and names: gentle, and only where it belongs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tinytales.namehelp import NameHelp, NameTokens
from tinytales.wordhelp import WordHelp, forms, missing_words, stammers

PIECES = SimpleNamespace(bytes=[b"", b" Lily", b" Tim", b" Sue", b" Sam", b" ran", b"Tim", b" Max"])
ROW = np.zeros(len(PIECES.bytes), np.float32)


def lowered(names: NameHelp, pending: str) -> list[str]:
    row = names.lower(ROW, pending)
    return [PIECES.bytes[i].decode().strip() for i in np.flatnonzero(row < 0)]


def help_for(asked: str = "") -> NameHelp:
    return NameHelp(NameTokens(PIECES), asked)  # type: ignore[arg-type]


def test_nobody_is_lowered_before_somebody_is_there() -> None:
    assert lowered(help_for(), "Once") == []


def test_strangers_are_lowered_and_the_row_is_left_alone() -> None:
    names = help_for("a tale of Sue")
    names.told("There was a girl named Lily.")
    assert lowered(names, " One day,") == ["Tim", "Sam", "Max"]
    assert not ROW.any()


@pytest.mark.parametrize("pending", [" She met a boy named", " Her friend,", ' "My name is'])
def test_who_is_introduced_is_no_stranger(pending: str) -> None:
    names = help_for()
    names.told("There was a girl named Lily.")
    assert lowered(names, pending) == []


def test_a_full_house_is_enough() -> None:
    names = help_for()
    names.told("Lily, Tim and Sue played.")
    assert lowered(names, " a boy named") == ["Sam", "Max"]


def test_words_are_told_in_any_form() -> None:
    assert missing_words(["climb", "swim", "kite", "happy"], "He climbed and swam happily.") == [
        "kite"
    ]
    assert "swam" in forms("swim")


def spell(text: str) -> list[int]:
    return {" kite": [1, 2], " kites": [3]}.get(text, [9, 9])


def test_a_missing_word_is_raised_more_with_every_sentence_and_spelled_on() -> None:
    words = WordHelp(["kite"], spell)
    first = words.bias("", [])[1]
    words.told("A boy ran.")
    later = words.bias("", [])
    assert 0 <= first < later[1]
    assert later[3] == later[1]  # another form, of one token
    assert words.bias(" a k", [1])[2] > later[1]
    words.told("He had a kite.")
    assert max(words.bias("", []).values()) < 0


def test_a_word_that_was_told_is_lowered_for_a_while() -> None:
    words = WordHelp(["kite"], spell)
    words.told("He had a kite.")
    once = words.bias("", [])[1]
    assert words.bias(" The kite", [])[1] < once < 0
    words.told("It flew.")
    assert words.bias("", []) == {}


def test_a_word_told_twice_in_a_row_is_a_stammer() -> None:
    for text in ("a brave brave cat", "She was brave and brave.", "a brave, brave cat"):
        assert stammers(["brave"], text)
    assert stammers(["mend"], "a mending mending room")
    assert stammers([], "The sticky sticky stick.")
    assert not stammers(["brave"], "The brave cat met a brave dog. Beep beep!")


def test_the_end_is_held_for_a_while_and_not_for_ever() -> None:
    words = WordHelp(["kite"], spell)
    assert words.holds_end(wants_end=True, pending="")
    assert not words.holds_end(wants_end=True, pending=" He had a kite.")
    for _ in range(3):
        words.told("A boy ran.")
    assert not words.holds_end(wants_end=True, pending="")
