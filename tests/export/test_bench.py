"""The bench measures what it says, in processes of its own, and asserts nothing on time."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tinytales import bench
from tinytales.cli import bench as command
from tinytales.engine import ort
from tinytales.errors import TinytalesError, UsageError


def test_engine_figures_in_a_process(tiny_bundle: Path) -> None:
    figures = bench.in_process("engine_figures", str(tiny_bundle), 1)
    assert figures.keys() == {
        "open_s",
        "first_token_s",
        "prefill_tokens_per_s",
        "decode_tokens_per_s",
    }
    assert min(figures.values()) > 0


@pytest.mark.parametrize("cores", [1, 2])
def test_batch_counts_all_tokens(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(ort, "usable_cores", lambda: cores)
    monkeypatch.setattr(ort, "best_threads", lambda bundle, open_with: 1)
    figures = bench.batch_figures(str(tiny_bundle), 1, every_core=True)
    assert figures["cores"] == cores
    expected = figures["batch_tokens_per_s"] / figures["single_tokens_per_s"]
    assert figures["ratio"] == pytest.approx(expected, rel=0.02)
    assert figures["told_ratio"] > 0


def test_a_failed_measurement_is_told(tmp_path: Path) -> None:
    with pytest.raises(TinytalesError, match="no bundle at"):
        bench.in_process("engine_figures", str(tmp_path / "none"), 1)


@pytest.mark.parametrize("threads", ["one", "1,,2", "0"])
def test_bad_thread_counts(threads: str) -> None:
    done = CliRunner().invoke(command.app, ["--threads", threads])
    assert isinstance(done.exception, UsageError)
