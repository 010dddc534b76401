"""Marks without a judge: free, instant, on this machine. They are not what GPT-4 would say.

    marks(story).to_dict()

Counting cannot tell a good story from a dull one; it does find what tiny models do wrong: words
that do not exist, loops, names that change, sentences that stop in the middle, wishes forgotten. A
full grammar checker was left out on purpose: the good ones need Java or a model many times the size
of the storyteller.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tinytales import sentences
from tinytales.lexicon import WORD, invented_words, known, simple_words, told
from tinytales.story import Story

if TYPE_CHECKING:
    from tinytales.bundle import Bundle

_SENTENCE = re.compile(r"[.!?…][\"'”’)]*(?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Marks:
    """Shares are from 0 to 1.

    Attributes:
        words, sentences: counted.
        reading_grade: Flesch-Kincaid (Kincaid et al. 1975), in years of school; below 3 is easy.
        simple_words: share of words in the list of about 1500 that a small child knows, any form.
        distinct_2: different pairs of words among all pairs; low is monotonous.
        repeated_4: share of runs of four words that were told before; high is a loop.
        non_words: words that are in no dictionary here (names excepted).
        wishes_met: share of the asked-for words that are told, in any form; None without wishes.
        whole_ending: the last sentence is whole, and the story was not cut.
        quotes_balanced: every quotation mark that opens also closes, in each paragraph.
        stray_names: names told once though the story has heroes that are told often, in the
            second half: a hero who suddenly has another name.
        bits_per_byte: surprise to the reference voice, if one was given.
    """

    words: int
    sentences: int
    reading_grade: float
    simple_words: float
    distinct_2: float
    repeated_4: float
    non_words: tuple[str, ...]
    wishes_met: float | None
    missing_words: tuple[str, ...]
    whole_ending: bool
    quotes_balanced: bool
    stray_names: tuple[str, ...]
    bits_per_byte: float | None = None

    @property
    def faults(self) -> list[str]:
        """What a person would want to know, in words."""
        found = []
        if self.non_words:
            found.append("words that do not exist: " + ", ".join(self.non_words))
        if self.repeated_4 > 0.12:
            found.append(f"it repeats itself ({self.repeated_4:.0%} of runs of four words)")
        if not self.whole_ending:
            found.append("it does not end")
        if not self.quotes_balanced:
            found.append("quotation marks do not match")
        if self.missing_words:
            found.append("asked for and not told: " + ", ".join(self.missing_words))
        if self.stray_names:
            found.append("names that appear from nowhere: " + ", ".join(self.stray_names))
        return found

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "faults": self.faults}


def marks(story: Story, reference: Reference | None = None) -> Marks:
    """All marks of one story; with `reference`, its bits per byte too."""
    text = story.text
    words = WORD.findall(text)
    lowered = [w.lower().replace("’", "'") for w in words]
    ends = max(1, len(_SENTENCE.findall(text)))
    wished = story.prompt.words
    missing = tuple(w for w in wished if not told(w, lowered))
    names = _names(text)
    return Marks(
        words=len(words),
        sentences=ends if words else 0,
        reading_grade=round(_reading_grade(lowered, ends), 2),
        simple_words=round(_share(lowered, simple_words()), 4),
        distinct_2=round(_distinct(lowered, 2), 4),
        repeated_4=round(1 - _distinct(lowered, 4), 4),
        non_words=invented_words(text, names),
        wishes_met=1 - len(missing) / len(wished) if wished else None,
        missing_words=missing,
        whole_ending=story.finish == "end" and sentences.ends_sentence(text.rstrip()),
        quotes_balanced=_balanced(text),
        stray_names=_stray(text, names),
        bits_per_byte=round(reference.bits_per_byte(story), 4) if reference else None,
    )


def _share(words: Sequence[str], among: frozenset[str]) -> float:
    return sum(known(w, among) for w in words) / len(words) if words else 0.0


def _reading_grade(words: Sequence[str], ends: int) -> float:
    if not words:
        return 0.0
    beats = sum(_syllables(w) for w in words)
    return 0.39 * len(words) / ends + 11.8 * beats / len(words) - 15.59


def _syllables(word: str) -> int:
    word = re.sub(r"(?:es|ed|e)$", "", word) if len(word) > 3 and word[-2:] != "le" else word
    return max(1, len(re.findall(r"[aeiouyàâäáéèêëíîïóôöúûü]+", word)))


def _distinct(words: Sequence[str], n: int) -> float:
    runs = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return len(set(runs)) / len(runs) if runs else 1.0


def _balanced(text: str) -> bool:
    for paragraph in text.split("\n"):
        if paragraph.count('"') % 2 or paragraph.count("“") != paragraph.count("”"):
            return False
    return True


def _names(text: str) -> Counter[str]:
    """Capitalized words inside sentences: names, with how often they are told anywhere."""
    inside = re.findall(r"(?<=[a-z,;] )[A-Z][a-z]+", text)
    names = {w for w in inside if w not in _NO_NAMES}
    return Counter(w for w in re.findall(r"\b[A-Z][a-z]+\b", text) if w in names)


_NO_NAMES = frozenset(
    "Mom Mommy Dad Daddy Mama Papa Mr Mrs Miss Grandma Grandpa Granny Monday Tuesday Wednesday "
    "Thursday Friday Saturday Sunday Christmas Easter Halloween I God Santa English".split()
)


def _stray(text: str, names: Counter[str]) -> tuple[str, ...]:
    if not any(count >= 3 for count in names.values()):
        return ()
    half = len(text) // 2
    late = text[half:]
    return tuple(
        name
        for name, count in names.items()
        if count == 1
        and re.search(rf"\b{name}\b", late)
        and not re.search(rf"(?:named|called|name is|name was|am|is)\s+{name}\b", late)
    )


class Reference:
    """A voice that tells how surprising a text is. A voice finds its own stories unsurprising:
    compare stories of different voices only with a reference that is neither's."""

    def __init__(self, bundle: Bundle) -> None:
        from tinytales.engine import open_engine

        self.bundle = bundle
        self._engine = open_engine(bundle, 1)

    def bits_per_byte(self, story: Story) -> float:
        """Of the story's text after its prompt, end of text included; up to the context length."""
        import numpy as np

        story_tokens = self.bundle.encode(story.text)
        end = self.bundle.manifest.end_of_text
        tokens = [end, *story_tokens, end][: self._engine.context_length]
        told = story.text
        if len(tokens) < len(story_tokens) + 2:
            told = self.bundle.tokenizer.decode(tokens[1:])
        bits, logits = 0.0, self._engine.prefill(tokens[:1])[0]
        for token in tokens[1:]:
            row = logits.astype(np.float64)
            top = row.max()
            bits -= (row[token] - top - math.log(np.exp(row - top).sum())) / math.log(2)
            if self._engine.position < self._engine.context_length:
                logits = self._engine.decode([token])[0]
        return float(bits / max(1, len(told.encode("utf-8"))))

    def close(self) -> None:
        self._engine.close()


def summary(all_marks: Iterable[Marks]) -> dict[str, float]:
    """Means over stories, for a table."""
    rows = list(all_marks)
    if not rows:
        return {}

    def mean(values: Iterable[float | None]) -> float:
        known = [v for v in values if v is not None]
        return sum(known) / len(known) if known else math.nan

    return {
        "words": mean(m.words for m in rows),
        "reading grade": mean(m.reading_grade for m in rows),
        "simple words": mean(m.simple_words for m in rows),
        "distinct pairs": mean(m.distinct_2 for m in rows),
        "repeated runs of 4": mean(m.repeated_4 for m in rows),
        "non-words in 1000": 1000 * sum(len(m.non_words) for m in rows)
        / max(1, sum(m.words for m in rows)),
        "asked-for words told": mean(m.wishes_met for m in rows),
        "whole endings": mean(float(m.whole_ending) for m in rows),
        "quotes match": mean(float(m.quotes_balanced) for m in rows),
        "stray names in 1000 stories": 1000 * mean(float(len(m.stray_names)) for m in rows),
        "bits per byte": mean(m.bits_per_byte for m in rows),
    }  # fmt: skip
