"""Batches from a prepared corpus: memory-mapped, deterministic, resumable, shared by processes.

A prepared corpus (`tinytales corpus build`) is a folder with `corpus.json`, `tokenizer.json`, and
for every source `NAME.tokens.npy`: uint16 tokens in which every document begins with the
end-of-text token. Rows are windows of that stream, drawn without replacement; sources are mixed by
weight. What comes next depends on the seed and a counter for each source, which is all that a
checkpoint has to remember.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinytales.errors import TinytalesError, UsageError, nearest

CORPUS = "corpus.json"


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
            self.vocab_size = int(self.about["vocab_size"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise TinytalesError(
                f"{folder} is not a prepared corpus: {error}",
                hint="make one: tinytales corpus build --out DIR",
            ) from error

    @property
    def tokenizer_path(self) -> Path:
        return self.folder / "tokenizer.json"


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
        for name in self.names:
            if len(corpus.tokens[name]) < sequence + 2:
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
        self._sources = list(corpus.tokens)
        self._order: dict[str, tuple[int, NDArray[np.int64]]] = {}

    def next(self, rows: int, rank: int = 0, world: int = 1) -> tuple[Tensor, Tensor]:
        """The next `rows` rows; of them this process's share.

        Returns tokens and targets, both int64 [rows / world, sequence].
        """
        draw = np.random.default_rng([self.seed, self.counters[""]])
        self.counters[""] += rows
        taken = []
        for row, pick in enumerate(draw.choice(len(self.names), size=rows, p=self.shares)):
            name = self.names[pick]
            start = self._start(name)
            if row % world == rank:
                taken.append(self._tokens[name][start : start + self.sequence + 1])
        stacked = torch.from_numpy(np.stack(taken).astype(np.int64))
        return stacked[:, :-1].contiguous(), stacked[:, 1:].contiguous()

    def _start(self, name: str) -> int:
        """Where the next row of `name` begins; every epoch has its own order and offset."""
        count = (len(self._tokens[name]) - 1) // self.sequence - 1
        count = max(1, count)
        epoch, index = divmod(self.counters[name], count)
        if self._order.get(name, (-1,))[0] != epoch:
            dice = np.random.default_rng([self.seed, self._sources.index(name), epoch])
            room = len(self._tokens[name]) - 1 - count * self.sequence
            offset = int(dice.integers(0, min(self.sequence, room) + 1))
            self._order[name] = (epoch, offset + self.sequence * dice.permutation(count))
        self.counters[name] += 1
        return int(self._order[name][1][index])

    def epochs(self) -> dict[str, float]:
        """How often each source was read so far."""
        return {
            name: self.counters[name] * self.sequence / len(self._tokens[name])
            for name in self._sources
        }
