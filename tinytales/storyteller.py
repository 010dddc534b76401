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
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinytales.bundle import Bundle
from tinytales.engine import Engine, open_engine
from tinytales.errors import PromptError, UsageError
from tinytales.lexicon import WORD, invented_words
from tinytales.namehelp import NameHelp, NameTokens
from tinytales.pieces import Pieces, TextStream
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampler, Sampling, draw_seed
from tinytales.sentences import ends_sentence, whole_sentences
from tinytales.story import Finish, Story, new_id, now
from tinytales.wordhelp import WordHelp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tinytales.safety import Safety

#: Room that a prompt must leave for a story, in tokens.
ROOM_FOR_STORY = 48
#: This close to the end of the context, or this far past `max_words`, the next whole sentence ends.
CLOSING_TOKENS = 40
#: A sentence longer than this never ends; it is told again, like an unkind one.
LONGEST_SENTENCE = 120
#: How often a sentence is told again for an invented word; after that it may stand.
SPELLING_TRIES = 3
#: How often one sentence is told again before the story stops there.
MOST_TRIES = 12


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
        """`count` different stories from one prompt, told together in one batch.

        Their seeds count up from the first, so that each can be told again alone. Sentences cannot
        be taken back one by one in a batch: a story that meets an unkind one is told alone.
        """
        if count < 1:
            raise UsageError(f"{count} stories cannot be told", hint="ask for at least one")
        prompt, sampling = prompt or StoryPrompt(), sampling or Sampling()
        tokens = self.prompt_tokens(prompt)
        sampling = _seeded(sampling)
        first = sampling.seed or 0
        tales = [
            _Tale(self, prompt, replace(sampling, seed=first + number), len(tokens))
            for number in range(count)
        ]
        start = time.perf_counter()
        with self._turn:
            logits = self.engine.prefill(tokens, batch=count)
            while True:
                step = [tale.step(row) for tale, row in zip(tales, logits, strict=True)]
                for tale in tales:
                    if tale.unkind:
                        tale.stop("unsafe")
                if all(token is None for token in step):
                    break
                if self.engine.position >= self.engine.context_length:
                    for tale in tales:
                        tale.stop("context")
                    break
                end = self.bundle.manifest.end_of_text
                logits = self.engine.decode([end if token is None else token for token in step])
        seconds = time.perf_counter() - start
        return [
            self.tell(prompt, tale.sampling) if tale.unkind else tale.record(seconds / count)
            for tale in tales
        ]

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
        self._tale = _Tale(teller, prompt, _seeded(sampling), len(self._tokens))
        self._cancelled = threading.Event()
        self._seconds = 0.0
        self._sentences = self._tell()

    def cancel(self) -> None:
        """Stop after the token that is being thought of."""
        self._cancelled.set()

    @property
    def story(self) -> Story:
        return self._tale.record(self._seconds)

    def __iter__(self) -> Iterator[str]:
        return self._sentences

    def __next__(self) -> str:
        return next(self._sentences)

    def _tell(self) -> Iterator[str]:
        tale, engine = self._tale, self._teller.engine
        if tale.text:
            yield tale.text
        with self._teller._turn:
            start = time.perf_counter()
            logits = engine.prefill(self._tokens)[0]
            while True:
                token = None if self._cancelled.is_set() else tale.step(logits)
                self._seconds = time.perf_counter() - start
                yield from tale.released()
                if self._cancelled.is_set():
                    tale.stop("cancelled")
                if tale.finish is not None:
                    return
                if token is None:  # the sentence is taken back
                    engine.rewind(len(self._tokens) + len(tale.kept) - 1)
                    token = tale.kept[-1] if tale.kept else self._tokens[-1]
                elif engine.position >= engine.context_length:
                    tale.stop("context")
                    return
                logits = engine.decode([token])[0]


