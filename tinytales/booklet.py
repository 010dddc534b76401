"""Stories on paper and in files: text, Markdown, HTML, JSONL, and a booklet to print.

    Library().export(ids, "booklet", "tom.html")      # open it in a browser, print it on A5
    tinytales library export last --format booklet

Everything is one file that stands for itself: the style lies inside, nothing is loaded from
anywhere, and what a story says is never read as markup.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path

from tinytales.errors import LibraryError, TinytalesError, UsageError, nearest
from tinytales.prompt import FEATURES, clean
from tinytales.story import Story

#: So wide is plain text.
COLUMNS = 78
MONTHS = (
    "January February March April May June July August September October November December"
).split()


@dataclass(frozen=True, slots=True)
class Tale:
    """A story as it is exported: with the title it has on the shelf."""

    title: str
    story: Story

    @property
    def paragraphs(self) -> list[str]:
        return [line for line in map(clean, self.story.text.split("\n")) if line]

    @property
    def day(self) -> str:
        """When it was told, as people write it: 28 November 2026."""
        try:
            told = datetime.fromisoformat(self.story.created)
        except ValueError:  # an imported record may say what it likes
            return self.story.created
        return f"{told.day} {MONTHS[told.month - 1]} {told.year}"

    @property
    def told_by(self) -> str:
        """The line beneath a story."""
        story = self.story
        voice = f"Told by {story.bundle}" if story.bundle else "Told"
        seed = "" if story.sampling.seed is None else f", seed {story.sampling.seed}"
        return f"{voice}{seed}, {self.day}."

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The colophon: everything that is needed to tell the same story again."""
        story, prompt = self.story, self.story.prompt
        ends = {
            "end": "of itself",
            "length": "where it was asked to",
            "context": "where the voice's memory was full",
            "cancelled": "where it was stopped",
            "unsafe": "where no gentle way on was found",
        }
        facts = [
            ("Words asked for", ", ".join(prompt.words)),
            ("Asked for", ", ".join(FEATURES[f] for f in prompt.features)),
            ("A sentence in it", prompt.sentence),
            ("What happens", prompt.summary),
            ("Began with", textwrap.shorten(prompt.opening, 90, placeholder=" …")),
            ("Told by", story.bundle),
            ("Digest", story.bundle_digest[:16]),
            ("Seed", "" if story.sampling.seed is None else str(story.sampling.seed)),
            ("Temperature", f"{story.sampling.temperature:g}"),
            ("Told on", self.day),
            ("Length", f"{story.words} words"),
            ("Ended", ends[story.finish]),
            ("Told again by", f"tinytales replay {story.id}"),
        ]
        return [(name, value) for name, value in facts if value]


def export(tales: Sequence[Tale], format: str, path: str | Path) -> Path:
    """Write `tales` to `path` in one of FORMATS; beside first, then renamed.

    Raises:
        UsageError: there is no such format, or no story.
        LibraryError: the file cannot be written; an older one there is whole.
    """
    path = Path(path).expanduser()
    content = render(tales, format)
    if path.is_dir():
        raise LibraryError(f"{path} is a folder", hint=f"name a file: {path / 'stories.html'}")
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            # A link, a pipe or a device is written to, never replaced.
            path.write_text(content, encoding="utf-8", errors="replace")
            return path
        beside.write_text(content, encoding="utf-8", errors="replace")
        beside.replace(path)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            beside.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise LibraryError(
            f"{path} cannot be written: {reason}", hint="choose another folder or name"
        ) from error
    return path


def render(tales: Sequence[Tale], format: str) -> str:
    """`tales` as one of FORMATS."""
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}", hint=nearest(format, FORMATS))
    if not tales:
        raise UsageError("there is no story to export", hint="name one: tinytales library list")
    return FORMATS[format].write(tales)


def format_of(path: str | Path) -> str:
    """The format that the end of a file's name asks for; a web page becomes a booklet."""
    suffix = Path(path).suffix.lower()
    if suffix in (".html", ".htm", ""):
        return "booklet"
    for name, format in FORMATS.items():
        if format.suffix == suffix:
            return name
    raise UsageError(f"no format writes {suffix} files", hint=f"--format {' | '.join(FORMATS)}")


def file_name(title: str) -> str:
    """A title as the name of a file, without anything that a file system minds."""
    kept = "".join(c.lower() if c.isalnum() else "-" for c in title)
    return "-".join(part for part in kept.split("-") if part)[:60] or "story"


