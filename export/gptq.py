"""4 bits with error feedback: what one column loses, the next ones make good.

After GPTQ (Frantar et al. 2022): columns are rounded one by one, and the error of each is spread
over those to come, weighted by how the inputs correlate (the inverse of H = Xᵀ·X, by its Cholesky
factor). Layers are done in order, each on the inputs that the layers before it give once they are
rounded.
The inputs come from calibration texts, read by the model itself.

    quantize_with_feedback(checkpoint, Reference(checkpoint), tokens, bits=4)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tinytales.export.checkpoint import Checkpoint
from tinytales.export.quantize import BLOCK, Floats, Quantized, encode, search_scales
from tinytales.export.reference import Reference

#: Added to the diagonal of H, as a share of its mean: directions never seen must not explode.
DAMPING = 0.01
#: Documents that are read for it.
CALIBRATION_TEXTS = 48


def quantize_with_feedback(
    checkpoint: Checkpoint,
    reference: Reference,
    tokens: NDArray[np.int64],
    bits: int = 4,
    block: int = BLOCK,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Quantized]:
    """Quantize every matrix of the layers. `reference` ends up with the quantized weights.

    Args:
        tokens: calibration documents [documents, length].
    """
    done: dict[str, Quantized] = {}
    for layer in range(checkpoint.shape.layers):
        say(f"layer {layer + 1} of {checkpoint.shape.layers}")
        seen = reference.inputs(tokens)
        prefix = f"model.layers.{layer}."
        for name in checkpoint.matrices:
            if name.startswith(prefix):
                matrix = checkpoint.tensors[name]
                done[name] = round_with_feedback(matrix, seen[name], bits, block)
                reference.replace(name, done[name].dequantized())
    return done


def round_with_feedback(weight: Floats, inputs: Floats, bits: int, block: int = BLOCK) -> Quantized:
    """Round `weight` [rows, columns] so that `inputs` [samples, columns] · Wᵀ changes least."""
    rows, columns = weight.shape
    work = weight.astype(np.float64)
    factor = _inverse_factor(inputs)
    importance = np.square(inputs, dtype=np.float64).mean(0).astype(np.float32)
    codes = np.empty((rows, columns), np.uint8)
    scales = np.empty((rows, columns // block), np.float32)
    zero = 1 << (bits - 1)
    for start in range(0, columns, block):
        stop = start + block
        scale = search_scales(work[:, start:stop].astype(np.float32), bits, importance[start:stop])
        scales[:, start // block] = scale
        errors = np.empty((rows, block))
        for column in range(start, stop):
            exact = work[:, column]
            codes[:, column] = encode(exact.astype(np.float32), scale, bits)
            rounded = (codes[:, column].astype(np.float64) - zero) * scale
            error = (exact - rounded) / factor[column, column]
            work[:, column:stop] -= np.outer(error, factor[column, column:stop])
            errors[:, column - start] = error
        work[:, stop:] -= errors @ factor[start:stop, stop:]
    return Quantized(codes, scales, bits, block)


def calibration_tokens(
    documents: Sequence[Sequence[int]], count: int, length: int
) -> NDArray[np.int64]:
    """The beginnings of the first `count` documents that are long enough: [count, length]."""
    long = [list(document[:length]) for document in documents if len(document) >= length]
    if not long:
        length = min(len(document) for document in documents)
        long = [list(document[:length]) for document in documents]
    return np.array(long[:count], np.int64)


def _inverse_factor(inputs: Floats) -> NDArray[np.float64]:
    """Upper Cholesky factor of the inverse of H = Xᵀ·X (damped)."""
    x = inputs.astype(np.float64)
    hessian = x.T @ x
    hessian += np.eye(len(hessian)) * (DAMPING * np.trace(hessian) / len(hessian) + 1e-12)
    return np.ascontiguousarray(np.linalg.cholesky(np.linalg.inv(hessian)).T)
