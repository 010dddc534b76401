"""Bits per byte: how well a model foresees a text, the only figure that compares across tokenizers.

The sum of -log2 p over the tokens of every document, its end included, by the bytes of its UTF-8
text. A document begins with the end-of-text token; one longer than the context is read in windows
that overlap by half, each token counted once. Training measures with torch, an export with its
engine: both plan their windows here, and both add up a `Score`.

    score_texts(engine, bundle, ["One day, a fox ran home."]).bits_per_byte
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tinytales.bundle import Bundle
    from tinytales.engine import Engine

#: Windows that are read together.
BATCH = 16


@dataclass(frozen=True, slots=True)
class Score:
    """Over some documents: nats of all tokens, tokens, bytes."""

    nats: float = 0.0
    tokens: int = 0
    bytes: int = 0
    documents: int = 0

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.bytes if self.bytes else math.nan

    @property
    def perplexity(self) -> float:
        """By token: compares only models with the same tokenizer."""
        return math.exp(self.nats / self.tokens) if self.tokens else math.nan

    def __add__(self, other: Score) -> Score:
        return Score(
            self.nats + other.nats,
            self.tokens + other.tokens,
            self.bytes + other.bytes,
            self.documents + other.documents,
        )


class Window(NamedTuple):
    """At most context + 1 tokens of a document; those from index `first` on count as targets."""

    tokens: list[int]
    first: int

    @property
    def targets(self) -> list[int]:
        return self.tokens[self.first :]


def windows(tokens: Sequence[int], context: int) -> Iterator[Window]:
    """The windows in which a model with `context` reads a document; each token counts once."""
    end = min(len(tokens), context + 1)
    yield Window(list(tokens[:end]), 1)
    while end < len(tokens):
        start = end - 1 - context // 2
        new_end = min(len(tokens), start + context + 1)
        yield Window(list(tokens[start:new_end]), end - start)
        end = new_end


def document_windows(bundle: Bundle, texts: Iterable[str]) -> list[Window]:
    """The windows of texts, each between end-of-text tokens as in training."""
    end, context = bundle.manifest.end_of_text, bundle.manifest.context_length
    return [
        window for text in texts for window in windows([end, *bundle.encode(text), end], context)
    ]


def batches(documents: Sequence[Window]) -> Iterator[tuple[list[Window], NDArray[np.int64]]]:
    """Windows with the same first token and of like length; their tokens, padded with 0.

    The first token is shared because an engine's batch shares its prompt.
    """
    order = sorted(documents, key=lambda window: (window.tokens[0], len(window.tokens)))
    for _, alike in groupby(order, key=lambda window: window.tokens[0]):
        same_start = list(alike)
        for start in range(0, len(same_start), BATCH):
            group = same_start[start : start + BATCH]
            padded = np.zeros((len(group), len(group[-1].tokens)), np.int64)
            for row, window in zip(padded, group, strict=True):
                row[: len(window.tokens)] = window.tokens
            yield group, padded


def nats(logits: NDArray[np.float32], tokens: NDArray[np.int64]) -> float:
    """The sum of -ln p of `tokens`, one for each row of `logits`."""
    rows = logits.astype(np.float64)
    highest = rows.max(-1)
    total = np.log(np.exp(rows - highest[:, None]).sum(-1)) + highest
    return float((total - rows[np.arange(len(rows)), tokens]).sum())


def engine_nats(engine: Engine, documents: Sequence[Window]) -> float:
    """Nats that `engine` needs, token by token through its cache: what a reader really gets."""
    spent = 0.0
    for group, padded in batches(documents):
        logits = engine.prefill([int(padded[0, 0])], batch=len(group))
        for column in range(1, padded.shape[1]):
            counted = np.array([w.first <= column < len(w.tokens) for w in group])
            if counted.any():
                spent += nats(logits[counted], padded[counted, column])
            if column < padded.shape[1] - 1:
                logits = engine.decode(padded[:, column].tolist())
    return spent


def score_texts(engine: Engine, bundle: Bundle, texts: Sequence[str]) -> Score:
    """The score of an open bundle over `texts`."""
    documents = document_windows(bundle, texts)
    return Score(
        nats=engine_nats(engine, documents),
        tokens=sum(len(window.targets) for window in documents),
        bytes=sum(len(text.encode()) for text in texts),
        documents=len(texts),
    )
