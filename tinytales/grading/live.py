"""Grading many stories at once, within a rate, through every fault.

    scores = await run(jobs, wire, cache, Pace(requests=500, tokens=200_000), workers=16)

Workers take whatever is due: questions that wait for another try come first, then new stories. A
reply is committed to the cache before anything else happens with it. One question is never asked
twice at a time: equal stories share it.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tinytales.errors import TinytalesError
from tinytales.grading.cache import Cache, Score
from tinytales.grading.judge import Again, Unanswerable, Wire, backoff
from tinytales.grading.plan import tokens_of
from tinytales.grading.steps import Job, Request, next_step, unscored

MOST_TRIES = 8
CATCH_UP = 2.0
#: So many questions in a row without any connection: the judge is not there any more …
DEAD_AFTER = 12
#: … or never was, in this run: then a person waits five seconds to hear it, not a minute.
NEVER_THERE = 4


class Pace:
    """At most so many requests and tokens a minute, evenly; 0 is no limit.

    A moment that was missed because this machine was busy is made up for, up to `CATCH_UP` seconds.

    After three refusals for speed (429) without a reply in between, everybody waits as long as the
    server asked; a single one concerns its own question only.
    """

    def __init__(self, requests: float = 0, tokens: float = 0) -> None:
        self._second_per_request = 60 / requests if requests else 0.0
        self._second_per_token = 60 / tokens if tokens else 0.0
        self._next: float | None = None
        self._refusals = 0

    def slot(self, tokens: int, now: float) -> float:
        """Take the next free moment; the seconds until then."""
        start = now if self._next is None else max(self._next, now - CATCH_UP)
        self._next = start + max(self._second_per_request, tokens * self._second_per_token)
        return max(0.0, start - now)

    def answered(self) -> None:
        self._refusals = 0

    def refused(self, wait: float, now: float) -> None:
        self._refusals += 1
        if self._refusals >= 3:
            self._next = max(self._next or 0.0, now + wait)


@dataclass
class Progress:
    """What a run has done so far. `sent` counts questions on the wire, repeated ones too."""

    total: int
    done: int = 0
    scored: int = 0
    sent: int = 0
    repeated: int = 0
    from_cache: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def eta(self) -> float | None:
        """Seconds until the end at the speed so far."""
        if not self.done:
            return None
        return (time.monotonic() - self.started) / self.done * (self.total - self.done)


@dataclass(order=True)
class _Due:
    at: float
    number: int
    job: Job = field(compare=False)
    tries: int = field(default=0, compare=False)
    asked: bool = field(default=False, compare=False)


class _Run:
    def __init__(
        self,
        wire: Wire,
        cache: Cache,
        pace: Pace,
        progress: Progress,
        tell: Callable[[Progress, Score], None],
        stop: threading.Event,
        over: Callable[[Progress], bool],
    ) -> None:
        self.wire, self.cache, self.pace = wire, cache, pace
        self.progress, self.tell, self.stop, self.over = progress, tell, stop, over
        self.scores: dict[int, Score] = {}
        self.later: list[_Due] = []
        self.asking: dict[str, asyncio.Future[None]] = {}
        self.unfinished = progress.total
        self.unconnected = 0
        self.connected = False
        self.dice = random.Random(7)
        self.failed = False

    @property
    def ending(self) -> bool:
        """Is no new question to be asked? Those on the wire are still waited for: they are paid."""
        return self.failed or self.stop.is_set()

    async def work(self, fresh: Iterator[_Due]) -> None:
        """One worker: takes what is due until everything is finished."""
        while self.unfinished and not self.ending:
            now = time.monotonic()
            ready = self.later and self.later[0].at <= now
            due = heapq.heappop(self.later) if ready else next(fresh, None)
            if due is None:
                wait = self.later[0].at - now if self.later else 0.05
                await asyncio.sleep(min(max(wait, 0.001), 0.1))
                continue
            try:
                await self.grade(due)
            except TinytalesError:
                self.failed = True
                raise

    async def grade(self, due: _Due) -> None:
        """Take steps until the score is there, or put the job aside until it may be tried again."""
        while True:
            step = next_step(due.job, self.cache)
            if isinstance(step, Score):
                return self.finish(due, step)
            if self.over(self.progress):
                return self.finish(due, unscored(due.job, "the cost limit was reached"))
            if self.ending:
                return None
            other = self.asking.get(step.key)
            if other is not None:  # the same question is on the wire
                await asyncio.wait([other])
                continue
            try:
                await self.ask(due, step)
            except Again as fault:
                return self.put_aside(due, fault)
            except Unanswerable as fault:
                return self.finish(due, unscored(due.job, f"the judge cannot be asked: {fault}"))

    async def ask(self, due: _Due, request: Request) -> None:
        self.asking[request.key] = asyncio.get_running_loop().create_future()
        try:
            tokens = sum(tokens_of(m["content"]) for m in request.messages)
            tokens += request.rubric.answer_tokens
            start = time.monotonic() + self.pace.slot(tokens, time.monotonic())
            while (wait := start - time.monotonic()) > 0:
                await asyncio.sleep(min(wait, 0.25))
                if self.ending:
                    return
            self.progress.sent += 1
            due.asked = True
            reply = await self.wire.ask(request)
            self.cache.keep(request.key, reply)
            self.pace.answered()
            self.unconnected, self.connected = 0, True
            self.progress.prompt_tokens += reply.prompt_tokens
            self.progress.answer_tokens += reply.answer_tokens
            due.tries = 0
        finally:
            self.asking.pop(request.key).set_result(None)

    def put_aside(self, due: _Due, fault: Again) -> None:
        due.tries += 1
        why = str(fault)
        kind = why[:3] if why[:3].isdigit() else why.split(" (")[0]
        self.progress.faults[kind] = self.progress.faults.get(kind, 0) + 1
        self.connected = self.connected or fault.connected
        self.unconnected = 0 if fault.connected else self.unconnected + 1
        if self.unconnected >= (DEAD_AFTER if self.connected else NEVER_THERE):
            raise TinytalesError(
                f"the judge {due.job.judge.id} cannot be reached",
                hint="check the address and the connection; what was graded so far is kept",
            )
        if due.tries >= MOST_TRIES:
            return self.finish(due, unscored(due.job, f"gave up after {MOST_TRIES} tries: {why}"))
        now = time.monotonic()
        wait = backoff(due.tries, self.dice) if fault.wait is None else fault.wait
        if why.startswith("429"):
            self.pace.refused(wait, now)
        self.progress.repeated += 1
        due.at = now + wait
        heapq.heappush(self.later, due)
        return None

    def finish(self, due: _Due, score: Score) -> None:
        self.cache.add_score(score)
        self.scores[due.number] = score
        self.unfinished -= 1
        self.progress.done += 1
        self.progress.scored += score.scored
        self.progress.from_cache += not due.asked and score.attempts > 0
        self.tell(self.progress, score)


async def _sync(cache: Cache) -> None:
    """Bring what is committed to the disk, once a second, beside the work."""
    while True:
        await asyncio.sleep(1)
        await asyncio.to_thread(cache.sync)


async def run(
    jobs: list[Job],
    wire: Wire,
    cache: Cache,
    pace: Pace,
    *,
    workers: int = 16,
    tell: Callable[[Progress, Score], None] = lambda progress, score: None,
    stop: threading.Event | None = None,
    over: Callable[[Progress], bool] = lambda progress: False,
) -> tuple[list[Score], Progress]:
    """Grade all jobs; the scores in the order of the jobs (fewer if stopped).

    Args:
        tell: called after every score.
        stop: set from any thread to end after the questions that are on the wire.
        over: no new question is asked once this is true (the cost limit).

    Raises:
        TinytalesError: the judge cannot be asked at all. Scores so far are in the cache.
    """
    progress = Progress(len(jobs))
    state = _Run(wire, cache, pace, progress, tell, stop or threading.Event(), over)
    fresh = iter([_Due(0.0, number, job) for number, job in enumerate(jobs)])
    count = min(workers, len(jobs))
    tasks = [asyncio.create_task(state.work(fresh)) for _ in range(count)]
    disk = asyncio.create_task(_sync(cache))
    try:
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
    finally:
        for task in (*tasks, disk):
            task.cancel()
        await asyncio.gather(*tasks, disk, return_exceptions=True)
        cache.sync()
        await wire.close()
    return [state.scores[number] for number in sorted(state.scores)], progress
