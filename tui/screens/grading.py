"""Grading of saved stories, as far as it is done on this machine: marks by counting, and the queue.

Asking a judge needs the network and consent, so it stays with the command line: `tinytales grade`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Button, DataTable, Static

from tinytales.errors import TinytalesError
from tinytales.library import Entry
from tinytales.story import Story

if TYPE_CHECKING:
    from tinytales.tui.app import TinytalesApp

#: So many of the newest stories are marked.
NEWEST = 30
ABOUT = """\
These marks are counted here, without any judge: words that do not exist, loops, endings, wishes. \
They are not what GPT-4 would say. For a judge's grades: tinytales grade library."""


class GradingPane(VerticalScroll):
    """Marks of the newest stories, and those that wait for a judge."""

    HELP = """\
## Grading

Each row is a story with what can be counted about it. **q** puts the story under the cursor into
the queue for a judge, or takes it out; `tinytales grade queue` grades what waits there, after it
has said what that costs.
"""
    BINDINGS: ClassVar[list[Any]] = [Binding("q", "queue", "For the judge")]

    def __init__(self) -> None:
        super().__init__(classes="corner", can_focus=False)
        self._stories: list[Story] = []
        self._faults: list[str] = []

    @property
    def tales(self) -> TinytalesApp:
        return cast("TinytalesApp", self.app)

    def compose(self) -> ComposeResult:
        yield Static(ABOUT, classes="why")
        yield DataTable(id="marks", cursor_type="row")
        yield Static("", id="faults")
        with Horizontal(classes="buttons"):
            yield Button("For the judge", id="queue", compact=True)

    def on_mount(self) -> None:
        table: DataTable[str] = self.query_one(DataTable)
        table.add_columns("Story", "Words", "School year", "Simple", "Faults", "Judge")

    @work(exclusive=True, group="marks")
    async def look(self) -> None:
        """Mark the newest stories, in a thread."""
        entries = self.tales.shelf.list(sort="newest", favorites=False, offset=0, limit=NEWEST)
        rows, waiting = await asyncio.to_thread(self._mark, entries)
        table: DataTable[str] = self.query_one(DataTable)
        row = table.cursor_row
        table.clear()
        self._faults = []
        for title, marks, story in rows:
            table.add_row(
                title,
                str(marks.words),
                f"{max(0, marks.reading_grade):.0f}",
                f"{marks.simple_words:.0%}",
                str(len(marks.faults)) if marks.faults else "–",
                "waits" if story.id in waiting else "",
            )
            self._faults.append("; ".join(marks.faults) or "Nothing that counting could find.")
        self._stories = [story for _, _, story in rows]
        if rows:
            table.move_cursor(row=min(row, len(rows) - 1))
        self._say()

    def _mark(self, entries: Sequence[Entry]) -> tuple[list[tuple[str, Any, Story]], set[str]]:
        from tinytales.grading import Desk, offline_marks

        rows = []
        for entry in entries:
            story = self.tales.shelf.get(entry.id)
            if story is not None:
                rows.append((entry.title, offline_marks(story), story))
        try:
            with Desk() as desk:
                waiting = {story.id for _, story in desk.waiting()}
        except TinytalesError:
            waiting = set()
        return rows, waiting

    @on(DataTable.RowHighlighted)
    def _say(self) -> None:
        row = self.query_one(DataTable).cursor_row
        faults = self._faults[row] if 0 <= row < len(self._faults) else "No story yet."
        self.query_one("#faults", Static).update(faults)

    @on(Button.Pressed, "#queue")
    def action_queue(self) -> None:
        row = self.query_one(DataTable).cursor_row
        if 0 <= row < len(self._stories):
            self._queue(self._stories[row])

    @work(exclusive=True, group="queue")
    async def _queue(self, story: Story) -> None:
        try:
            await asyncio.to_thread(turn, story)
        except TinytalesError as error:
            self.tales.say(error)
        self.look()


def turn(story: Story) -> None:
    """Put a story into the judge's queue, or take it out."""
    from tinytales.grading import Desk

    with Desk() as desk:
        waiting = [rubric for rubric, other in desk.waiting() if other.id == story.id]
        if waiting:
            desk.forget([story])
        if not waiting:
            desk.wait([story])
