"""How fast a story appears: words a minute, or as fast as it comes.

The model tells far faster than anyone reads. What it has told waits in `text`; `shown` says how far
the page has got. `Reading` knows nothing of screens, so that its clock can be a test's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from time import monotonic

#: Words a minute that one steps through; 0 shows the story as fast as it comes.
PACES = (60, 90, 120, 160, 220, 320, 0)
_WORD = re.compile(r"\s*\S+")
#: No more than this is caught up after a hiccup: a story never rushes.
_MOST_CATCH_UP = 0.5


def pace_name(pace: int) -> str:
    return f"{pace} words a minute" if pace else "as it comes"


def next_pace(pace: int, step: int) -> int:
    """The pace one step slower (-1) or quicker (+1)."""
    if pace in PACES:
        place = PACES.index(pace) + step
    else:
        quicker = [i for i, p in enumerate(PACES) if p > pace] or [len(PACES) - 1]
        place = quicker[0] if step > 0 else quicker[0] - 1
    return PACES[max(0, min(place, len(PACES) - 1))]


def _beats(word: str) -> float:
    """How long a word takes, in words: about 1 on average, longer at commas and full stops."""
    bare = word.strip()
    beats = 0.5 + 0.07 * len(bare)
    if word.startswith("\n"):
        beats += 0.8
    if bare.endswith((",", ";", ":")):
        beats += 0.4
    elif bare.rstrip("\"'”’)").endswith((".", "!", "?", "…")):
        beats += 0.9
    return beats


class Reading:
    """A text that grows at one end and is shown from the other.

    `text[:shown]` is what stands on the page; `lit` is the span of the word that came last.
    """

    def __init__(self, pace: int = 160, clock: Callable[[], float] = monotonic) -> None:
        self.text = ""
        self.shown = 0
        self.lit = (0, 0)
        self.paused = False
        self.pace = pace
        self._clock = clock
        self._due = clock()
        self._counted = (0, 0)  # words in text[:so far]

    @property
    def words(self) -> int:
        """How many words are shown; only what came since the last time is counted."""
        count, so_far = self._counted
        if so_far > self.shown:
            count, so_far = 0, 0
        count += len(self.text[so_far : self.shown].split())
        self._counted = (count, self.shown)
        return count

    @property
    def waiting(self) -> bool:
        """Is there text that is not shown yet?"""
        return self.shown < len(self.text)

    def feed(self, more: str) -> None:
        if not self.waiting:
            self._due = max(self._due, self._clock())
        self.text += more

    def show_all(self) -> None:
        self.shown = len(self.text)
        self.lit = (self.shown, self.shown)

    def restart(self) -> None:
        """From the first word again."""
        self.shown, self.lit, self.paused = 0, (0, 0), False
        self._due = self._clock()

    def pause(self, paused: bool) -> None:
        if self.paused and not paused:
            self._due = self._clock()
        self.paused = paused

    def cut(self) -> str:
        """Forget what is not shown; the text that stays."""
        self.text = self.text[: self.shown].rstrip()
        self.shown = len(self.text)
        self.lit = (self.shown, self.shown)
        return self.text

    def tick(self, limit: int | None = None) -> bool:
        """Show the words that are due, up to the offset `limit`. True if something came."""
        if self.paused or not self.waiting:
            return False
        end = len(self.text) if limit is None else min(limit, len(self.text))
        if not self.pace:
            return self._show_up_to(end)
        now = self._clock()
        self._due = max(self._due, now - _MOST_CATCH_UP)
        before = self.shown
        while self.shown < end and self._due <= now:
            match = _WORD.match(self.text, self.shown, end)
            if match is None:  # white space only
                self.shown = end
                break
            self._light(match)
            self._due += _beats(match.group()) * 60 / self.pace
        return self.shown > before

    def _show_up_to(self, end: int) -> bool:
        if end <= self.shown:
            return False
        # Only the tail is searched: a long text costs no more than its last word.
        words = list(_WORD.finditer(self.text, max(self.shown, end - 200), end))
        if words:
            self._light(words[-1])
        self.shown = end
        return True

    def _light(self, word: re.Match[str]) -> None:
        bare = word.group().lstrip()
        self.shown = word.end()
        self.lit = (word.end() - len(bare), word.end())
