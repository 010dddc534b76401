"""One grading under way, and what is known about stories: behind the grading pane.

The thread that asks the judge touches nothing of Textual; the pane looks at it some times a second.
From the moment a grown-up agreed, the stories wait in the queue until the judge has answered. So a
grading that was stopped, cut off or killed is offered again, and what was answered is never paid
twice.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinytales.errors import TinytalesError
from tinytales.story import Story
from tinytales.tui.shelf import Shelf, sentence

if TYPE_CHECKING:
    from tinytales.grading.cache import Score
    from tinytales.grading.live import Progress
    from tinytales.grading.offline import Marks
    from tinytales.grading.plan import Plan

#: Which stories a grown-up can look at, and what that is called.
LISTS = {"newest": "Newest", "favorites": "Favorites", "waiting": "Waiting", "graded": "Graded"}
#: A list shows at most so many stories; the command line grades any number.
MOST = 200


class Judging:
    """A plan that was agreed to, being carried out in a thread of its own.

    After `done`, `error` says why it ended early, if it did. `scores` grows while it goes on.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.progress: Progress | None = None
        self.scores: dict[str, Score] = {}  # story id -> its score
        self.error: TinytalesError | None = None
        self.done = False
        self.leaving = False
        self._asked = {job.story.id for job in plan.jobs}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="judging", daemon=True)
        self._thread.start()

    @property
    def stopped(self) -> bool:
        """Was it asked to end? Questions on the wire are still waited for: they are paid."""
        return self._stop.is_set()

    def stop(self) -> None:
        self._stop.set()

    def leave(self) -> bool:
        """Stop, because somebody leaves the app; False once, while paid replies are on the way."""
        self.stop()
        wait, self.leaving = not self.done and not self.leaving, True
        return not wait

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def asks(self, story: str) -> bool:
        """Is this story among those that have no answer yet?"""
        return story in self._asked and story not in self.scores

    def says(self) -> str:
        """How far it is, and how long it will still take."""
        total, progress = len(self.plan.jobs), self.progress
        if self.stopped:
            return "Stopping: the last answers are on their way, and paid for."
        if progress is None:
            return f"Reading {_stories(total)} …"
        full = int(12 * progress.done / total)
        parts = [f"{'━' * full}{'·' * (12 - full)} {progress.done} of {total}"]
        if progress.eta is not None:
            parts.append(f"{int(progress.eta) // 60}:{int(progress.eta) % 60:02} left")
        if missing := progress.done - progress.scored:
            parts.append(f"{missing} without a grade")
        return " · ".join(parts)

    @property
    def outcome(self) -> str:
        """How it ended, for a grown-up."""
        total = len(self._asked)
        scored = sum(score.scored for score in self.scores.values())
        waits = total - sum(score.attempts > 0 for score in self.scores.values())
        graded = f"{scored} of {_stories(total)} {'has' if scored == 1 else 'have'} a grade"
        later = f"{_stories(waits)} wait{'s' if waits == 1 else ''}, and will be offered again."
        if self.error is not None:
            return f"{sentence(self.error)} {later if waits else ''}".strip()
        progress, cost = self.progress, ""
        if progress is not None and (
            spent := self.plan.spent(progress.prompt_tokens, progress.answer_tokens)
        ):
            cost = f"; {spent}"
        if waits:
            return f"{'Stopped: ' if self.stopped else ''}{graded}{cost}. {later}"
        why = " The others say why." if scored < total else ""
        return f"{graded}{cost}.{why}"

    def _run(self) -> None:
        from tinytales.grading import Desk

        plan = self.plan
        stories = {job.story.id: job.story for job in plan.jobs}
        try:
            with Desk(
                plan.judge.model, plan.judge.address, temperature=plan.judge.temperature
            ) as desk:
                desk.forget(list(stories.values()))
                desk.wait(list(stories.values()), plan.rubric.name)
                for score in desk.grade(plan, tell=self._heard, stop=self._stop):
                    self.scores[score.story] = score
        except TinytalesError as error:
            self.error = error
        except Exception as error:  # its words may hold what must not be shown: only its kind is
            self.error = TinytalesError(
                f"the grading broke off ({type(error).__name__})",
                hint="what was graded so far is kept",
            )
        finally:
            self.done = True

    def _heard(self, progress: Progress, score: Score) -> None:
        self.progress = progress
        self.scores[score.story] = score


@dataclass
class Row:
    """A story, what was counted about it, and what judges said of it (the newest last).

    `waits` is the rubric under which it waits for a judge; empty if it does not.
    """

    story: Story
    title: str
    marks: Marks
    scores: list[Score] = field(default_factory=list)
    waits: str = ""


@dataclass(frozen=True)
class Shown:
    """The rows of a list, how many stories wait, and why grades are missing, if they are."""

    rows: list[Row]
    waiting: int = 0
    trouble: str = ""


def look_up(shelf: Shelf, which: str, known: dict[str, Marks]) -> Shown:
    """What stands in a list (in a thread).

    Marks are kept in `known`, so that no story is counted twice. A file of grades that cannot be
    read takes the judges' words away, not the stories.
    """
    from tinytales.grading import Desk, offline_marks

    queue: dict[str, tuple[str, Story]] = {}
    said: dict[str, list[Score]] = {}
    trouble = ""
    stories: list[Story] = []
    if which in ("newest", "favorites"):
        entries = shelf.list(sort="newest", favorites=which == "favorites", offset=0, limit=MOST)
        stories = _saved(shelf, [entry.id for entry in entries])
    try:
        with Desk() as desk:
            queue = {story.id: (rubric, story) for rubric, story in desk.waiting()}
            if which == "waiting":
                stories = [story for _, story in queue.values()][:MOST]
            elif which == "graded":
                stories = _saved(shelf, desk.cache.graded(MOST))
            for score in desk.scores(stories):
                if not score.other:  # a duel compares; it grades neither story
                    said.setdefault(score.story, []).append(score)
    except TinytalesError as error:
        trouble = sentence(error)
    rows = []
    for story in stories:
        if story.id not in known:
            known[story.id] = offline_marks(story)
        entry = shelf.entry(story.id)
        title = entry.title if entry is not None else story.title
        waits, _ = queue.get(story.id, ("", story))
        rows.append(Row(story, title, known[story.id], said.get(story.id, []), waits))
    return Shown(rows, len(queue), trouble)


def put_aside(stories: list[Story], rubric: str) -> None:
    """Put stories into the judge's queue, or, without a rubric, take them out."""
    from tinytales.grading import Desk

    with Desk() as desk:
        desk.forget(stories)
        if rubric:
            desk.wait(stories, rubric)


def own_marks(story: Story, marks: dict[str, float] | None = None) -> dict[str, float]:
    """A person's own grades of a story; `marks` are added to them."""
    from tinytales.grading import Desk

    with Desk() as desk:
        given = {**desk.marks(story), **(marks or {})}
        if marks:
            desk.mark(story, given)
    return {name: value for name, value in given.items() if isinstance(value, int | float)}


def _saved(shelf: Shelf, ids: list[str]) -> list[Story]:
    found = (shelf.get(id) for id in ids)
    return [story for story in found if story is not None]


def _stories(count: int) -> str:
    return "1 story" if count == 1 else f"{count:,} stories"
