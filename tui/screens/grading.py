"""Grading in the grown-ups' corner: what can be counted, what judges said, and asking them.

A table of stories; a judge is asked about those that are marked (or the one under the cursor) after
a grown-up agreed to what goes where and what it costs. It goes on while one is elsewhere in the
app. Without a key or a connection the stories wait, and are offered again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, DataTable, Static

from tinytales.errors import TinytalesError
from tinytales.story import Story
from tinytales.tui.judging import LISTS, Judging, Row, Shown, look_up, own_marks, put_aside
from tinytales.tui.screens.judge import JudgeDialog, MarksDialog, SaidDialog, in_short
from tinytales.tui.widgets.chips import Chip, Chips

if TYPE_CHECKING:
    from tinytales.grading.offline import Marks
    from tinytales.grading.plan import Plan
    from tinytales.tui.tales import Tales

#: So often one looks at a grading under way.
LOOK = 0.2
NOTHING = {
    "newest": "No story yet.",
    "favorites": "No favorite yet: f keeps a story as one.",
    "waiting": "No story waits for a judge.",
    "graded": "No judge has been asked yet.",
}


class GradingPane(Vertical):
    """Stories with their marks and grades, and the way to a judge."""

    HELP = """\
## Grading

Words, school year, simple words and faults are **counted here**, without any judge; they are not
what GPT-4 would say. The last column is the judge's.

