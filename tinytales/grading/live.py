"""Grading many stories at once, within a rate, through every fault.

    scores, progress = await run(jobs, wire, cache, Pace(requests=500, tokens=200_000))

The pace starts questions; each is then on the wire for as long as it takes, and nothing waits for
it. So as many are under way as rate × mean time of a question (Little's law), and nobody has to
guess a number. Whenever one may start, a question that waits for another try goes before a new
one. A reply is committed to the cache before anything else happens with it. Equal stories are one
question.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tinytales.errors import TinytalesError
from tinytales.grading.cache import Cache, Reply, Score, key_of
from tinytales.grading.judge import Again, Unanswerable, Wire, backoff
from tinytales.grading.plan import tokens_of
from tinytales.grading.steps import Job, Request, next_step, unscored

MOST_TRIES = 8
CATCH_UP = 2.0
#: Questions under way, unless it is said: as many as the pace starts, but no more than a process
#: may have connections on every system; without a pace, as many as small servers answer at a time.
PACED, UNPACED = 200, 4
#: So many questions in a row, and seconds, without a sign of life: the judge is gone …
DEAD_AFTER, DEAD_SECONDS = 12, 10.0
#: … or never was, in this run: then a person waits some seconds to hear it, not a minute.
NEVER_THERE = 4
#: Seconds between two looks whether somebody wants to stop.
LOOK = 0.25


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

    @property
    def limited(self) -> bool:
        return bool(self._second_per_request or self._second_per_token)

    def wait(self, now: float) -> float:
        """Seconds until the next question may start."""
        return 0.0 if self._next is None else max(0.0, self._next - now)

    def start(self, tokens: int, now: float) -> None:
        """A question starts: it moves the next one away."""
        moment = now if self._next is None else max(self._next, now - CATCH_UP)
        self._next = moment + max(self._second_per_request, tokens * self._second_per_token)

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
    most_under_way: int = 0
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
    """Equal jobs (by their numbers), and from when on they may go on."""

    at: float
    first: int
    jobs: dict[int, Job] = field(compare=False)
    tries: int = field(default=0, compare=False)


class _Run:
    def __init__(
        self,
        jobs: list[Job],
        wire: Wire,
        cache: Cache,
        pace: Pace,
        at_once: int,
        tell: Callable[[Progress, Score], None],
        stop: threading.Event,
        over: Callable[[Progress], bool],
    ) -> None:
        self.wire, self.cache, self.pace, self.at_once = wire, cache, pace, at_once
        self.tell, self.stop, self.over = tell, stop, over
        self.progress = Progress(len(jobs))
        self.scores: dict[int, Score] = {}
        equal: dict[str, _Due] = {}
        for number, job in enumerate(jobs):
            equal.setdefault(key_of(*job.content), _Due(0.0, number, {})).jobs[number] = job
        self.fresh = deque(equal.values())
        self.again: list[_Due] = []  # a heap
        self.under_way: set[asyncio.Task[None]] = set()
        self.ended = asyncio.Event()  # a question did
        self.faults_in_a_row = 0
        self.silent = 0  # questions in a row without a sign of life
        self.life: float | None = None  # when the last one was
        self.failure: Exception | None = None
        self.dice = random.Random(7)

    async def grade(self) -> None:
        """Start whatever may start, until all have a score or no new question is to be asked."""
        try:
            while self.progress.done < self.progress.total:
                if self.failure or self.stop.is_set():
                    break
                now = time.monotonic()
                if wait := self.start_in(now):
                    await self.rest(wait)
                else:
                    self.go_on(self.next_due(now))
                    await asyncio.sleep(0)  # many scores in a row must not hold up replies
        finally:  # those on the wire are still waited for: they are paid
            await asyncio.gather(*self.under_way, return_exceptions=True)
        if self.failure:
            raise self.failure

    def start_in(self, now: float) -> float:
        """Seconds until a question may start, if none ends before."""
        if len(self.under_way) >= self.at_once or not (self.fresh or self.again):
            return LOOK
        due = now if self.fresh else self.again[0].at
        return max(0.0, due - now, self.pace.wait(now))

    def next_due(self, now: float) -> _Due:
        """Another try before a new story."""
        if self.again and self.again[0].at <= now:
            return heapq.heappop(self.again)
        return self.fresh.popleft()

    async def rest(self, seconds: float) -> None:
        """So long, or until a question ends."""
        self.ended.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ended.wait(), min(seconds, LOOK))

    def go_on(self, due: _Due) -> None:
        """The next step of a job: its score, or a question put on the wire."""
        step = next_step(due.jobs[due.first], self.cache)
        if isinstance(step, Score):
            return self.finish(due)
        if self.over(self.progress):
            return self.finish(due, "the cost limit was reached")
        tokens = sum(tokens_of(message["content"]) for message in step.messages)
        self.pace.start(tokens + step.rubric.answer_tokens, time.monotonic())
        task = asyncio.create_task(self.ask(due, step))
        self.under_way.add(task)
        self.progress.sent += 1
        self.progress.most_under_way = max(self.progress.most_under_way, len(self.under_way))
        task.add_done_callback(self.off_wire)
        return None

    def off_wire(self, task: asyncio.Task[None]) -> None:
        self.under_way.discard(task)
        self.ended.set()

    async def ask(self, due: _Due, request: Request) -> None:
        try:
            reply = await self.wire.ask(request)
            self.cache.keep(request.key, reply)
            self.answered(due, reply)
        except Again as fault:
            self.put_aside(due, fault)
        except Unanswerable as fault:
            self.finish(due, f"the judge cannot be asked: {fault}")
        except Exception as error:  # whatever it is, the others' replies are waited for first
            self.failure = self.failure or error

    def answered(self, due: _Due, reply: Reply) -> None:
        self.pace.answered()
        self.faults_in_a_row = self.silent = 0
        self.life = time.monotonic()
        self.progress.prompt_tokens += reply.prompt_tokens
        self.progress.answer_tokens += reply.answer_tokens
        if isinstance(next_step(due.jobs[due.first], self.cache), Score):
            return self.finish(due)
        due.at, due.tries = time.monotonic(), 0
        return heapq.heappush(self.again, due)

    def put_aside(self, due: _Due, fault: Again) -> None:
        now = time.monotonic()
        due.tries += 1
        self.faults_in_a_row += 1
        why = str(fault)
        kind = why[:3] if why[:3].isdigit() else why.split(" (")[0]
        self.progress.faults[kind] = self.progress.faults.get(kind, 0) + 1
        if fault.alive:
            self.silent, self.life = 0, now
        elif self.is_dead(now):
            self.failure = self.failure or TinytalesError(
                f"the judge {due.jobs[due.first].judge.id} cannot be reached: {why}",
                hint="check the address and the connection, or give it more time (--deadline) "
                "and fewer questions (--at-once); what was graded so far is kept",
            )
        if due.tries >= MOST_TRIES:
            return self.finish(due, f"gave up after {MOST_TRIES} tries: {why}")
        # While others are answered there is nothing for the server to recover from.
        wait = fault.wait
        if wait is None:
            wait = backoff(min(due.tries, self.faults_in_a_row), self.dice)
        if why.startswith("429"):
            self.pace.refused(wait, now)
        self.progress.repeated += 1
        due.at = now + wait
        return heapq.heappush(self.again, due)

    def is_dead(self, now: float) -> bool:
        """One more question without a sign of life: is that the end?"""
        self.silent += 1
        if self.life is None:
            return self.silent >= NEVER_THERE
        return self.silent >= DEAD_AFTER and now - self.life >= DEAD_SECONDS

    def finish(self, due: _Due, reason: str = "") -> None:
        """The scores that the replies give; with a reason, none could be had."""
        for number, job in due.jobs.items():
            score = unscored(job, reason) if reason else next_step(job, self.cache)
            assert isinstance(score, Score)
            self.cache.add_score(score)
            self.scores[number] = score
            self.progress.done += 1
            self.progress.scored += score.scored
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
    at_once: int | None = None,
    tell: Callable[[Progress, Score], None] = lambda progress, score: None,
    stop: threading.Event | None = None,
    over: Callable[[Progress], bool] = lambda progress: False,
) -> tuple[list[Score], Progress]:
    """Grade all jobs; the scores in the order of the jobs (fewer if stopped).

    Args:
        at_once: most questions under way; left out, what the pace needs.
        tell: called after every score.
        stop: set from any thread to end after the questions that are on the wire.
        over: no new question is asked once this is true (the cost limit).

    Raises:
        TinytalesError: the judge cannot be asked at all. Scores so far are in the cache.
    """
    at_once = at_once or (PACED if pace.limited else UNPACED)
    state = _Run(jobs, wire, cache, pace, at_once, tell, stop or threading.Event(), over)
    disk = asyncio.create_task(_sync(cache))
    try:
        await state.grade()
    finally:
        disk.cancel()
        await asyncio.gather(disk, return_exceptions=True)
        cache.sync()
        await wire.close()
    return [state.scores[number] for number in sorted(state.scores)], state.progress
