"""The words to deal: enough, single, kind, and drawn the same again."""

from __future__ import annotations

import re
import subprocess
import sys
from random import Random

import pytest

from tinytales import wordlists
from tinytales.prompt import StoryPrompt
from tinytales.safety import Safety
from tinytales.sentences import ends_sentence

SINGLE = (wordlists.nouns, wordlists.verbs, wordlists.adjectives, wordlists.names)
LINES = (wordlists.heroes, wordlists.places, wordlists.openings)


def test_there_are_about_1500_words_and_60_beginnings() -> None:
    words = {*wordlists.nouns(), *wordlists.verbs(), *wordlists.adjectives()}
    assert 1400 <= len(words) <= 1600
    assert len(wordlists.openings()) >= 60
    assert min(len(wordlists.heroes()), len(wordlists.places())) >= 40


@pytest.mark.parametrize("kind", SINGLE, ids=lambda f: f.__name__)
def test_words_are_single_and_simple(kind: wordlists.WordList) -> None:
    pattern = r"[A-Z][a-z]{1,9}" if kind is wordlists.names else r"[a-z]{2,14}"
    assert [word for word in kind() if not re.fullmatch(pattern, word)] == []


@pytest.mark.parametrize("kind", (*SINGLE, *LINES), ids=lambda f: f.__name__)
def test_every_entry_is_kind_on_the_strictest_level_even_read_twice(
    kind: wordlists.WordList,
) -> None:
    strict = Safety("careful")
    found = {entry: strict.check_prompt(StoryPrompt(opening=entry)) for entry in kind()}
    assert {entry: finding for entry, finding in found.items() if finding} == {}


def test_openings_are_ready_to_be_told_on() -> None:
    for opening in wordlists.openings():
        assert StoryPrompt(opening=opening).opening == opening
        assert opening[0].isupper() or opening[0] == '"'
        # Either a finished sentence, or a beginning that wants more words.
        assert ends_sentence(opening) or opening[-1].isalpha() or opening[-1] == ","


def test_heroes_and_places_fit_into_a_sentence() -> None:
    for hero in wordlists.heroes():
        assert re.match(r"(a|an|two|three|twins) ", hero), hero
        assert re.match(r"an? ", hero) is None or (hero[:3] == "an ") == (
            hero.split(" ", 1)[1][0] in "aeiou"
        ), hero
    for place in wordlists.places():
        assert re.match(r"(in|at|on|by|up|under|behind|inside|beside|near) ", place), place


def test_a_draw_is_one_of_each_and_the_same_from_the_same_seed() -> None:
    for seed in range(300):
        drawn = wordlists.draw(Random(seed))
        assert drawn == wordlists.draw(Random(seed))
        assert len(set(drawn)) == 3
        noun, verb, adjective = drawn
        assert noun in wordlists.nouns()
        assert verb in wordlists.verbs()
        assert adjective in wordlists.adjectives()
        assert StoryPrompt(words=drawn).words == drawn
    assert len({wordlists.draw(Random(seed)) for seed in range(300)}) == 300


def test_nothing_is_read_before_it_is_asked_for() -> None:
    code = "import sys, tinytales.wordlists; print('tomllib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
