"""What a runtime has to do for us, and nothing more.

An engine takes tokens and gives next-token logits. Sampling, stopping, detokenizing and safety are
the core's, the same for every engine, so that a story depends on the model and the seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tinytales.errors import EngineError

Logits = NDArray[np.float32]


class Engine(Protocol):
    """One open model. Not thread-safe: one story, or one batch, at a time.

    Attributes:
        name: the runtime and its version, for reports.
        vocab_size: length of a row of logits.
        context_length: most tokens that a sequence can hold.
        threads: threads in use.
        position: tokens that each sequence holds now.
    """

    name: str
    vocab_size: int
    context_length: int
    threads: int

    @property
    def position(self) -> int: ...

    def prefill(self, tokens: Sequence[int], batch: int = 1) -> Logits:
        """Start anew with `batch` sequences that share `tokens`.

        Returns logits [batch, vocab_size] after the last token.

        Raises:
            EngineError: no tokens, or more than `context_length`.
        """
        ...

    def decode(self, tokens: Sequence[int]) -> Logits:
        """Add one token to each sequence; logits [batch, vocab_size], valid until the next call."""
        ...

    def rewind(self, position: int) -> None:
        """Forget everything after the first `position` tokens, in every sequence."""
        ...

    def crew(self) -> list[Engine]:
        """This engine, and as many more on the same open model as tell at once without slowing
        each other: each with sequences of its own, for a thread of its own."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these sequences of the batch only, numbered anew from 0.

        Raises:
            EngineError: no sequences, unknown ones, or not in ascending order.
        """
        ...

    def close(self) -> None: ...


def check_rows(rows: Sequence[int], batch: int) -> None:
    """What `keep` asks of its argument; raises EngineError."""
    if not rows or [*rows] != sorted({*rows}) or rows[0] < 0 or rows[-1] >= batch:
        raise EngineError(f"cannot keep the sequences {[*rows]} of {batch}")
