"""Bits per byte: how well a model foresees a text, the only figure that compares across tokenizers.

The sum of -log2 p over the tokens of every document, its end included, by the bytes of its UTF-8
text. A document begins with the end-of-text token; one longer than the context is read in windows
that overlap by half, each token counted once.

    tinytales evaluate runs/mine/final --text dev.jsonl.xz
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from tinytales.errors import TinytalesError
from tinytales.train.corpus.readers import read_documents as corpus_documents
from tinytales.train.model import Llama


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


def windows(tokens: Sequence[int], context: int) -> Iterator[tuple[list[int], int]]:
    """Pieces of at most `context` + 1 tokens, with the first target that counts in each."""
    end = min(len(tokens), context + 1)
    yield list(tokens[:end]), 1
    while end < len(tokens):
        start = end - 1 - context // 2
        new_end = min(len(tokens), start + context + 1)
        yield list(tokens[start:new_end]), end - start
        end = new_end


def score_documents(
    model: Llama,
    tokenizer: Tokenizer,
    documents: Mapping[str, Iterable[str]],
    *,
    batch: int = 16,
    limit: int = 0,
) -> dict[str, Score]:
    """Score the documents of each source with the torch model, float32 unless autocast is on.

    `limit` reads at most so many documents of each source.
    """
    device = model.model.embed_tokens.weight.device
    scores: dict[str, Score] = {}
    was_training = model.training
    model.eval()
    try:
        for source, texts in documents.items():
            chosen = list(texts)[: limit or None]
            pieces = []
            total = Score(bytes=sum(len(t.encode()) for t in chosen), documents=len(chosen))
            for encoding in tokenizer.encode_batch(chosen, add_special_tokens=False):
                pieces += windows([0, *encoding.ids, 0], model.shape.context)
            pieces.sort(key=lambda piece: len(piece[0]))
            for i in range(0, len(pieces), batch):
                total += _score(model, pieces[i : i + batch], device)
            scores[source] = total
    finally:
        model.train(was_training)
    return scores


@torch.no_grad()
def _score(model: Llama, pieces: list[tuple[list[int], int]], device: torch.device) -> Score:
    longest = max(len(tokens) for tokens, _ in pieces) - 1
    inputs = torch.zeros((len(pieces), longest), dtype=torch.int64)
    targets = torch.full((len(pieces), longest), -100, dtype=torch.int64)
    for row, (tokens, first) in enumerate(pieces):
        inputs[row, : len(tokens) - 1] = torch.tensor(tokens[:-1])
        targets[row, first - 1 : len(tokens) - 1] = torch.tensor(tokens[first:])
    counted = int((targets != -100).sum())
    loss = model(inputs.to(device), targets.to(device))
    return Score(nats=float(loss) * counted, tokens=counted)


def read_documents(path: Path) -> dict[str, list[str]]:
    """The texts of a file (whatever `tinytales corpus build` reads) by their `source`.

    Raises:
        TinytalesError: the file is missing, is no text, or holds none.
    """
    if not path.is_file():
        raise TinytalesError(f"{path} is missing", hint="give a text to measure on")
    grouped: dict[str, list[str]] = {}
    for document in corpus_documents(path):
        if document["text"].strip():
            grouped.setdefault(str(document.get("source", path.stem)), []).append(document["text"])
    if not grouped:
        raise TinytalesError(f"{path} holds no text", hint="give a text to measure on")
    return grouped
