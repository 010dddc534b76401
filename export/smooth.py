"""Outliers moved from what a matrix reads into the matrix, where rounding can bear them.

After SmoothQuant (Xiao et al. 2023). A quantizer that has one scale for all that a matrix reads
loses the small columns beside a large one. In Llama the worst are the inputs of `down_proj`,
silu(gate) · up: a column of them is divided by a factor in its row of `up_proj`, and multiplied
back in its column of `down_proj`. The model computes the same.

    tensors = smoothed(checkpoint, Reference(checkpoint), tokens)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinytales.export.checkpoint import Checkpoint
from tinytales.export.quantize import Floats
from tinytales.export.reference import Reference


def smoothed(
    checkpoint: Checkpoint, reference: Reference, tokens: NDArray[np.int64]
) -> dict[str, Floats]:
    """Every tensor of `checkpoint`, with outliers moved; `tokens` [documents, length] find them."""
    tensors = {name: tensor.astype(np.float32) for name, tensor in checkpoint.tensors.items()}
    seen = reference.inputs(tokens)
    for layer in range(checkpoint.shape.layers):
        up, down = (f"model.layers.{layer}.mlp.{part}_proj.weight" for part in ("up", "down"))
        factors = _factors(np.abs(seen[down]).max(0), np.abs(tensors[down]).max(0))
        tensors[up] /= factors[:, None]
        tensors[down] *= factors
    return tensors


def _factors(inputs: Floats, weights: Floats) -> Floats:
    """By how much each column of inputs shrinks: so that it reaches as far as its weights do."""
    small = np.float32(1e-5)
    return np.sqrt(np.maximum(inputs, small) / np.maximum(weights, small))
