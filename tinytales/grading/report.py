"""A report of a grading that one can trust and show: HTML (one file, no network) and Markdown.

    report = build("Two voices", graded, rubric)
    Path("report.html").write_text(to_html(report))

`graded` is a list of (story, its scores). Both forms are rendered from the same blocks. Stories are
text from a model and the judge's words are text from a stranger: everything is escaped.
"""

from __future__ import annotations

import html
import math
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from statistics import fmean, median

from tinytales.grading import charts, offline, stats
from tinytales.grading.cache import Score
from tinytales.grading.rubric import Rubric
from tinytales.story import Story, now

Graded = tuple[Story, list[Score]]


@dataclass(frozen=True, slots=True)
class Table:
    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True, slots=True)
class Tale:
    """One story with what was said of it."""

    label: str
    story: Story
    scores: list[Score]


@dataclass(frozen=True, slots=True)
class Chart:
    svg: str


@dataclass
class Report:
    """A title and blocks: (heading or "", list of text, Table, Tale or Chart)."""

    title: str
    blocks: list[tuple[str, list[str | Table | Tale | Chart]]] = field(default_factory=list)

    def add(self, heading: str, *parts: str | Table | Tale | Chart) -> None:
        self.blocks.append((heading, list(parts)))


def graded(stories: Sequence[Story], scores: Iterable[Score]) -> list[Graded]:
    """Every story with its scores."""
    by_story: dict[str, list[Score]] = {}
    for score in scores:
        by_story.setdefault(score.story, []).append(score)
    return [(story, by_story.get(story.id, [])) for story in stories]


def paper_rows() -> dict[str, dict[str, float]]:
    """The paper's table: row name -> criterion -> grade."""
    text = resources.files("tinytales.grading").joinpath("paper.toml").read_text("utf-8")
    rows: dict[str, dict[str, float]] = tomllib.loads(text)["rows"]
    return rows


def build(
    title: str,
    graded: Sequence[Graded],
    rubric: Rubric,
    *,
    against_paper: bool = False,
    notes: Sequence[str] = (),
) -> Report:
    """Put the figures of a grading together; stories are grouped by the voice that told them."""
    report = Report(title)
    groups = grouped(graded)
    scores = [score for _, given in graded for score in given]
    done = [score for score in scores if score.scored]
    report.add("", _how(graded, scores, rubric), *notes)
    orientation = (
        "The paper's grades are GPT-4's of 2023. Today's judge is another one: compare orders and "
        "distances within this report, not second decimals with the paper."
    )
    means = means_table(groups, rubric, against_paper)
    report.add("Grades", means, *([orientation] if against_paper else []))
    names = list(rubric.criteria)
    if done and names:
        rows = {name: _means(members, names) for name, members in groups.items()}
        if against_paper:
            rows |= {
                name: [row.get(c, 0.0) for c in names]
                for name, row in paper_rows().items() if name in _SHOWN
            }  # fmt: skip
        parts = [Chart(charts.bars(names, rows))]
        if len(names) >= 3:
            parts.append(Chart(charts.radar(names, rows)))
        report.add("In pictures", *parts)
    for name in rubric.choices:
        report.add(name.replace("_", " ").capitalize(), _choices(groups, rubric, name))
    if len(groups) > 1:
        report.add("Is one better?", *differences(groups, rubric))
    report.add("Marks without a judge", _offline(groups))
    for label, item in chosen(graded):
        report.add("Best, median and worst" if label == "Best" else "", Tale(label, *item))
    unscored = Counter(score.reason for score in scores if not score.scored)
    if unscored:
        rows_ = [[reason[:160], str(count)] for reason, count in unscored.most_common(12)]
        report.add(
            "Unscored",
            f"{sum(unscored.values())} of {len(scores)} gradings brought no grade. They are left "
            "out of every mean; none counts as 0.",
            Table(["reason", "how often"], rows_),
        )
    ordered = sum(bool(score.orders) for score in done)
    if ordered:
        report.add(
            "Orders to the judge",
            f"{ordered} graded stories hold words that look like an order to the judge. A verdict "
            "counts only with the code of its fence, which no story knows; look at them anyway.",
        )
    return report


_SHOWN = ("paper 64×12", "paper 256×8", "paper 768×8", "GPT-4 (2023)")


def grouped(graded: Sequence[Graded]) -> dict[str, list[Graded]]:
    """By the name of the voice; two voices of one name are told apart by their digests."""
    digests: dict[str, set[str]] = {}
    for story, _ in graded:
        digests.setdefault(story.bundle, set()).add(story.bundle_digest)
    groups: dict[str, list[Graded]] = {}
    for story, scores in graded:
        name = story.bundle or "stories"
        if len(digests[story.bundle]) > 1:
            name += " " + story.bundle_digest[:6]
        groups.setdefault(name, []).append((story, scores))
    return groups


def prompt_of(story: Story) -> str:
    """What makes two stories answers to one question."""
    return story.prompt.render()


