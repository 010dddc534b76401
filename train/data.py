"""Batches from a prepared corpus: memory-mapped, deterministic, resumable, shared by processes.

A prepared corpus (`tinytales corpus build`) is a folder with `corpus.json`, `tokenizer.json`, and
for every source `NAME.tokens.npy`: uint16 tokens in which every document begins with the
end-of-text token, and `NAME.docs.npy`: where they begin. A row begins with a document and reads on
into the next ones, so that a story is never without its header; documents are drawn without
replacement, sources are mixed by weight. What comes next depends on the seed and a counter for each
source, which is all that a checkpoint has to remember.

The header is a wish, not a story: it is read, and counts nothing in the loss.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from tinytales.errors import TinytalesError, UsageError, nearest
from tinytales.prompt import STORY_LINE

CORPUS = "corpus.json"
#: A header is shorter than this, in tokens; what looks like one later is part of a story.
LONGEST_HEADER = 160


class PreparedCorpus:
    """An opened corpus folder.

    Raises:
        TinytalesError: the folder is missing, incomplete, or of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.about: dict[str, Any] = json.loads((folder / CORPUS).read_text(encoding="utf-8"))
            sources = self.about["sources"]
            self.weights = {s["name"]: float(s["weight"]) for s in sources}
            self.tokens: dict[str, NDArray[np.uint16]] = {
                s["name"]: np.load(
                    folder / f"{s['name']}.tokens.npy", mmap_mode="r", allow_pickle=False
                )
                for s in sources
            }
            self.documents: dict[str, NDArray[np.uint64]] = {
                s["name"]: np.load(folder / f"{s['name']}.docs.npy", allow_pickle=False)
                for s in sources
            }
            self.vocab_size = int(self.about["vocab_size"])
            self.story_line = self._encode_story_line()
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise TinytalesError(
                f"{folder} is not a prepared corpus: {error}",
                hint="make one: tinytales corpus build --out DIR",
            ) from error

    def _encode_story_line(self) -> list[int]:
        tokenizer = Tokenizer.from_file(str(self.tokenizer_path))
        ids: list[int] = tokenizer.encode(STORY_LINE, add_special_tokens=False).ids
        return ids

    @property
    def tokenizer_path(self) -> Path:
        return self.folder / "tokenizer.json"


def without_headers(targets: NDArray[np.int64], story_line: list[int]) -> NDArray[np.int64]:
    """`targets` of one row, with -100 (which counts nothing) wherever a header is foretold.

    A header reaches from the end-of-text token to the line `Story:`.
    """
    size = len(story_line)
    ends = np.flatnonzero(targets == story_line[-1])
    for end in ends[ends >= size - 1]:
        if targets[end - size + 1 : end + 1].tolist() != story_line:
            continue
        ended = np.flatnonzero(targets[:end] == 0)
        start = ended[-1] + 1 if len(ended) else 0
        if end - start < LONGEST_HEADER:
            targets[start : end + 1] = -100
    return targets


class Batches:
    """Endless rows of `sequence` tokens and the tokens after them."""

    def __init__(
        self,
        corpus: PreparedCorpus,
        weights: Mapping[str, float],
        sequence: int,
        seed: int,
        counters: Mapping[str, int] | None = None,
    ) -> None:
        """`weights` (empty: the corpus's own) mixes the sources; those left out rest.

        Raises:
            UsageError: an unknown source, or a text shorter than a row.
        """
        weights = dict(weights) or corpus.weights
        for name in weights:
            if name not in corpus.tokens:
                raise UsageError(
                    f"no source {name!r} in {corpus.folder}", hint=nearest(name, corpus.tokens)
                )
        self.names = [n for n in corpus.tokens if weights.get(n, 0) > 0]
        if not self.names:
            raise UsageError("no source has a weight above 0", hint="give data.weights")
        #: Where a whole row can begin, by source.
        self._starts = {
            name: starts[: np.searchsorted(starts, len(corpus.tokens[name]) - sequence)]
            for name, starts in corpus.documents.items()
        }
        for name in self.names:
            if not len(self._starts[name]):
                raise UsageError(
                    f"{name} has {len(corpus.tokens[name])} tokens, fewer than a row of {sequence}",
                    hint="add text, or lower data.sequence",
                )
        total = sum(weights[n] for n in self.names)
        self.shares = np.array([weights[n] / total for n in self.names])
        self.sequence = sequence
        self.seed = seed
        #: Rows taken from each source so far; `draws` counts the rows of all.
        self.counters: dict[str, int] = {name: 0 for name in corpus.tokens} | {"": 0}
        self.counters |= dict(counters or {})
        self._tokens = corpus.tokens
        self._story_line = corpus.story_line
        self._sources = list(corpus.tokens)
        self._order: dict[str, tuple[int, NDArray[np.int64]]] = {}

    def next(self, rows: int, rank: int = 0, world: int = 1) -> tuple[Tensor, Tensor, int]:
        """The next `rows` rows; of them this process's share.

        Returns tokens and targets, both int64 [rows / world, sequence], and how many targets count
        in all rows together.
        """
        draw = np.random.default_rng([self.seed, self.counters[""]])
        self.counters[""] += rows
        taken = []
        for pick in draw.choice(len(self.names), size=rows, p=self.shares):
            name = self.names[pick]
            start = self._start(name)
            taken.append(self._tokens[name][start : start + self.sequence + 1])
        tokens = np.stack(taken).astype(np.int64)
        targets = np.stack([without_headers(row, self._story_line) for row in tokens[:, 1:].copy()])
        mine = slice(rank, None, world)
        return (
            torch.from_numpy(tokens[mine, :-1].copy()),
            torch.from_numpy(targets[mine]),
            int((targets != -100).sum()),
        )

    def _start(self, name: str) -> int:
        """Where the next row of `name` begins; every round has its own order."""
        starts = self._starts[name]
        turn, index = divmod(self.counters[name], len(starts))
        if self._order.get(name, (-1,))[0] != turn:
            dice = np.random.default_rng([self.seed, self._sources.index(name), turn])
            self._order[name] = (turn, dice.permutation(len(starts)))
        self.counters[name] += 1
        return int(starts[self._order[name][1][index]])

    def epochs(self) -> dict[str, float]:
        """How often each source was read so far."""
        return {
            name: self.counters[name] * self.sequence / len(self._tokens[name])
            for name in self._sources
        }
