"""What one sees of a run while it runs, and when the next thing is due."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass

import torch

from tinytales.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands: `done` from 0 to 1, `worked` in seconds, `loss` in nats a token."""

    step: int
    tokens: int
    done: float
    worked: float
    loss: float
    rate: float
    sequence: int


class Clock:
    """When the next checkpoint, measurement and sample are due. The first sample comes soon."""

    def __init__(self, save: float, evaluate: float, sample: float) -> None:
        self.every = {"save": save * 60, "eval": evaluate * 60, "sample": sample * 60}
        now = time.monotonic()
        self.next = {what: now + seconds for what, seconds in self.every.items()}

    def due(self, what: str) -> bool:
        if self.every[what] <= 0 or time.monotonic() < self.next[what]:
            return False
        self.next[what] = time.monotonic() + self.every[what]
        return True


class Meter:
    """The live line on stderr: how far, how well, how fast, how long still."""

    def __init__(self, recipe: Recipe, peak: float, world: int) -> None:
        self.recipe, self.peak, self.world = recipe, peak * world, world
        self.speed = 0.0
        self._last: tuple[float, int] | None = None
        self._shown = 0.0
        self._live = sys.stderr.isatty()

    def line(self, at: Standing) -> str:
        now = time.monotonic()
        if self._last is not None and now > self._last[0]:
            speed = (at.tokens - self._last[1]) / (now - self._last[0])
            self.speed = speed if not self.speed else 0.9 * self.speed + 0.1 * speed
        self._last = (now, at.tokens)
        left = at.worked / at.done * (1 - at.done) if at.done else 0.0
        flops = self.recipe.model.flops_per_token(at.sequence) * self.speed
        used = f" · {flops / self.peak:.0%} of peak" if self.peak else ""
        return (
            f"{at.done:6.1%} · step {at.step} · loss {at.loss:.3f} · rate {at.rate:.2f} · "
            f"{self.speed:,.0f} tokens/s{used} · {memory_mb():,.0f} MB · {_clock_time(left)} left"
        )

    def due(self, step: int) -> bool:
        """Log the first steps, then every tenth; on no terminal show one line a half minute."""
        return step <= 10 or step % 10 == 0

    def show(self, line: str, keep: bool = False) -> None:
        if self._live:
            end = "\n" if keep else ""
            print(f"\r\x1b[2K{line}", end=end, file=sys.stderr, flush=True)
        elif keep or time.monotonic() - self._shown > 30:
            self._shown = time.monotonic()
            print(line, file=sys.stderr, flush=True)


def peak_flops(device: torch.device, precision: str, size: int = 1024) -> float:
    """What the machine reaches in one large matrix product: measured, in a fraction of a second."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    size = size if device.type == "cpu" else 8 * size
    a = torch.ones(size, size, dtype=dtype, device=device)  # random ones would move the dice
    best = math.inf
    for _ in range(6):
        start = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def memory_mb() -> float:
    """Peak resident memory of this process."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _clock_time(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
