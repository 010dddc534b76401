"""`tinytales grade`: how good are the stories? A judge grades them, as in the paper.

tinytales grade library --judge gpt-4.1-mini          # asks before anything is sent
tinytales grade stories.jsonl --dry-run               # what would go where, what it would cost
tinytales grade texts/ --offline                      # marks without a judge, free and instant
tinytales grade suite assets/storyteller runs/mine/bundle --report suite.html
tinytales grade duel one.jsonl two.jsonl
tinytales grade agree marks.csv
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from tinytales.grading import Desk
    from tinytales.grading.cache import Score
    from tinytales.grading.live import Progress
    from tinytales.grading.plan import Plan
    from tinytales.grading.report import Report
    from tinytales.story import Story


class StoriesFirst(TyperGroup):
    """`tinytales grade FILE` means `tinytales grade stories FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["stories", *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


app = typer.Typer(
    cls=StoriesFirst,
    add_completion=False,
    no_args_is_help=True,
    help="Grade stories with GPT-4 or another judge. `tinytales grade FILE…` is short for "
    "`tinytales grade stories FILE…`; its options: `tinytales grade stories --help`.",
)

Rubric = Annotated[str, typer.Option(help="paper, instruct, gentle, or a TOML file of your own.")]
JudgeName = Annotated[str, typer.Option("--judge", help="The judge's model.", show_default=False)]
BaseUrl = Annotated[
    str, typer.Option(help="The judge's address (llama.cpp, Ollama, vLLM); default: OpenAI.")
]
Heat = Annotated[float, typer.Option("--temperature", help="The judge's; below 0 leaves it open.")]
Repeats = Annotated[int, typer.Option(help="Grade every story so many times.", min=1, max=100)]
Yes = Annotated[bool, typer.Option("--yes", help="Agree to what goes where and what it costs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say it, and send nothing.")]
MaxCost = Annotated[
    float | None, typer.Option(help="US dollars; refuse a dearer plan, stop when spent.", min=0)
]
Rpm = Annotated[float, typer.Option("--rpm", help="Questions a minute; 0 is no limit.", min=0)]
Tpm = Annotated[float, typer.Option("--tpm", help="Tokens a minute; 0 is no limit.", min=0)]
Workers = Annotated[int, typer.Option(help="Questions on the wire at a time.", min=1, max=500)]
Deadline = Annotated[float, typer.Option(help="Seconds for one question.", min=0.1)]
Batch = Annotated[
    bool, typer.Option("--batch", help="By the Batch API: half the price, within a day.")
]
Poll = Annotated[float, typer.Option(help="Seconds between two looks at a batch.", min=0.01)]
ReportTo = Annotated[
    list[Path] | None, typer.Option("--report", help="Write .html or .md; again for both.")
]
ScoresTo = Annotated[Path | None, typer.Option("--out", help="Write all scores (JSONL).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print scores as JSON lines.")]


@app.command()
def stories(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="library, library:last:N, queue, story ids, JSONL, text files, folders, -."
        ),
    ],
    rubric: Rubric = "paper",
    judge: JudgeName = "",
    base_url: BaseUrl = "",
    temperature: Heat = 0.0,
    repeats: Repeats = 1,
    yes: Yes = False,
    dry_run: DryRun = False,
    max_cost: MaxCost = None,
    rpm: Rpm = 500,
    tpm: Tpm = 200_000,
    workers: Workers = 16,
    deadline: Deadline = 120,
    batch: Batch = False,
    poll: Poll = 30,
    report: ReportTo = None,
    out: ScoresTo = None,
    as_json: AsJson = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Marks without a judge: free, but not GPT-4.")
    ] = False,
    reference: Annotated[
        Path | None, typer.Option(help="With --offline: bits per byte under this bundle too.")
    ] = None,
) -> None:
    """Grade stories with a judge, or with --offline without one."""
    from tinytales.grading import sources as origin

    tales = origin.read(sources)
    if offline:
        _no_judge(report, out, batch)
        _offline(tales, reference, as_json)
        return
    from tinytales.grading import report as reporting
    from tinytales.grading.rubric import load

    loaded = load(rubric)
    _no_pairs(loaded.pairs)
    with _desk(judge, base_url, temperature, rpm, tpm, workers, deadline) as desk:
        plan = desk.plan(tales, rubric, repeats=repeats, batch=batch)
        if not _agreed(plan, yes, dry_run, max_cost):
            return
        scores, stopped = _grade(desk, plan, max_cost, poll)
    _remember(tales, scores)
    made = reporting.build("How good are the stories?", _graded(tales, scores), loaded)
    _write(made, report, scores, out)
    _print(tales, scores, list(loaded.criteria) + list(loaded.choices), as_json)
    _leave(scores, stopped)


@app.command()
def suite(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles to compare.")],
    folder: Annotated[Path, typer.Option(help="Where the stories are kept.")] = Path("runs/suite"),
    completions: Annotated[int, typer.Option(help="Of each beginning.", min=1, max=64)] = 10,
    beginnings: Annotated[int, typer.Option(help="Use only the first ones.", min=1, max=50)] = 50,
    as_told: Annotated[
        bool, typer.Option("--as-told", help="Tell as the app does, not the bare model.")
    ] = False,
    rubric: Rubric = "paper",
    judge: JudgeName = "",
    base_url: BaseUrl = "",
    temperature: Heat = 0.0,
    repeats: Repeats = 1,
    yes: Yes = False,
    dry_run: DryRun = False,
    max_cost: MaxCost = None,
    rpm: Rpm = 500,
    tpm: Tpm = 200_000,
    workers: Workers = 16,
    deadline: Deadline = 120,
    batch: Batch = False,
    poll: Poll = 30,
    report: ReportTo = None,
    out: ScoresTo = None,
    as_json: AsJson = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only marks without a judge: not GPT-4.")
    ] = False,
) -> None:
    """GPT-Eval: 50 beginnings, 10 completions each at temperature 1, beside the paper's table."""
    from tinytales.grading import report as reporting
    from tinytales.grading import suite as evaluation
    from tinytales.grading.rubric import load
    from tinytales.sampling import Sampling

    loaded = load(rubric)
    _no_pairs(loaded.pairs)
    sampling = Sampling(seed=1) if as_told else evaluation.PURE
    tales: list[Story] = []
    for bundle in bundles:
        tales += evaluation.tell(
            bundle,
            folder / ("as-told" if as_told else "pure"),
            completions=completions,
            sampling=sampling,
            safety="gentle" if as_told else "off",
            count=beginnings,
            tell_progress=_bar_of(f"telling with {bundle.name}"),
        )
    _bar_end()
    if offline:
        _no_judge(report, out, batch)
        _offline(tales, None, as_json)
        return
    with _desk(judge, base_url, temperature, rpm, tpm, workers, deadline) as desk:
        plan = desk.plan(tales, rubric, repeats=repeats, batch=batch)
        if not _agreed(plan, yes, dry_run, max_cost):
            return
        scores, stopped = _grade(desk, plan, max_cost, poll)
    how = (
        f"{completions} completions of each of {beginnings} beginnings, "
        + ("told as the app tells them" if as_told else "the bare model at temperature 1")
        + ". Means are over beginnings."
    )
    graded = _graded(tales, scores)
    paper = loaded.name == "paper"
    made = reporting.build("GPT-Eval", graded, loaded, against_paper=paper, notes=[how])
    _write(made, report, scores, out)
    if as_json:
        _print(tales, scores, [], True)
    else:
        table = reporting.means_table(reporting.grouped(graded), loaded, paper)
        _table(table.header, table.rows)
        for line in (
            reporting.differences(reporting.grouped(graded), loaded) if len(bundles) > 1 else ()
        ):
            print(line)
    _leave(scores, stopped)


@app.command()
def duel(
    first: Annotated[str, typer.Argument(help="Stories of one voice (JSONL or folder).")],
    second: Annotated[str, typer.Argument(help="Stories of the other, told from the same.")],
    judge: JudgeName = "",
    base_url: BaseUrl = "",
    temperature: Heat = 0.0,
    repeats: Repeats = 1,
    yes: Yes = False,
    dry_run: DryRun = False,
    max_cost: MaxCost = None,
    rpm: Rpm = 500,
    tpm: Tpm = 200_000,
    workers: Workers = 16,
    deadline: Deadline = 120,
    batch: Batch = False,
    poll: Poll = 30,
    out: ScoresTo = None,
    as_json: AsJson = False,
) -> None:
    """Which voice tells better? Pairs from the same prompt, each judged in both orders."""
    from tinytales.grading import duel as duels
    from tinytales.grading import sources as origin

    one, two = origin.read([first]), origin.read([second])
    pairs = duels.pair(one, two)
    with _desk(judge, base_url, temperature, rpm, tpm, workers, deadline) as desk:
        plan = desk.plan([], "duel", repeats=repeats, batch=batch, pairs=pairs)
        if not _agreed(plan, yes, dry_run, max_cost):
            return
        scores, stopped = _grade(desk, plan, max_cost, poll)
    result = duels.result(pairs, scores)
    _write(None, None, scores, out)
    if as_json:
        print(json.dumps(result.to_dict()))
    else:
        print(result.says(Path(first).stem or first, Path(second).stem or second))
    _leave(scores, stopped)


@app.command()
def agree(
    marks: Annotated[
        Path | None,
        typer.Argument(help="A person's marks (CSV) or scores (JSONL); default: given in the app."),
    ] = None,
    scores: Annotated[
        Path | None, typer.Argument(help="Scores or marks to compare; default: all saved ones.")
    ] = None,
    judge: Annotated[str, typer.Option(help="Of the saved scores, only this judge's.")] = "",
    as_json: AsJson = False,
) -> None:
    """How well do a judge and a person (or two judges) agree?"""
    from tinytales.grading import agreement
    from tinytales.grading.cache import Cache

    if marks is not None:
        first = agreement.read_marks(marks)
    else:
        with Cache() as cache:
            first = agreement.given(cache.marks())
    if scores is not None:
        second = agreement.read_marks(scores)
    else:
        with Cache() as cache:
            second = agreement.marks_of(
                s for s in cache.scores() if s.scored and judge in ("", s.judge)
            )
    rows = agreement.compare(first, second)
    if as_json:
        for row in rows:
            print(json.dumps(row.to_dict()))
        return
    header = ["", "stories", "exact", "within 1", "bias", "Pearson", "Spearman", "Kendall", "kappa"]
    lines = []
    for r in rows:
        figures = (r.bias, r.pearson, r.spearman, r.kendall, r.kappa)
        within = f"{r.within_one:.0%}" if r.within_one == r.within_one else "–"
        cells = [f"{v:+.2f}" if v == v else "–" for v in figures]
        lines.append([r.criterion, str(r.stories), f"{r.exact:.0%}", within, *cells])
    _table(header, lines)
    if rows and rows[0].stories < 30:
        _say(f"note: {rows[0].stories} stories are few; these figures will move")


@app.command()
def later(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Stories to put aside; none only lists.")
    ] = None,
    rubric: Rubric = "paper",
) -> None:
    """Put stories aside for a day with a connection; `tinytales grade queue` grades them then."""
    from tinytales.grading import Desk
    from tinytales.grading import sources as origin

    with Desk() as desk:
        if sources:
            desk.wait(origin.read(sources), rubric)
        for name, story in desk.waiting():
            print(f"{story.id}  {name:<9} {story.title}")


# What the commands share


def _desk(
    judge: str,
    base_url: str,
    temperature: float,
    rpm: float,
    tpm: float,
    workers: int,
    deadline: float,
) -> Desk:
    """The judge of the options, else of the settings."""
    from tinytales import settings
    from tinytales.grading import Desk

    chosen = settings.load()
    return Desk(
        judge or chosen.judge_model,
        base_url or chosen.judge_base_url,
        temperature=temperature if temperature >= 0 else None,
        requests_per_minute=rpm,
        tokens_per_minute=tpm,
        workers=workers,
        deadline=deadline,
    )


def _no_pairs(pairs: bool) -> None:
    if pairs:
        from tinytales.errors import UsageError

        raise UsageError("this rubric compares two stories", hint="tinytales grade duel ONE TWO")


def _no_judge(report: Sequence[Path] | None, out: Path | None, batch: bool) -> None:
    if report or out or batch:
        from tinytales.errors import UsageError

        raise UsageError(
            "--offline asks no judge, so it has no scores to report", hint="--json prints the marks"
        )


def _agreed(plan: Plan, yes: bool, dry_run: bool, max_cost: float | None) -> bool:
    """Say what goes where and what it costs; True if it may."""
    from tinytales.errors import TinytalesError, UsageError
    from tinytales.grading.plan import dollars

    _say(plan.says())
    if dry_run or not plan.requests:
        return not dry_run
    if max_cost is not None:
        if plan.cost is None:
            raise UsageError(
                f"--max-cost needs a price for {plan.judge.model}",
                hint="put it into prices.toml in the settings folder",
            )
        if plan.cost > max_cost:
            raise TinytalesError(
                f"about {dollars(plan.cost)} is more than --max-cost {dollars(max_cost)}",
                hint="fewer stories, a cheaper judge, or --batch",
            )
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to agree", hint="--yes agrees, --dry-run only tells")
    sys.stderr.write("Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        _say("Nothing was sent.")
        return False
    return True


def _grade(desk: Desk, plan: Plan, max_cost: float | None, poll: float) -> tuple[list[Score], bool]:
    """Run the plan with a progress bar; Ctrl-C ends it after the questions on the wire."""
    stop = threading.Event()
    with _graceful(stop):
        scores = desk.grade(plan, tell=_bar, stop=stop, most_cost=max_cost, note=_say, poll=poll)
    _bar_end()
    _summary(plan, scores, desk.progress)
    return scores, stop.is_set()


@contextmanager
def _graceful(stop: threading.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupted(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        _say("\nstopping after the questions that are on the wire; Ctrl-C again to stop at once")

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _summary(plan: Plan, scores: Sequence[Score], progress: Progress | None) -> None:
    from tinytales.grading.plan import dollars

    done = sum(score.scored for score in scores)
    line = f"{done} of {len(plan.jobs)} gradings have a grade"
    if progress and progress.sent:
        line += f"; {progress.sent} questions sent, {progress.repeated} of them to be repeated"
        if plan.price is not None:
            spent = plan.price.cost(progress.prompt_tokens, progress.answer_tokens)
            line += f"; it cost {dollars(spent)}"
    _say(line + ".")


def _graded(tales: Sequence[Story], scores: Sequence[Score]) -> list[tuple[Story, list[Score]]]:
    by_story: dict[str, list[Score]] = {}
    for score in scores:
        by_story.setdefault(score.story, []).append(score)
    return [(story, by_story.get(story.id, [])) for story in tales]


def _remember(tales: Sequence[Story], scores: Sequence[Score]) -> None:
    """Saved stories keep their grades in the library."""
    from tinytales.library import Library, library_path

    if not library_path().exists():
        return
    with Library() as library:
        saved = {story.id for story in library}
        for score in scores:
            if score.story not in saved or not score.scored:
                continue
            mark = {
                "judge": score.judge,
                "rubric": score.rubric,
                "repeat": score.repeat,
                "grades": dict(score.grades),
                "mean": score.mean,
                "assessment": score.assessment,
            }
            if mark not in [{k: m.get(k) for k in mark} for m in library.marks(score.story)]:
                library.add_mark(score.story, mark)


def _write(
    made: Report | None,
    reports: Sequence[Path] | None,
    scores: Sequence[Score],
    out: Path | None,
) -> None:
    from tinytales.errors import UsageError
    from tinytales.grading import report as reporting

    for path in reports or ():
        if path.suffix not in (".html", ".htm", ".md"):
            raise UsageError(f"a report is .html or .md, not {path.name}")
        if made is not None:
            html = path.suffix != ".md"
            _beside(path, reporting.to_html(made) if html else reporting.to_markdown(made))
    if out is not None:
        lines = (json.dumps(score.to_dict(), ensure_ascii=False) + "\n" for score in scores)
        _beside(out, "".join(lines))


def _beside(path: Path, text: str) -> None:
    """Written beside and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
    _say(f"wrote {path}")


def _print(
    tales: Sequence[Story], scores: Sequence[Score], criteria: list[str], as_json: bool
) -> None:
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
    _table(["story", "title", *criteria, "mean", ""], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


def _offline(tales: Sequence[Story], reference: Path | None, as_json: bool) -> None:
    from tinytales.bundle import Bundle
    from tinytales.grading import offline

    voice = offline.Reference(Bundle.open(reference)) if reference else None
    rows = [offline.marks(story, voice) for story in tales]
    if voice:
        voice.close()
    if as_json:
        for story, marks in zip(tales, rows, strict=True):
            record = {"story": story.id, "title": story.title, **marks.to_dict()}
            print(json.dumps(record, ensure_ascii=False))
        return
    for story, marks in zip(tales, rows, strict=True) if len(tales) <= 20 else ():
        print(f"{story.id}  {story.title}: {'; '.join(marks.faults) or 'nothing found'}")
    print(f"Counted over {len(tales)} stories on this machine. This is not GPT-4's opinion.")
    names = offline.summary(rows)
    _table(["", "mean"], [[k, f"{v:.3g}"] for k, v in names.items() if v == v])


def _leave(scores: Sequence[Score], stopped: bool) -> None:
    if stopped:
        _say("stopped: the same command goes on where it stood")
        raise KeyboardInterrupt
    if scores and not any(score.scored for score in scores):
        from tinytales.errors import TinytalesError

        raise TinytalesError(f"no story got a grade: {scores[0].reason}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


_shown = 0.0


def _bar(progress: Progress, score: Score) -> None:
    """One line on a terminal, at most ten times a second."""
    import time

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


def _bar_of(what: str) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        if sys.stderr.isatty():
            _draw(what, done, total, "")

    return tell


def _draw(what: str, done: int, total: int, rest: str) -> None:
    full = int(24 * done / max(1, total))
    sys.stderr.write(f"\r\x1b[2K{what} [{'#' * full}{'.' * (24 - full)}] {done}/{total}{rest}")
    sys.stderr.flush()


def _bar_end() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[2K")
        sys.stderr.flush()
