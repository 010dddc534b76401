"""A storyteller without a model: tells the originals, at any speed. For tests, bench and pictures.

It has the interface of `Storyteller` as far as the app uses it, and nothing of it is by chance:
the seed chooses the story.
"""

from __future__ import annotations

import json
import lzma
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from types import SimpleNamespace
from typing import Any

from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.sentences import split_sentences
from tinytales.story import Finish, Story

_TOKEN = re.compile(r"\s*[^\s]{1,6}")


@cache
def originals(count: int = 40) -> tuple[str, ...]:
    """The first originals (CC0), as they came."""
    path = resources.files("tinytales.assets") / "originals.jsonl.xz"
    with path.open("rb") as packed, lzma.open(packed, "rt", encoding="utf-8") as lines:
        return tuple(json.loads(line)["text"] for _, line in zip(range(count), lines, strict=False))


@dataclass
class Rehearsal:
    """Attributes:
    tokens_per_second: 0 tells at once, sentence by sentence; otherwise small pieces in time.
    tokens: tell at least so many, from one story into the next.
    """

    name: str = "ember"
    tokens_per_second: float = 0
    tokens: int = 0
    bundle: Any = field(init=False)

    def __post_init__(self) -> None:
        self.bundle = SimpleNamespace(
            name=self.name,
            digest=f"{self.name}-digest",
            encode=lambda text: _TOKEN.findall(text),
            manifest=SimpleNamespace(context_length=512),
        )

    def stream(
        self, prompt: StoryPrompt | None = None, sampling: Sampling | None = None
    ) -> RehearsalTelling:
        return RehearsalTelling(self, prompt or StoryPrompt(), sampling or Sampling(seed=0))

    def tell(self, prompt: StoryPrompt | None = None, sampling: Sampling | None = None) -> Story:
        telling = self.stream(prompt, sampling)
        for _ in telling:
            pass
        return telling.story

    def next_words(self, text: str, count: int = 4, seed: int = 0) -> list[str]:
        words = ["fox", "lantern", "and", "softly", "river", "because", "garden", "laughed"]
        return [words[(seed * count + n) % len(words)] for n in range(count)]

    def close(self) -> None:
        """Nothing to close."""


class RehearsalTelling:
    """One original, after the opening that was asked for."""

    def __init__(self, teller: Rehearsal, prompt: StoryPrompt, sampling: Sampling) -> None:
        self._teller, self._prompt, self._sampling = teller, prompt, sampling
        self._text = prompt.opening
        self._tokens = 0
        self._finish: Finish = "cancelled"
        self._cancelled = False
        self._first = Story(text="", prompt=prompt, sampling=sampling, finish="cancelled")

    def cancel(self) -> None:
        self._cancelled = True

    @property
    def story(self) -> Story:
        return Story(
            text=self._text,
            prompt=self._prompt,
            sampling=self._sampling,
            finish=self._finish,
            tokens=self._tokens,
            bundle=self._teller.name,
            bundle_digest=self._teller.bundle.digest,
            id=self._first.id,
            created=self._first.created,
        )

    def __iter__(self) -> Iterator[str]:
        if self._text:
            yield self._text
        speed, number = self._teller.tokens_per_second, self._sampling.seed or 0
        start = time.perf_counter()
        while True:
            text = originals()[number % len(originals())]
            if self._text:
                text = ("\n" if self._tokens else " ") + text
            for piece in self._pieces(text, speed):
                if self._cancelled:
                    return
                self._text += piece
                self._tokens += 1
                yield piece
                if speed:
                    ahead = start + self._tokens / speed - time.perf_counter()
                    if ahead > 0:
                        time.sleep(ahead)
            number += 1
            if self._tokens >= self._teller.tokens:
                break
        limit = self._sampling.max_words
        self._finish = "length" if limit and len(self._text.split()) >= limit else "end"

    @staticmethod
    def _pieces(text: str, speed: float) -> list[str]:
        if speed:
            return _TOKEN.findall(text)
        ends = [end for _, end in split_sentences(text)]
        return [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
