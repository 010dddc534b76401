"""Mend what can be mended, drop what cannot, and count both.

`mend` repairs mojibake, quotes and spaces; `Cleaner` names the first reason to drop a story, in the
order of FAULTS. The counts stand in corpus.json, so that nothing disappears unseen.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from tinytales.errors import require
from tinytales.safety import Safety
from tinytales.sentences import ends_sentence
from tinytales.train.corpus.duplicates import Duplicates, HeldOut, words_of
from tinytales.train.corpus.recipe import CorpusRecipe, Source

#: name -> what is dropped. The order is the order of the checks, and of the table in `stats`.
FAULTS: dict[str, str] = {
    "filtered": "other fields than the recipe's `where`",
    "empty": "no text",
    "mojibake": "broken characters that cannot be mended",
    "too short": "fewer words than min_words",
    "too long": "more words than max_words",
    "not English": "few English function words, or other scripts",
    "several stories": "a second beginning, or text after The End",
    "cut ending": "no end of a sentence at the end",
    "unsafe": "not for children (tinytales.safety)",
    "held out": "shares runs of 13 words with the held-out text",
    "exact duplicate": "the same letters as an earlier story",
    "near duplicate": "almost the words of an earlier story",
}
_PLAIN = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "´": "'",
     "`": "'", "…": "...", "\u2013": "-", "\u2012": "-", "\u2010": "-", "\u2011": "-",
     "\u00ad": "", "\u200b": "", "\ufeff": ""}
)  # fmt: skip
_BROKEN = re.compile(r"[\ufffd\x00-\x09\x0b-\x1f\x7f-\x9f]")
_BEYOND_LATIN = re.compile(r"[^\W\u0000-\u02ff]")
_SUSPECT = re.compile(r"[^\x00-\x7f]|&[a-z#]+\w*;")
_ENGLISH = frozenset("the a and to was of in he she it they his her said with is you on i".split())
#: How a tale begins, or the line that ends one.
_BEGINNING = re.compile(
    r"^(?:Once upon a time|Once there (?:was|were)|There (?:once )?was once|Long ago)\b",
    re.MULTILINE,
)
_ENDING = re.compile(r"^\W*the end\W*\n", re.MULTILINE | re.IGNORECASE)
_TITLE_CHARS = 200  # so much may stand before the first beginning: a title, a dedication


def mend(text: str) -> str:
    """The text in NFC, straight quotes, single spaces, one newline between paragraphs."""
    if _SUSPECT.search(text):
        text = require("ftfy", "train").fix_text(text, uncurl_quotes=False)
    text = unicodedata.normalize("NFC", text).translate(_PLAIN).replace("<|endoftext|>", "\n")
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


class Cleaner:
    """Decides which stories stay. Remembers, as hashes, all that it let pass."""

    def __init__(self, recipe: CorpusRecipe, held_out: Iterable[str] = ()) -> None:
        """`held_out` are the texts that must stay unseen."""
        self._safety = Safety()
        self._held_out = HeldOut(held_out)
        self._contamination = recipe.contamination
        self._duplicates = Duplicates(recipe.near_duplicates)

    def __call__(self, fields: Mapping[str, Any], source: Source) -> tuple[str, str]:
        """The mended story and why to drop it: a name of FAULTS, or nothing."""
        if any(str(fields.get(key)) != str(value) for key, value in source.where.items()):
            return "", "filtered"
        text = mend(fields["text"])
        why = fault(text, source)
        if not why and self._safety.check(text):
            why = "unsafe"
        if why:
            return text, why
        words = words_of(text)
        if self._held_out.share(words) > self._contamination:
            return text, "held out"
        return text, self._duplicates.seen(words)


def fault(text: str, source: Source) -> str:
    """What is wrong with a mended story by itself: a name of FAULTS, or nothing."""
    words = text.split()
    if not words:
        return "empty"
    if _BROKEN.search(text):
        return "mojibake"
    if len(words) < source.min_words:
        return "too short"
    if len(words) > source.max_words:
        return "too long"
    if not is_english(text, words):
        return "not English"
    later = (match.start() > _TITLE_CHARS for match in _BEGINNING.finditer(text))
    if any(later) or _ENDING.search(text):
        return "several stories"
    if not ends_sentence(text):
        return "cut ending"
    return ""


def is_english(text: str, words: list[str]) -> bool:
    """Three words in twenty among the commonest, and hardly a letter beyond Latin."""
    common = sum(1 for word in words if word.lower().strip('.,!?";:') in _ENGLISH)
    foreign = len(_BEYOND_LATIN.findall(text))
    return common >= 0.15 * len(words) and foreign <= 0.01 * len(text)
