"""Many sequences of one model: a few at a time on every core.

    share(engine, drafts, tell)      # tell(engine, some of the drafts), until all are told

A batch reads the weights once for all its sequences, but their caches push each other out of the
core's own memory: beyond four, a further sequence costs what it spares (docs/results.md, Speed).
And cores that tell batches of their own never wait for each other within a token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from tinytales.engine.base import Engine

Item = TypeVar("Item")

#: Sequences of one batch, at most.
BATCH = 4


def share(
    engine: Engine, items: Sequence[Item], work: Callable[[Engine, Sequence[Item]], None]
) -> None:
    """Call `work` with an engine of the crew and at most BATCH of `items`, until all are done.

    The first failure is raised; batches that have not begun by then never do.
    """
    crew = engine.crew()
    free = SimpleQueue[Engine]()
    for member in crew:
        free.put(member)

    def work_on(batch: Sequence[Item]) -> None:
        member = free.get()
        try:
            work(member, batch)
        finally:
            free.put(member)

    size = max(1, min(BATCH, -(-len(items) // len(crew))))
    batches = [items[first : first + size] for first in range(0, len(items), size)]
    pool = ThreadPoolExecutor(len(crew))
    try:
        for _ in pool.map(work_on, batches):
            pass
    finally:  # also after Ctrl-C
        pool.shutdown(cancel_futures=True)
