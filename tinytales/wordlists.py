"""Kind words to deal: what a child of three or four knows, heroes, places, names, beginnings.

    from random import Random
    wordlists.draw(Random(7))       # one noun, one verb, one adjective

Eldan & Li (2023, section 2) asked for every story with three words drawn from about 1500, so that
the stories are varied though the words are simple. The lists are data: `assets/words.toml`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import resources
from random import Random

WordList = Callable[[], tuple[str, ...]]


def nouns() -> tuple[str, ...]:
    return _lists()["nouns"]


def verbs() -> tuple[str, ...]:
    return _lists()["verbs"]


def adjectives() -> tuple[str, ...]:
    return _lists()["adjectives"]


def names() -> tuple[str, ...]:
    return _lists()["names"]


def heroes() -> tuple[str, ...]:
    """Heroes with their article: `a little fox`."""
    return _lists()["heroes"]


def places() -> tuple[str, ...]:
    """Places with their preposition: `in the forest`."""
    return _lists()["places"]


def openings() -> tuple[str, ...]:
    """Beginnings to be told on; some end in the middle of a sentence."""
    return _lists()["openings"]


def draw(random: Random | None = None) -> tuple[str, str, str]:
    """One noun, one verb, one adjective; the same ones again from `Random(seed)`."""
    random = random or Random()
    noun, verb, adjective = (
        random.choice(nouns()),
        random.choice(verbs()),
        random.choice(adjectives()),
    )
    while verb == noun:  # a few words are both: a dance, to dance
        verb = random.choice(verbs())
    while adjective in (noun, verb):
        adjective = random.choice(adjectives())
    return noun, verb, adjective


#: Lists of single words; in the others every line is an entry.
_SINGLE = ("nouns", "verbs", "adjectives", "names")


@functools.cache
def _lists() -> dict[str, tuple[str, ...]]:
    import tomllib

    text = resources.files("tinytales.assets").joinpath("words.toml").read_text("utf-8")
    return {
        kind: tuple(dict.fromkeys(block.split() if kind in _SINGLE else block.strip().split("\n")))
        for kind, block in tomllib.loads(text).items()
    }
