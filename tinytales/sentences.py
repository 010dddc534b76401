"""Where sentences end: the unit in which stories are checked, shown, retold and read aloud."""

from __future__ import annotations

import re

_CLOSED = re.compile(r"[.!?…]+[\"'”’)\]*]*$")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Prof)\.$")
_BREAK = re.compile(r"(?<=[.!?…])[\"'”’)\]*]*(?=\s)|\n")
#: After a closed quotation the sentence often goes on: "Run!" said Tom.
_GOES_ON = re.compile(r"[\"”’]\s+(?:[a-z]|[A-Z]\w+ (?:said|asked|cried|called|shouted|replied)\b)")


def ends_sentence(text: str) -> bool:
    """Does `text` end with a finished sentence (closing quotes and brackets included)?"""
    text = text.rstrip()
    return bool(_CLOSED.search(text)) and not _ABBREVIATION.search(text)


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Spans [start, end) of the sentences of `text`, without the white space between them.

    A quotation and what is said of it stay together; a newline always ends a sentence.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _BREAK.finditer(text):
        end = match.end() if match.group() != "\n" else match.start()
        if match.group() != "\n" and (
            _ABBREVIATION.search(text[start:end]) or _GOES_ON.match(text, max(start, end - 1))
        ):
            continue
        _add(spans, text, start, end)
        start = match.end()
    _add(spans, text, start, len(text))
    return spans


def whole_sentences(text: str) -> str:
    """`text` up to its last finished sentence; empty if there is none."""
    for start, end in reversed(split_sentences(text)):
        if ends_sentence(text[start:end]):
            return text[:end]
    return ""


def _add(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    if piece.strip():
        left = len(piece) - len(piece.lstrip())
        spans.append((start + left, start + len(piece.rstrip())))
