"""What a family asks for, in its own words, and the prompt that the model reads.

Hero and place become the first sentence, because an opening is the one wish that a tiny model
cannot forget; when there is an opening already, they become the summary.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from tinytales import wordlists
from tinytales.prompt import StoryPrompt

#: feature -> what a child calls it
FEATURE_NAMES: dict[str, str] = {
    "dialogue": "talking",
    "twist": "a surprise",
    "moral": "a lesson",
    "foreshadowing": "a hint",
    "conflict": "a quarrel",
    "sad-ending": "a sad ending",
}
#: length -> (what it is called, `max_words`); 0 lets the story find its own end
LENGTHS: dict[str, tuple[str, int]] = {
    "short": ("short", 60),
    "middle": ("middling", 130),
    "free": ("as long as it likes", 0),
}
#: How a story goes on that had already ended.
NEXT_CHAPTERS = (
    "The next day,",
    "The next morning,",
    "That evening,",
    "A few days later,",
    "When the sun came up again,",
)
_PLACED = re.compile(
    r"^(in|at|on|by|under|near|inside|behind|over|beside|up|down|far|across|between)\b", re.I
)
_ARTICLE = re.compile(r"^(?:[A-Z]|(?:a|an|the|my|our|his|her|their|some|two|three)\b)")


@dataclass(frozen=True)
class Wishes:
    """The form as it was filled in; every part may be empty."""

    opening: str = ""
    hero: str = ""
    place: str = ""
    words: tuple[str, ...] = ()
    features: tuple[str, ...] = ()

    def prompt(self) -> StoryPrompt:
        """Raises PromptError (a word that is none)."""
        hero, place = self.hero.strip(), self.place.strip()
        opening, summary = self.opening.strip(), ""
        if not opening:
            opening = first_sentence(hero, place)
        elif hero or place:
            summary = f"A story about {_hero(hero) if hero else 'a friend'}"
            summary += f" {_place(place)}." if place else "."
        return StoryPrompt(
            words=tuple(w for w in self.words if w.strip()),
            features=self.features,
            summary=summary,
            opening=opening,
        )


def first_sentence(hero: str, place: str) -> str:
    """An opening that holds the hero and the place; empty if there is neither."""
    if hero and place:
        return f"Once upon a time, {_hero(hero)} was {_place(place)}."
    if hero:
        return f"Once upon a time, there was {_hero(hero)}."
    if place:
        return f"One day, {_place(place)},"
    return ""


def next_chapter(seed: int) -> str:
    return NEXT_CHAPTERS[seed % len(NEXT_CHAPTERS)]


def _hero(hero: str) -> str:
    """fox -> a fox; Tim and the fox stay."""
    hero = hero.strip().rstrip(".")
    if _ARTICLE.match(hero):
        return hero[0].lower() + hero[1:] if re.match(r"(A|An|The)\b", hero) else hero
    return f"{'an' if hero[:1].lower() in 'aeiou' else 'a'} {hero}"


def _place(place: str) -> str:
    """forest -> in the forest; at the beach stays."""
    place = place.strip().rstrip(".")
    if _PLACED.match(place):
        return place[0].lower() + place[1:]
    if _ARTICLE.match(place):
        return f"in {place}"
    return f"in the {place}"


class Dealer:
    """Deals openings, heroes, places and words from kind lists. `seed` makes the deals the same."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)
        self._last: set[str] = set()

    def opening(self) -> str:
        return self._deal(wordlists.openings())

    def hero(self) -> str:
        return self._deal(wordlists.heroes())

    def place(self) -> str:
        return self._deal(wordlists.places())

    def words(self) -> tuple[str, str, str]:
        """One thing, one doing, one manner: as the stories were first asked for (paper, 2.1)."""
        return wordlists.draw(self._random)

    def _deal(self, cards: tuple[str, ...]) -> str:
        """A card that is not the last one of its kind."""
        card = self._random.choice([c for c in cards if c not in self._last])
        self._last = self._last.difference(cards) | {card}
        return card