def by_prompt(members: Iterable[Graded], criterion: str) -> dict[str, list[float]]:
    """Prompt -> grades; criterion "mean" is the mean of all."""
    found: dict[str, list[float]] = {}
    for story, scores in members:
        for score in scores:
            value = score.mean if criterion == "mean" else score.numbers.get(criterion)
            if score.scored and value is not None:
                found.setdefault(prompt_of(story), []).append(value)
    return found


def group_mean(members: Sequence[Graded], criterion: str) -> stats.Mean:
    """Mean and error: prompts are the sample where they are repeated, stories otherwise."""
    groups = by_prompt(members, criterion)
    if len(groups) > 1:
        return stats.clustered_mean(list(groups.values()))
    return stats.mean([value for values in groups.values() for value in values])


def means_table(
    groups: dict[str, list[Graded]], rubric: Rubric, against_paper: bool = False
) -> Table:
    names = [*rubric.criteria, *(["mean"] if len(rubric.criteria) > 1 else [])]
    rows = []
    for name, members in groups.items():
        count = sum(any(s.scored for s in scores) for _, scores in members)
        rows.append(
            [name, f"{count} of {len(members)}", *(str(group_mean(members, c)) for c in names)]
        )
    if against_paper:
        for name, row in paper_rows().items():
            cells = [f"{row[c]:.2f}" if c in row else "–" for c in rubric.criteria]
            rows.append([name, "", *cells, *(["–"] if "mean" in names else [])])
    return Table(["", "graded", *names], rows)


def differences(groups: dict[str, list[Graded]], rubric: Rubric) -> list[str]:
    """One sentence for each pair of voices and criterion; the mean first."""
    names = list(groups)
    said = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            for criterion in ["mean", *rubric.criteria]:
                x, y = by_prompt(groups[a], criterion), by_prompt(groups[b], criterion)
                shared = [p for p in x if p in y]
                if shared:
                    gap = stats.paired_bootstrap([x[p] for p in shared], [y[p] for p in shared])
                    said.append(f"{criterion}: {gap.says(a, b)}.")
    if not said:
        return ["The voices were not asked the same, so they cannot be compared story by story."]
    return [
        *said,
        "Differences are paired over the prompts that both were given, with a 95 % bootstrap "
        f"interval. From {stats.CLAIM_PROMPTS} prompts nothing under {stats.CLAIM} is claimed: a "
        "judge moves by as much from day to day.",
    ]


def chosen(graded: Sequence[Graded]) -> list[tuple[str, Graded]]:
    """The best, the median and the worst story by mean grade."""
    means = []
    for item in graded:
        values = [s.mean for s in item[1] if s.scored and s.mean is not None]
        if values:
            means.append((fmean(values), item))
    if not means:
        return []
    means.sort(key=lambda pair: pair[0])
    middle = median(value for value, _ in means)
    nearest = min(means, key=lambda pair: abs(pair[0] - middle))
    picked = [("Best", means[-1][1])]
    if len(means) > 2:
        picked.append(("Median", nearest[1]))
    if len(means) > 1:
        picked.append(("Worst", means[0][1]))
    return picked


def _means(members: Sequence[Graded], names: list[str]) -> list[float]:
    values = [group_mean(members, name) for name in names]
    return [v.value if v.count else 0.0 for v in values]


def _choices(groups: dict[str, list[Graded]], rubric: Rubric, name: str) -> Table:
    options = rubric.choices[name].options
    rows = []
    for group, members in groups.items():
        counts = Counter(s.grades.get(name) for _, scores in members for s in scores if s.scored)
        total = sum(counts.values())
        rows.append([group, *(f"{counts[k] / total:.0%}" if total else "–" for k in options)])
    return Table(["", *(f"{k}: {what}" for k, what in options.items())], rows)


def _offline(groups: dict[str, list[Graded]]) -> Table:
    tables = {
        name: offline.summary(offline.marks(story) for story, _ in members)
        for name, members in groups.items()
    }
    keys = [
        k
        for k in next(iter(tables.values()), {})
        if not all(math.isnan(t[k]) for t in tables.values())
    ]
    rows = [[key, *(_figure(table[key]) for table in tables.values())] for key in keys]
    return Table(["counted, not GPT-4", *tables], rows)


def _figure(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g}"


def _how(graded: Sequence[Graded], scores: Sequence[Score], rubric: Rubric) -> str:
    judges = ", ".join(
        sorted({f"{s.judge} ({s.snapshot})" if s.snapshot else s.judge for s in scores})
    )
    repeats = max((s.repeat for s in scores), default=0) + 1
    dropped = sorted({name for s in scores for name in s.dropped})
    temperature = next((s.parameters.get("temperature") for s in scores), None)
    text = (
        f"{len(graded)} stories, graded by {judges or 'nobody'} with the rubric {rubric.id}, "
        f"{f'{repeats} times' if repeats > 1 else 'once'} each"
    )
    text += f", at temperature {temperature:g}" if isinstance(temperature, int | float) else ""
    text += f". Refused by the judge and left out: {', '.join(dropped)}" if dropped else ""
    return text + f". {now()[:10]}."


