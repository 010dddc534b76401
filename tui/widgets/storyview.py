"""The page itself: wraps a growing story, shows it up to a point, lights words and sentences.

Drawn line by line (Textual's Line API): a new word costs the wrapping of its paragraph and the
drawing of two lines, however long the story is.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tinytales.sentences import split_sentences
from tinytales.tui.cells import shorten
from tinytales.wordhelp import forms

#: Lines are no longer than this: the eye finds the next one easily.
LONGEST_LINE = 66
#: Above the story: its title, and an empty line. Kept free while there is no title yet, so that
#: nothing moves when it comes.
HEAD = 2
_PART = re.compile(r"\s*\S+\s*")

Span = tuple[int, int]


def wrap(text: str, start: int, end: int, width: int) -> list[Span]:
    """Lines of `text[start:end]` (one paragraph), none wider than `width` cells.

    A word that is wider than a line is cut. The white space at a break belongs to the line before.
    """
    lines: list[Span] = []
    begin, used = start, 0
    for part in _PART.finditer(text, start, end):
        word = part.group().rstrip()
        size = cell_len(word)
        if used and used + size > width:
            lines.append((begin, part.start()))
            begin, used = part.start(), 0
        if size > width:
            at = part.start()
            for i, character in enumerate(word):
                cells = cell_len(character)
                if used and used + cells > width:
                    lines.append((begin, at + i))
                    begin, used = at + i, 0
                used += cells
            used += len(part.group()) - len(word)
        else:
            used += size + len(part.group()) - len(word)
    lines.append((begin, end))
    return lines


class StoryView(ScrollView):
    """A story on a page. Set `text` and `shown`; call `show` with both as they grow."""

    HELP = """\
## The story

