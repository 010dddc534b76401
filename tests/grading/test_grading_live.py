"""Many stories, a rate, every fault; and what a killed or stopped run leaves behind."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import luck
import pytest
import soak
from conftest import new_desk
from judge_server import FAULTS, JudgeServer

from tinytales.errors import TinytalesError
from tinytales.grading import Desk, live
from tinytales.grading.cache import Cache, Reply
from tinytales.grading.judge import Again
from tinytales.grading.live import Pace
from tinytales.grading.steps import Job, Request, next_step
from tinytales.story import Story

Tales = Callable[..., list[Story]]


@pytest.mark.allow_loopback
def test_every_fault_ends_in_a_grade_or_a_reason(
    tmp_path: Path, tales: Tales, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "backoff", lambda tries, dice: 0.01)
    # The fence's code is in every question, and a question's own words decide which fault it meets.
    monkeypatch.setattr(secrets, "token_hex", lambda size: "0" * 2 * size)
    shares = {**dict.fromkeys(FAULTS, 0.05), "drip": 0.03, "timeout": 0.03}
    with (
        JudgeServer(shares, seed=3, retry_after="0.02") as server,
        new_desk(server, tmp_path, deadline=3.0, at_once=16) as desk,
    ):
        scores = desk.grade(desk.plan(tales(40), "gentle"))
        ledger = list(server.ledger)
    assert len(scores) == len({s.story for s in scores}) == 40
    assert all(score.scored or score.reason for score in scores)
    assert sum(score.scored for score in scores) >= 32
    assert all(score.mean is None for score in scores if not score.scored)
    assert {entry.fault for entry in ledger} >= set(FAULTS)
    whole = Counter(e.key for e in ledger if e.paid and e.fault not in ("unreadable",))
    late = sum(e.sent - e.came > 1 for e in ledger if e.paid)  # a busy machine, not a fault
    assert sum(n - 1 for n in whole.values()) <= late


@pytest.mark.allow_loopback
def test_nothing_is_paid_twice(desk: Desk, server: JudgeServer, tales: Tales) -> None:
    first = desk.grade(desk.plan(tales(10), "paper"))
    assert len(server.ledger) == 20
    plan = desk.plan(tales(12), "paper")
    assert plan.ready == 10 and plan.requests == 4
    second = desk.grade(plan)
    assert len(server.ledger) == 24
    assert [s.grades for s in second[:10]] == [s.grades for s in first]
    again = desk.plan(tales(12), "paper")
    assert again.requests == 0 and "nothing is sent" in again.says()
    desk.grade(again)
    assert len(server.ledger) == 24


@pytest.mark.allow_loopback
def test_equal_stories_are_one_question(desk: Desk, server: JudgeServer, tales: Tales) -> None:
    from dataclasses import replace

    story = tales(1)[0]
    twins = [replace(story, id=f"twin{n}") for n in range(8)]
    plan = desk.plan(twins, "gentle")
    assert plan.requests == 1
    scores = desk.grade(plan)
    assert len(server.ledger) == 1
    assert len({tuple(s.grades.items()) for s in scores}) == 1 and len(scores) == 8


@pytest.mark.allow_loopback
def test_repeats_are_asked_anew(desk: Desk, server: JudgeServer, tales: Tales) -> None:
    scores = desk.grade(desk.plan(tales(3), "gentle", repeats=3))
    assert len(server.ledger) == 9 and Counter(s.repeat for s in scores) == {0: 3, 1: 3, 2: 3}


@pytest.mark.allow_loopback
def test_a_stopped_run_goes_on(server: JudgeServer, tmp_path: Path, tales: Tales) -> None:
    stop = threading.Event()
    with new_desk(server, tmp_path, at_once=2) as desk:
        plan = desk.plan(tales(20), "gentle")
        partial = desk.grade(plan, tell=lambda p, s: stop.set() if p.done == 5 else None, stop=stop)
    assert 5 <= len(partial) < 20
    with new_desk(server, tmp_path) as desk:
        assert len(desk.grade(desk.plan(tales(20), "gentle"))) == 20
    assert len(server.ledger) == 20


@pytest.mark.allow_loopback
def test_a_killed_run_goes_on_and_equals_a_whole_one(tmp_path: Path) -> None:
    """One kill here; `tests/grading/soak.py kills` does twenty of 200 stories."""
    found = soak.kills(10, 1, tmp_path, "gentle")
    assert found["killed"] >= 1
    assert found["replies kept once and missing later"] == 0
    assert found["resumed equals whole"]
    assert found["asked again (on the wire when killed)"] <= found["most that can be on the wire"]


@pytest.mark.allow_loopback
def test_the_cost_limit_ends_the_questions(
    server: JudgeServer, tmp_path: Path, tales: Tales
) -> None:
    from dataclasses import replace

    from tinytales.grading.plan import Price

    with new_desk(server, tmp_path, at_once=1) as desk:
        plan = replace(desk.plan(tales(10), "gentle"), price=Price(1000, 1000))  # $0.52 each
        scores = desk.grade(plan, most_cost=1.5)
    assert sum(s.scored for s in scores) == 3
    assert {s.reason for s in scores if not s.scored} == {"the cost limit was reached"}


@pytest.mark.allow_loopback
def test_money_gone_ends_the_run_and_keeps_what_was_paid(
    desk: Desk, server: JudgeServer, tales: Tales, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.grade(desk.plan(tales(2), "gentle"))
    monkeypatch.setattr(
        type(server), "_fault", lambda self, key, times: "429" if len(self.ledger) > 3 else ""
    )
    monkeypatch.setattr("judge_server.RATE_CODE", "insufficient_quota")
    with pytest.raises(TinytalesError, match="no money"):
        desk.grade(desk.plan(tales(8), "gentle"))
    assert len(desk.scores()) >= 2


@pytest.mark.allow_loopback
def test_a_fatal_answer_waits_for_what_is_on_the_wire(
    server: JudgeServer, tmp_path: Path, tales: Tales
) -> None:
    """One question meets a wrong address; the replies that others paid for are kept."""
    server.delay = 0.4
    with new_desk(server, tmp_path, at_once=4) as desk:
        plan = desk.plan(tales(4), "gentle")
        first = next_key(plan.jobs[0], desk)

        async def ask(self: live.Wire, request: Request) -> Reply:
            if request.key == first:
                while len(server.ledger) < 3:
                    await asyncio.sleep(0.01)
                raise TinytalesError("not there")
            return await whole(self, request)

        whole = live.Wire.ask
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(live.Wire, "ask", ask)
            with pytest.raises(TinytalesError, match="not there"):
                desk.grade(plan)
        assert sum(e.paid for e in server.ledger) == desk.plan(tales(4), "gentle").ready == 3


@pytest.mark.allow_loopback
def test_a_slow_pace_is_left_at_once(server: JudgeServer, tmp_path: Path, tales: Tales) -> None:
    stop = threading.Event()
    with new_desk(server, tmp_path, requests_per_minute=1) as desk:
        threading.Timer(1.0, stop.set).start()
        started = time.monotonic()
        assert len(desk.grade(desk.plan(tales(3), "gentle"), stop=stop)) == 1
    assert time.monotonic() - started < 20


class Line:
    """A wire on which each question (or `only` one) meets all faults in turn, then a reply."""

    def __init__(self, *faults: Again, only: str = "") -> None:
        self.faults, self.only = faults, only
        self.asked: list[str] = []

    async def ask(self, request: Request) -> Reply:
        await asyncio.sleep(0.01)
        self.asked.append(request.key)
        before = self.asked.count(request.key) - 1
        if before < len(self.faults) and self.only in ("", request.key):
            raise self.faults[before]
        return Reply("no verdict")

    async def close(self) -> None: ...


def carry_out(
    desk: Desk, line: Line, tales: list[Story], pace: Pace, at_once: int | None = None
) -> live.Progress:
    jobs, wire = list(desk.plan(tales, "gentle").jobs), cast(Any, line)
    return asyncio.run(live.run(jobs, wire, desk.cache, pace, at_once=at_once))[1]


@pytest.mark.allow_loopback
def test_another_try_goes_before_new_stories(desk: Desk, tales: Tales) -> None:
    line = Line(Again("500", wait=0.0))
    carry_out(desk, line, tales(5), Pace(), at_once=1)
    assert len(line.asked) == 20  # nobody gives a verdict: each story asks two questions
    assert line.asked[::2] == line.asked[1::2]


@pytest.mark.allow_loopback
def test_as_many_are_under_way_as_the_rate_needs(
    server: JudgeServer, tmp_path: Path, tales: Tales
) -> None:
    """100 a second that take a second each: nobody has to say that these are about a hundred."""
    server.delay = 1.0
    with new_desk(server, tmp_path, requests_per_minute=6000) as desk:
        desk.grade(desk.plan(tales(60), "gentle"))
        assert desk.progress is not None and desk.progress.most_under_way > 30
    with new_desk(server, tmp_path, path=tmp_path / "b.sqlite") as desk:
        server.delay = 0.0
        desk.grade(desk.plan(tales(20), "gentle"))
        assert desk.progress is not None and desk.progress.most_under_way == live.UNPACED


@pytest.mark.allow_loopback
def test_a_lone_fault_is_not_waited_out(
    desk: Desk, tales: Tales, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One story meets fault after fault while others are answered: the server is well."""
    waited: list[int] = []

    def backoff(tries: int, dice: object) -> float:
        waited.append(tries)
        return 0.02

    monkeypatch.setattr(live, "backoff", backoff)
    plan = desk.plan(tales(40), "gentle")
    ill = next_key(plan.jobs[0], desk)

    line = Line(*(Again("500"),) * 5, only=ill)
    carry_out(desk, line, tales(40), Pace(), at_once=2)
    assert line.asked.count(ill) == 6
    assert waited == [1] * 5
    waited.clear()
    with Desk("other", desk.judge.address, path=desk.cache.path) as other:
        carry_out(other, Line(*(Again("500"),) * 5), tales(3), Pace())  # nobody is answered
    assert max(waited) == 5


