"""Stories to grade, a judge on this machine, a desk that asks it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from judge_server import JudgeServer

from tinytales.grading import Desk
from tinytales.grading.sources import story_of
from tinytales.story import Story

#: A rubric of a user's own.
OWN = """
name = "kind"
version = 3
about = "Is it kind?"
assessment = "Read this: {fenced} What do you think?"
grades = "Grade it."
[criteria]
kindness = "are they kind to each other"
"""


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with JudgeServer() as judge:
        yield judge


@pytest.fixture
def desk(server: JudgeServer, tmp_path: Path) -> Iterator[Desk]:
    with new_desk(server, tmp_path) as it:
        yield it


def new_desk(server: JudgeServer, folder: Path, **options: Any) -> Desk:
    settings: dict[str, Any] = {
        "path": folder / "grades.sqlite", "requests_per_minute": 0, "tokens_per_minute": 0,
        "deadline": 5,
    }  # fmt: skip
    return Desk("judge", server.url, **{**settings, **options})


@pytest.fixture
def tales() -> Callable[..., list[Story]]:
    def make(count: int, bundle: str = "") -> list[Story]:
        return [
            story_of(
                {
                    "id": f"{bundle}s{n}", "opening": f"One day, fox {n}", "bundle": bundle,
                    "text": f"One day, fox {n} met a hen. They shared {n} buns{bundle}. The end.",
                }
            )
            for n in range(count)
        ]  # fmt: skip

    return make
