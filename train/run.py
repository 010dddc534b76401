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

from tinytales.bundle import TOKENIZER
from tinytales.errors import TinytalesError, UsageError
from tinytales.train.checkpoint import STATE, load_model
from tinytales.train.data import CORPUS, PreparedCorpus
from tinytales.train.model import Llama
from tinytales.train.recipe import Recipe
from tinytales.train.trainer import METRICS, Trainer, list_checkpoints, pick_device

RUNS = Path("runs")


def begin(recipe: Recipe, out: Path, start_from: Path | None = None) -> tuple[Path, int | None]:
    """Train into `out`; the folder of the result and the signal that ended it early.

    With `start_from` the run begins with the weights, sizes and vocabulary of that checkpoint (or
    run) instead of chance: a model that can tell stories learns yours.

    Raises:
        UsageError: `out` holds a run already, or the corpus has another vocabulary than the
            checkpoint.
    """
    if (out / METRICS).exists() and _leads():
        raise UsageError(
            f"{out} holds a run already",
            hint=f"tinytales train --resume {out}, or choose another --out",
        )
    if start_from is None:
        return _work(recipe, out)
    if (start_from / "checkpoints").is_dir():  # a run
        start_from = newest_checkpoint(start_from)
    model = load_model(start_from)
    shape = dataclasses.replace(model.shape, dropout=recipe.model.dropout)
    recipe = dataclasses.replace(recipe, model=shape)
    return _work(recipe, out, model=model, tokenizer=start_from / TOKENIZER)


def resume(recipe: Recipe, out: Path) -> tuple[Path, int | None]:
    """Go on with the run in `out` from its newest whole checkpoint."""
    found = [p for p in list_checkpoints(out) if (p / STATE).is_file()]
    if not found:
        raise UsageError(
            f"{out} has no checkpoint to go on from", hint="begin anew without --resume"
        )
    return _work(recipe, out, checkpoint=found[-1])


def _work(
    recipe: Recipe,
    out: Path,
    *,
    checkpoint: Path | None = None,
    model: Llama | None = None,
    tokenizer: Path | None = None,
) -> tuple[Path, int | None]:
    with _processes(recipe), _lock(out):
        corpus = PreparedCorpus(_corpus_folder(recipe, out, tokenizer))
        if tokenizer is not None:
            _same_vocabulary(corpus, tokenizer)
        trainer = Trainer(recipe, out, corpus)
        if checkpoint is not None:
            trainer.resume(checkpoint)
        if model is not None:
            trainer.model.load_state_dict(model.state_dict())
        if _leads():
            (out / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
            (out / METRICS).touch()
        return trainer.run(), trainer.stopped


def _same_vocabulary(corpus: PreparedCorpus, tokenizer: Path) -> None:
    if corpus.tokenizer_path.read_bytes() != tokenizer.read_bytes():
        raise UsageError(
            f"{corpus.folder} has another vocabulary than {tokenizer.parent}",
            hint=f"tinytales corpus build … --tokenizer {tokenizer}",
        )


def _corpus_folder(recipe: Recipe, out: Path, tokenizer: Path | None) -> Path:
    """The prepared corpus of the recipe; the shipped originals are prepared inside the run."""
    if recipe.data.corpus:
        return Path(recipe.data.corpus)
    folder = out / "corpus"
    if not (folder / CORPUS).exists() and _leads():
        from tinytales.train.corpus.build import build
        from tinytales.train.corpus.recipe import load_recipe

        originals, base = load_recipe("corpus-originals")
        originals = dataclasses.replace(originals, vocab_size=recipe.model.vocab_size)
        build(
            originals, base, folder, tokenizer=tokenizer,
            report=lambda line: print(line, file=sys.stderr),
        )  # fmt: skip
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
