"""The fastest number of threads is measured once, remembered, and changes no story."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytales.bundle import Bundle
from tinytales.engine import threads
from tinytales.engine.ort import OrtEngine
from tinytales.paths import cache_dir


class _Paced:
    """An engine that would tell at `rate` tokens a second."""

    context_length = 256

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("rates", "most", "best"),
    [
        ({1: 100, 2: 110, 4: 300}, 4, 1),  # a doubling that brings too little ends the search
        ({1: 100, 2: 150, 4: 160}, 4, 2),
        ({1: 100, 2: 190, 4: 350}, 4, 4),
        ({1: 100, 2: 190, 4: 350}, 2, 2),
    ],
)
def test_the_search(
    monkeypatch: pytest.MonkeyPatch, rates: dict[int, float], most: int, best: int
) -> None:
    monkeypatch.setattr(threads, "_rate", lambda engine: engine.rate)
    assert threads.measure_threads(lambda count: _Paced(rates[count]), most) == best  # type: ignore[arg-type,return-value]


def _count_measurements(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    asked: list[int] = []

    def measure(open_with: Any, most: int) -> int:
        asked.append(most)
        return 2

    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    monkeypatch.setattr(threads, "measure_threads", measure)
    return asked


def test_it_is_measured_once(monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path) -> None:
    asked = _count_measurements(monkeypatch)
    bundle = Bundle.open(tiny_bundle)
    assert [OrtEngine(bundle).threads for _ in range(3)] == [2, 2, 2]
    assert asked == [4]
    assert OrtEngine(bundle, 1).threads == 1  # said is said


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}', "\ud800"])
def test_a_damaged_memory_is_made_again(
    monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path, content: str
) -> None:
    asked = _count_measurements(monkeypatch)
    path = cache_dir() / threads.FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    assert OrtEngine(Bundle.open(tiny_bundle)).threads == 2
    assert asked == [4]
    assert 2 in json.loads(path.read_text()).values()


def test_a_home_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path, tmp_path: Path
) -> None:
    _count_measurements(monkeypatch)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYTALES_DATA_DIR", str(tmp_path / "file"))
    assert OrtEngine(Bundle.open(tiny_bundle)).threads == 2


def test_threads_change_no_story(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    tokens = [0, *np.random.default_rng(1).integers(1, 500, 80).tolist()]
    found = []
    for count in (1, 2):
        engine = OrtEngine(bundle, count)
        logits = [engine.prefill(tokens).copy()]
        logits += [engine.decode([token]).copy() for token in tokens]
        found.append(np.concatenate(logits))
    assert np.array_equal(found[0], found[1])


@pytest.mark.parametrize(
    ("cores", "best", "said", "size"),
    [(1, 1, None, 1), (4, 1, None, 4), (4, 2, None, 2), (4, 1, 1, 1)],
)
def test_a_crew_takes_every_core(
    monkeypatch: pytest.MonkeyPatch,
    tiny_bundle: Path,
    cores: int,
    best: int,
    said: int | None,
    size: int,
) -> None:
    from tinytales.engine import ort

    monkeypatch.setattr(ort, "usable_cores", lambda: cores)
    monkeypatch.setattr(ort, "best_threads", lambda bundle, open_with: best)
    crew = OrtEngine(Bundle.open(tiny_bundle), said).crew()
    assert len(crew) == size
    for number, member in enumerate(crew):
        member.prefill([0, 5, 6 + number])
    other = OrtEngine(Bundle.open(tiny_bundle), 1)
    for number, member in enumerate(crew):  # each has caches of its own
        other.prefill([0, 5, 6 + number])
        assert np.array_equal(member.decode([7]), other.decode([7]))
    assert len(crew[-1].crew()) == 1  # a crew has no crews
