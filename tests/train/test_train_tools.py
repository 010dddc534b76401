"""What stands around a run: curves, the live line, the clock, the race against transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tinytales.cli.main import run as tinytales
from tinytales.errors import TinytalesError
from tinytales.train import meter
from tinytales.train.bench import compare
from tinytales.train.fixture import tiny_recipe
from tinytales.train.plot import read_curves


def write_run(folder: Path, losses: list[float], dev: float = 0.0) -> Path:
    folder.mkdir(parents=True)
    records = [{"tokens": 100 * i, "loss": loss} for i, loss in enumerate(losses)]
    if dev:
        records.append({"tokens": 100 * len(losses), "bits_per_byte": {"mine": dev}})
    text = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "metrics.jsonl").write_text(text + '{"tokens": 9, "lo')  # the last line was cut off
    return folder


def test_curves_are_read_up_to_where_a_run_was_killed(tmp_path: Path) -> None:
    curves = read_curves(write_run(tmp_path / "a", [3.0, 2.0], dev=0.7))
    assert curves.loss == [(0, 3.0), (100, 2.0)]
    assert curves.bits_per_byte == {"mine": [(200, 0.7)]}


def test_plot_draws_runs_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    runs = [write_run(tmp_path / "one", [3.0, 2.5]), write_run(tmp_path / "two", [3.0], dev=0.8)]
    picture = tmp_path / "curves.png"
    assert tinytales(["train", "plot", *map(str, runs), "--out", str(picture)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[0] == "one" and "loss 2.5000" in table[0]
    assert "mine 0.8000" in table[1]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.png", "one", "two"]


def test_plot_of_nothing_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tinytales(["train", "plot", str(tmp_path / "none")]) == 1
    assert "not a run" in capsys.readouterr().err
    with pytest.raises(TinytalesError, match="no loss yet"):
        read_curves(write_run(tmp_path / "empty", []))
    run = write_run(tmp_path / "one", [1.0])
    assert tinytales(["train", "plot", str(run), "--out", str(tmp_path / "no" / "a.png")]) == 1
    assert tinytales(["train", "plot", str(run), "--out", str(tmp_path / "a.nonsense")]) == 1
    assert not (tmp_path / "a.nonsense").exists()


def test_the_clock_rings_when_it_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(meter.time, "monotonic", lambda: now[0])
    clock = meter.Clock(save=1, evaluate=0, sample=2)
    assert not clock.due("save")
    now[0] += 60
    assert clock.due("save") and not clock.due("save")
    assert not clock.due("sample")
    now[0] += 3600
    assert clock.due("sample")
    assert not clock.due("eval"), "0 minutes means never"


def test_the_race_names_every_contender(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    speed = compare(tiny_recipe(), seconds=0.1)
    assert [name.split(" + ")[-1] for name in speed] == ["fused AdamW", "AdamW", "Muon"]
    assert all(value > 0 for value in speed.values())
    assert tinytales(["bench", "train", "--recipe", "nothing"]) == 2
    assert tinytales(["bench", "train", "--seconds", "0"]) == 2


def test_recipes_are_listed_with_their_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert tinytales(["train", "--recipes"]) == 0
    listed = capsys.readouterr().out
    for name in ("paper-1m", "paper-3m", "paper-8m", "paper-28m", "paper-33m", "storyteller"):
        assert name in listed
    assert "embedding" in listed


def test_going_on_with_nothing_is_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tinytales(["train", "--resume", str(tmp_path)]) == 2
    assert "is no run" in capsys.readouterr().err


def test_weights_may_be_read_by_whom_the_rest_may(tiny_checkpoint: Path) -> None:
    modes = {p.stat().st_mode for p in tiny_checkpoint.iterdir() if p.is_file()}
    assert len(modes) == 1
