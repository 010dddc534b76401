"""Batches from a prepared corpus: memory-mapped, deterministic, resumable, shared by processes.

A prepared corpus (`tinytales corpus build`) is a folder with `corpus.json`, `tokenizer.json`, and
for every source `NAME.tokens.npy`: uint16 tokens in which every document begins with the
end-of-text token, and `NAME.docs.npy`: where they begin. A row begins with a document and reads on
into the next ones, so that a story is never without its header; documents are drawn without
replacement, sources are mixed by weight. What comes next depends on the seed and a counter for each
source, which is all that a checkpoint has to remember.

What each target counts in the loss goes with it (`target_weights`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
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
            self.final_weights = {
                s["name"]: float(s.get("final_weight", s["weight"])) for s in sources
            }
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
            self.header_tokens = HeaderTokens.of(Tokenizer.from_file(str(self.tokenizer_path)))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise TinytalesError(
                f"{folder} is not a prepared corpus: {error}",
                hint="make one: tinytales corpus build --out DIR",
            ) from error

    @property
    def tokenizer_path(self) -> Path:
        return self.folder / "tokenizer.json"


@dataclass(frozen=True, slots=True)
class HeaderTokens:
    """How a tokenizer writes the header of a prompt, to find it again in a row of tokens."""

    story_line: list[int]
    words_line: list[int]
    comma: int
    newline: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> HeaderTokens:
        def encode(text: str) -> list[int]:
            ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
            return ids

        return cls(encode(STORY_LINE), encode("Words:"), encode(",")[-1], encode("\n")[-1])

    def words(self, header: list[int]) -> list[list[int]]:
        """The words that a header asks for, each as its tokens."""
        start = find(header, self.words_line)
        if start < 0:
            return []
        words: list[list[int]] = [[]]
        for token in header[start + len(self.words_line) :]:
            if token == self.newline:
                break
            if token == self.comma:
                words.append([])
            else:
                words[-1].append(token)
        return [word for word in words if word]


def find(tokens: list[int], part: list[int]) -> int:
    """Where `part` begins in `tokens`; -1 if nowhere."""
    for at in range(len(tokens) - len(part) + 1):
        if tokens[at] == part[0] and tokens[at : at + len(part)] == part:
            return at
    return -1


def target_weights(
    targets: NDArray[np.int64], header_tokens: HeaderTokens, wish: float
) -> NDArray[np.float32]:
    """How much each target of a row counts in the loss; `targets` and the result are [sequence].

    A header (from the end-of-text token to the line `Story:`) is a wish, not a story: it is read,
    and counts 0. Where a word that it asks for is told for the first time, that counts `wish`
    times: such tokens are one in seventy, and learning to obey is learning to foretell them.
    """
    weights = np.ones(len(targets), np.float32)
    bounds = [-1, *np.flatnonzero(targets == 0).tolist(), len(targets)]
    for before, end in pairwise(bounds):
        document = targets[before + 1 : end].tolist()
        size = find(document[:LONGEST_HEADER], header_tokens.story_line)
        if size < 0:
            continue
        size += len(header_tokens.story_line)
        story = before + 1 + size
        weights[before + 1 : story] = 0
        for word in header_tokens.words(document[:size]):
            at = find(document[size:], word)
            if at >= 0:
                weights[story + at : story + at + len(word)] = wish
    return weights


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a step.

    Attributes:
        tokens, targets: int64 [rows, sequence]; a target is the token after.
        weights: float32 [rows, sequence], what each target counts in the loss.
        total: the weights of all rows of the step, other processes' too.
    """

    tokens: Tensor
    targets: Tensor
    weights: Tensor
    total: float

    def chunk(self, parts: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Tokens, targets and weights of each of `parts` passes."""
        return zip(
            self.tokens.chunk(parts),
            self.targets.chunk(parts),
            self.weights.chunk(parts),
            strict=True,
        )


class Batches:
    """Endless rows of `sequence` tokens and the tokens after them."""

    def __init__(
        self,
        corpus: PreparedCorpus,
        weights: Mapping[str, float],
        sequence: int,
        seed: int,
        counters: Mapping[str, int] | None = None,
        wish: float = 1.0,
    ) -> None:
        """`weights` (empty: the corpus's own) mixes the sources; those left out rest.

        `wish` is what a word that was asked for counts in the loss (`target_weights`).

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
        self._header_tokens = corpus.header_tokens
        self._wish = wish
        self._sources = list(corpus.tokens)
        self._order: dict[str, tuple[int, NDArray[np.int64]]] = {}

    def next(self, rows: int, rank: int = 0, world: int = 1) -> Batch:
        """The next `rows` rows; of them this process's share."""
        draw = np.random.default_rng([self.seed, self.counters[""]])
        self.counters[""] += rows
        taken = []
        for pick in draw.choice(len(self.names), size=rows, p=self.shares):
            name = self.names[pick]
            start = self._start(name)
            taken.append(self._tokens[name][start : start + self.sequence + 1])
        tokens = np.stack(taken).astype(np.int64)
        weights = np.stack(
            [target_weights(row[1:], self._header_tokens, self._wish) for row in tokens]
        )
        mine = slice(rank, None, world)
        return Batch(
            torch.from_numpy(tokens[mine, :-1].copy()),
            torch.from_numpy(tokens[mine, 1:].copy()),
            torch.from_numpy(weights[mine]),
            float(weights.sum()),
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
