"""A story in the making: what is sure, what is pending, what may come next.

Tokens gather to a sentence. A finished sentence is checked: a good one is kept and released, any
other is taken back and the next one must begin otherwise. No engine is needed here, only its rows
of logits; `storyteller` turns the wheel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinytales.lexicon import WORD, invented_words
from tinytales.namehelp import NameHelp, NameTokens
from tinytales.pieces import Pieces, TextStream
from tinytales.sampling import Sampler, Sampling
from tinytales.sentences import ends_sentence, whole_sentences
from tinytales.story import Finish, Story, new_id, now
from tinytales.wordhelp import WordHelp, stammers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tinytales.bundle import Bundle
    from tinytales.prompt import StoryPrompt
    from tinytales.safety import Safety

#: This close to the end of the context, or this far past `max_words`, the next whole sentence ends.
CLOSING_TOKENS = 40
#: A sentence longer than this never ends; it is told again, like an unkind one.
LONGEST_SENTENCE = 120
#: How often a sentence is told again for a slip of the tongue; after that it may stand.
SLIP_TRIES = 3
#: How often one sentence is told again before the story stops there.
MOST_TRIES = 12


class Draft:
    """The story that grows from one sequence of tokens, of which at most `room` fit.

    `step` takes a row of logits and gives the next token, or None when the story is over or its
    last sentence is taken back (then `kept` are the tokens that stay).
    """

    def __init__(
        self,
        prompt: StoryPrompt,
        sampling: Sampling,
        room: int,
        *,
        bundle: Bundle,
        pieces: Pieces,
        name_tokens: NameTokens,
        safety: Safety,
    ) -> None:
        self.prompt = prompt
        self.sampling = sampling
        self.room = room
        self._bundle = bundle
        self._pieces = pieces
        self._safety = safety
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
        self._sampler = Sampler(sampling)
        self._stream = TextStream()
        self._end = bundle.manifest.end_of_text
        self._help = WordHelp(prompt.words if sampling.word_help else (), bundle.encode)
        asked = " ".join((*prompt.words, prompt.sentence, prompt.summary))
        self._names = NameHelp(name_tokens, asked) if sampling.name_help else None
        self._hear(prompt.opening)
        self._never = {token: -np.inf for token in pieces.silent if token != self._end}

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
        self._pending_text += self._stream.feed(self._pieces.bytes[token])
        return token

    def released(self) -> list[str]:
        """The text that became sure since the last call."""
        sure, self._released = self._released, []
        return sure

    def stop(self, why: Finish) -> None:
        if self.finish is None:
            self.finish = why

    def record(self, seconds: float) -> Story:
        manifest = self._bundle.manifest
        return Story(
            text=self.text,
            prompt=self.prompt,
            sampling=self.sampling,
            finish=self.finish or "cancelled",
            tokens=len(self.kept),
            seconds=round(seconds, 4),
            bundle=manifest.name,
            bundle_digest=self._bundle.digest,
            safety=self._safety.level,
            id=self.id,
            created=self.created,
        )

    def _bias(self, wants_end: bool) -> dict[int, float]:
        bias = self._help.bias(self._pending_text, self._word_begun())
        if self._help.holds_end(wants_end, self._pending_text):
            bias[self._end] = -np.inf
        if not self.kept and not self._pending and not self.text:
            bias[self._end] = -np.inf  # not an empty story
        if not self._pending:
            bias |= dict.fromkeys(self._refused, -np.inf)
        return bias | self._never

    def _word_begun(self) -> list[int]:
        """The pending tokens from the last one that began a word."""
        for i in range(len(self._pending) - 1, -1, -1):
            if self._pieces.starts_word(self._pending[i]):
                return self._pending[i:]
        return []

    def _at_sentence_end(self, token: int) -> bool:
        """Does the pending sentence end before `token`?"""
        if token == self._end:
            return True
        if not self._pending_text.strip():
            return False
        piece = self._pieces.bytes[token]
        if piece[:1] == b"\n":
            return True
        return piece[:1].isspace() and ends_sentence(self._pending_text)

    def _closed(self) -> bool:
        """Check and release the pending sentence. True if the telling stops or steps back here."""
        told = self.text + self._pending_text
        open_at = len(whole_sentences(self.text))
        if self._safety.check(told[open_at:]) is not None or self._slips():
            self._take_back()
            return True
        if not self.text:
            self._pending_text = self._pending_text.lstrip()
        if self._pending_text:
            self._released.append(self._pending_text)
        self.text += self._pending_text
        self.kept += self._pending
        self._hear(self._pending_text)
        self._pending, self._pending_text, self._refused = [], "", []
        limit = self.sampling.max_words
        room = self.room - len(self.kept)
        if limit and len(self.text.split()) >= limit:
            self.stop("length")
        elif room < CLOSING_TOKENS:
            self.stop("context")
        return self.finish is not None

    def _hear(self, told: str) -> None:
        """Words that are told need no more help; names that are told are known."""
        if told.strip():
            self._help.told(told)
            if self._names is not None:
                self._names.told(told)

    def _slips(self) -> bool:
        """Does the pending sentence invent a word, or stammer?"""
        if not self.sampling.word_help or len(self._refused) >= SLIP_TRIES:
            return False
        asked = (*self.prompt.words, *WORD.findall(f"{self.prompt.summary} {self.text}"))
        return stammers(self.prompt.words, self._pending_text) or bool(
            invented_words(self._pending_text, asked)
        )

    def _take_back(self) -> None:
        """The pending sentence is not told; another is tried, or the story stops before it."""
        self._sampler.forget(len(self._pending) + 1)
        self._refused.append(self._pending[0] if self._pending else self._end)
        self._pending, self._pending_text = [], ""
        self._stream.forget()
        self.unkind = True
        if len(self._refused) > MOST_TRIES:
            self.stop("unsafe")
