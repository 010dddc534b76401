"""What the commands of `tinytales grade` do alike: consent, a run with its progress, the output."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tinytales.cli.grade_options import Asking
from tinytales.paths import replace_text

if TYPE_CHECKING:
    from tinytales.grading import Desk
    from tinytales.grading.cache import Score
    from tinytales.grading.live import Progress
    from tinytales.grading.plan import Plan
    from tinytales.grading.report import Report
    from tinytales.story import Story


def judged(asking: Asking, plan_of: Callable[[Desk], Plan]) -> tuple[list[Score], bool] | None:
    """Say what would be sent, and grade if that is agreed to.

    The scores, and whether Ctrl-C ended it; None if nobody agreed (or only asked).
    """
    with asking.desk() as desk:
        plan = plan_of(desk)
        if not agreed(plan, asking):
            return None
        stop = threading.Event()
        with _graceful(stop):
            scores = desk.grade(
                plan, tell=_bar, stop=stop, most_cost=asking.max_cost, note=say, poll=asking.poll
            )
        bar_end()
        say(_summary(plan, scores, desk.progress))
    return scores, stop.is_set()


def agreed(plan: Plan, asking: Asking) -> bool:
    """Say what goes where and what it costs; True if it may."""
    from tinytales.errors import TinytalesError, UsageError
    from tinytales.grading.plan import dollars

    say(plan.says())
    if asking.dry_run or not plan.requests:
        return not asking.dry_run
    if asking.max_cost is not None:
        if plan.cost is None:
            raise UsageError(
                f"--max-cost needs a price for {plan.judge.model}",
                hint="put it into prices.toml in the settings folder",
            )
        if plan.cost > asking.max_cost:
            raise TinytalesError(
                f"about {dollars(plan.cost)} is more than --max-cost {dollars(asking.max_cost)}",
                hint="fewer stories, a cheaper judge, or --batch",
            )
    if asking.yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to agree", hint="--yes agrees, --dry-run only tells")
    sys.stderr.write("Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        say("Nothing was sent.")
        return False
    return True


@contextmanager
def _graceful(stop: threading.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupted(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        say("\nstopping after the questions that are on the wire; Ctrl-C again to stop at once")

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _summary(plan: Plan, scores: Sequence[Score], progress: Progress | None) -> str:
    done = sum(score.scored for score in scores)
    line = f"{done} of {len(plan.jobs)} gradings have a grade"
    if progress and progress.sent:
        line += f"; {progress.sent} questions sent, {progress.repeated} of them to be repeated"
        if spent := plan.spent(progress.prompt_tokens, progress.answer_tokens):
            line += f"; {spent}"
    return line + "."


def leave(scores: Sequence[Score], stopped: bool) -> None:
    """End with the exit code that fits."""
    if stopped:
        say("stopped: the same command goes on where it stood")
        raise KeyboardInterrupt
    if scores and not any(score.scored for score in scores):
        from tinytales.errors import TinytalesError

        raise TinytalesError(f"no story got a grade: {scores[0].reason}")


# Output


def write(
    made: Report | None,
    reports: Sequence[Path] | None,
    scores: Sequence[Score],
    out: Path | None,
) -> None:
    """The scores, and the report in every form that was asked for."""
    from tinytales.grading.report import FORMS

    if out is not None:
        lines = (json.dumps(score.to_dict(), ensure_ascii=False) + "\n" for score in scores)
        _write(out, "".join(lines))
    if made is not None:
        for path in reports or ():
            _write(path, FORMS[path.suffix](made))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, text)
    say(f"wrote {path}")


def show(
    tales: Sequence[Story], scores: Sequence[Score], criteria: list[str], as_json: bool
) -> None:
    """A line for each score."""
    if as_json:
        for score in scores:
            print(json.dumps(score.to_dict(), ensure_ascii=False))
        return
    titles = {story.id: story.title for story in tales}
    rows = []
    for s in scores:
        grades = [
            f"{g:g}" if isinstance(g := s.grades.get(c, "–"), float) else str(g) for c in criteria
        ]
        mean = f"{s.mean:.2f}" if s.mean is not None else "–"
        note = s.reason or ("orders in it" if s.orders else "")
        rows.append([s.story, titles.get(s.story, "")[:40], *grades, mean, note[:60]])
    table(["story", "title", *criteria, "mean", ""], rows)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need to be."""
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


_shown = 0.0


def _bar(progress: Progress, score: Score) -> None:
    """One line on a terminal, at most ten times a second."""
    global _shown
    last = progress.done == progress.total
    if not sys.stderr.isatty() or (time.monotonic() - _shown < 0.1 and not last):
        return
    _shown = time.monotonic()
    eta = (
        ""
        if progress.eta is None
        else f"  {int(progress.eta) // 60}:{int(progress.eta) % 60:02d} left"
    )
    missing = progress.done - progress.scored
    faults = f"  {missing} unscored" if missing else ""
    _draw("grading", progress.done, progress.total, faults + eta)


def bar_of(what: str) -> Callable[[int, int], None]:
    """A bar for work of another kind."""

    def tell(done: int, total: int) -> None:
        if sys.stderr.isatty():
            _draw(what, done, total, "")

    return tell


def _draw(what: str, done: int, total: int, rest: str) -> None:
    full = int(24 * done / max(1, total))
    sys.stderr.write(f"\r\x1b[2K{what} [{'#' * full}{'.' * (24 - full)}] {done}/{total}{rest}")
    sys.stderr.flush()


def bar_end() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[2K")
        sys.stderr.flush()
