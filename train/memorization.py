"""Does the model tell, or does it recite? How much of its stories stands in the training texts.

Four figures of Eldan & Li 2023, section 5 ("Diversity of the generated content"):

- nearest: of each story's word pairs, the share that the *nearest* training story also has (the
  largest Rouge-2 precision). One is a copy. A pool of all texts would say nothing: nearly every
  pair of words occurs somewhere.
- phrases: the share of the stories' k-word runs that occur anywhere in the training texts.
- kin: for each story, its largest Rouge-2 F with another told story: does it repeat itself?
- endings: training stories are cut at 40 % and told on; Rouge-2 precision against the true ending.

    tinytales evaluate runs/mine/final --stories 100 --against runs/corpus
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from tinytales.errors import TinytalesError
from tinytales.prompt import HEADER_LINES, STORY_LINE
from tinytales.train.corpus.duplicates import words_of
from tinytales.train.data import PreparedCorpus

PHRASES = (4, 6, 8, 10)
CUT = 0.4  # of a story's words are given, the rest is told

Gram = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Nearest:
    """The training story that has most of a told story's word pairs."""

    precision: float
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Memorization:
    """One entry a told story, in their order; `phrases` by length, over all stories."""

    nearest: list[Nearest]
    phrases: dict[int, float]
    kin: list[float]

    def figures(self) -> dict[str, float]:
        """What a report shows."""
        found = [n.precision for n in self.nearest]
        return {
            "nearest_median": statistics.median(found),
            "nearest_largest": max(found),
            "kin_median": statistics.median(self.kin),
            "kin_largest": max(self.kin),
            **{f"phrases_{k}_words": share for k, share in self.phrases.items()},
        }


def measure(
    stories: Sequence[str], training: Iterable[tuple[str, str]], n: int = 2
) -> Memorization:
    """Compare told stories with (source, text) pairs, which stream by once.

    Raises:
        TinytalesError: no story, or none of `n` words.
    """
    told = [grams(words_of(story), n) for story in stories]
    if not told or not all(told):
        raise TinytalesError(
            f"a story of fewer than {n} words cannot be compared", hint="tell longer stories"
        )
    # A column a story, a row for each run of words in any of them: how often it is there.
    rows = {gram: i for i, gram in enumerate(sorted(set().union(*told)))}
    table = np.zeros((len(rows), len(told)), dtype=np.int32)
    for column, counts in enumerate(told):
        for gram, count in counts.items():
            table[rows[gram], column] = count
    totals = table.sum(axis=0)

    most = np.zeros(len(told), dtype=np.int64)
    nearest = [("", "")] * len(told)
    wanted = {k: set().union(*(grams(words_of(s), k) for s in stories)) for k in PHRASES}
    seen: dict[int, set[Gram]] = {k: set() for k in PHRASES}
    for source, text in training:
        words = words_of(text)
        there = {g: c for g, c in grams(words, n).items() if g in rows}
        if there:
            counts_here = np.fromiter(there.values(), np.int32)[:, None]
            shared = np.minimum(table[[rows[g] for g in there]], counts_here).sum(axis=0)
            for column in np.flatnonzero(shared > most):
                most[column], nearest[column] = shared[column], (source, text)
        for k, phrases in wanted.items():
            seen[k] |= phrases & grams(words, k).keys()
    shares = {
        k: sum(c for s in stories for g, c in grams(words_of(s), k).items() if g in seen[k])
        / max(1, sum(grams(words_of(s), k).total() for s in stories))
        for k in PHRASES
    }
    kin = [
        max((rouge_f(a, b) for j, b in enumerate(told) if j != i), default=0.0)
        for i, a in enumerate(told)
    ]
    found = [
        Nearest(float(share), *where) for share, where in zip(most / totals, nearest, strict=True)
    ]
    return Memorization(found, shares, kin)


def grams(words: Sequence[str], n: int) -> Counter[Gram]:
    """Runs of `n` words and how often each occurs."""
    return Counter(zip(*(words[i:] for i in range(n)), strict=False))


def rouge_precision(told: Counter[Gram], reference: Counter[Gram]) -> float:
    """The share of `told` that `reference` has too, each run as often as it is there (Lin 2004)."""
    return (told & reference).total() / told.total() if told else 0.0


def rouge_f(told: Counter[Gram], reference: Counter[Gram]) -> float:
    """The harmonic mean of precision and recall."""
    both = told.total() + reference.total()
    return 2 * (told & reference).total() / both if both else 0.0


def cut(text: str) -> tuple[str, str]:
    """A story's first 40 % of words as an opening, and its true ending."""
    words = text.split(" ")
    keep = max(1, round(len(words) * CUT))
    return " ".join(words[:keep]), " ".join(words[keep:])


def ending_precision(told: str, true: str) -> float:
    """Rouge-2 precision of a told ending against the true one."""
    return rouge_precision(grams(words_of(told), 2), grams(words_of(true), 2))


def training_stories(corpus: PreparedCorpus) -> Iterator[tuple[str, str]]:
    """(source, story) of every document that the trainer reads, without the header."""
    tokenizer = Tokenizer.from_file(str(corpus.tokenizer_path))
    for source, tokens in corpus.tokens.items():
        starts = _starts(corpus.folder / f"{source}.docs.npy")
        ends = [*starts[1:], len(tokens) - 1]
        for i in range(0, len(starts), 256):
            spans = zip(starts[i : i + 256], ends[i : i + 256], strict=True)
            batch = [tokens[start + 1 : end].tolist() for start, end in spans]
            for text in tokenizer.decode_batch(batch):
                yield source, story_of(text)


def story_of(document: str) -> str:
    """A training document without its header."""
    first = document.partition(":")[0].lower()
    if first == "story" or first in HEADER_LINES:
        return document.partition(STORY_LINE)[2] or document
    return document


def _starts(path: Path) -> list[int]:
    try:
        return [int(start) for start in np.load(path, allow_pickle=False)]
    except (OSError, ValueError) as error:
        raise TinytalesError(
            f"{path} cannot be read: {error}", hint="build the corpus anew"
        ) from error


def summary(figures: Mapping[str, float]) -> str:
    """The figures as a table, with what they mean."""
    meaning = {
        "nearest": "word pairs shared with the nearest training story",
        "kin": "likeness to the most alike of the other stories",
        "phrases": "runs of words that occur in the training texts",
        "endings": "word pairs of the true ending, told from 40 % of it",
    }
    width = max(map(len, figures))
    return "\n".join(
        f"{name.replace('_', ' '):<{width}}  {value:6.1%}  {meaning.get(name.split('_')[0], '')}"
        for name, value in figures.items()
    )
