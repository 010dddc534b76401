"""Grading: how good are the stories, honestly.

A judge (GPT-4 or any model behind an OpenAI-compatible address) grades saved stories with a rubric,
as the paper does. For the command line see `tinytales grade --help`; for apps:

    from tinytales import grading

    with grading.Desk(model="gpt-4.1-mini") as desk:
        plan = desk.plan(stories, rubric="gentle")     # no network, `openai` not even imported
        print(plan.says())                             # consent: what goes where, what it costs
        scores = desk.grade(plan, tell=print_progress) # blocks: call it from a worker thread
        desk.wait(stories, "gentle")                   # or keep them for a day with a connection
        grading.offline_marks(story)                   # free and instant, and not GPT-4

docs/grading.md tells what is measured and what may be claimed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinytales.grading.cache import Score
    from tinytales.grading.live import Progress
    from tinytales.grading.offline import Marks
    from tinytales.grading.plan import Plan
    from tinytales.story import Story

__all__ = ["Desk", "offline_marks"]

DEFAULT_JUDGE = "gpt-4.1-mini"


def offline_marks(story: Story) -> Marks:
    """Marks without any judge: free, instant, on this machine. They are not GPT-4's opinion."""
    from tinytales.grading import offline

    return offline.marks(story)


class Desk:
    """Where grading is done: a judge, a pace, and the file of grades. A context manager.

    Args:
        model: the judge's name.
        base_url: its address; empty is OPENAI_BASE_URL or OpenAI.
        path: the file of grades; by default beside the saved stories.
        requests_per_minute, tokens_per_minute: the pace; 0 is no limit. Left out: 500 and 200,000,
            and no limit for a judge on this machine.
        at_once: most questions under way; left out, as many as the pace needs (4 without a pace).
        deadline: seconds for one question.

    Raises:
        UsageError: an address that is none; a key in the place of a name or an address.
        TinytalesError: the file of grades cannot be opened.
    """

    def __init__(
        self,
        model: str = DEFAULT_JUDGE,
        base_url: str = "",
        *,
        path: str | Path | None = None,
        temperature: float | None = 0.0,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        at_once: int | None = None,
        deadline: float = 120,
    ) -> None:
        from tinytales.grading.cache import Cache
        from tinytales.grading.judge import address_of, is_local
        from tinytales.grading.secret import refuse_key
        from tinytales.grading.steps import Judge

        refuse_key(model)

        self.judge = Judge(model, address_of(base_url), temperature)
        self.cache = Cache(path)
        near = is_local(self.judge.address)

        def pace(asked: float | None, usual: float) -> float:
            return asked if asked is not None else 0 if near else usual

        self.requests_per_minute = pace(requests_per_minute, 500)
        self.tokens_per_minute = pace(tokens_per_minute, 200_000)
        self.at_once = at_once
        self.deadline = deadline
        self.progress: Progress | None = None  # of the last run

    @property
    def problem(self) -> str:
        """Why this judge cannot be asked yet, in words for a person; empty if it can."""
        from importlib.util import find_spec

        from tinytales.grading.judge import find_key, is_local
        from tinytales.grading.secret import KEY

        if find_spec("openai") is None or find_spec("pydantic") is None:
            return "grading needs one more package: pip install 'tinytales[grade]'"
        if not is_local(self.judge.address) and not find_key(self.judge.address):
            return f"there is no key for the judge: set {KEY}"
        return ""

    def plan(
        self,
        stories: Sequence[Story],
        rubric: str | Path = "paper",
        *,
        repeats: int = 1,
        batch: bool = False,
        pairs: Sequence[tuple[Story, Story]] = (),
    ) -> Plan:
        """What a grading would send and cost; `plan.says()` is the text to agree to.

        Args:
            rubric: one that came along or lies in the user's folder, by its name, or a path.

        Raises:
            UsageError: no such rubric, or a faulty one.
        """
        from tinytales.grading import plan as planning
        from tinytales.grading.rubric import load

        return planning.make(
            stories,
            load(rubric),
            self.judge,
            self.cache,
            repeats=repeats,
            batch=batch,
            pairs=pairs,
        )

    def grade(
        self,
        plan: Plan,
        *,
        tell: Callable[[Progress, Score], None] = lambda progress, score: None,
        stop: threading.Event | None = None,
        most_cost: float | None = None,
        note: Callable[[str], None] = lambda text: None,
        poll: float = 30,
    ) -> list[Score]:
        """Run a plan that a person agreed to; blocks until it is done or `stop` is set.

        Args:
            tell: called after each score, in this thread.
            most_cost: US dollars; no new question once they are spent.
            note, poll: for batches: what happens, and seconds between two looks.

        Raises:
            TinytalesError: the judge cannot be asked (no key, no connection, no package).
        """
        from tinytales.errors import TinytalesError
        from tinytales.grading.cache import Score

        if not plan.requests:  # all paid for before: no key, no package, no network
            from tinytales.grading.live import Progress
            from tinytales.grading.steps import next_step

            self.progress = Progress(len(plan.jobs))
            steps = [next_step(job, self.cache) for job in plan.jobs]
            return self._heard([step for step in steps if isinstance(step, Score)])
        if self.problem:
            raise TinytalesError(self.problem, hint="tinytales grade --offline needs neither")
        if plan.batch:
            return self._heard(self._by_batch(plan, note, stop, poll))

        def heard(progress: Progress, score: Score) -> None:
            self._heard([score])
            tell(progress, score)

        return self._live(plan, heard, stop, most_cost)

    def _live(
        self,
        plan: Plan,
        tell: Callable[[Progress, Score], None],
        stop: threading.Event | None,
        most_cost: float | None,
    ) -> list[Score]:
        import asyncio

        from tinytales.grading.judge import Wire, find_key
        from tinytales.grading.live import Pace, run

        def over(progress: Progress) -> bool:
            if most_cost is None or plan.price is None:
                return False
            return plan.price.cost(progress.prompt_tokens, progress.answer_tokens) >= most_cost

        async def work() -> tuple[list[Score], Progress]:
            address = self.judge.address
            wire = Wire(address, find_key(address), self.cache, deadline=self.deadline)
            pace = Pace(self.requests_per_minute, self.tokens_per_minute)
            return await run(
                list(plan.jobs),
                wire,
                self.cache,
                pace,
                at_once=self.at_once,
                tell=tell,
                stop=stop,
                over=over,
            )

        scores, self.progress = asyncio.run(work())
        return scores

    def _by_batch(
        self,
        plan: Plan,
        note: Callable[[str], None],
        stop: threading.Event | None,
        poll: float,
    ) -> list[Score]:
        from tinytales.grading import batch
        from tinytales.grading.judge import find_key

        line = batch.BatchLine(self.judge.address, find_key(self.judge.address))
        return batch.run(list(plan.jobs), line, self.cache, every=poll, note=note, stop=stop)

    def _heard(self, scores: list[Score]) -> list[Score]:
        """Stories that the judge has answered wait no longer, also if it gave no grade."""
        for score in scores:
            if score.attempts:
                self.cache.unwait(score.story)
        return scores

    def wait(self, stories: Sequence[Story], rubric: str = "paper") -> None:
        """Put stories aside until there is a connection; they survive the app."""
        for story in stories:
            self.cache.wait(story.id, rubric, story.to_dict())

    def waiting(self) -> list[tuple[str, Story]]:
        """(rubric, story) of those put aside, oldest first. A judge's answer takes a story out."""
        from tinytales.story import Story

        return [(rubric, Story.from_dict(record)) for rubric, record in self.cache.waiting()]

    def forget(self, stories: Sequence[Story]) -> None:
        """Take stories out of the queue ungraded."""
        for story in stories:
            self.cache.unwait(story.id)

    def scores(self, stories: Sequence[Story] | None = None) -> list[Score]:
        """Scores given so far: of all stories, or of these."""
        return self.cache.scores(None if stories is None else [story.id for story in stories])

    def marks(self, story: Story, person: str = "me") -> dict[str, float | str]:
        """What a person gave a story."""
        given = [m for id, who, m in self.cache.marks() if (id, who) == (story.id, person)]
        return given[0] if given else {}

    def mark(self, story: Story, marks: Mapping[str, float | str], person: str = "me") -> None:
        """Keep a person's own marks, for `tinytales grade agree`."""
        self.cache.mark(story.id, person, marks)

    def close(self) -> None:
        self.cache.close()

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
