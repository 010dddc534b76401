"""The training loop: read, step, measure, save; stop and go on at any moment.

    tinytales train --recipe smoke
    torchrun --nproc-per-node 2 -m tinytales train --recipe smoke      # one machine or many

A run is a folder: `recipe.toml`, `metrics.jsonl`, `checkpoints/step-0000100/ …` (the last three)
and `final/`. On a CPU a resumed run equals an uninterrupted one bit for bit.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from tinytales.errors import TinytalesError
from tinytales.train.checkpoint import load_model, load_state, save_checkpoint
from tinytales.train.data import Batches, PreparedCorpus
from tinytales.train.evaluate import read_documents, score_documents
from tinytales.train.meter import Clock, Meter, Standing, peak_flops
from tinytales.train.model import Llama
from tinytales.train.optim import make_optimizers, rate, set_rate
from tinytales.train.recipe import Recipe

METRICS = "metrics.jsonl"


class Trainer:
    """One run in one folder.

    Raises:
        TinytalesError: the folder belongs to another run, the corpus or checkpoint does not fit,
            the disk is full, or the loss explodes.
    """

    def __init__(self, recipe: Recipe, out: Path, corpus: PreparedCorpus) -> None:
        self.recipe, self.out, self.corpus = recipe, out, corpus
        run, data = recipe.run, recipe.data
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.leads = self.rank == 0
        self.device = pick_device(run.device)
        if run.threads:
            torch.set_num_threads(run.threads)
        torch.manual_seed(run.seed + self.rank)
        if corpus.vocab_size > recipe.model.vocab_size:
            raise TinytalesError(
                f"the corpus has {corpus.vocab_size} tokens, the model {recipe.model.vocab_size}",
                hint=f"--set model.vocab_size={-(-corpus.vocab_size // 32) * 32}",
            )
        if data.batch % (data.accumulate * self.world):
            raise TinytalesError(
                f"{data.batch} rows do not divide into {self.world} processes "
                f"of {data.accumulate} passes",
                hint="choose data.batch to fit",
            )
        torch_seed = torch.get_rng_state()
        torch.manual_seed(run.seed)  # all processes begin with the same weights
        self.model = Llama(recipe.model).to(self.device)
        torch.set_rng_state(torch_seed)
        self.optimizers = make_optimizers(self.model, recipe.optim)
        self.average = [p.detach().clone() for p in self.model.parameters()] if run.ema else []
        self.tokenizer = Tokenizer.from_file(str(corpus.tokenizer_path))
        self.dev = read_documents(Path(data.dev)) if data.dev else {}
        self.step, self.tokens, self.worked = 0, 0, 0.0
        self.final = False
        self._batches(final=True, counters={})  # what it lacks is better said now than then
        self.batches = self._batches(final=False, counters={})
        self.loss = math.nan
        self._first_loss = math.nan
        self._stop: int | None = None

    # -- the loop ---------------------------------------------------------------------------------

    def run(self) -> Path:
        """Train to the end (or to a signal); the folder of the last checkpoint."""
        run = self.recipe.run
        self._forward = self._prepare()
        clock = Clock(run.save_minutes, run.eval_minutes, run.sample_minutes)
        started, before = time.monotonic(), self.worked
        peak = peak_flops(self.device, run.precision) if self.leads else 0.0
        meter = Meter(self.recipe, peak, self.world)
        with self._signals():
            while (done := self.progress()) < 1 and not self._any(self._stop is not None):
                self._enter_final_phase(done)
                self.model.train()
                share = rate(self.step, done, self.recipe.optim)
                loss, norm = self._step(share)
                self._watch(loss)
                self.worked = before + time.monotonic() - started
                if self.leads:
                    line = meter.line(self._standing(done, share))
                    if meter.due(self.step):
                        self._log(loss=self.loss, lr=share, norm=norm, speed=meter.speed)
                        meter.show(line)
                if self._any(clock.due("eval")) and self.dev:
                    self._measure(meter, limit=64)
                if clock.due("sample") and self.leads:
                    meter.show(f"  … {self._sample()}", keep=True)
                if self._any(clock.due("save")):
                    self.save()
            if done >= 1:
                return self._finish(meter)
            folder = self.save()
        if self.leads:
            meter.show(f"stopped; go on with: tinytales train --resume {self.out}", keep=True)
        return folder

    def progress(self) -> float:
        """How much of the run is done, from 0 to 1. All processes ask together."""
        run = self.recipe.run
        if run.steps:
            return self.step / run.steps
        if run.tokens:
            return self.tokens / run.tokens
        share = self.worked / 60 / run.minutes
        return self._agreed(share)

    def _step(self, share: float) -> tuple[float, float]:
        """One step of all optimizers; the mean loss over all processes and the gradient's norm."""
        data, run = self.recipe.data, self.recipe.run
        total = torch.zeros((), device=self.device)
        batch = self.batches.next(data.batch, self.rank, self.world)
        for part, (tokens, targets, weights) in enumerate(batch.chunk(data.accumulate)):
            waits = self.world > 1 and part < data.accumulate - 1
            # A target counts the same in the step, whichever pass or process it falls to.
            share_of_step = float(weights.sum()) * self.world / batch.total
            with self._forward.no_sync() if waits else contextlib.nullcontext():  # type: ignore[operator]
                with autocast(self.device, run.precision):
                    loss = self._forward(*(x.to(self.device) for x in (tokens, targets, weights)))
                (loss * share_of_step).backward()
            total += loss.detach() * share_of_step
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optim.clip)
        set_rate(self.optimizers, share)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self.average:
            with torch.no_grad():
                torch._foreach_lerp_(self.average, list(self.model.parameters()), 1 - run.ema)
        if self.world > 1:
            dist.all_reduce(total)
            total /= self.world
        self.step += 1
        self.tokens += data.batch * self.batches.sequence
        return float(total), float(norm)

    def _watch(self, loss: float) -> None:
        """Smooth the loss; stop with advice when it is lost."""
        if math.isnan(self._first_loss):
            self._first_loss = loss
        if not math.isfinite(loss) or (self.step > 50 and loss > self._first_loss + 2):
            raise TinytalesError(
                f"the loss became {loss:.3g} at step {self.step}: the run exploded",
                hint="halve optim.matrix_lr and optim.lr, or lengthen optim.warmup_steps; "
                f"the checkpoints in {self.out} are intact",
            )
        self.loss = loss if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss

    def _enter_final_phase(self, done: float) -> None:
        """While the rate decays, the best texts (and longer rows) are read."""
        if self.final or done < 1 - self.recipe.optim.decay_share:
            return
        self.final = True
        self.batches = self._batches(final=True, counters=self.batches.counters)

    def _batches(self, final: bool, counters: dict[str, int]) -> Batches:
        data = self.recipe.data
        return Batches(
            self.corpus,
            self._weights(final),
            (final and data.final_sequence) or data.sequence,
            self.recipe.run.seed,
            counters,
            data.wish_weight,
        )

    def _weights(self, final: bool) -> Mapping[str, float]:
        """The recipe's, where it says some; else the corpus's own."""
        data = self.recipe.data
        if final:
            return data.final_weights or data.weights or self.corpus.final_weights
        return data.weights or self.corpus.weights

    def _standing(self, done: float, rate: float) -> Standing:
        return Standing(
            self.step, self.tokens, done, self.worked, self.loss, rate, self.batches.sequence
        )

    # -- measuring and saving ---------------------------------------------------------------------

    def _measure(self, meter: Meter, limit: int = 0) -> dict[str, float]:
        """Bits per byte on dev, by source (of the averaged weights, if there are any)."""
        found: dict[str, float] = {}
        if self.leads:
            with self._averaged(), autocast(self.device, self.recipe.run.precision):
                scores = score_documents(self.model, self.tokenizer, self.dev, limit=limit)
            found = {name: round(s.bits_per_byte, 4) for name, s in scores.items()}
            self._log(bits_per_byte=found, documents=limit or "all")
            told = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
            meter.show(f"step {self.step}: bits per byte {told}", keep=True)
        if self.world > 1:
            dist.barrier()
        return found

    def _sample(self) -> str:
        self.model.eval()
        state = torch.get_rng_state()
        torch.manual_seed(self.step)
        opening = "Once upon a time"
        with torch.no_grad(), self._averaged(), autocast(self.device, self.recipe.run.precision):
            ids = [0, *self.tokenizer.encode(opening, add_special_tokens=False).ids]
            told = self.model.generate(ids, 90)
        torch.set_rng_state(state)
        return opening + self.tokenizer.decode(told).replace("\n", " ")

    def save(self) -> Path:
        """A checkpoint from which the run goes on; the oldest ones go."""
        folder = self.out / "checkpoints" / f"step-{self.step:07d}"
        if self.leads:
            state, about = self._state()
            save_checkpoint(
                folder, self.model, self.corpus.tokenizer_path,
                recipe=self.recipe.to_toml(), state=state, about=about,
            )  # fmt: skip
            for old in list_checkpoints(self.out)[: -max(1, self.recipe.run.keep)]:
                shutil.rmtree(old, ignore_errors=True)
        if self.world > 1:
            dist.barrier()
        return folder

    def _finish(self, meter: Meter) -> Path:
        folder = self.out / "final"
        self.save()
        if self.leads:
            with self._averaged():
                save_checkpoint(
                    folder, self.model, self.corpus.tokenizer_path, recipe=self.recipe.to_toml()
                )
        if self.dev:
            self._measure(meter)
        if self.leads:
            shutil.copyfile(self.out / METRICS, folder / METRICS)
            meter.show(f"done: {self.step} steps, {self.tokens:,} tokens, {folder}", keep=True)
        return folder

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors: dict[str, Tensor] = {"rng": torch.get_rng_state()}
        for number, optimizer in enumerate(self.optimizers):
            for index, values in optimizer.state_dict()["state"].items():
                for key, value in values.items():
                    tensors[f"optimizer.{number}.{index}.{key}"] = torch.as_tensor(value).clone()
        for index, value in enumerate(self.average):
            tensors[f"average.{index}"] = value
        about = {
            "step": self.step,
            "tokens": self.tokens,
            "worked": self.worked,
            "loss": self.loss,
            "first_loss": self._first_loss,
            "final": self.final,
            "counters": self.batches.counters,
            "world": self.world,
        }
        return tensors, about

    def resume(self, folder: Path) -> None:
        """Take up the run where checkpoint `folder` left it.

        Raises:
            TinytalesError: the checkpoint has another shape or optimizer, or is damaged.
        """
        loaded = load_model(folder)
        if loaded.state_dict().keys() != self.model.state_dict().keys() or any(
            a.shape != b.shape
            for a, b in zip(loaded.parameters(), self.model.parameters(), strict=True)
        ):
            raise TinytalesError(
                f"{folder} has another shape than the recipe",
                hint="resume with the recipe of that run, or begin anew in another folder",
            )
        self.model.load_state_dict(loaded.state_dict())
        tensors, about = load_state(folder)
        try:
            for number, optimizer in enumerate(self.optimizers):
                state: dict[int, dict[str, Tensor]] = {}
                prefix = f"optimizer.{number}."
                for name, value in tensors.items():
                    if name.startswith(prefix):
                        index, key = name.removeprefix(prefix).split(".", 1)
                        state.setdefault(int(index), {})[key] = value
                groups = optimizer.state_dict()["param_groups"]
                optimizer.load_state_dict({"state": state, "param_groups": groups})
            self.average = [
                tensors[f"average.{i}"].to(self.device) for i in range(len(self.average))
            ]
            torch.set_rng_state(tensors["rng"])
            self.step, self.tokens = int(about["step"]), int(about["tokens"])
            self.worked, self.loss = float(about["worked"]), float(about["loss"])
            self._first_loss, self.final = float(about["first_loss"]), bool(about["final"])
            counters = {str(k): int(v) for k, v in about["counters"].items()}
        except (KeyError, ValueError, TypeError) as error:
            raise TinytalesError(
                f"{folder} was saved by another kind of run: {error}",
                hint="resume with the recipe of that run",
            ) from error
        self.batches = self._batches(self.final, counters)

    # -- small parts ------------------------------------------------------------------------------

    def _prepare(self) -> Any:
        """The model as it is called in a step: compiled if that works here, shared if need be."""
        forward: Any = self.model
        dice = torch.get_rng_state()  # trying out must not move the run's own dice
        if self.recipe.run.compile:
            compiled = torch.compile(self.model, dynamic=False)
            try:
                tokens = torch.zeros(
                    (self.recipe.data.batch // self.recipe.data.accumulate // self.world,
                     self.batches.sequence), dtype=torch.int64, device=self.device,
                )  # fmt: skip
                with autocast(self.device, self.recipe.run.precision):
                    compiled(
                        tokens, tokens, torch.ones_like(tokens, dtype=torch.float32)
                    ).backward()
                forward = compiled
            except Exception as error:  # no compiler, or one that fails: slower, not broken
                reason = str(error).strip().splitlines()[0][:80] if str(error).strip() else ""
                _say(self.leads, f"note: going on without torch.compile: {reason}")
            for parameter in self.model.parameters():
                parameter.grad = None
        torch.set_rng_state(dice)
        if self.world > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            forward = DistributedDataParallel(forward, device_ids=ids)
        return forward

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """The averaged weights stand in for the last ones, for a while."""
        parameters = list(self.model.parameters())
        if not self.average:
            yield
            return
        kept = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            torch._foreach_copy_(parameters, self.average)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(parameters, kept)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and Ctrl-C end the step, save and leave; a second one leaves at once."""

        def stop(number: int, _frame: object) -> None:
            if self._stop is not None:
                raise KeyboardInterrupt
            self._stop = number

        before = {}
        with contextlib.suppress(ValueError):  # not in the main thread
            before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def stopped(self) -> int | None:
        """The signal that ended the run early."""
        return self._stop

    def _any(self, here: bool) -> bool:
        """True in all processes if it is in one."""
        if self.world == 1:
            return here
        value = torch.tensor([float(here)], device=self.device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return bool(value.item())

    def _agreed(self, share: float) -> float:
        """Clocks differ between processes: the first one's counts."""
        if self.world == 1:
            return share
        value = torch.tensor([share], dtype=torch.float64, device=self.device)
        dist.broadcast(value, 0)
        return float(value)

    def _log(self, **values: Any) -> None:
        record = {"step": self.step, "tokens": self.tokens, "minutes": round(self.worked / 60, 3)}
        for key, value in values.items():
            record[key] = round(value, 5) if isinstance(value, float) else value
        with (self.out / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def list_checkpoints(out: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    folder = out / "checkpoints"
    found = sorted(folder.glob("step-*")) if folder.is_dir() else []
    return [p for p in found if p.suffix == "" and (p / "config.json").is_file()]


def pick_device(name: str) -> torch.device:
    """Raises TinytalesError where a GPU is asked for and there is none."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise TinytalesError("no CUDA device is there", hint="--set run.device=cpu")
    if name == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
        return device
    if name != "cpu":
        raise TinytalesError(f"unknown device {name!r}", hint="auto, cpu or cuda")
    return torch.device("cpu")


def autocast(device: torch.device, precision: str) -> Any:
    enabled = precision == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def _say(leads: bool, line: str) -> None:
    if leads:
        print(line, file=sys.stderr, flush=True)
