"""The Batch API: submit, wait, collect, survive being killed at any point of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import new_desk
from judge_server import JudgeServer

from tinytales.grading import Desk, batch
from tinytales.story import Story

Tales = Callable[..., list[Story]]
pytestmark = pytest.mark.allow_loopback


def grade(desk: Desk, stories: list[Story], rubric: str = "paper", **options: object) -> list:
    return desk.grade(desk.plan(stories, rubric, batch=True), poll=0.01, **options)


def test_two_turns_are_two_batches_with_the_grades_of_a_live_run(
    server: JudgeServer, desk: Desk, tales: Tales, tmp_path: Path
) -> None:
    notes: list[str] = []
    scores = grade(desk, tales(5), note=notes.append)
    assert len(server.batches) == 2 and any("5 questions sent" in note for note in notes)
    (tmp_path / "live").mkdir()
    with new_desk(server, tmp_path / "live") as other:
        live = other.grade(other.plan(tales(5), "paper"))
    assert [s.grades for s in scores] == [s.grades for s in live]
    line = json.loads(server.files["file-0"].splitlines()[0])
    assert set(line) == {"custom_id", "method", "url", "body"} and len(line["custom_id"]) <= 64
    assert server.batches["batch_0"]["metadata"]["tinytales"]


def test_a_run_that_was_left_finds_its_batch_again(
    server: JudgeServer, tmp_path: Path, tales: Tales
) -> None:
    server.batch_wait = 10_000
    stop = threading.Event()
    with new_desk(server, tmp_path) as desk:
        threading.Timer(0.5, stop.set).start()
        assert grade(desk, tales(4), "gentle", stop=stop) == []
    server.batch_wait = 0
    with new_desk(server, tmp_path) as desk:
        assert all(s.scored for s in grade(desk, tales(4), "gentle"))
    assert len(server.batches) == 1


def test_killed_between_sending_and_writing_the_id_down(
    server: JudgeServer, tmp_path: Path, tales: Tales, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_desk(server, tmp_path) as desk, monkeypatch.context() as patch:
        patch.setattr(desk.cache, "add_batch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            grade(desk, tales(4), "gentle")
    with new_desk(server, tmp_path) as desk:
        assert all(s.scored for s in grade(desk, tales(4), "gentle"))
    assert len(server.batches) == 1


def test_lines_that_failed_are_sent_again_and_then_have_a_reason(
    server: JudgeServer, desk: Desk, tales: Tales
) -> None:
    server.batch_lines = "error"
    scores = grade(desk, tales(9), "gentle")
    assert sum(s.scored for s in scores) >= 7
    assert all("busy" in s.reason for s in scores if not s.scored)
    good = [b for e in server.ledger for b in [e.body]]
    assert len(good) < 9 * batch.ROUNDS


def test_parts_fit_into_a_file(server: JudgeServer, desk: Desk, tales: Tales) -> None:
    plan = desk.plan(tales(7), "gentle", batch=True)
    line = batch.BatchLine(desk.judge.address, "")
    scores = batch.run(list(plan.jobs), line, desk.cache, every=0.01, most=3)
    assert len(server.batches) == 3 and all(s.scored for s in scores)


def test_a_batch_is_half_the_price(tmp_path: Path, tales: Tales) -> None:
    with Desk("gpt-4.1-mini", path=tmp_path / "g.sqlite") as desk:
        whole, half = (desk.plan(tales(50), "paper", batch=b) for b in (False, True))
    assert whole.cost and half.cost == pytest.approx(whole.cost / 2)
    assert "Batch API" in half.says()
