"""How well a judge agrees with a person, or with another judge.

    tinytales grade agree                          # marks given in the app, the saved scores
    tinytales grade agree marks.csv                # against the saved scores
    tinytales grade agree marks.csv scores.jsonl
    tinytales grade agree gpt.jsonl local.jsonl

Marks come from a CSV file (a column `story` or `id` with the story's id, one column for each
criterion; commas, semicolons or tabs) or from the JSONL that `tinytales grade --out` writes.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from tinytales.errors import UsageError
from tinytales.grading import stats
from tinytales.grading.cache import Score

#: story id -> criterion -> mark
Marks = dict[str, dict[str, float | str]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one criterion, over the stories that both marked.

    `exact` and `within_one` compare whole grades; `bias` is second minus first; correlations and
    kappa (squared weights) are nan where nothing varies.
    """

    criterion: str
    stories: int
    exact: float
    within_one: float
    bias: float
    pearson: float
    spearman: float
    kendall: float
    kappa: float

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in data.items()}


def compare(first: Marks, second: Marks) -> list[Agreement]:
    """Agreement on every criterion that both know, and on their mean.

    Raises:
        UsageError: no story, or no criterion, in common.
    """
    shared = [story for story in first if story in second]
    if not shared:
        raise UsageError(
            "the two have no story in common", hint="marks and scores are matched by story id"
        )
    names = list(dict.fromkeys(n for s in shared for n in first[s] if n in second[s]))
    if not names:
        raise UsageError(
            "the two have no criterion in common",
            hint="the columns must be named like the rubric's criteria: grammar, plot, …",
        )
    rows = []
    for name in names:
        pairs = [(first[s][name], second[s][name]) for s in shared
                 if name in first[s] and name in second[s]]  # fmt: skip
        row = _agreement(name, pairs)
        if row:
            rows.append(row)
    numeric = [r.criterion for r in rows if not math.isnan(r.within_one)]
    if len(numeric) > 1:
        means = [(_mean(first[s], numeric), _mean(second[s], numeric)) for s in shared]
        both = [(a, b) for a, b in means if a is not None and b is not None]
        row = _agreement("mean", both)
        if row:
            rows.append(row)
    return rows


def _agreement(name: str, pairs: Iterable[tuple[Any, Any]]) -> Agreement | None:
    pairs = list(pairs)
    numbers = [(a, b) for a, b in pairs if isinstance(a, float) and isinstance(b, float)]
    if numbers:
        x, y = [a for a, _ in numbers], [b for _, b in numbers]
        gaps = [abs(round(a) - round(b)) for a, b in numbers]
        return Agreement(
            name,
            len(numbers),
            fmean(gap == 0 for gap in gaps),
            fmean(gap <= 1 for gap in gaps),
            fmean(b - a for a, b in numbers),
            stats.pearson(x, y),
            stats.spearman(x, y),
            stats.kendall(x, y),
            stats.kappa(x, y),
        )
    letters = [(str(a), str(b)) for a, b in pairs]
    if not letters:
        return None
    a, b = [x for x, _ in letters], [y for _, y in letters]
    exact = fmean(x == y for x, y in letters)
    none = math.nan
    return Agreement(
        name, len(letters), exact, none, none, none, none, none, stats.plain_kappa(a, b)
    )


def marks_of(scores: Iterable[Score]) -> Marks:
    """Scores as marks: the mean over repeats; unscored ones are left out."""
    collected: dict[str, dict[str, list[float | str]]] = {}
    for score in scores:
        for name, grade in score.grades.items():
            collected.setdefault(score.story, {}).setdefault(name, []).append(grade)
    result: Marks = {}
    for story, by_name in collected.items():
        result[story] = {}
        for name, grades in by_name.items():
            numbers = [g for g in grades if isinstance(g, int | float)]
            result[story][name] = (
                fmean(numbers) if numbers else max(map(str, grades), key=grades.count)
            )
    return result


def given(marks: Iterable[tuple[str, str, Mapping[str, float | str]]]) -> Marks:
    """What people gave in the app (story, person, marks); of several people, the mean.

    Raises:
        UsageError: nobody has given any marks yet.
    """
    result = marks_of(
        Score(story, "", person, grades={k: v if isinstance(v, str) else float(v)
                                         for k, v in one.items()})
        for story, person, one in marks
    )  # fmt: skip
    if not result:
        raise UsageError("nobody has given any marks yet", hint="tinytales grade agree marks.csv")
    return result


def read_marks(path: Path) -> Marks:
    """Marks from a CSV file, or from the JSONL of scores.

    Raises:
        UsageError: neither, or a line that cannot be understood, with its number.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the marks in {path} cannot be read: {error}") from error
    if text.lstrip().startswith("{"):
        return marks_of(_scores(text, path))
    return _csv(text, path)


def _scores(text: str, path: Path) -> Iterable[Score]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield Score.from_dict(json.loads(line))
            except (ValueError, TypeError, AttributeError) as error:
                raise UsageError(f"{path}, line {number}: not a score: {error}") from error


def _csv(text: str, path: Path) -> Marks:
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as error:
        raise UsageError(f"{path} is not CSV: {error}") from error
    columns = [(c or "").strip().lower() for c in (rows[0] if rows else ()) if c is not None]
    key = next((c for c in ("story", "id", "story_id") if c in columns), None)
    if key is None:
        raise UsageError(
            f"{path} has no column 'story'", hint="first line: story,grammar,creativity,…"
        )
    marks: Marks = {}
    for number, raw in enumerate(rows, 2):
        row = {(k or "").strip().lower(): (v or "").strip() for k, v in raw.items()
               if isinstance(v, str) or v is None}  # fmt: skip
        story = row.pop(key, "")
        given: dict[str, float | str] = {}
        for name, value in row.items():
            if not value or name in ("title", "note", "notes", "comment", "person", ""):
                continue
            given[name] = _mark(value, f"{path}, line {number}, {name}")
        if story and given:
            marks[story] = given
    if not marks:
        raise UsageError(f"{path} holds no marks")
    return marks


def _mark(value: str, where: str) -> float | str:
    if value.isalpha() and len(value) <= 3 and value.lower() not in ("nan", "inf"):
        return value.upper()
    try:
        number = float(value.replace(",", "."))
    except ValueError:
        number = math.nan
    if not 0 <= number <= 10:
        raise UsageError(f"{where}: {value!r} is no mark from 0 to 10")
    return number


def _mean(marks: Mapping[str, float | str], names: list[str]) -> float | None:
    values = [v for name in names if isinstance(v := marks.get(name), float)]
    return fmean(values) if len(values) == len(names) else None
