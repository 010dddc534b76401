"""From next-token logits to the next token: temperature, top-k, top-p, min-p, repetition, loops.

Most tokens fall to one comparison with what min-p leaves, and only the handful that remains is
sorted and weighed: choosing costs a few microseconds, and the model stays the only thing one waits
for (docs/results.md, Speed). The same seed gives the same story again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinytales.errors import UsageError, nearest

#: Filters look at this many of the likeliest tokens; the rest together weigh nothing in a story.
SHORTLIST = 256
#: A run of this many tokens may be told twice (refrains are dear to children), not a third time.
LOOP_TOKENS = 12
LOOP_REPEATS = 2


#: Below this temperature only the likeliest token is left.
GREEDY = 1e-3


@dataclass(frozen=True, slots=True)
class Sampling:
    """How adventurous the telling is.

    Attributes:
        temperature: 0 is greedy, 1 the model's own distribution (the paper's GPT-Eval).
        top_k: keep the k likeliest tokens; 0 keeps all.
        top_p: keep the likeliest tokens that together reach this probability; 1 keeps all.
        min_p: drop tokens below this share of the likeliest one's probability; 0 drops none.
        repetition_penalty: divides the logits of tokens told lately; 1 is off (Keskar et al. 2019).
        loop_guard: no run of twelve tokens is told a third time.
        max_words: end with the first whole sentence after so many words; 0 leaves it to the model.
        word_help: gently raise asked-for words that are not told yet, and tell a sentence again
            that invents a word or stammers.
        name_help: lower names that nobody was introduced by, so that heroes keep theirs.
        seed: same seed, same story; None draws one.

    Raises:
        UsageError: a value out of its range, with the range.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 0.95
    min_p: float = 0.02
    repetition_penalty: float = 1.0
    loop_guard: bool = True
    max_words: int = 0
    word_help: bool = True
    name_help: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "temperature": (0, 5),
            "top_k": (0, math.inf),
            "top_p": (0, 1),
            "min_p": (0, 1),
            "repetition_penalty": (1, 2),
            "max_words": (0, 1_000_000),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UsageError(f"{name} must be a number, not {value!r}")
            if math.isnan(value) or not low <= value <= high:
                span = f"at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
                raise UsageError(f"{name} is {value:g}", hint=f"choose {name} {span}")
        if self.top_p == 0:
            raise UsageError("top_p is 0: no token would be left", hint="choose top_p above 0")
        if self.seed is not None and (
            isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0
        ):
            raise UsageError(f"seed is {self.seed!r}", hint="choose a whole number from 0 up")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Sampling:
        known = {f.name for f in fields(cls)}
        for name in data:
            if name not in known:
                raise UsageError(f"unknown sampling value {name!r}", hint=nearest(name, known))
        return cls(**data)


def draw_seed() -> int:
    """A seed short enough to be read aloud and typed again."""
    return int(np.random.SeedSequence().generate_state(1)[0]) % 1_000_000


class Sampler:
    """Picks the tokens of one story. `told` grows with every pick."""

    def __init__(self, sampling: Sampling) -> None:
        if sampling.seed is None:
            raise UsageError("a sampler needs a seed", hint="set Sampling(seed=…)")
        self.sampling = sampling
        self.random = np.random.Generator(np.random.PCG64(sampling.seed))
        self.told: list[int] = []
        #: Every run of LOOP_TOKENS - 1 tokens that was told -> what followed it, time after time.
        self._followers: dict[tuple[int, ...], list[int]] = {}

    def pick(self, logits: NDArray[np.float32], bias: Mapping[int, float] | None = None) -> int:
        """Choose from `logits` [vocab]; `bias` is added to single tokens (may be -inf).

        The logits are not changed.
        """
        s = self.sampling
        banned = self._loop_closers() if s.loop_guard else ()
        if bias or banned or s.repetition_penalty != 1:
            logits = logits.copy()
            if s.repetition_penalty != 1 and self.told:
                recent = np.unique(self.told[-64:])
                values = logits[recent]
                logits[recent] = np.where(
                    values > 0, values / s.repetition_penalty, values * s.repetition_penalty
                )
            for token, amount in (bias or {}).items():
                logits[token] += amount
            for token in banned:
                logits[token] = -np.inf
        token = self._choose(logits)
        self._followers.setdefault(self._run(), []).append(token)
        self.told.append(token)
        return token

    def _choose(self, logits: NDArray[np.float32]) -> int:
        s = self.sampling
        best = int(logits.argmax())
        if s.temperature < GREEDY:
            return best
        draw = self.random.random()
        shortlist = self._shortlist(logits, logits[best])
        if shortlist.size == 1:
            return best
        values = logits[shortlist]
        order = (-values).argsort(kind="stable")
        reach = np.exp(
            (values[order] - values[order[0]]) / s.temperature, dtype=np.float64
        ).cumsum()
        kept = order.size
        if s.top_p < 1:  # the token that crosses it is kept
            kept = min(kept, 1 + int(reach.searchsorted(s.top_p * reach[-1])))
        chosen = reach.searchsorted(draw * reach[kept - 1], side="right")
        return int(shortlist[order[chosen]])

    def _shortlist(self, logits: NDArray[np.float32], top: np.float32) -> NDArray[np.intp]:
        """The tokens that min-p leaves, and of them at most `top_k` or SHORTLIST likeliest.

        min-p as a distance of logits is one comparison, and leaves a handful; a partition costs
        twenty times as much.
        """
        s = self.sampling
        most = min(s.top_k or SHORTLIST, SHORTLIST, logits.size)
        if s.min_p:
            shortlist = (logits >= top + s.temperature * math.log(s.min_p)).nonzero()[0]
            if shortlist.size <= most:
                return shortlist
        return np.argpartition(logits, -most)[-most:]

    def _run(self) -> tuple[int, ...]:
        return tuple(self.told[1 - LOOP_TOKENS :])

    def _loop_closers(self) -> tuple[int, ...]:
        """Tokens that would tell a run of LOOP_TOKENS once more than is allowed."""
        followers = self._followers.get(self._run(), ())
        if len(self.told) < LOOP_REPEATS * LOOP_TOKENS or len(followers) < LOOP_REPEATS:
            return ()
        return tuple(t for t in set(followers) if followers.count(t) >= LOOP_REPEATS)

    def forget(self, count: int) -> None:
        """Take back the last `count` picks: the story goes on differently from there."""
        for _ in range(count):
            self.told.pop()
            self._followers[self._run()].pop()
