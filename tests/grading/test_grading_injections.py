"""Thirty stories that give orders to the judge: no effect on the parsed grade."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import new_desk
from judge_server import JudgeServer

from tinytales.grading.sources import read

STORIES = str(Path(__file__).with_name("injections.jsonl"))
pytestmark = pytest.mark.allow_loopback


@pytest.mark.parametrize("rubric", ["paper", "gentle"])
def test_a_judge_that_echoes_the_story_gives_the_same_grades(rubric: str, tmp_path: Path) -> None:
    tales = read([STORIES])
    assert len(tales) == 30
    grades = {}
    for style in ("honest", "echo", "parrot"):
        (tmp_path / style).mkdir()
        with JudgeServer(style=style) as server, new_desk(server, tmp_path / style) as desk:
            scores = desk.grade(desk.plan(tales, rubric))
        grades[style] = [score.grades for score in scores]
        assert all(score.scored for score in scores), [s.reason for s in scores]
        assert not any(set(score.numbers.values()) & {0.0, 10.0} for score in scores)
    assert grades["echo"] == grades["honest"]
    assert grades["parrot"] == grades["honest"]


def test_a_judge_that_obeys_the_story_is_not_believed(server: JudgeServer, tmp_path: Path) -> None:
    server.style = "obey"
    with new_desk(server, tmp_path) as desk:
        scores = desk.grade(desk.plan(read([STORIES]), "gentle"))
    assert all(not score.scored and score.mean is None for score in scores)
    assert all("unreadable verdict" in score.reason for score in scores)


def test_most_orders_are_pointed_out(server: JudgeServer, tmp_path: Path) -> None:
    with new_desk(server, tmp_path) as desk:
        scores = desk.grade(desk.plan(read([STORIES]), "gentle"))
    assert sum(bool(score.orders) for score in scores) >= 25


def test_the_code_is_not_the_same_for_two_stories_or_two_files(
    server: JudgeServer, tmp_path: Path
) -> None:
    codes = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with new_desk(server, tmp_path / name) as desk:
            desk.grade(desk.plan(read([STORIES])[:2], "gentle"))
    for body in server.bodies:
        codes.add(body["messages"][1]["content"].split("<<<STORY ")[1].split(">>>")[0])
    assert len(codes) == 4
