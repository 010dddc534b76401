"""`tinytales grade`: how good are the stories? A judge grades them, as in the paper.

tinytales grade library --judge gpt-4.1-mini          # asks before anything is sent
tinytales grade stories.jsonl --dry-run               # what would go where, what it would cost
tinytales grade texts/ --offline                      # marks without a judge, free and instant
tinytales grade suite assets/storyteller runs/mine/bundle --report suite.html
tinytales grade duel one.jsonl two.jsonl
tinytales grade agree marks.csv
tinytales grade rubrics                               # what a judge can be asked

The options that they share stand in grade_options.py, what they do alike in grade_run.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tinytales.cli.grade_options import Asking, ReportTo, Rubric, asks_judge
from tinytales.cli.grade_run import bar_end, bar_of, judged, leave, say, show, table, write

if TYPE_CHECKING:
    from tinytales.grading.cache import Score
    from tinytales.grading.rubric import Rubric as LoadedRubric
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


@app.command()
@asks_judge
def stories(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="library, library:last:N, queue, story ids, JSONL, text files, folders, -."
        ),
    ],
    asking: Asking,
    rubric: Annotated[
        str,
        typer.Option(
            help="paper, instruct, gentle, or your own; see tinytales grade rubrics. Default: "
            "paper; for queue, what the stories wait for.",
            show_default=False,
        ),
    ] = "",
    report: ReportTo = None,
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
        _offline(tales, reference, asking, report)
        return
    from tinytales.grading import report as reporting

    rubric = rubric or origin.awaited(sources)
    loaded = _single(rubric)
    done = judged(
        asking,
        lambda desk: desk.plan(tales, rubric, repeats=asking.repeats, batch=asking.batch),
    )
    if done is None:
        return
    scores, stopped = done
    _keep_with_stories(scores)
    made = reporting.build("How good are the stories?", reporting.graded(tales, scores), loaded)
    write(made, report, scores, asking.out)
    show(tales, scores, [*loaded.criteria, *loaded.choices], asking.as_json)
    leave(scores, stopped)


@app.command()
@asks_judge
def suite(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles to compare.")],
    asking: Asking,
    folder: Annotated[Path, typer.Option(help="Where the stories are kept.")] = Path("runs/suite"),
    completions: Annotated[int, typer.Option(help="Of each beginning.", min=1, max=64)] = 10,
    beginnings: Annotated[int, typer.Option(help="Use only the first ones.", min=1, max=50)] = 50,
    as_told: Annotated[
        bool, typer.Option("--as-told", help="Tell as the app does, not the bare model.")
    ] = False,
    rubric: Rubric = "paper",
    report: ReportTo = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only marks without a judge: not GPT-4.")
    ] = False,
) -> None:
    """GPT-Eval: 50 beginnings, 10 completions each at temperature 1, beside the paper's table."""
    from tinytales.grading import report as reporting
    from tinytales.grading import suite as evaluation
    from tinytales.sampling import Sampling

    loaded = _single(rubric)
    tales: list[Story] = []
    for bundle in bundles:
        tales += evaluation.tell(
            bundle,
            folder / ("as-told" if as_told else "pure"),
            completions=completions,
            sampling=Sampling(seed=1) if as_told else evaluation.PURE,
            safety="gentle" if as_told else "off",
            count=beginnings,
            tell_progress=bar_of(f"telling with {bundle.name}"),
        )
    bar_end()
    if offline:
        _offline(tales, None, asking, report)
        return
    done = judged(
        asking,
        lambda desk: desk.plan(tales, rubric, repeats=asking.repeats, batch=asking.batch),
    )
    if done is None:
        return
    scores, stopped = done
    how = (
        f"{completions} completions of each of {beginnings} beginnings, "
        + ("told as the app tells them" if as_told else "the bare model at temperature 1")
        + ". Means are over beginnings."
    )
    graded = reporting.graded(tales, scores)
    paper = loaded.name == "paper"
    made = reporting.build("GPT-Eval", graded, loaded, against_paper=paper, notes=[how])
    write(made, report, scores, asking.out)
    if asking.as_json:
        show(tales, scores, [], True)
    else:
        groups = reporting.grouped(graded)
        means = reporting.means_table(groups, loaded, paper)
        table(means.header, means.rows)
        if len(bundles) > 1:
            print("\n".join(reporting.differences(groups, loaded)))
    leave(scores, stopped)


