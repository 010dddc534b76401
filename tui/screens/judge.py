"""What stands between a story and a judge: consent, what the judge said, and a person's own marks.

Nothing is sent from here. `JudgeDialog` only plans (`tinytales.grading`, no network); what it
returns is carried out by `tinytales.tui.judging.Judging`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Input, Label, Static

from tinytales.errors import TinytalesError, UsageError
from tinytales.story import Story
from tinytales.tui.judging import Row
from tinytales.tui.screens.dialogs import ESC, ReadingDialog
from tinytales.tui.screens.place import Dialog
from tinytales.tui.shelf import sentence
from tinytales.tui.widgets.chips import Chip, Chips

if TYPE_CHECKING:
    from tinytales.grading.cache import Score
    from tinytales.grading.plan import Plan
    from tinytales.grading.rubric import Rubric

#: rubric that came along -> what a grown-up calls it; one's own go by their names
RUBRICS = {"gentle": "gentle", "paper": "paper", "instruct": "wishes"}
#: So long after the last key the plan is made anew.
TYPING = 0.2
OF_THE_KEY = (
    "The key comes from OPENAI_API_KEY or this system's keyring. It is neither shown nor kept."
)


class JudgeDialog(Dialog["Plan | str | None"]):
    """Who shall judge, by what, and what that means.

    Returns the plan that was agreed to, or the rubric under which the stories shall wait, or None.
    """

    HELP = """\
## Asking a judge

A judge is a large model elsewhere, or one on this machine (llama.cpp, Ollama, vLLM): then write
its address, like `http://localhost:8080/v1`, and it costs nothing. **gentle** asks whether a story
is good for a small child, **paper** what GPT-4 was asked about TinyStories, **wishes** also
whether the wishes were met. Rubrics of your own stand beside them; `tinytales grade rubrics` tells
where they lie. Nothing is sent before you agree.
"""
    BINDINGS: ClassVar[list[Any]] = [ESC, Binding("f1", "app.explain", "Help", show=False)]
    DEFAULT_CSS = """
    JudgeDialog Chips { max-height: 4; overflow-y: auto; scrollbar-size-vertical: 1; }
    JudgeDialog.-low Chips { max-height: 2; }
    """

    def __init__(self, stories: Sequence[Story], rubric: str) -> None:
        super().__init__()
        from tinytales.grading.rubric import own

        self._stories = stories
        # A file may be called anything; what is wrong with that is said when it is chosen.
        self._labels = RUBRICS | {name: re.sub(r"[^\w .-]", "?", name)[:24] for name in own()}
        self._rubric = rubric if rubric in self._labels else next(iter(RUBRICS))
        self._wanted: tuple[str, ...] = ()
        self._plan: Plan | None = None

    def compose(self) -> ComposeResult:
        count, settings = len(self._stories), self.tales.settings
        what = f"“{self._stories[0].title}”" if count == 1 else f"these {count} stories"
        with Vertical(classes="dialog wide"):
            yield Label(f"Ask a judge about {what}", markup=False, id="asked")
            yield Chips(self._labels, id="rubric", on=(self._rubric,), one=True)
            with Horizontal(classes="field"):
                yield Label("Judge")
                yield Input(settings.judge_model, id="model", compact=True, max_length=200)
            with Horizontal(classes="field"):
                yield Label("Address")
                yield Input(
                    settings.judge_base_url, placeholder="OpenAI", id="address", compact=True,
                    max_length=500,
                )  # fmt: skip
            with VerticalScroll(id="terms"):
                yield Static("", id="consent", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Agree", id="agree", variant="primary", compact=True, disabled=True)
                yield Button("For later", id="later", compact=True)
                yield Button("No", id="no", compact=True)

    def on_mount(self) -> None:
        self.query_one("Chip.-on").focus()
        self._written()

    @property
    def rubric(self) -> str:
        return self.query_one(Chips).chosen[0]

    @property
    def judge(self) -> tuple[str, str]:
        """The model and its address, as they are written."""
        model, address = self.query_one("#model", Input), self.query_one("#address", Input)
        return model.value.strip(), address.value.strip()

    @on(Input.Changed)
    @on(Chip.Switched)
    def _written(self) -> None:
        """Another judge or rubric: what was said so far no longer holds."""
        wanted = (*self.judge, self.rubric)
        if wanted != self._wanted:
            self._wanted, self._plan = wanted, None
            self.query_one("#agree", Button).disabled = True
            self._reckon(*wanted)

    @on(Input.Submitted)
    def _next(self) -> None:
        self.focus_next()

    @work(exclusive=True, group="plan")
    async def _reckon(self, *wanted: str) -> None:
        """Say what would go where, and what it would cost."""
        from tinytales.grading.plan import dollars

        agree, later = self.query_one("#agree", Button), self.query_one("#later", Button)
        await asyncio.sleep(TYPING)
        try:
            plan, about, problem = await asyncio.to_thread(self._make, *wanted)
        except TinytalesError as error:
            self._say(sentence(error))
            return
        agree.variant, later.variant = ("default", "primary") if problem else ("primary", "default")
        if problem:
            self._say(
                f"Nothing can be sent from here yet: {problem}. The "
                f"{'story' if len(self._stories) == 1 else 'stories'} can wait for a better day "
                "(“For later”), and will be offered again.\n" + OF_THE_KEY
            )
            return
        self._plan, agree.disabled = plan, False
        # The price stands on the button too: on a small screen the text has to be scrolled.
        price = f" {dollars(plan.cost)}" if plan.cost else ""
        agree.label = f"Agree{price}" if plan.requests else "Show"
        self._say(
            "\n".join(
                [plan.says(), *([OF_THE_KEY] if plan.requests and plan.cost != 0 else []), about]
            )
        )

    def _make(self, model: str, address: str, rubric: str) -> tuple[Plan, str, str]:
        """The plan, what the rubric asks, and why it cannot be carried out (in a thread)."""
        from tinytales.grading import Desk

        if not model:
            raise UsageError("the judge has no name", hint="for example gpt-4.1-mini")
        with Desk(model, address) as desk:
            plan = desk.plan(self._stories, rubric)
            return plan, plan.rubric.about, desk.problem if plan.requests else ""

    def _say(self, text: str) -> None:
        self.query_one("#consent", Static).update(text)

    @on(Button.Pressed, "#agree")
    def _agreed(self) -> None:
        if self._plan is not None:
            self.dismiss(self._plan)

    @on(Button.Pressed, "#later")
    def _later(self) -> None:
        self.dismiss(self.rubric)

    @on(Button.Pressed, "#no")
    def _no(self) -> None:
        self.dismiss(None)


class SaidDialog(ReadingDialog):
    """All that was counted about a story, and all that judges said of it."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self._row = row

    def headline(self) -> ComposeResult:
        yield Label(self._row.title, markup=False)

    def matter(self) -> ComposeResult:
        row = self._row
        for score in reversed(row.scores):
            yield Static(who(score), classes="why", markup=False)
            yield Static(grades(score), classes="grades", markup=False)
            if score.assessment:
                yield Static(score.assessment.strip(), classes="words", markup=False)
        if not row.scores:
            yield Static("No judge has been asked about this story.", classes="words")
        yield Static("Counted here, without a judge", classes="why")
        yield Static(counted(row), markup=False)


