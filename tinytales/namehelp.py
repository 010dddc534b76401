"""Help for names: the hero keeps the name under which the child met them.

A tiny model forgets who it was telling of, and Jane becomes Sally. Once a story has a name, names
that were not told yet are lowered, except where somebody is introduced ("named", "his friend").
Only the common names that are one token are known here: for them the model slips.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from tinytales import wordlists

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tinytales.pieces import Pieces

#: Nats taken from an untold name: in passing, and where somebody is introduced to a full house.
LOWERED, LOWERED_WHEN_FULL = 5.0, 3.0
#: So many names are enough for one tiny story.
FULL_HOUSE = 3
_INTRODUCES = re.compile(r"\b(?:named|called|friends?|sister|brother|name (?:is|was)|I am|I'm),?$")
#: Where it ends, at most so many characters before: a sentence is not searched for every token.
_INTRODUCTION = 12
_NAME = re.compile(r"[A-Z][a-z]+")
#: Names in many children's tales, beside those of the word lists.
_TALES = frozenset(
    """Amy Anna Ben Bella Benny Billy Bob Bobby Daisy Ella Emily Emma Fluffy Fred Jack Jane Jen Jill
    Jim Jimmy Joe John Kate Kitty Leo Lila Lily Lisa Lola Lucy Mark Mary Max Mia Molly Nina Pip
    Rosie Sally Sam Sara Sarah Sophie Spot Sue Teddy Tim Timmy Toby Tom Tommy Whiskers
    Zoe""".split()
)


class NameTokens:
    """The tokens of a vocabulary that are names: made once for a storyteller."""

    def __init__(self, pieces: Pieces) -> None:
        known = _TALES.union(wordlists.names())
        self.names: dict[int, str] = {}
        for token, piece in enumerate(pieces.bytes):
            word = piece.decode("utf-8", "ignore")
            if word[:1] == " " and word[1:] in known:
                self.names[token] = word[1:]


class NameHelp:
    """The lowering for one story: `told` with each sentence, `lower` before each token."""

    def __init__(self, tokens: NameTokens, asked: str) -> None:
        """`asked` is all that was asked for: its names are nobody's slip."""
        self._tokens = tokens
        self._known = set(_NAME.findall(asked))
        self._untold = np.array(list(tokens.names), np.int64)
        self._heroes: set[str] = set()

    def told(self, text: str) -> None:
        """A sentence was told: its names are known from now on."""
        names = set(_NAME.findall(text))
        self._known |= names
        self._heroes |= names & set(self._tokens.names.values())
        self._untold = np.array(
            [t for t, name in self._tokens.names.items() if name not in self._known], np.int64
        )

    def lower(self, logits: NDArray[np.float32], pending: str) -> NDArray[np.float32]:
        """`logits` [vocab] with untold names lowered; a copy where anything changes."""
        if not self._heroes or not len(self._untold):
            return logits
        amount = LOWERED
        if _INTRODUCES.search(pending, max(0, len(pending) - _INTRODUCTION)):
            if len(self._heroes) < FULL_HOUSE:
                return logits
            amount = LOWERED_WHEN_FULL
        lowered = logits.copy()
        lowered[self._untold] -= amount
        return lowered
