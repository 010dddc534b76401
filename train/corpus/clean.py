"""Mend what can be mended, drop what cannot, and count both.

`mend` repairs mojibake, quotes and spaces; `fault` names the first reason to drop a story, in the
order of FAULTS. The counts stand in corpus.json, so that nothing disappears unseen.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from tinytales.errors import require
from tinytales.sentences import ends_sentence
from tinytales.train.corpus.recipe import Source

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


def fault(text: str, source: Source, unsafe: Callable[[str], bool]) -> str:
    """Why to drop a mended story: a name of FAULTS, or nothing."""
    words = text.split()
    if not words:
        return "empty"
    if "\ufffd" in text or sum(unicodedata.category(c) == "Cc" for c in text if c != "\n"):
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
    if unsafe(text):
        return "unsafe"
    return ""


def is_english(text: str, words: list[str]) -> bool:
    """A fifth of the words among the commonest, and hardly a letter that English lacks."""
    foreign = sum(1 for c in text if ord(c) > 0x2FF and c.isalpha())
    common = sum(1 for word in words if word.lower().strip('.,!?";:') in _ENGLISH)
    return common >= 0.15 * len(words) and foreign <= 0.01 * len(text)


def safety_check() -> Callable[[str], bool] | None:
    """Is a text unsafe for children? None where this installation cannot tell."""
    try:
        from tinytales.safety import Safety
    except ImportError:
        return None
    safety = Safety()
    return lambda text: safety.check(text) is not None
