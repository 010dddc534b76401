"""Training speed beside transformers' Llama, same shape, precision and batch, in one run.

    tinytales bench train
    tinytales bench train --recipe storyteller --seconds 20

Each contender is warmed up (compilation included) and then trained for some seconds, in turns, so
that a busy machine is unfair to all alike. Tokens are random: the speed does not depend on them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from tinytales.errors import require
from tinytales.train.checkpoint import llama_config
from tinytales.train.meter import peak_flops
from tinytales.train.model import Llama
from tinytales.train.optim import OptimRecipe, make_optimizers
from tinytales.train.recipe import Recipe, load_recipe
from tinytales.train.trainer import autocast, pick_device

Step = Callable[[], None]
ROUNDS = 3
BASE = "transformers + fused AdamW"  # as its users train it: the ratios are to this


def main(
    recipe: str = "storyteller", seconds: float = 10.0, threads: int = 0, as_json: bool = False
) -> None:
    """Print tokens/s of each contender and the ratio to the first peer."""
    require("transformers", "dev")
    chosen = load_recipe(recipe)
    if threads:
        torch.set_num_threads(threads)
    found = compare(chosen, seconds)
    base = found[BASE]
    if as_json:
        print(json.dumps({"recipe": recipe, "threads": torch.get_num_threads(), "speed": found}))
        return
    device = pick_device(chosen.run.device)
    peak = peak_flops(device, chosen.run.precision)
    flops = chosen.model.flops_per_token(chosen.data.sequence)
    print(
        f"{recipe}: {chosen.model.parameters()['total']:,} parameters, {chosen.data.batch} rows of "
        f"{chosen.data.sequence}, {chosen.run.precision}, {device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
        f"{', tinytales compiled' if chosen.run.compile else ''}"
    )
    print(f"{'':<36} tokens/s    ratio  of peak")
    for name, speed in found.items():
        print(f"{name:<36} {speed:8,.0f}  {speed / base:6.2f}x  {flops * speed / peak:6.0%}")


def compare(recipe: Recipe, seconds: float) -> dict[str, float]:
    """Tokens per second of each contender, the best of some rounds."""
    contenders = {BASE: _theirs(recipe, compiled=False)}
    if recipe.run.compile:
        contenders["the same, torch.compile"] = _theirs(recipe, compiled=True)
    contenders["tinytales + AdamW"] = _ours(recipe, "adamw")
    contenders["tinytales + Muon"] = _ours(recipe, "muon")
    ready: dict[str, Step] = {}
    for name, make in contenders.items():
        print(f"warming up: {name}", file=sys.stderr)
        step = make()
        step()
        step()
        ready[name] = step
    tokens = recipe.data.batch * recipe.data.sequence
    best = dict.fromkeys(ready, 0.0)
    for _ in range(ROUNDS):
        for name, step in ready.items():
            count, start = 0, time.perf_counter()
            while time.perf_counter() - start < seconds / ROUNDS:
                step()
                count += 1
            best[name] = max(best[name], count * tokens / (time.perf_counter() - start))
    return best


def _batch(recipe: Recipe) -> torch.Tensor:
    size = (recipe.data.batch, recipe.data.sequence + 1)
    return torch.randint(0, recipe.model.vocab_size, size, device=pick_device(recipe.run.device))


def _ours(recipe: Recipe, optimizer: str) -> Callable[[], Step]:
    def make() -> Step:
        device = pick_device(recipe.run.device)
        model = Llama(recipe.model).to(device)
        forward: Any = torch.compile(model, dynamic=False) if recipe.run.compile else model
        optimizers = make_optimizers(model, OptimRecipe(optimizer=optimizer, matrix_lr=1e-3))
        tokens = _batch(recipe)

        def loss() -> torch.Tensor:
            return forward(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())  # type: ignore[no-any-return]

        return _stepper(recipe, model, optimizers, loss)

    return make


def _theirs(recipe: Recipe, compiled: bool) -> Callable[[], Step]:
    def make() -> Step:
        from transformers import LlamaConfig, LlamaForCausalLM

        device = pick_device(recipe.run.device)
        config = llama_config(recipe.model)
        config.pop("architectures")
        model = LlamaForCausalLM(LlamaConfig(**config)).to(device)
        forward: Any = torch.compile(model, dynamic=False) if compiled else model
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        tokens = _batch(recipe)[:, :-1].contiguous()

        def loss() -> torch.Tensor:
            return forward(input_ids=tokens, labels=tokens, use_cache=False).loss  # type: ignore[no-any-return]

        return _stepper(recipe, model, [optimizer], loss)

    return make


def _stepper(
    recipe: Recipe,
    model: torch.nn.Module,
    optimizers: list[torch.optim.Optimizer],
    loss: Callable[[], torch.Tensor],
) -> Step:
    device = pick_device(recipe.run.device)

    def step() -> None:
        with autocast(device, recipe.run.precision):
            value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step
