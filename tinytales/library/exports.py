"""Stories in files: text, Markdown, HTML, JSONL, and a booklet to print.

Library().export(ids, "booklet", "tom.html")      # open it in a browser, print it on A5
tinytales library export last --format booklet
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinytales.errors import LibraryError, TinytalesError, UsageError, nearest
from tinytales.library.booklet import as_booklet, as_html
from tinytales.library.tale import Tale
from tinytales.paths import replace_text
from tinytales.prompt import clean
from tinytales.story import Story

__all__ = ["FORMATS", "Tale", "export", "file_name", "format_of", "from_jsonl", "render"]

#: So wide is plain text.
COLUMNS = 78


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
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            # A link, a pipe or a device is written to, never replaced.
            path.write_text(content, encoding="utf-8", errors="replace")
            return path
        replace_text(path, content, errors="replace")
    except (OSError, ValueError) as error:
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


def _markdown(text: str) -> str:
    """`text` with everything escaped that Markdown would take for markup."""
    text = re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", text)
    return re.sub(r"^(\s*)([-+=]|\d+[.)])", lambda m: m[1] + _escape_last(m[2]), text)


def _escape_last(mark: str) -> str:
    return f"{mark[:-1]}\\{mark[-1]}"


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