def as_text(tales: Sequence[Tale]) -> str:
    parts = []
    for tale in tales:
        lines = [textwrap.fill(p, COLUMNS, break_long_words=False) for p in tale.paragraphs]
        parts.append("\n\n".join([f"{tale.title}\n{'=' * len(tale.title)}", *lines, tale.told_by]))
    return "\n\n\n".join(parts) + "\n"


def as_markdown(tales: Sequence[Tale]) -> str:
    parts = []
    for tale in tales:
        parts += [f"# {_markdown(tale.title)}", *map(_markdown, tale.paragraphs)]
        parts.append(f"*{_markdown(tale.told_by)}*")
    return "\n\n".join(parts) + "\n"


def as_jsonl(tales: Sequence[Tale]) -> str:
    """One story record a line: what `tinytales library import` reads."""
    records = (tale.story.to_dict() | {"title": tale.title} for tale in tales)
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def from_jsonl(lines: Iterable[str]) -> Iterator[Tale]:
    """The stories that `as_jsonl` wrote, or any records with a `text`.

    Raises:
        UsageError: a line that is no story record, with its number. Nothing after it is read.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            if not isinstance(data, dict):
                raise UsageError("not a JSON object")
            story = Story.from_dict(data)
            title = data.get("title", "")
            for name, value, kind in (
                ("text", story.text, str), ("id", story.id, str), ("title", title, str),
                ("created", story.created, str), ("tokens", story.tokens, int),
                ("parent", story.parent or "", str), ("branch_at", story.branch_at or 0, int),
                ("bundle", story.bundle, str), ("bundle_digest", story.bundle_digest, str),
                ("seconds", story.seconds, (int, float)),
            ):  # fmt: skip
                if not isinstance(value, kind):
                    raise UsageError(f"{name} is {value!r}")
            if not story.text.strip() or not re.fullmatch(r"[\w-]{1,64}", story.id):
                raise UsageError("a story needs a text, and an id of letters and digits")
        except (ValueError, RecursionError, TypeError) as error:
            raise UsageError(f"line {number} is no story record: {error}") from error
        except TinytalesError as error:
            raise UsageError(f"line {number} is no story record: {error.message}") from error
        yield Tale(clean(title) or story.title, story)


def as_html(tales: Sequence[Tale]) -> str:
    """A page for reading on a screen."""
    body = []
    if len(tales) > 1:
        links = (f'<li><a href="#s{i}">{_html(t.title)}</a></li>' for i, t in enumerate(tales))
        body.append(f"<nav><ul>{''.join(links)}</ul></nav>")
    for i, tale in enumerate(tales):
        body.append(
            f'<article id="s{i}"><h1 dir="auto">{_html(tale.title)}</h1>{_paragraphs(tale)}'
            f'<p class="told">{escape(tale.told_by)}</p></article>'
        )
    return _page(_name(tales), SCREEN_STYLE, "\n".join(body))


def as_booklet(tales: Sequence[Tale]) -> str:
    """A little book: cover, whose book it is, the stories in large type, the colophon."""
    alone = len(tales) == 1
    name = _name(tales)
    days = list(dict.fromkeys(t.day for t in sorted(tales, key=lambda t: t.story.created)))
    subtitle = "A tiny tale" if alone else f"{len(tales)} tiny tales"
    told = f"It was told on {days[0]}."
    if len(days) > 1:
        told = f"They were told from {days[0]} to {days[-1]}."
    elif not alone:
        told = f"They were told on {days[0]}."
    body = [
        f'<section class="cover">{cover(tales)}<div class="plate"><h1 dir="auto">{_html(name)}'
        f"</h1><p>{subtitle}</p></div></section>",
        '<section class="mine"><p>This book belongs to</p><div class="line"></div>'
        f"<p>{escape(told)}</p></section>",
    ]
    if not alone:
        titles = "".join(f'<li dir="auto">{_html(tale.title)}</li>' for tale in tales)
        body.append(f'<section class="contents"><h2>The stories</h2><ol>{titles}</ol></section>')
    for tale in tales:
        heading = "" if alone else f'<h2 dir="auto">{_html(tale.title)}</h2>{STAR}'
        end = '<p class="end">The End</p>' if tale.story.finish in ("end", "length") else STAR
        body.append(f'<section class="story">{heading}{_paragraphs(tale)}{end}</section>')
    colophons = "".join(
        '<div class="facts">'
        + ("" if alone else f'<h3 dir="auto">{_html(tale.title)}</h3>')
        + "<dl>"
        + "".join(f'<dt>{n}</dt><dd dir="auto">{escape(v)}</dd>' for n, v in tale.facts)
        + "</dl></div>"
        for tale in tales
    )
    body.append(
        '<section class="colophon"><h2>How this book was made</h2><p>A very small language model '
        f"told {'it' if alone else 'the stories'}, on a machine at home, without a network.</p>"
        f"{colophons}</section>"
    )
    return _page(name, BOOKLET_STYLE, "\n".join(body))


def cover(tales: Sequence[Tale]) -> str:
    """A night over hills, drawn from the stories: each book has its own sky (inline SVG)."""
    text = "\n".join(tale.story.text for tale in tales)
    draw = random.Random(hashlib.sha256(text.encode("utf-8", "replace")).digest())
    skies = [
        ("#1d2a4d", "#41507f", "#8a7fa3"),
        ("#17343a", "#35605f", "#9aa88a"),
        ("#38264a", "#6b4a74", "#c08a86"),
        ("#20305c", "#3f6291", "#e0a97e"),
    ]
    top, middle, low = draw.choice(skies)
    places = [(draw.uniform(8, 412), draw.uniform(8, 310)) for _ in range(90)]
    stars = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{draw.choice((0.7, 0.9, 1.2, 1.6))}" '
        f'opacity="{draw.uniform(0.5, 1):.2f}"/>'
        for x, y in places
        if not (40 < x < 380 and 165 < y < 290)  # the title stands there
    )
    x, y, r = draw.uniform(80, 340), draw.uniform(60, 110), draw.uniform(22, 34)
    hills = ""
    for base, color in ((420, "#33513f"), (470, "#243c2f"), (520, "#16271f")):
        left, bump, right = (base + draw.uniform(-28, 28) for _ in range(3))
        hills += (
            f'<path d="M0 {left:.0f} C 110 {bump - 60:.0f}, 190 {bump + 40:.0f}, 270 {bump:.0f} '
            f'S 400 {right - 40:.0f}, 420 {right:.0f} V 595 H 0 Z" fill="{color}"/>'
        )
    hx = draw.uniform(60, 330)
    house = (
        f'<g transform="translate({hx:.0f} 478)"><path d="M0 0 L22 -20 L44 0 V30 H0 Z" '
        'fill="#0f1a15"/><rect x="15" y="4" width="13" height="13" rx="1" fill="#ffd98a"/></g>'
    )
    return (
        '<svg viewBox="0 0 420 595" preserveAspectRatio="xMidYMid slice" aria-hidden="true">'
        f'<defs><linearGradient id="sky" x1="0" y1="0" x2="0" y2="1"><stop stop-color="{top}"/>'
        f'<stop offset=".55" stop-color="{middle}"/><stop offset=".8" stop-color="{low}"/>'
        '</linearGradient></defs><rect width="420" height="595" fill="url(#sky)"/>'
        f'<g fill="#fff6dc">{stars}</g><circle cx="{x:.0f}" cy="{y:.0f}" r="{r * 1.5:.0f}" '
        f'fill="#fff3cf" opacity=".12"/><circle cx="{x:.0f}" cy="{y:.0f}" r="{r:.0f}" '
        f'fill="#fff3cf"/>{hills}{house}</svg>'
    )


def _name(tales: Sequence[Tale]) -> str:
    return tales[0].title if len(tales) == 1 else "Tales for Tonight"


def _paragraphs(tale: Tale) -> str:
    return "".join(f'<p dir="auto">{_html(p)}</p>' for p in tale.paragraphs)


def _html(text: str) -> str:
    """`text` as it is set in print: curly quotes, a real ellipsis; nothing of it is markup."""
    text = re.sub(r"(^|[\s(\[“‘—–-])\"", r"\1“", text).replace('"', "”")
    text = re.sub(r"(^|[\s(\[“—–-])'", r"\1‘", text).replace("'", "’")
    return escape(text.replace("...", "…").replace(" -- ", " – "), quote=False)


def _markdown(text: str) -> str:
    """`text` with everything escaped that Markdown would take for markup."""
    text = re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", text)
    return re.sub(r"^(\s*)([-+=]|\d+[.)])", lambda m: m[1] + _escape_last(m[2]), text)


def _escape_last(mark: str) -> str:
    return f"{mark[:-1]}\\{mark[-1]}"


def _page(title: str, style: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="tinytales">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


STAR = '<p class="star" aria-hidden="true">✶</p>'
_SERIF = '"Iowan Old Style", "Palatino Linotype", Palatino, Georgia, "DejaVu Serif", serif'

SCREEN_STYLE = f"""
:root {{ color-scheme: light dark; --page: #fbf5e9; --ink: #3b2f27; --hush: #7d6c5b; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --page: #191411; --ink: #cdb696; --hush: #87725b; }}
}}
body {{ margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 36rem; background: var(--page);
  color: var(--ink); font: 1.25rem/1.65 {_SERIF}; overflow-wrap: break-word; }}
