"""Beginning a run and going on with one: the folder, its lock, the processes, the corpus.

A run folder belongs to one run. A second one is refused while the first is alive, and afterwards
unless it resumes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch.distributed as dist

from tinytales.errors import TinytalesError, UsageError
from tinytales.train.checkpoint import STATE
from tinytales.train.data import CORPUS, PreparedCorpus
from tinytales.train.recipe import Recipe
from tinytales.train.trainer import METRICS, Trainer, list_checkpoints, pick_device

RUNS = Path("runs")


def begin(recipe: Recipe, out: Path) -> tuple[Path, int | None]:
    """Train from nothing into `out`; the folder of the result and the signal that ended it early.

    Raises:
        UsageError: `out` holds a run already.
    """
    if (out / METRICS).exists() and _leads():
        raise UsageError(
            f"{out} holds a run already",
            hint=f"tinytales train --resume {out}, or choose another --out",
        )
    return _work(recipe, out, None)


def resume(recipe: Recipe, out: Path) -> tuple[Path, int | None]:
    """Go on with the run in `out` from its newest whole checkpoint."""
    found = [p for p in list_checkpoints(out) if (p / STATE).is_file()]
    if not found:
        raise UsageError(
            f"{out} has no checkpoint to go on from", hint="begin anew without --resume"
        )
    return _work(recipe, out, found[-1])


def _work(recipe: Recipe, out: Path, checkpoint: Path | None) -> tuple[Path, int | None]:
    with _processes(recipe), _lock(out):
        corpus = PreparedCorpus(_corpus_folder(recipe, out))
        trainer = Trainer(recipe, out, corpus)
        if checkpoint is not None:
            trainer.resume(checkpoint)
        if _leads():
            (out / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
            (out / METRICS).touch()
        return trainer.run(), trainer.stopped


def _corpus_folder(recipe: Recipe, out: Path) -> Path:
    """The prepared corpus of the recipe; the shipped originals are prepared inside the run."""
    if recipe.data.corpus:
        return Path(recipe.data.corpus)
    folder = out / "corpus"
    if not (folder / CORPUS).exists() and _leads():
        from tinytales.train.corpus.build import build
        from tinytales.train.corpus.recipe import load_recipe

        originals, base = load_recipe("corpus-originals")
        originals = dataclasses.replace(originals, vocab_size=recipe.model.vocab_size)
        build(originals, base, folder, report=lambda line: print(line, file=sys.stderr))
    if dist.is_initialized():
        dist.barrier()
    return folder


def newest_run(runs: Path = RUNS) -> Path | None:
    """The run that wrote last, or None."""
    found = [p for p in runs.glob("*/" + METRICS) if p.is_file()]
    return max(found, key=lambda p: p.stat().st_mtime).parent if found else None


def newest_checkpoint(run: Path) -> Path:
    """`final`, or the last checkpoint of a run.

    Raises:
        TinytalesError: it has none yet.
    """
    choices = [*list_checkpoints(run), *([run / "final"] if (run / "final").is_dir() else [])]
    if not choices:
        raise TinytalesError(f"{run} has no checkpoint yet", hint="wait for the first one")
    return choices[-1]


def _leads() -> bool:
    return int(os.environ.get("RANK", 0)) == 0


@contextlib.contextmanager
def _processes(recipe: Recipe) -> Iterator[None]:
    """Join the other processes where torchrun started several."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    device = pick_device(recipe.run.device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Hold the run's folder; the lock goes with the process, however that ends."""
    if not _leads():
        yield
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = (out / "run.lock").open("w")
    except OSError as error:
        raise TinytalesError(
            f"{out}: {error.strerror}", hint="choose a folder that can be written: --out"
        ) from error
    with file:
        try:
            import fcntl
        except ImportError:  # Windows: no lock, and no harm beyond two writers
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TinytalesError(
                f"another run is at work in {out}", hint="wait for it, or choose another --out"
            ) from error
        yield
