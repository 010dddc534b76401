"""Duels: which of two voices tells better, judged pair by pair in both orders.

A judge likes what it reads first (or last). So every pair is asked twice with the order swapped,
and a win counts only if both answers name the same story; otherwise the pair is a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tinytales.errors import UsageError
from tinytales.grading import stats
from tinytales.grading.cache import Score
from tinytales.grading.report import prompt_of
from tinytales.story import Story

Pair = tuple[Story, Story]


@dataclass(frozen=True, slots=True)
class Result:
    """Wins of the first and the second voice, ties, pairs left open (unscored).

    `swayed` ties: the judge named a story by its place, not by its worth.
    """

    first: int
    second: int
    ties: int
    swayed: int
    open: int

    @property
    def share(self) -> float:
        """Of the second voice; a tie is half a win."""
        count = self.first + self.second + self.ties
        return (self.second + self.ties / 2) / count if count else 0.5

    @property
    def p(self) -> float:
        """Two-sided sign test on the decided pairs."""
        return stats.sign_test(self.first, self.second)

    def says(self, a: str, b: str) -> str:
        count = self.first + self.second + self.ties
        low, high = stats.wilson(self.second + self.ties / 2, count)
        lines = [
            f"{a}: {self.first}   {b}: {self.second}   ties: {self.ties}"
            f" (of them {self.swayed} by order)   unscored: {self.open}",
            f"{b} wins {self.share:.0%} of {count} pairs [{low:.0%}, {high:.0%}], p = {self.p:.3f}",
        ]
        if self.p < 0.05 and not low <= 0.5 <= high:
            lines.append(f"{b if self.second > self.first else a} tells better.")
        else:
            lines.append("Too small a difference to claim.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "share": self.share, "p": self.p}


def pair(one: Sequence[Story], two: Sequence[Story]) -> list[Pair]:
    """Stories told from the same prompt, in order; a prompt's nth story meets the other's nth.

    Raises:
        UsageError: nothing was told from the same prompt.
    """
    waiting: dict[str, list[Story]] = {}
    for story in two:
        waiting.setdefault(prompt_of(story), []).append(story)
    pairs = [(story, waiting[key].pop(0)) for story in one if waiting.get(key := prompt_of(story))]
    if not pairs:
        raise UsageError(
            "the two have no prompt in common",
            hint="tell both from the same beginnings: tinytales grade suite keeps such stories",
        )
    return pairs


def result(pairs: Sequence[Pair], scores: Sequence[Score]) -> Result:
    """Put both orders of every pair together."""
    said: dict[tuple[str, str, int], str] = {
        (s.story, s.other, s.repeat): str(s.grades["better"]) for s in scores if s.scored
    }
    repeats = max((s.repeat for s in scores), default=0) + 1
    first = second = ties = swayed = missing = 0
    for a, b in pairs:
        for k in range(repeats):
            forward, back = said.get((a.id, b.id, k)), said.get((b.id, a.id, k))
            if forward is None or back is None:
                missing += 1
            elif (forward, back) == ("1", "2"):
                first += 1
            elif (forward, back) == ("2", "1"):
                second += 1
            else:
                ties += 1
                swayed += forward == back != "tie"
    return Result(first, second, ties, swayed, missing)
