"""Bits per byte of a checkpoint, measured with torch (`tinytales.bits` says how it is counted).

tinytales evaluate runs/mine/final --text dev.jsonl.xz
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer

from tinytales.bits import Score, Window, windows
from tinytales.errors import TinytalesError
from tinytales.train.corpus.readers import read_documents as corpus_documents
from tinytales.train.model import Llama


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
            pieces: list[Window] = []
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
def _score(model: Llama, pieces: Sequence[Window], device: torch.device) -> Score:
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
