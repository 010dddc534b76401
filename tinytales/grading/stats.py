"""Figures that may be believed: means with their errors, paired bootstrap, agreement.

A judge's grades move by about 0.2 from one day to the next, even at temperature 0 (FastChat #2969),
so a difference counts only if the bootstrap says so *and* it is larger than `least_claim`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

#: No claim below this difference from fifty prompts; it shrinks with the root of their number.
CLAIM = 0.2
CLAIM_PROMPTS = 50
#: … but a judge's own drift does not shrink.
DRIFT = 0.1


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean and its standard error (nan from fewer than two values)."""

    value: float
    error: float
    count: int

    def __str__(self) -> str:
        if not self.count:
            return "–"
        return f"{self.value:.2f} ± {self.error:.2f}" if self.count > 1 else f"{self.value:.2f}"


def mean(values: Sequence[float]) -> Mean:
    if not values:
        return Mean(math.nan, math.nan, 0)
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Mean(fmean(values), error, len(values))


def clustered_mean(groups: Sequence[Sequence[float]]) -> Mean:
    """The mean over all values, with the error between groups.

    Ten completions of one beginning are not ten independent stories: the beginning is the sample.
    """
    means = [fmean(group) for group in groups if group]
    return mean(means)


def least_claim(prompts: int) -> float:
    """The smallest difference that may be claimed from so many prompts."""
    return max(DRIFT, CLAIM * math.sqrt(CLAIM_PROMPTS / max(prompts, 1)))


@dataclass(frozen=True, slots=True)
class Difference:
    """b minus a over the prompts that both have, with a 95 % interval."""

    value: float
    low: float
    high: float
    prompts: int

    @property
    def claimed(self) -> bool:
        sure = self.low > 0 or self.high < 0
        return sure and abs(self.value) >= least_claim(self.prompts)

    def says(self, a: str, b: str) -> str:
        """One honest sentence."""
        figures = f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}], {self.prompts} prompts"
        if self.claimed:
            better, worse = (b, a) if self.value > 0 else (a, b)
            return f"{better} is better than {worse} ({figures})"
        return f"{a} and {b}: too small a difference to claim ({figures})"


def paired_bootstrap(
    a: Sequence[Sequence[float]],
    b: Sequence[Sequence[float]],
    *,
    draws: int = 4000,
    seed: int = 0,
) -> Difference:
    """Compare two models over the same prompts (Koehn 2004): resample the prompts, not the stories.

    `a[i]` and `b[i]` are the grades of prompt i; prompts that either lacks are left out.
    """
    gaps = [fmean(y) - fmean(x) for x, y in zip(a, b, strict=True) if x and y]
    if not gaps:
        return Difference(math.nan, -math.inf, math.inf, 0)
    if len(gaps) == 1:
        return Difference(gaps[0], -math.inf, math.inf, 1)
    dice = random.Random(seed)
    means = sorted(fmean(dice.choices(gaps, k=len(gaps))) for _ in range(draws))
    return Difference(
        fmean(gaps), means[int(0.025 * draws)], means[int(0.975 * draws) - 1], len(gaps)
    )


def wilson(wins: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    if not count:
        return 0.0, 1.0
    share = wins / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    half /= 1 + z * z / count
    return max(0.0, middle - half), min(1.0, middle + half)


def sign_test(wins: int, losses: int) -> float:
    """Two-sided p that wins and losses are equally likely; ties say nothing."""
    count = wins + losses
    if not count:
        return 1.0
    tail = sum(math.comb(count, k) for k in range(min(wins, losses) + 1))
    return float(min(1.0, 2 * tail / 2**count))


def pearson(x: Sequence[float], y: Sequence[float]) -> float:
    """Linear correlation; nan if either does not vary."""
    if len(x) < 2:
        return math.nan
    mx, my = fmean(x), fmean(y)
    over = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    under = math.sqrt(sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y))
    return over / under if under else math.nan


def ranks(values: Sequence[float]) -> list[float]:
    """1-based ranks; equal values share the middle one."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    result = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end + 1 < len(order) and values[order[end + 1]] == values[order[at]]:
            end += 1
        for i in order[at : end + 1]:
            result[i] = (at + end) / 2 + 1
        at = end + 1
    return result


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    return pearson(ranks(x), ranks(y))


def kendall(x: Sequence[float], y: Sequence[float]) -> float:
    """Kendall's tau-b; nan if either does not vary."""
    same = tied_x = tied_y = 0
    for i in range(len(x)):
        for j in range(i):
            dx, dy = x[i] - x[j], y[i] - y[j]
            if dx and dy:
                same += 1 if (dx > 0) == (dy > 0) else -1
            tied_x += not dx
            tied_y += not dy
    pairs = len(x) * (len(x) - 1) / 2
    under = math.sqrt((pairs - tied_x) * (pairs - tied_y))
    return same / under if under else math.nan


def kappa(x: Sequence[float], y: Sequence[float]) -> float:
    """Cohen's kappa with squared weights, on whole grades; nan if nothing varies."""
    a, b = [round(v) for v in x], [round(v) for v in y]
    count = len(a)
    if not count:
        return math.nan
    seen = sum((i - j) ** 2 for i, j in zip(a, b, strict=True)) / count
    chance = sum((i - j) ** 2 for i in a for j in b) / count**2
    return 1 - seen / chance if chance else math.nan


def plain_kappa(x: Sequence[str], y: Sequence[str]) -> float:
    """Cohen's kappa of two lists of letters."""
    count = len(x)
    if not count:
        return math.nan
    seen = sum(i == j for i, j in zip(x, y, strict=True)) / count
    chance = sum((x.count(k) / count) * (y.count(k) / count) for k in {*x, *y})
    return (seen - chance) / (1 - chance) if chance < 1 else math.nan
