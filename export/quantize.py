"""Weights in few bits: rows are cut into blocks, and each block has one scale.

A block is `scale * (code - zero)`, with zero = 128 for 8 bits and 8 for 4 bits, which is what the
operators MatMulNBits and GatherBlockQuantized read. Nothing here knows of files or graphs.

    quantize(weight, bits=8)      # weight [rows, columns] -> Quantized
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

#: Block lengths, best first: 64 has half the scales of 32, which makes a token 5 % faster and costs
#: nothing that can be measured in bits per byte (docs/results.md, Export).
BLOCKS = (64, 32)
BLOCK = BLOCKS[-1]


@dataclass(frozen=True, slots=True)
class Quantized:
    """A matrix [rows, columns] in `bits` (8 or 4).

    Attributes:
        codes: uint8 [rows, columns], one code each (packing is done when written).
        scales: float32 [rows, columns / block].
    """

    codes: NDArray[np.uint8]
    scales: Floats
    bits: int
    block: int = BLOCK

    @property
    def shape(self) -> tuple[int, int]:
        return self.codes.shape[0], self.codes.shape[1]

    def packed(self) -> NDArray[np.uint8]:
        """Codes as MatMulNBits wants them: [rows, blocks, bytes]; two 4-bit codes share a byte."""
        rows, columns = self.shape
        codes = self.codes.reshape(rows, columns // self.block, self.block)
        return codes if self.bits == 8 else codes[..., 0::2] | (codes[..., 1::2] << 4)

    def dequantized(self) -> Floats:
        rows, columns = self.shape
        values = self.codes.astype(np.float32) - _zero(self.bits)
        blocks = values.reshape(rows, -1, self.block) * self.scales[..., None]
        return blocks.reshape(rows, columns)


def quantize(weight: Floats, bits: int, block: int = BLOCK) -> Quantized:
    """Round `weight` [rows, columns] to the nearest codes.

    8 bits: the scale takes the largest value to ±127. 4 bits: see `search_scales`.

    Raises:
        ValueError: columns that are no multiple of `block`.
    """
    rows, columns = weight.shape
    if columns % block:
        raise ValueError(f"rows of {columns} do not divide into blocks of {block}")
    blocks = weight.astype(np.float32).reshape(rows, columns // block, block)
    scales = np.abs(blocks).max(-1) / 127 if bits == 8 else search_scales(blocks, bits)
    codes = encode(blocks, scales[..., None], bits)
    return Quantized(codes.reshape(rows, columns), scales, bits, block)


def best_block(columns: Iterable[int]) -> int:
    """The first of BLOCKS that divides all row lengths."""
    lengths = set(columns)
    return next(b for b in BLOCKS if not any(length % b for length in lengths))


def encode(values: Floats, scales: Floats, bits: int) -> NDArray[np.uint8]:
    """Nearest codes of `values` under `scales` (broadcast); a scale of 0 gives the zero code."""
    zero = _zero(bits)
    scaled = np.divide(values, scales, out=np.zeros_like(values), where=scales != 0)
    return np.clip(np.rint(scaled) + zero, 0, 2 * zero - 1).astype(np.uint8)


def search_scales(blocks: Floats, bits: int, importance: Floats | None = None) -> Floats:
    """Scales with the least squared error for `blocks` [..., block], by trying forty for each.

    The plain choice takes the largest value to the end of the range; in a bell-shaped block a
    somewhat smaller step is better for the many at the cost of the one. `importance` [..., block]
    weighs the errors (columns that meet large inputs count more).
    """
    zero = _zero(bits)
    ends = np.take_along_axis(blocks, np.abs(blocks).argmax(-1, keepdims=True), -1)[..., 0]
    best, least = np.zeros_like(ends), np.full(ends.shape, np.inf, np.float32)
    for reach in np.linspace(0.6 * zero, 1.25 * zero, 40, dtype=np.float32):
        scales = -ends / reach  # the longer side of the range, -zero, goes to the largest value
        errors = (encode(blocks, scales[..., None], bits) - np.float32(zero)) * scales[..., None]
        squares = (errors - blocks) ** 2
        cost = (squares if importance is None else squares * importance).sum(-1)
        better = cost < least
        best[better], least[better] = scales[better], cost[better]
    return best


def _zero(bits: int) -> int:
    return 1 << (bits - 1)