class MarksDialog(Dialog["dict[str, float] | None"]):
    """A person's own grades, so that `tinytales grade agree` can compare a judge with them."""

    BINDINGS: ClassVar[list[Any]] = [ESC]
    DEFAULT_CSS = """
    #fields { height: auto; max-height: 12; scrollbar-size-vertical: 1; }
    MarksDialog.-low #fields { max-height: 6; }
    """

    def __init__(self, title: str, rubric: Rubric, given: dict[str, float]) -> None:
        super().__init__()
        self._title_now, self._rubric, self._given = title, rubric, given

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide"):
            yield Label(f"Your own grades for “{self._title_now}”", markup=False)
            yield Label("0 is very poor, 10 is excellent; what is left empty is not counted.")
            with VerticalScroll(id="fields", can_focus=False):
                for name, about in self._rubric.criteria.items():
                    with Horizontal(classes="field"):
                        yield Label(name)
                        given = f"{self._given[name]:g}" if name in self._given else ""
                        yield Input(given, placeholder=about, id=f"mark-{name}", compact=True,
                                    type="number", max_length=4)  # fmt: skip
            with Horizontal(classes="buttons"):
                yield Button("Keep", id="keep", variant="primary", compact=True)
                yield Button("Never mind", id="no", compact=True)

    def on_mount(self) -> None:
        self.query(Input).first().focus()

    @on(Input.Submitted)
    def _next(self, event: Input.Submitted) -> None:
        if event.input is self.query(Input).last():
            self._keep()
        else:
            self.focus_next()

    @on(Button.Pressed, "#keep")
    def _keep(self) -> None:
        marks: dict[str, float] = {}
        for name in self._rubric.criteria:
            line = self.query_one(f"#mark-{name}", Input)
            if line.value.strip():
                try:
                    marks[name] = float(line.value)
                except ValueError:
                    marks[name] = -1
                if not 0 <= marks[name] <= 10:
                    self.notify("A grade is a number from 0 to 10.", timeout=4)
                    line.focus()
                    return
        self.dismiss(marks or None)

    @on(Button.Pressed, "#no")
    def _no(self) -> None:
        self.dismiss(None)


def who(score: Score) -> str:
    """Who graded by what: "gpt-4.1-mini (gpt-4.1-mini-2025-04-14), gentle"."""
    snapshot = f" ({score.snapshot})" if score.snapshot not in ("", score.judge) else ""
    again = f", time {score.repeat + 1}" if score.repeat else ""
    return f"{score.judge}{snapshot}, {score.rubric.split('@')[0]}{again}"


def in_short(score: Score) -> str:
    """The grades of a score in a line, or why there are none."""
    if not score.scored:
        return f"no grade: {score.reason}"
    return " · ".join(f"{name.replace('_', ' ')} {_shown(v)}" for name, v in score.grades.items())


def grades(score: Score) -> str:
    """A line for each criterion, with a bar from 0 to 10."""
    if not score.scored:
        return f"No grade: {score.reason}."
    lines = []
    for name, value in score.grades.items():
        label = f"{name.replace('_', ' '):<12} "
        if isinstance(value, str):
            lines.append(f"{label}{value}{_meaning(score, name, value)}")
        else:
            full = max(0, min(10, round(value)))
            lines.append(f"{label}{'━' * full}{'·' * (10 - full)} {_shown(value)}")
    return "\n".join(lines)


def counted(row: Row) -> str:
    """What can be said of a story without a judge."""
    marks = row.marks
    faults = "; ".join(marks.faults) or "nothing that counting could find"
    return (
        f"{marks.words} words, of school year {max(0, marks.reading_grade):.0f}; "
        f"{marks.simple_words:.0%} of them a small child knows. Faults: {faults}."
    )


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _meaning(score: Score, name: str, value: str) -> str:
    """What the letter of a choice stands for, where its rubric came along."""
    from tinytales.grading.rubric import load

    try:
        rubric = load(score.rubric.split("@")[0])
    except UsageError:  # one's own that is gone, or being changed
        return ""
    if rubric.id != score.rubric:
        return ""
    choice = rubric.choices.get(name)
    meaning = choice.options.get(value, "") if choice is not None else ""
    return f" ({meaning})" if meaning else ""