class _Tale:
    """The growing story of one sequence: what is sure, what is pending, what may come next.

    `step` takes a row of logits and gives the next token, or None when the story is over or its
    last sentence is taken back (then `kept` are the tokens that stay).
    """

    def __init__(
        self,
        teller: Storyteller,
        prompt: StoryPrompt,
        sampling: Sampling,
        prompt_tokens: int,
    ) -> None:
        self.teller = teller
        self.prompt = prompt
        self.sampling = sampling
        self.id, self.created = new_id(), now()
        self.text = prompt.opening
        self.finish: Finish | None = None
        self.unkind = False
        self.kept: list[int] = []
        self._pending: list[int] = []
        self._pending_text = ""
        self._released: list[str] = []
        #: First tokens of the sentences taken back here: the next one begins otherwise.
        self._refused: list[int] = []
        self._prompt_tokens = prompt_tokens
        self._sampler = Sampler(sampling)
        self._stream = TextStream()
        self._end = teller.bundle.manifest.end_of_text
        self._help = WordHelp(prompt.words if sampling.word_help else (), teller.bundle.encode)
        asked = " ".join((*prompt.words, prompt.sentence, prompt.summary))
        self._names = NameHelp(teller.name_tokens, asked) if sampling.name_help else None
        if prompt.opening:
            self._help.told(prompt.opening)
            if self._names is not None:
                self._names.told(prompt.opening)
        self._never = {token: -np.inf for token in teller.pieces.silent if token != self._end}

    def step(self, logits: NDArray[np.float32]) -> int | None:
        if self.finish is not None:
            return None
        bias = self._bias(wants_end=bool(logits.argmax() == self._end))
        if self._names is not None:
            logits = self._names.lower(logits, self._pending_text)
        token = self._sampler.pick(logits, bias)
        if self._at_sentence_end(token):
            if self._closed():
                return None
            if token == self._end:
                self.stop("end")
                return None
        if len(self._pending) >= LONGEST_SENTENCE:
            self._take_back()
            return None
        self._pending.append(token)
        self._pending_text += self._stream.feed(self.teller.pieces.bytes[token])
        return token

    def released(self) -> list[str]:
        """The text that became sure since the last call."""
        sure, self._released = self._released, []
        return sure

    def stop(self, why: Finish) -> None:
        if self.finish is None:
            self.finish = why

    def record(self, seconds: float) -> Story:
        manifest = self.teller.bundle.manifest
        return Story(
            text=self.text,
            prompt=self.prompt,
            sampling=self.sampling,
            finish=self.finish or "cancelled",
            tokens=len(self.kept),
            seconds=round(seconds, 4),
            bundle=manifest.name,
            bundle_digest=self.teller.bundle.digest,
            safety=self.teller.safety.level,
            id=self.id,
            created=self.created,
        )

    def _bias(self, wants_end: bool) -> dict[int, float]:
        bias = dict(self._never)
        if self._refused and not self._pending:
            bias |= dict.fromkeys(self._refused, -np.inf)
        if not self.kept and not self._pending and not self.text:
            bias[self._end] = -np.inf  # not an empty story
        if self._help.missing:
            bias |= self._help.bias(self._pending_text, self._word_begun())
            if self._help.holds_end(wants_end):
                bias[self._end] = -np.inf
        return bias

    def _word_begun(self) -> list[int]:
        """The pending tokens from the last one that began a word."""
        for i in range(len(self._pending) - 1, -1, -1):
            if self.teller.pieces.starts_word(self._pending[i]):
                return self._pending[i:]
        return []

    def _at_sentence_end(self, token: int) -> bool:
        """Does the pending sentence end before `token`?"""
        if token == self._end:
            return True
        if not self._pending_text.strip():
            return False
        piece = self.teller.pieces.bytes[token]
        if piece[:1] == b"\n":
            return True
        return piece[:1].isspace() and ends_sentence(self._pending_text)

    def _closed(self) -> bool:
        """Check and release the pending sentence. True if the telling stops or steps back here."""
        told = self.text + self._pending_text
        open_at = len(whole_sentences(self.text))
        if self.teller.safety.check(told[open_at:]) is not None or self._invented():
            self._take_back()
            return True
        if not self.text:
            self._pending_text = self._pending_text.lstrip()
        if self._pending_text:
            self._released.append(self._pending_text)
        self.text += self._pending_text
        self.kept += self._pending
        if self._pending_text.strip():
            self._help.told(self._pending_text)
            if self._names is not None:
                self._names.told(self._pending_text)
        self._pending, self._pending_text, self._refused = [], "", []
        limit = self.sampling.max_words
        room = self.teller.engine.context_length - self._prompt_tokens - len(self.kept)
        if limit and len(self.text.split()) >= limit:
            self.stop("length")
        elif room < CLOSING_TOKENS:
            self.stop("context")
        return self.finish is not None

    def _invented(self) -> bool:
        """Does the pending sentence hold a word that does not exist, and nobody asked for?"""
        if not self.sampling.word_help or len(self._refused) >= SPELLING_TRIES:
            return False
        asked = (*self.prompt.words, *WORD.findall(f"{self.prompt.summary} {self.text}"))
        return bool(invented_words(self._pending_text, asked))

    def _take_back(self) -> None:
        """The pending sentence is not told; another is tried, or the story stops before it."""
        self._sampler.forget(len(self._pending) + 1)
        self._refused.append(self._pending[0] if self._pending else self._end)
        self._pending, self._pending_text = [], ""
        self._stream.forget()
        self.unkind = True
        if len(self._refused) > MOST_TRIES:
            self.stop("unsafe")


def _seeded(sampling: Sampling) -> Sampling:
    return sampling if sampling.seed is not None else replace(sampling, seed=draw_seed())
