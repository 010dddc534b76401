"""A prompt in, a stream of sentences out: `Storyteller` is what an app embeds.

Stories come sentence by sentence. A sentence is shown when it is finished and found kind; until
then it can be taken back and told differently, which is how safety works without a child ever
seeing what was wrong. A tiny model tells a sentence in some ten milliseconds, so nobody waits.

    teller = Storyteller.open()
    telling = teller.stream(StoryPrompt(opening="One day, a fox"), Sampling(seed=7))
    for sentence in telling: ...
    telling.story        # the whole record, from which the same story can be told again
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinytales.bundle import Bundle
from tinytales.draft import Draft
from tinytales.engine import Engine, open_engine
from tinytales.engine.crew import share
from tinytales.errors import PromptError, UsageError
from tinytales.namehelp import NameTokens
from tinytales.pieces import Pieces
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling, draw_seed
from tinytales.story import Story

if TYPE_CHECKING:
    from tinytales.safety import Safety

#: Room that a prompt must leave for a story, in tokens.
ROOM_FOR_STORY = 48


class Storyteller:
    """An open bundle that tells stories. One story at a time; `close` when done.

    Use it as a context manager, or share it between threads: tellings wait for each other.
    """

    def __init__(self, bundle: Bundle, engine: Engine, safety: Safety | None = None) -> None:
        from tinytales.safety import Safety

        self.bundle = bundle
        self.engine = engine
        self.safety = Safety() if safety is None else safety
        self.pieces = Pieces(bundle.tokenizer, bundle.manifest.shape.vocab_size)
        self.name_tokens = NameTokens(self.pieces)
        self._turn = threading.Lock()

    @classmethod
    def open(
        cls,
        path: str | Path | None = None,
        *,
        threads: int | None = None,
        safety: Safety | None = None,
    ) -> Storyteller:
        """Open the bundle at `path` (default: the shipped one) in its runtime.

        Raises:
            BundleError: the bundle is missing, damaged, foreign or of another version.
        """
        bundle = Bundle.open(path)
        return cls(bundle, open_engine(bundle, threads), safety)

    def stream(
        self, prompt: StoryPrompt | None = None, sampling: Sampling | None = None
    ) -> Telling:
        """Begin a story: iterate over the result for its sentences.

        Raises:
            PromptError: the prompt leaves no room for a story, or asks for what is not told here.
        """
        return Telling(self, prompt or StoryPrompt(), sampling or Sampling())

    def tell(self, prompt: StoryPrompt | None = None, sampling: Sampling | None = None) -> Story:
        """One whole story."""
        telling = self.stream(prompt, sampling)
        for _ in telling:
            pass
        return telling.story

    def tell_many(
        self, prompt: StoryPrompt | None = None, sampling: Sampling | None = None, count: int = 2
    ) -> list[Story]:
        """`count` different stories from one prompt, told together: in batches, on every core.

        Their seeds count up from the first, so that each can be told again alone. Sentences cannot
        be taken back one by one in a batch: a story that meets an unkind one is told alone.
        """
        if count < 1:
            raise UsageError(f"{count} stories cannot be told", hint="ask for at least one")
        prompt, sampling = prompt or StoryPrompt(), sampling or Sampling()
        tokens = self.prompt_tokens(prompt)
        sampling = _seeded(sampling)
        first = sampling.seed or 0
        drafts = [
            self.begin_draft(prompt, replace(sampling, seed=first + number), tokens)
            for number in range(count)
        ]
        start = time.perf_counter()
        with self._turn:
            share(self.engine, drafts, partial(_tell_together, tokens))
        seconds = time.perf_counter() - start
        return [
            self.tell(prompt, draft.sampling) if draft.unkind else draft.record(seconds / count)
            for draft in drafts
        ]

    def begin_draft(self, prompt: StoryPrompt, sampling: Sampling, tokens: list[int]) -> Draft:
        """Nothing told yet, of what `prompt` asks for in `tokens`."""
        return Draft(
            prompt,
            sampling,
            self.engine.context_length - len(tokens),
            bundle=self.bundle,
            pieces=self.pieces,
            name_tokens=self.name_tokens,
            safety=self.safety,
        )

    def next_words(self, text: str, count: int = 4, seed: int = 0) -> list[str]:
        """Up to `count` different words that may come next, likeliest first, for a child to pick.

        `seed` brings other words when the first ones do not please.
        """
        prompt = StoryPrompt(opening=text)
        tokens = self.prompt_tokens(prompt)
        random = np.random.Generator(np.random.PCG64(seed))
        words: list[str] = []
        with self._turn:
            logits = self.engine.prefill(tokens)[0].copy()
            logits[list(self.pieces.silent)] = -np.inf
            noise = random.gumbel(size=logits.size) if seed else np.zeros(logits.size)
            for first in np.argsort(-(logits + noise))[: 8 * count]:
                if not self.pieces.starts_word(int(first)) and text and not text.endswith("\n"):
                    continue
                word = self._spell_word(tokens, int(first))
                known = [w.lower() for w in words]
                if word and word.lower() not in known and self.safety.check(word) is None:
                    words.append(word)
                if len(words) == count:
                    break
        return words

    def _spell_word(self, tokens: list[int], first: int) -> str:
        """The word that begins with token `first`, spelled on greedily."""
        spelled = [first]
        for _ in range(6):
            self.engine.rewind(len(tokens) + len(spelled) - 1)
            if self.engine.position >= self.engine.context_length:
                break
            following = int(self.engine.decode([spelled[-1]])[0].argmax())
            if not self.pieces.bytes[following][:1].isalpha():
                break
            spelled.append(following)
        word = self.pieces.text(spelled).strip()
        return word if word.replace("'", "").isalpha() else ""

    def prompt_tokens(self, prompt: StoryPrompt) -> list[int]:
        """The tokens that the model reads first.

        Raises:
            PromptError: too long for the context, or something that is not told here.
        """
        finding = self.safety.check_prompt(prompt)
        if finding is not None:
            raise PromptError(
                f"there is no gentle story about {finding.word!r}",
                hint="try other words, or ask a grown-up to change the safety level",
            )
        tokens = [self.bundle.manifest.end_of_text, *self.bundle.encode(prompt.render())]
        most = self.engine.context_length - ROOM_FOR_STORY
        if len(tokens) > most:
            raise PromptError(
                f"the prompt is too long: {len(tokens)} tokens, and {most} fit",
                hint="shorten the opening or ask for less",
            )
        return tokens

    def close(self) -> None:
        self.engine.close()

    def __enter__(self) -> Storyteller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Telling:
    """One story being told: an iterator over its sentences, the opening first.

    `cancel()` may be called from any thread; `story` is the record of what was told so far.
    """

    def __init__(self, teller: Storyteller, prompt: StoryPrompt, sampling: Sampling) -> None:
        self._teller = teller
        self._tokens = teller.prompt_tokens(prompt)
        self._draft = teller.begin_draft(prompt, _seeded(sampling), self._tokens)
        self._cancelled = threading.Event()
        self._seconds = 0.0
        self._sentences = self._tell()

    def cancel(self) -> None:
        """Stop after the token that is being thought of."""
        self._cancelled.set()

    @property
    def story(self) -> Story:
        return self._draft.record(self._seconds)

    def __iter__(self) -> Iterator[str]:
        return self._sentences

    def __next__(self) -> str:
        return next(self._sentences)

    def _tell(self) -> Iterator[str]:
        draft, engine = self._draft, self._teller.engine
        if draft.text:
            yield draft.text
        with self._teller._turn:
            start = time.perf_counter()
            logits = engine.prefill(self._tokens)[0]
            while True:
                token = None if self._cancelled.is_set() else draft.step(logits)
                self._seconds = time.perf_counter() - start
                yield from draft.released()
                if self._cancelled.is_set():
                    draft.stop("cancelled")
                if draft.finish is not None:
                    return
                if token is None:  # the sentence is taken back
                    engine.rewind(len(self._tokens) + len(draft.kept) - 1)
                    token = draft.kept[-1] if draft.kept else self._tokens[-1]
                elif engine.position >= engine.context_length:
                    draft.stop("context")
                    return
                logits = engine.decode([token])[0]


def _tell_together(tokens: list[int], engine: Engine, drafts: Sequence[Draft]) -> None:
    """Tell `drafts`, all of which begin with `tokens`, in one batch."""
    logits = engine.prefill(tokens, batch=len(drafts))
    while True:
        step = [draft.step(row) for draft, row in zip(drafts, logits, strict=True)]
        for draft in drafts:
            if draft.unkind:
                draft.stop("unsafe")
        going = [row for row, token in enumerate(step) if token is not None]
        if not going:
            return
        if engine.position >= engine.context_length:
            for draft in drafts:
                draft.stop("context")
            return
        if len(going) < len(drafts):  # a story that is told costs no more
            engine.keep(going)
            drafts = [drafts[row] for row in going]
        logits = engine.decode([token for token in step if token is not None])


def _seeded(sampling: Sampling) -> Sampling:
    return sampling if sampling.seed is not None else replace(sampling, seed=draw_seed())
