"""Why greedy stories of Q8_0 part from the checkpoint's: which rounding costs what?

    python tests/export/rounding.py [CHECKPOINT]          # the shipped one; docs/results.md, Export

Three tellers of the same 20 openings: torch in full precision, torch on weights that were rounded
to Q8_0 and back, and llama.cpp, whose CPU code rounds the activations as well.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

from tinytales.engine import open_engine
from tinytales.export import export_bundle, measure
from tinytales.export.checkpoint import Checkpoint
from tinytales.export.reference import Reference

OPENINGS, TOKENS = 20, 100
Q8_0 = gguf.GGMLQuantizationType.Q8_0


def greedy(teller: Reference, prompt: list[int]) -> list[int]:
    told: list[int] = []
    for _ in range(TOKENS):
        told.append(int(teller.next_logits([*prompt, *told]).argmax()))
    return told


def compare(name: str, told: list[list[int]], held_to: list[list[int]]) -> None:
    """How much of each story is told before it parts from the one it is held to."""
    shares = [
        next((at for at, (x, y) in enumerate(zip(one, other, strict=True)) if x != y), TOKENS)
        / TOKENS
        for one, other in zip(told, held_to, strict=True)
    ]
    whole = sum(share == 1 for share in shares)
    print(f"{name:<50} {np.mean(shares):6.1%}   {whole} of {len(shares)} whole", flush=True)


def main(folder: Path) -> None:
    checkpoint = Checkpoint.open(folder)
    full, rounded = Reference(checkpoint), Reference(checkpoint)
    for name, matrix in checkpoint.matrices.items():
        blocks = gguf.quants.quantize(np.ascontiguousarray(matrix, np.float32), Q8_0)
        rounded.replace(name, gguf.quants.dequantize(blocks, Q8_0).astype(np.float32))
    openings = measure.openings(measure.shipped_texts(), OPENINGS)
    stories: dict[str, list[list[int]]] = {}
    with tempfile.TemporaryDirectory() as spare:
        for form in ("fp32", "f32", "f16", "q8_0"):
            bundle = export_bundle(folder, Path(spare) / form, form)
            prompts = [[0, *bundle.encode(opening)][:32] for opening in openings]
            engine = open_engine(bundle, 1)
            stories[form] = [measure.greedy(engine, prompt, TOKENS) for prompt in prompts]
            engine.close()
    torch, torch_rounded = ([greedy(t, prompt) for prompt in prompts] for t in (full, rounded))
    for form, told in stories.items():
        compare(f"{form} against torch fp32", told, torch)
    compare("torch on weights rounded to Q8_0, against torch", torch_rounded, torch)
    compare("q8_0 against torch on the same rounded weights", stories["q8_0"], torch_rounded)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "assets/checkpoint"))