- **Space** marks stories, **a** all of them; without a mark, the story under the cursor is meant
- **g** asks a judge; before anything is sent, you see what goes where and what it costs
- **q** puts stories aside for a day with a connection, or takes them back
- **Enter** shows all that was said of a story, **o** takes your own grades
- **x** ends a grading; what was answered is kept and never paid twice
"""
    BINDINGS: ClassVar[list[Any]] = [
        Binding("g", "ask", "Ask a judge"),
        Binding("space", "mark", "Mark", key_display="Space"),
        Binding("a", "all", "All"),
        Binding("q", "queue", "For later"),
        Binding("o", "own", "Own grades"),
        Binding("x", "stop", "Stop"),
    ]

    def __init__(self) -> None:
        super().__init__(classes="corner")
        self._shown = Shown([])
        self._marked: dict[str, Story] = {}
        self._counted: dict[str, Marks] = {}
        self._outcome = ""

    @property
    def tales(self) -> Tales:
        return cast("Tales", self.app)

    @property
    def _rows(self) -> list[Row]:
        return self._shown.rows

    @property
    def table(self) -> DataTable[Any]:
        return self.query_one(DataTable)

    def compose(self) -> ComposeResult:
        with Horizontal(id="news"):
            yield Static("", id="told", markup=False)
            yield Button("Ask now", id="asknow", compact=True)
            yield Button("Stop", id="stop", compact=True)
        yield Chips(LISTS, id="lists", on=("newest",), one=True)
        yield DataTable(id="marks", cursor_type="row")
        yield Static("", id="said", markup=False)
        with Horizontal(classes="buttons"):
            yield Button("Ask a judge", id="ask", variant="primary", compact=True)
            yield Button("For later", id="queue", compact=True)
            yield Button("What was said", id="show", compact=True)
            yield Button("Own grades", id="own", compact=True)

    def on_mount(self) -> None:
        self._clock = self.set_interval(LOOK, self._follow, pause=True)
        self._say_news()

    # -- what stands in the table ----------------------------------------------------------------

    def look(self) -> None:
        """Fetch the stories of the chosen list again."""
        self._look()

    @work(exclusive=True, group="marks")
    async def _look(self) -> None:
        (which,) = self.query_one("#lists", Chips).chosen
        self._shown = await asyncio.to_thread(look_up, self.tales.shelf, which, self._counted)
        self._fill()
        self._say_news()

    def on_resize(self) -> None:
        self._fill()

    def _fill(self) -> None:
        """Draw the table anew, as wide as there is room."""
        table, width = self.table, self.content_size.width
        row = table.cursor_row
        columns = {"mark": ("", 1), "story": ("Story", 0)}
        if width >= 64:
            columns |= {
                "words": ("Words", 5), "year": ("School year", 11), "simple": ("Simple", 6),
                "faults": ("Faults", 6),
            }  # fmt: skip
        columns["judge"] = ("Judge", 8)
        taken = sum(cells + 2 for _, cells in columns.values())
        table.clear(columns=True)
        for key, (label, cells) in columns.items():
            table.add_column(label, key=key, width=cells or max(8, width - taken - 1))
        for line in self._rows:
            shown = self._cells(line)
            table.add_row(*(Text(shown[key], no_wrap=True) for key in columns), key=line.story.id)
        if self._rows:
            table.move_cursor(row=min(row, len(self._rows) - 1))
        self._say_row()

    def _cells(self, row: Row) -> dict[str, str]:
        marks = row.marks
        return {
            "mark": "●" if row.story.id in self._marked else "",
            "story": row.title,
            "words": f"{marks.words:>5}",
            "year": f"{max(0, marks.reading_grade):.0f}",
            "simple": f"{marks.simple_words:.0%}",
            "faults": str(len(marks.faults)) if marks.faults else "–",
            "judge": self._judged(row),
        }

    def _judged(self, row: Row) -> str:
        """What the last column says: a mean, or how far it is to one."""
        judging = self.tales.judging
        if judging is not None and not judging.done and judging.asks(row.story.id):
            return "…"
        if row.scores:
            mean = row.scores[-1].mean
            return "no grade" if mean is None else f"{mean:.1f}"
        return "waits" if row.waits else ""

    @on(DataTable.RowHighlighted)
    def _say_row(self) -> None:
        row = self._current()
        said = self.query_one("#said", Static)
        if row is None:
            (which,) = self.query_one("#lists", Chips).chosen
            said.update(NOTHING[which])
            return
        lines = []
        if row.scores:
            lines.append(f"{row.scores[-1].judge}: {in_short(row.scores[-1])}")
        lines.append("; ".join(row.marks.faults) or "Nothing that counting could find.")
        said.update("\n".join(lines))

    def _current(self) -> Row | None:
        row = self.table.cursor_row
        return self._rows[row] if 0 <= row < len(self._rows) else None

    @on(Chip.Switched)
    def _other_list(self, event: Chip.Switched) -> None:
        event.stop()  # not a setting
        self.look()

    # -- choosing --------------------------------------------------------------------------------

    def action_mark(self) -> None:
        row = self._current()
        if row is not None:
            if self._marked.pop(row.story.id, None) is None:
                self._marked[row.story.id] = row.story
            self._redraw("mark")
            self.table.action_cursor_down()

    def action_all(self) -> None:
        """Mark all stories of this list, or none of them."""
        here = {row.story.id: row.story for row in self._rows}
        whole = here.keys() <= self._marked.keys()
        self._marked = {k: s for k, s in self._marked.items() if k not in here}
        if not whole:
            self._marked |= here
        self._redraw("mark")

    def _redraw(self, column: str) -> None:
        for row in self._rows:
            self.table.update_cell(row.story.id, column, Text(self._cells(row)[column]))
        self._say_news()

    @property
    def chosen(self) -> list[Story]:
        """The marked stories, else the one under the cursor."""
        row = self._current()
        return list(self._marked.values()) or ([row.story] if row is not None else [])

    # -- asking ----------------------------------------------------------------------------------

    @on(Button.Pressed, "#ask")
    def action_ask(self) -> None:
        self._ask(self.chosen)

    @on(Button.Pressed, "#asknow")
    @work
    async def _ask_waiting(self) -> None:
        """Ask about all stories that wait, wherever they stand."""
        shown = await asyncio.to_thread(look_up, self.tales.shelf, "waiting", self._counted)
        rubrics = {row.waits for row in shown.rows}
        if len(rubrics) == 1:
            self.tales.memory.rubric = rubrics.pop()
        self._ask([row.story for row in shown.rows])

    def _ask(self, stories: list[Story]) -> None:
        """Ask for consent; then let the judge be asked, or the stories wait."""
        if not stories:
            return
        if self._judging is not None:
            self.notify("The judge is still being asked about other stories.", timeout=4)
            return
        dialog = JudgeDialog(stories, self.tales.memory.rubric)

        def answered(answer: Plan | str | None) -> None:
            if answer is None:
                return
            rubric = answer if isinstance(answer, str) else answer.rubric.name
            self.tales.memory.rubric = rubric
            self._marked.clear()
            if isinstance(answer, str):
                self._put_aside(stories, True)
            else:
                self._keep_judge(*dialog.judge)
                self._begin(answer)

        self.app.push_screen(dialog, answered)

    def _keep_judge(self, model: str, address: str) -> None:
        """Who was asked is asked again next time."""
        settings = self.tales.settings
        if (model, address) != (settings.judge_model, settings.judge_base_url):
            try:
                self.tales.change(judge_model=model, judge_base_url=address)
            except TinytalesError as error:
                self.tales.say(error)

    @property
    def _judging(self) -> Judging | None:
        """The grading under way, if there is one."""
        judging = self.tales.judging
        return judging if judging is not None and not judging.done else None

    def _begin(self, plan: Plan) -> None:
        self.tales.judging = Judging(plan)
        self._outcome = ""
        self._clock.resume()
        self._redraw("mark")
        self._follow()
        self.refresh_bindings()

    def _follow(self) -> None:
        """See how far the judge is."""
        judging = self.tales.judging
        if judging is None:
            return
        for row in self._rows:
            score = judging.scores.get(row.story.id)
            if score is not None and score not in row.scores:
                row.scores.append(score)
        self._redraw("judge")
        if judging.done:
            self._clock.pause()
            self._over(judging)
        else:
            self._say_row()

    def _over(self, judging: Judging) -> None:
        from tinytales.grading.sources import remember

        scores = list(judging.scores.values())
        self.tales.shelf.change(lambda library: remember(library, scores))
        self._outcome = judging.outcome
        if self.app.screen is not self.screen:
            self.notify(self._outcome, title="The judge", timeout=8)
        if judging.leaving:
            self.app.exit()
        self.refresh_bindings()
        self.look()

    @on(Button.Pressed, "#stop")
    def action_stop(self) -> None:
        if self._judging is not None:
            self._judging.stop()
            self._say_news()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "stop" or (self.is_mounted and self._judging is not None)

    def _say_news(self) -> None:
        """The line above all: how far the judge is, how it ended, or that stories wait."""
        judging, line = self._judging, self._outcome
        if judging is not None:
            line = judging.says()
        elif not line and self._shown.trouble:
            line = self._shown.trouble
        elif not line and self._shown.waiting:
            whom = " for a judge" if self.app.size.width >= 64 else ""
            line = f"{_stories(self._shown.waiting)}{whom}."
        elif not line and self._marked:
            line = f"{len(self._marked)} marked."
        self.query_one("#told", Static).update(line)
        self.query_one("#news").set_class(bool(line), "-some")
        self.query_one("#asknow").display = judging is None and self._shown.waiting > 0
        self.query_one("#stop").display = judging is not None and not judging.stopped

    # -- for later, and all that was said --------------------------------------------------------

    @on(Button.Pressed, "#queue")
    def action_queue(self) -> None:
        waiting = {row.story.id for row in self._rows if row.waits}
        stories = self.chosen
        self._marked.clear()
        self._put_aside(stories, not all(story.id in waiting for story in stories))

    @work(exclusive=True, group="queue")
    async def _put_aside(self, stories: list[Story], wait: bool) -> None:
        """Put stories into the judge's queue, or take them out."""
        try:
            await asyncio.to_thread(put_aside, stories, self.tales.memory.rubric if wait else "")
        except TinytalesError as error:
            self.tales.say(error)
        self._outcome = ""
        self.look()

    @on(Button.Pressed, "#show")
    @on(DataTable.RowSelected)
    def _show(self) -> None:
        row = self._current()
        if row is not None:
            self.app.push_screen(SaidDialog(row))

    @on(Button.Pressed, "#own")
    def action_own(self) -> None:
        row = self._current()
        if row is not None:
            self._own(row)

    @work
    async def _own(self, row: Row) -> None:
        """Take a person's own grades, by the rubric that was used last."""
        from tinytales.grading.rubric import load

        try:
            given = await asyncio.to_thread(own_marks, row.story)
            rubric = load(self.tales.memory.rubric or "gentle")
            if not rubric.criteria:
                self.notify(f"The rubric {rubric.name} asks for letters, not for grades.")
                return
            marks = await self.app.push_screen_wait(MarksDialog(row.title, rubric, given))
            if marks is not None:
                await asyncio.to_thread(own_marks, row.story, marks)
                self.notify("Kept. tinytales grade agree compares them with a judge's.", timeout=6)
        except TinytalesError as error:
            self.tales.say(error)


def _stories(count: int) -> str:
    return "1 story waits" if count == 1 else f"{count:,} stories wait"
