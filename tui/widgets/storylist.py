"""A list of any length, of which only what is seen is fetched: 10,000 stories open at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tinytales.library import Entry
from tinytales.tui.cells import shorten

#: Rows fetched at once: a screenful and its neighbors.
PAGE = 100

Fetch = Callable[[int, int], Sequence[Entry]]


class StoryList(ScrollView):
    """Rows of stories. `fill` gives the number of rows and how to fetch some of them."""

    HELP = """\
## The stories

**Up** and **Down** walk along the shelf, **Enter** opens a story, **Space** marks several of them.
"""
    can_focus = True
    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "storylist--cursor",
        "storylist--hush",
        "storylist--heart",
    }
    BINDINGS: ClassVar[list[Any]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "edge(-1)", show=False),
        Binding("end", "edge(1)", show=False),
    ]
    DEFAULT_CSS = """
    StoryList { background: $page; color: $ink; scrollbar-size-vertical: 1; overflow-x: hidden; }
    StoryList > .storylist--cursor { background: $chosen; color: $chosen-text; }
    StoryList > .storylist--hush { color: $hush; }
    StoryList > .storylist--heart { color: $glow; text-style: bold; }
    """

    class Moved(Message):
        """The cursor came to another story (or to none)."""

        def __init__(self, entry: Entry | None) -> None:
            super().__init__()
            self.entry = entry

    class Opened(Message):
        """A story shall be opened."""

        def __init__(self, entry: Entry) -> None:
            super().__init__()
            self.entry = entry

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.when: Callable[[str], str] = lambda created: created[:10]
        self.count = 0
        self.cursor = 0
        self.marked: dict[str, str] = {}  # id -> title
        self._fetch: Fetch = lambda offset, limit: ()
        self._pages: dict[int, Sequence[Entry]] = {}

    def fill(self, count: int, fetch: Fetch, cursor: int = 0) -> None:
        self.count, self._fetch, self._pages = count, fetch, {}
        self.cursor = max(0, min(cursor, count - 1))
        self.virtual_size = Size(self.scrollable_content_region.width, count)
        self._see()
        self.refresh()
        self.post_message(self.Moved(self.current))

    def entry(self, row: int) -> Entry | None:
        if not 0 <= row < self.count:
            return None
        page = row // PAGE
        if page not in self._pages:
            if len(self._pages) > 20:
                self._pages.clear()
            self._pages[page] = self._fetch(page * PAGE, PAGE)
        entries = self._pages[page]
        place = row % PAGE
        return entries[place] if place < len(entries) else None

    @property
    def current(self) -> Entry | None:
        return self.entry(self.cursor)

    def mark(self) -> None:
        """Mark the story under the cursor, or take its mark away, and go on to the next."""
        entry = self.current
        if entry is not None:
            if self.marked.pop(entry.id, None) is None:
                self.marked[entry.id] = entry.title
            self.action_move(1)
            self.refresh()

    # -- moving ----------------------------------------------------------------------------------

    def action_move(self, step: int) -> None:
        self.go(self.cursor + step)

    def action_page(self, step: int) -> None:
        self.go(self.cursor + step * max(1, self.scrollable_content_region.height - 1))

    def action_edge(self, step: int) -> None:
        self.go(0 if step < 0 else self.count - 1)

    def go(self, row: int) -> None:
        row = max(0, min(row, self.count - 1))
        if row != self.cursor:
            self.cursor = row
            self._see()
            self.refresh()
            self.post_message(self.Moved(self.current))

    def _see(self) -> None:
        self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True)

    def on_resize(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, self.count)
        self.call_after_refresh(self._see)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        row = offset.y + self.scroll_offset.y
        if row >= self.count:
            return
        again = row == self.cursor
        self.go(row)
        entry = self.current
        if entry is not None and (again or event.chain > 1):
            self.post_message(self.Opened(entry))

    # -- drawing ---------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        base = self.rich_style
        row = y + self.scroll_offset.y
        entry = self.entry(row)
        if entry is None:
            return Strip.blank(width, base)
        hush = self.get_component_rich_style("storylist--hush", partial=True)
        heart = self.get_component_rich_style("storylist--heart", partial=True)
        if row == self.cursor:
            base = base + self.get_component_rich_style("storylist--cursor", partial=True)
            if self.has_focus:
                base += Style(bold=True)
            hush = heart = Style()
        mark = "●" if entry.id in self.marked else " "
        love = "♥" if entry.favorite else " "
        facts = f"{self.when(entry.created):>11} "
        if width >= 56:
            facts = f"{entry.words:>6} words {facts}"
        room = max(4, width - 3 - cell_len(facts))
        return Strip(
            [
                Segment(f"{mark}", base + heart),
                Segment(f"{love} ", base + heart),
                Segment(set_cell_size(shorten(entry.title, room), room), base),
                Segment(facts, base + hush),
            ]
        ).adjust_cell_length(width, base)