**Up**, **Down**, **PageUp** and **PageDown** turn back and forth while it is
being told; **End** goes to the newest word again. Click a sentence to tell it differently from
there.
"""

    can_focus = True
    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "storyview--title",
        "storyview--lit",
        "storyview--glow",
        "storyview--chosen",
        "storyview--hush",
    }
    DEFAULT_CSS = """
    StoryView {
        padding: 1 2;
        background: $page;
        color: $ink;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
        overflow-x: hidden;
    }
    StoryView > .storyview--title { color: $primary; text-style: bold; }
    StoryView > .storyview--lit { background: $lit; color: $lit-text; }
    StoryView > .storyview--glow { color: $glow; text-style: bold; }
    StoryView > .storyview--chosen { background: $chosen; color: $chosen-text; }
    StoryView > .storyview--hush { color: $hush; }
    """

    class SentencePicked(Message):
        """A sentence was clicked; `index` counts the sentences of the shown text."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, *, id: str | None = None, head: int = HEAD) -> None:
        """`head`: lines kept free for the title; 0 where stories have none."""
        super().__init__(id=id)
        self._head = head
        self.follows = True  # a story that is being told; a told one is opened at its beginning
        self.text = ""
        self.shown = 0
        self.title = ""
        self.ending = ""
        self.wishes: tuple[str, ...] = ()
        self._lit: Span = (0, 0)
        self._chosen: Span | None = None
        self._glows: list[Span] = []
        self._glow_pattern: re.Pattern[str] | None = None
        self._lines: list[Span] = []
        self._starts: list[int] = []
        self._width = 0

    # -- what stands on the page -----------------------------------------------------------------

    def clear(self, title: str = "", wishes: Sequence[str] = ()) -> None:
        """An empty page for a story that was asked for `wishes`."""
        self.text, self.shown, self.title, self.ending = "", 0, title, ""
        self._lit, self._chosen = (0, 0), None
        self.wishes = tuple(wishes)
        alternatives = "|".join(re.escape(f) for word in self.wishes for f in forms(word))
        self._glow_pattern = (
            re.compile(rf"\b(?:{alternatives})\b", re.IGNORECASE) if alternatives else None
        )
        self._forget_wrapping()
        self._fit()
        self.to_start()
        self.refresh()

    def entitle(self, title: str) -> None:
        if title != self.title:
            self.title = title
            self.refresh()

    def end(self, ending: str) -> None:
        """The line that closes the story (or says why it stopped); empty takes it away."""
        if ending != self.ending:
            follow = self.at_end
            self.ending = ending
            self._fit()
            self.refresh()
            if follow:
                self.to_end()

    def show(self, text: str, shown: int, lit: Span = (0, 0)) -> None:
        """Show `text[:shown]` with the word `lit`; `text` mostly is the old one and more."""
        follow = self.at_end
        if not text.startswith(self.text):
            self._forget_wrapping()
        grown = len(text) > len(self.text) or not self._lines
        before = self._line_of(min(self._lit[0], self.shown))
        self.text = text
        if grown:
            self._wrap()
        shorter = shown < self.shown
        self.shown, self._lit = shown, lit
        fitted = self._fit()
        if shorter or fitted:
            self.refresh()
        else:
            self._refresh_lines(before, self._line_of(shown) + 1)
        if follow and fitted:
            self.to_end()

    def choose(self, span: Span | None) -> None:
        """Mark a sentence (or none) and bring it into sight."""
        self._chosen = span
        self.refresh()
        if span is not None:
            top = self._head + self._line_of(span[0])
            height = self._line_of(max(span[0], span[1] - 1)) - self._line_of(span[0]) + 1
            self.scroll_to_region(Region(0, top, 1, height), animate=False, force=True)

    def sentences(self) -> list[Span]:
        """The spans of the sentences that are shown."""
        return split_sentences(self.text[: self.shown])

    @property
    def at_end(self) -> bool:
        """Is the newest line in sight? Then the page follows the story."""
        return self.follows and self.scroll_target_y >= self.max_scroll_y - 1

    def to_start(self) -> None:
        """To the title, at once."""
        self.scroll_to(y=0, animate=False, force=True)

    def to_end(self) -> None:
        """To the newest line, at once: a later page-up must not be overtaken."""
        self.scroll_to(y=self.max_scroll_y, animate=False, force=True)

    # -- wrapping --------------------------------------------------------------------------------

    def _forget_wrapping(self) -> None:
        self._lines, self._starts, self._glows = [], [], []

    @property
    def _measure(self) -> int:
        return max(1, min(LONGEST_LINE, self.scrollable_content_region.width or self._width))

    def _wrap(self) -> None:
        """Wrap what came, from the beginning of the last line: the lines before it stay."""
        start = self._starts[-1] if self._starts else 0
        glow_from = self._starts[-2] if len(self._starts) > 1 else 0  # "ice cream" over two lines
        del self._lines[-1:]
        fresh = []
        while True:
            newline = self.text.find("\n", start)
            stop = len(self.text) if newline < 0 else newline
            fresh += wrap(self.text, start, stop, self._measure)
            if newline < 0:
                break
            fresh.append((stop, stop + 1))  # the empty line between paragraphs
            start = newline + 1
        self._lines += fresh
        self._starts = self._starts[:-1] + [line[0] for line in fresh]
        if self._glow_pattern is not None:
            self._glows = [glow for glow in self._glows if glow[0] < glow_from]
            self._glows += [m.span() for m in self._glow_pattern.finditer(self.text, glow_from)]

    def _line_of(self, offset: int) -> int:
        return max(0, bisect_right(self._starts, offset) - 1)

    def _fit(self) -> bool:
        """Set the height of what can be scrolled. True if it changed."""
        lines = self._line_of(max(0, self.shown - 1)) + 1 if self.shown else 0
        height = self._head + lines + (1 + len(self._ending_lines()) if self.ending else 0)
        size = Size(self.scrollable_content_region.width, height)
        if size == self.virtual_size:
            return False
        self.virtual_size = size
        return True

    def _refresh_lines(self, first: int, last: int) -> None:
        self.refresh_lines(self._head + first, last - first + 1)

    def on_resize(self, event: events.Resize) -> None:
        follow = self.at_end
        if self._measure != self._width:
            self._width = self._measure
            self._forget_wrapping()
            if self.text:
                self._wrap()
        self._fit()
        self.refresh()
        if follow:
            self.call_after_refresh(self.to_end)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.refresh()

    # -- drawing ---------------------------------------------------------------------------------

    def _margin(self) -> int:
        return max(0, (self.scrollable_content_region.width - self._measure) // 2)

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        width = self.scrollable_content_region.width
        index = y + self.scroll_offset.y - self._head
        last = self._line_of(max(0, self.shown - 1)) if self.shown else -1
        segments: list[Segment] = []
        if index < 0 and index == -self._head:
            segments = self._centered(self.title, "storyview--title", base)
        elif 0 <= index <= last:
            segments = self._story_line(*self._lines[index], base)
        elif self.ending and 0 <= index - last - 2 < len(self._ending_lines()):
            line = self._ending_lines()[index - last - 2]
            segments = self._centered(line, "storyview--hush", base)
        margin = Segment(" " * self._margin(), base)
        return Strip([margin, *segments]).adjust_cell_length(width, base)

    def _centered(self, text: str, component: str, base: Style) -> list[Segment]:
        text = shorten(text, self._measure)
        space = Segment(" " * ((self._measure - cell_len(text)) // 2), base)
        return [space, Segment(text, self.get_component_rich_style(component))]

    def _ending_lines(self) -> list[str]:
        lines = wrap(self.ending, 0, len(self.ending), self._measure)
        return [self.ending[start:end].strip() for start, end in lines]

    def _story_line(self, start: int, end: int, base: Style) -> list[Segment]:
        end = min(end, self.shown)
        if end <= start:
            return []
        marks: list[tuple[int, int, str]] = []
        first = bisect_right(self._glows, (start, start)) - 1
        for glow in self._glows[max(0, first) :]:
            if glow[0] >= end:
                break
            marks.append((*glow, "storyview--glow"))
        if self._chosen is not None:
            marks.append((*self._chosen, "storyview--chosen"))
        if self._lit[1] > self._lit[0]:
            marks.append((*self._lit, "storyview--lit"))
        cuts = {start, end}
        for a, b, _ in marks:
            cuts |= {c for c in (a, b) if start < c < end}
        edges = sorted(cuts)
        segments = []
        for a, b in itertools.pairwise(edges):
            style = base
            for from_, to, name in marks:
                if from_ <= a and b <= to:
                    style += self.get_component_rich_style(name, partial=True)
            segments.append(Segment(self.text[a:b].replace("\n", ""), style))
        return segments

    # -- the mouse -------------------------------------------------------------------------------

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        index = offset.y + self.scroll_offset.y - self._head
        if not 0 <= index < len(self._lines):
            return
        start, end = self._lines[index]
        column, at = offset.x - self._margin(), start
        while at < end and cell_len(self.text[start : at + 1]) <= column:
            at += 1
        for number, (first, stop) in enumerate(self.sentences()):
            if first <= at < stop:
                self.post_message(self.SentencePicked(number))
                return
