"""Stories that were seen before, here or in the held-out text.

Exact duplicates by hash, near duplicates by MinHash over runs of five words (datasketch;
Lee et al. 2022, "Deduplicating training data makes language models better"), held-out text by runs
of 13 words (Brown et al. 2020, appendix C). Only hashes are kept: the texts stream by.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from hashlib import blake2b

from tinytales.errors import require

RUN = 13
SHINGLE = 5
PERMUTATIONS = 64
_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """The words in lower case, without marks: what counts when texts are compared."""
    return _WORD.findall(text.lower())


def _runs(words: list[str], length: int) -> list[str]:
    return [" ".join(words[i : i + length]) for i in range(max(len(words) - length + 1, 1))]


def digest(text: str) -> int:
    """64 bits of a hash that is the same on every machine."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


class HeldOut:
    """Knows the 13-word runs of text that must stay unseen."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._seen = {digest(run) for text in texts for run in _runs(words_of(text), RUN)}

    def share(self, words: list[str]) -> float:
        """The share of a story's words that stand in runs it has in common with that text."""
        if not self._seen or not words:
            return 0.0
        covered, until = 0, 0
        for i, run in enumerate(_runs(words, RUN)):
            if digest(run) in self._seen:
                end = min(i + RUN, len(words))
                covered += end - max(i, until)
                until = end
        return covered / len(words)


class Duplicates:
    """Knows every story it was shown."""

    def __init__(self, similarity: float) -> None:
        """`similarity` is the Jaccard similarity from which on two stories are one; 0: never."""
        self._exact: set[int] = set()
        self._near = None
        if similarity:
            datasketch = require("datasketch", "train")
            self._minhash = datasketch.MinHash(num_perm=PERMUTATIONS, hashfunc=zlib.crc32)
            self._near = datasketch.MinHashLSH(threshold=similarity, num_perm=PERMUTATIONS)

    def seen(self, words: list[str]) -> str:
        """Remember a story; the name of its fault if it (almost) came before, else nothing."""
        key = digest(" ".join(words))
        if key in self._exact:
            return "exact duplicate"
        self._exact.add(key)
        if self._near is None:
            return ""
        sketch = self._minhash.copy()
        sketch.update_batch([run.encode() for run in set(_runs(words, SHINGLE))])
        if self._near.query(sketch):
            return "near duplicate"
        self._near.insert(len(self._exact), sketch, check_duplication=False)
        return ""
