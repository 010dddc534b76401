"""How many threads tell fastest here: measured once for each bundle and machine, then remembered.

Models of this size are told fastest by one thread on most machines, but not on all, and larger ones
by two or more; so the first opening tries, in a tenth of a second, and keeps the answer in the
cache folder. `threads` in the settings, or `--threads`, decides instead.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinytales.bundle import Bundle
    from tinytales.engine.base import Engine

FILE = "threads.json"
#: More threads than this never paid for one story.
MOST = 8
#: A further thread must bring this much: it is taken from whatever else the machine does.
WORTHWHILE = 1.15
_TOKENS, _ROUNDS = 24, 3


def usable_cores() -> int:
    """Cores that this process may run on (`taskset` and containers narrow them)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def best_threads(bundle: Bundle, open_with: Callable[[int], Engine]) -> int:
    """The remembered count for `bundle` here, or a measured one."""
    from tinytales.paths import cache_dir, replace_text

    cores = usable_cores()
    if cores == 1:
        return 1
    path, key = cache_dir() / FILE, f"{bundle.digest[:16]} on {cores} cores"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if not isinstance(known, dict):
        known = {}
    found = known.get(key)
    if isinstance(found, int) and 1 <= found <= cores:
        return found
    best = measure_threads(open_with, min(cores, MOST))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, json.dumps(known | {key: best}, indent=1))
    except OSError:
        pass  # a read-only home: it is measured again next time
    return best


def measure_threads(open_with: Callable[[int], Engine], most: int) -> int:
    """Try 1, 2, 4 … threads; the first that a doubling does not clearly beat."""
    best, rate = 1, 0.0
    count = 1
    while count <= most:
        engine = open_with(count)
        found = _rate(engine)
        engine.close()
        if found < rate * WORTHWHILE:
            break
        best, rate = count, found
        count *= 2
    return best


def _rate(engine: Engine) -> float:
    """Tokens a second, the best of a few short rounds."""
    best = 0.0
    for _ in range(_ROUNDS):
        engine.prefill([0])
        start = time.perf_counter()
        for _ in range(min(_TOKENS, engine.context_length - 1)):
            engine.decode([0])
        best = max(best, _TOKENS / (time.perf_counter() - start))
    return best