@app.command()
@asks_judge
def duel(
    first: Annotated[str, typer.Argument(help="Stories of one voice (JSONL or folder).")],
    second: Annotated[str, typer.Argument(help="Stories of the other, told from the same.")],
    asking: Asking,
) -> None:
    """Which voice tells better? Pairs from the same prompt, each judged in both orders."""
    from tinytales.grading import duel as duels
    from tinytales.grading import sources as origin

    pairs = duels.pair(origin.read([first]), origin.read([second]))
    done = judged(
        asking,
        lambda desk: desk.plan([], "duel", repeats=asking.repeats, batch=asking.batch, pairs=pairs),
    )
    if done is None:
        return
    scores, stopped = done
    result = duels.result(pairs, scores)
    write(None, None, scores, asking.out)
    if asking.as_json:
        print(json.dumps(result.to_dict()))
    else:
        print(result.says(Path(first).stem or first, Path(second).stem or second))
    leave(scores, stopped)


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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
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
    table(header, lines)
    if rows and rows[0].stories < 30:
        say(f"note: {rows[0].stories} stories are few; these figures will move")


@app.command()
def later(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Stories to put aside; none only lists.")
    ] = None,
    rubric: Rubric = "paper",
) -> None:
    """Put stories aside for a day with a connection; `tinytales grade queue` grades them then."""
    from tinytales.errors import UsageError
    from tinytales.grading import Desk
    from tinytales.grading import sources as origin
    from tinytales.grading.rubric import folder

    with Desk() as desk:
        if sources:
            if _single(rubric).name != rubric:
                raise UsageError(
                    f"stories wait for a rubric by its name, not for {rubric}",
                    hint=f"put the file into {folder()}",
                )
            desk.wait(origin.read(sources), rubric)
        for name, story in desk.waiting():
            print(f"{story.id}  {name:<9} {story.title}")


@app.command()
def rubrics(
    name: Annotated[
        str, typer.Argument(help="Print this one as TOML, to make your own from; none lists all.")
    ] = "",
) -> None:
    """What a judge can be asked. Your own rubrics lie in a folder, and the app knows them too.

    tinytales grade rubrics gentle > kind.toml makes a copy to change, its name and version too.
    """
    from tinytales.errors import TinytalesError, UsageError
    from tinytales.grading.rubric import BUILT_IN, SINGLE, folder, load, own, source

    if name:
        print(source(name), end="")
        return
    faulty = 0
    for path in (folder() / f"{each}.toml" for each in BUILT_IN):
        if path.exists():
            faulty += 1
            say(f"{path.name:<12} faulty: {path.stem} came along; name it otherwise")
    for each in (*SINGLE, *own()):
        try:
            rubric = load(each)
            print(f"{each:<12} {rubric.about}")
        except UsageError as error:
            faulty += 1
            say(f"{each:<12} faulty: {error.message}{error.hint and f' ({error.hint})'}")
    say(f"your own go into {folder()}, each a TOML file called like its name")
    if faulty:
        raise TinytalesError(f"{faulty} of your rubrics cannot be used")


def _single(rubric: str) -> LoadedRubric:
    """A rubric that grades one story at a time."""
    from tinytales.errors import UsageError
    from tinytales.grading.rubric import load

    loaded = load(rubric)
    if loaded.pairs:
        raise UsageError("this rubric compares two stories", hint="tinytales grade duel ONE TWO")
    return loaded


def _keep_with_stories(scores: Sequence[Score]) -> None:
    """Saved stories keep their grades in the library, if there is one."""
    from tinytales.grading.sources import remember
    from tinytales.library import Library, library_path

    if library_path().exists():
        with Library() as library:
            remember(library, scores)


def _offline(
    tales: Sequence[Story], reference: Path | None, asking: Asking, report: Sequence[Path] | None
) -> None:
    """What can be counted, without any judge."""
    from tinytales.bundle import Bundle
    from tinytales.errors import UsageError
    from tinytales.grading import offline

    if report or asking.out or asking.batch:
        raise UsageError(
            "--offline asks no judge, so it has no scores to report", hint="--json prints the marks"
        )
    voice = offline.Reference(Bundle.open(reference)) if reference else None
    rows = [offline.marks(story, voice) for story in tales]
    if voice:
        voice.close()
    if asking.as_json:
        for story, marks in zip(tales, rows, strict=True):
            record = {"story": story.id, "title": story.title, **marks.to_dict()}
            print(json.dumps(record, ensure_ascii=False))
        return
    for story, marks in zip(tales, rows, strict=True) if len(tales) <= 20 else ():
        print(f"{story.id}  {story.title}: {'; '.join(marks.faults) or 'nothing found'}")
    print(f"Counted over {len(tales)} stories on this machine. This is not GPT-4's opinion.")
    names = offline.summary(rows)
    table(["", "mean"], [[k, f"{v:.3g}"] for k, v in names.items() if v == v])