def test_without_faults_the_rate_is_all_that_a_run_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reckoning that docs/grading.md measures by."""
    worst = {p: min(luck.speed(n, p, 300, 1500, 6) for n in range(20)) for p in ("ours", "always")}
    assert worst["always"] < worst["ours"] < 0.9
    monkeypatch.setattr(luck, "SHARE", 1e-9)
    assert luck.speed(1, "ours", 300, 1500, 6) == pytest.approx(12 / (12 - 0.04 + 0.1))


@pytest.mark.allow_loopback
def test_a_judge_that_says_nothing_is_noticed(
    server: JudgeServer, tmp_path: Path, tales: Tales
) -> None:
    """It takes the questions and never answers: not eight deadlines for each story."""
    server.faults = {"timeout": 1.0}
    with (
        new_desk(server, tmp_path, deadline=0.5) as desk,
        pytest.raises(TinytalesError, match=r"in time|within") as caught,
    ):
        desk.grade(desk.plan(tales(6), "gentle"))
    assert "--deadline" in caught.value.hint and len(server.ledger) <= 8


@pytest.mark.allow_loopback
def test_a_judge_that_dies_is_noticed_but_a_short_break_is_not_its_death(
    desk: Desk, tales: Tales, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "backoff", lambda tries, dice: 0.02)
    monkeypatch.setattr(live, "DEAD_SECONDS", 0.3)
    gone = Again("the connection broke (ConnectError)", alive=False)
    broken = carry_out(desk, Line(Again("500"), gone, gone), tales(20), Pace())
    assert broken.done == 20
    with Desk("other", desk.judge.address, path=desk.cache.path) as other:
        monkeypatch.setattr(live, "MOST_TRIES", 1000)
        with pytest.raises(TinytalesError, match="cannot be reached"):
            carry_out(other, Line(Again("500"), *(gone,) * 999), tales(20), Pace())


def next_key(job: Job, desk: Desk) -> str:
    step = next_step(job, desk.cache)
    assert isinstance(step, Request)
    return step.key


def waits(pace: Pace, count: int, tokens: int, now: float) -> list[float]:
    """How long each of `count` questions waits that all want to start now."""
    found = []
    for _ in range(count):
        found.append(round(pace.wait(now), 3))
        pace.start(tokens, now)
    return found


def test_the_pace_is_even_and_counts_tokens() -> None:
    assert waits(Pace(requests=60), 3, 10, 0.0) == [0, 1, 2]
    assert waits(Pace(tokens=6000), 3, 200, 5.0) == [0, 2, 4]
    assert waits(Pace(), 3, 10, 0.0) == [0, 0, 0]


def test_a_busy_machine_catches_up_but_never_runs_ahead() -> None:
    pace = Pace(requests=600)
    pace.start(1, 100.0)
    assert waits(pace, 40, 1, 105.0)[-1] == pytest.approx(0.1 * 39 - live.CATCH_UP)


def test_one_refusal_for_speed_is_its_own_three_are_everybodys() -> None:
    pace = Pace()
    pace.start(1, 10.0)
    for count, wait in ((1, 0.0), (2, 0.0), (3, 5.0)):
        pace.refused(5.0, 10.0)
        assert pace.wait(10.0) == wait, count


def test_a_reply_is_on_the_disk_when_keep_returns(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "g.sqlite")
    cache.keep("k", Reply("a", model="m", dropped=("temperature",)))
    other = Cache(tmp_path / "g.sqlite")
    assert other.reply("k") == Reply("a", model="m", dropped=("temperature",))
    cache.keep("k", Reply("b"))  # the first one was paid for and stays
    assert other.reply("k") == Reply("a", model="m", dropped=("temperature",))


def test_a_damaged_file_of_grades_says_so(tmp_path: Path) -> None:
    path = tmp_path / "g.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 30)
    with pytest.raises(TinytalesError, match=r"g\.sqlite cannot be opened"):
        Cache(path)
    with pytest.raises(TinytalesError, match="cannot be opened"):
        Cache(tmp_path)