# Rendering


def to_html(report: Report) -> str:
    """One self-contained page."""
    style = resources.files("tinytales.grading").joinpath("report.css").read_text("utf-8")
    body = [f"<h1>{html.escape(report.title)}</h1>"]
    for heading, parts in report.blocks:
        if heading:
            body.append(f"<h2>{html.escape(heading)}</h2>")
        body += [_html(part) for part in parts]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(report.title)}</title><style>{style}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n<footer>Made by tinytales grade. Means are ± one standard error over prompts."
        "</footer>\n</body></html>\n"
    )


def _html(part: str | Table | Tale | Chart) -> str:
    if isinstance(part, str):
        return f"<p>{html.escape(part)}</p>"
    if isinstance(part, Chart):
        return f'<div class="wide">{part.svg}</div>'
    if isinstance(part, Table):
        head = "".join(f"<th>{html.escape(c)}</th>" for c in part.header)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>"
            for row in part.rows
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        return f'<div class="wide">{table}</div>'
    given, told = _halves(part.story)
    paragraphs = html.escape(told).split("\n")
    paragraphs[0] = f'<span class="given">{html.escape(given)}</span>{paragraphs[0]}'
    text = "".join(f"<p>{p}</p>" for p in paragraphs if p.strip())
    said = next((s.assessment for s in part.scores if s.assessment), "")
    quote = f"<blockquote>{html.escape(said)}</blockquote>" if said else ""
    return (
        f"<article><h3>{html.escape(part.label)}: {html.escape(part.story.title)}</h3>"
        f'<p class="about">{html.escape(_about(part))}</p>{text}{quote}</article>'
    )


def to_markdown(report: Report) -> str:
    """The same in Markdown; pictures are left to the HTML."""
    lines = [f"# {_md(report.title)}", ""]
    for heading, parts in report.blocks:
        shown = [part for part in parts if not isinstance(part, Chart)]
        if heading and shown:
            lines += [f"## {_md(heading)}", ""]
        for part in shown:
            if isinstance(part, str):
                lines += [_md(part), ""]
            elif isinstance(part, Table):
                lines += ["| " + " | ".join(_md(c) or " " for c in part.header) + " |"]
                lines += ["|---" * len(part.header) + "|"]
                lines += ["| " + " | ".join(_md(c) or " " for c in row) + " |" for row in part.rows]
                lines.append("")
            elif isinstance(part, Tale):
                given, told = _halves(part.story)
                lines += [
                    f"### {_md(part.label)}: {_md(part.story.title)}",
                    "",
                    _md(_about(part)),
                    "",
                ]
                text = (_md(given) + ("*" * 3 if given else "") + _md(told)).split("\n")
                quoted = "\n>\n".join(f"> {p}" for p in text if p.strip())
                lines += [quoted, ""]
                said = next((s.assessment for s in part.scores if s.assessment), "")
                lines += [f"*The judge:* {_md(' '.join(said.split()))}", ""] if said else []
    return "\n".join(lines).rstrip() + "\n"


def to_svg(report: Report) -> str:
    """The first picture of a report as a file of its own; it brings its colors along."""
    pictures = [part.svg for _, parts in report.blocks for part in parts if isinstance(part, Chart)]
    nothing = charts.words("No story has a grade.")
    head, mark, rest = (pictures[0] if pictures else nothing).partition("</title>")
    style = (
        "<style>text { fill: #2b2733; font: 13px system-ui, sans-serif } .quiet { fill: #6d6577 } "
        ".grid { stroke: #ddd3c0 }</style>"
        '<rect width="100%" height="100%" fill="#fffdf8"/>'
    )
    return f"{head}{mark}{style}{rest}\n"


#: The forms of a report by the suffixes of their files.
FORMS: dict[str, Callable[[Report], str]] = {
    ".html": to_html, ".htm": to_html, ".md": to_markdown, ".svg": to_svg,
}  # fmt: skip


def _md(text: str) -> str:
    """Escape what Markdown (and the HTML in it) would take for its own."""
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text).replace("<", "&lt;").replace(">", "&gt;")


def _halves(story: Story) -> tuple[str, str]:
    opening = story.prompt.opening
    if opening and story.text.startswith(opening):
        return opening, story.text[len(opening) :]
    return "", story.text


def _about(tale: Tale) -> str:
    grades: list[str] = []
    scored = [s for s in tale.scores if s.scored]
    for name in scored[0].grades if scored else ():
        values = [s.numbers[name] for s in scored if name in s.numbers]
        grade = f"{fmean(values):.1f}" if values else str(scored[0].grades[name])
        grades.append(f"{name.replace('_', ' ')} {grade}")
    who = f" · {tale.story.bundle}" if tale.story.bundle else ""
    return " · ".join(grades) + who