h1 {{ font-size: 1.9rem; font-weight: 500; line-height: 1.25; margin: 3rem 0 1.5rem; }}
a {{ color: inherit; }}
nav {{ color: var(--hush); }}
p {{ margin: 0 0 1em; }}
.told {{ color: var(--hush); font-size: .9rem; font-style: italic; margin-top: 2rem; }}
"""

BOOKLET_STYLE = f"""
@page {{ size: A5; margin: 19mm 17mm 21mm;
  @bottom-center {{ content: counter(page); font: 10pt {_SERIF}; color: #8a7a68; }} }}
@page cover {{ margin: 0; @bottom-center {{ content: none; }} }}
@page quiet {{ @bottom-center {{ content: none; }} }}
* {{ box-sizing: border-box; }}
html {{ -webkit-print-color-adjust: exact; print-color-adjust: exact; }}
body {{ margin: 0; color: #2f2620; font: 15.5pt/1.62 {_SERIF}; overflow-wrap: break-word;
  hyphens: manual; }}
section {{ break-after: page; }}
section:last-child {{ break-after: auto; }}
h1, h2, h3 {{ font-weight: 500; line-height: 1.2; text-wrap: balance; break-after: avoid; }}

.cover {{ page: cover; position: relative; width: 148mm; height: 209.5mm; overflow: hidden;
  background: #20305c; }}
.cover svg {{ position: absolute; inset: 0; width: 100%; height: 100%; }}
.plate {{ position: absolute; left: 12mm; right: 12mm; top: 62mm; text-align: center;
  color: #fff6dc; }}
.plate h1 {{ font-size: 33pt; margin: 0; }}
.plate p {{ font-size: 14pt; font-style: italic; letter-spacing: .04em; margin: 7mm 0 0; }}

.mine {{ page: quiet; text-align: center; padding-top: 50mm; font-style: italic; }}
.mine .line {{ margin: 15mm auto 22mm; width: 75mm; border-bottom: .3mm solid #8a7a68; }}
.mine p:last-child {{ font-size: 11.5pt; color: #8a7a68; }}

.contents {{ page: quiet; }}
.contents ol {{ padding-left: 9mm; }}
.contents li {{ margin: 0 0 2.5mm; padding-left: 2mm; }}

.story h2 {{ font-size: 24pt; text-align: center; margin: 8mm 0 2mm; }}
.story p {{ margin: 0 0 .8em; orphans: 2; widows: 2; }}
.story > p:first-of-type::first-letter, .story > .star + p::first-letter {{ float: left;
  font-size: 3.25em; line-height: .84; padding: .05em .07em 0 0; color: #93422a; }}
.story > p.star::first-letter {{ float: none; font-size: 1em; padding: 0; }}
.star {{ text-align: center; color: #b9863a; }}
.story .end {{ text-align: center; font-style: italic; color: #93422a; margin-top: 1.6em;
  break-before: avoid; }}

.colophon {{ page: quiet; font-size: 10.5pt; line-height: 1.5; color: #5b4d41; }}
.colophon h2 {{ font-size: 15pt; margin-top: 24mm; }}
.colophon h3 {{ font-size: 11.5pt; margin: 6mm 0 0; }}
.facts {{ break-inside: avoid; }}
dl {{ display: grid; grid-template-columns: 34mm 1fr; gap: 1mm 3mm; margin: 3mm 0; }}
dt {{ color: #8a7a68; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}

@media screen {{
  html {{ background: #d9cfbd; }}
  body {{ padding: 8mm 0; }}
  section {{ width: 148mm; max-width: 100%; min-height: 209.5mm; margin: 0 auto 8mm;
    padding: 19mm 17mm; background: #fffdf7; box-shadow: 0 1mm 5mm #0003; }}
  .cover {{ padding: 0; }}
  .mine {{ padding-top: 70mm; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Format:
    """How stories can be written."""

    name: str
    suffix: str
    write: Callable[[Sequence[Tale]], str]


FORMATS: dict[str, Format] = {
    "text": Format("plain text", ".txt", as_text),
    "markdown": Format("Markdown", ".md", as_markdown),
    "html": Format("a web page", ".html", as_html),
    "booklet": Format("a booklet to print", ".html", as_booklet),
    "jsonl": Format("records, to import again", ".jsonl", as_jsonl),
}
