"""ASCII mode: a last filter over everything that is drawn, for terminals without Unicode.

Each character is replaced by ASCII of the same width, so that no column moves: boxes become `+-|`,
quotation marks straight ones, and what has no likeness a question mark.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_PAIRS = {
    "─━═▁▔▀▄": "-", "│┃║▏▕▌▐": "|", "┌┐└┘╭╮╰╯├┤┬┴┼": "+", "‘’‚": "'", "“”„": '"', "–—": "-",
    "…·": ".", "•●◉✓♥★☾☀": "*", "○◌♡☆": "o", "✦✧❦❧": "*", "→▸▶›": ">", "←◂‹": "<", "↑▴": "^",
    "↓▾": "v", "⏎↵": "<", "×✗": "x", "█▇▆▅▃▂▊▋▉▍▎░▒▓": "#", "⏸‖": "=", "\u00a0": " ",
}  # fmt: skip
_LIKENESS = {character: ascii_ for group, ascii_ in _PAIRS.items() for character in group}


@lru_cache(4096)
def to_ascii(text: str) -> str:
    """`text` in ASCII, as many cells wide as before."""
    if text.isascii():
        return text
    return "".join(c if c.isascii() else _likeness(c) for c in text)


def _likeness(character: str) -> str:
    width = cell_len(character)
    known = _LIKENESS.get(character)
    if known is None:
        folded = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
        known = folded if len(folded) == width else "?" * width
    return known if len(known) == width else known[:1] * width


class AsciiFilter(LineFilter):
    """Draws every line in ASCII."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(to_ascii(text), style, control) for text, style, control in segments]
