"""`tinytales library`: the saved stories.

tinytales library                                the newest first
tinytales library search kite wind
tinytales library show last
tinytales library export last --output tom.html  a booklet to print; .md, .txt and .jsonl as well
tinytales library delete 3fa2                    put away; undelete brings it back

A story is named by its id, by the beginning of it, or as `last`.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tinytales.library import Entry, Library

app = typer.Typer(add_completion=False, help="The saved stories. Without a command: list them.")

Id = Annotated[str, typer.Argument(help="Its id, the beginning of it, or last.", metavar="ID")]
Ids = Annotated[list[str], typer.Argument(help="Ids, their beginnings, or last.", metavar="ID...")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def library(
    context: typer.Context,
    data_dir: Annotated[Path | None, typer.Option(help="Where stories are kept.")] = None,
) -> None:
    if data_dir is not None:
        from tinytales.paths import override

        override(data_dir)
    if context.invoked_subcommand is None:
        list_stories()


@app.command("list")
def list_stories(
    sort: Annotated[str, typer.Option(help="newest, oldest, title, longest or read.")] = "newest",
    favorites: Annotated[bool, typer.Option("--favorites", help="Only favorites.")] = False,
    deleted: Annotated[bool, typer.Option("--deleted", help="What was put away.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many; 0 lists all.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """List the stories on the shelf."""
    with opened() as shelf:
        found = shelf.list(sort=sort, favorites=favorites, deleted=deleted, limit=limit or -1)
    print_entries(found, as_json)
    if not found:
        print("note: no story is here yet (tinytales tell --save)", file=sys.stderr)


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(help="Words, or how they begin.")],
    favorites: Annotated[bool, typer.Option("--favorites", help="Only favorites.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 100,
    as_json: Json = False,
) -> None:
    """Find the stories with all these words, the best first."""
    with opened() as shelf:
        found = shelf.search(" ".join(words), limit, favorites=favorites)
    print_entries(found, as_json)
    if not found:
        print("note: no story has these words", file=sys.stderr)


@app.command()
def show(story: Id = "last", as_json: Json = False) -> None:
    """Print a story; with --json its record, its marks and its tellings."""
    with opened() as shelf:
        id = shelf.resolve(story)
        entry, kept = shelf.entry(id), shelf.get(id)
        if as_json:
            more: dict[str, Any] = {
                "title": entry.title,
                "favorite": entry.favorite,
                "position": entry.position,
                "marks": list(shelf.marks(id)),
                "tellings": [{"id": e.id, "depth": e.depth} for e in shelf.tellings(id)],
            }
            print(json.dumps(kept.to_dict() | more, ensure_ascii=False))
            return
    print(f"{plain(entry.title)}\n\n{plain(kept.text)}")


@app.command()
def export(
    stories: Annotated[
        list[str] | None, typer.Argument(help="Ids, their beginnings, or last.", metavar="[ID...]")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All stories.")] = False,
    favorites: Annotated[bool, typer.Option("--favorites", help="All favorites.")] = False,
    format: Annotated[
        str | None,
        typer.Option(
            help="text, markdown, html, booklet or jsonl; default: what the output's name says."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; - is stdout.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an older file.")] = False,
) -> None:
    """Write stories to a file: a booklet to print, a page, plain text, or records."""
    from tinytales.errors import UsageError, nearest
    from tinytales.library import exports

    if bool(stories) + everything + favorites != 1:
        raise UsageError(
            "which stories?", hint="name ids (tinytales library list), or --all, or --favorites"
        )
    if format is not None and format not in exports.FORMATS:
        raise UsageError(f"unknown format {format!r}", hint=nearest(format, exports.FORMATS))
    to_stdout = output == Path("-")
    if format is None:
        format = "text" if to_stdout else exports.format_of(output or "")
    with opened() as shelf:
        if stories:
            ids = list(dict.fromkeys(shelf.resolve(name) for name in stories))
        else:
            ids = [entry.id for entry in shelf.list(sort="oldest", favorites=favorites)]
        tales = [exports.Tale(shelf.entry(id).title, shelf.get(id)) for id in ids]
    if to_stdout:
        sys.stdout.write(exports.render(tales, format))
        return
    if output is None:
        name = exports.file_name(tales[0].title) if len(tales) == 1 else "tinytales"
        output = Path(name + exports.FORMATS[format].suffix)
    if output.exists() and not output.is_dir() and not force:
        raise UsageError(f"{output} is there already", hint="--force writes over it")
    print(exports.export(tales, format, output))


@app.command()
def rename(story: Id, title: Annotated[str, typer.Argument(help='"" finds one again.')]) -> None:
    """Give a story another title."""
    with opened() as shelf:
        id = shelf.resolve(story)
        shelf.rename(id, title)
        print(f"{id} is now “{shelf.entry(id).title}”", file=sys.stderr)


@app.command()
def favorite(
    stories: Ids, off: Annotated[bool, typer.Option("--off", help="No longer.")] = False
) -> None:
    """Keep stories as favorites."""
    with opened() as shelf:
        for id in [shelf.resolve(name) for name in stories]:
            shelf.favorite(id, not off)


@app.command()
def delete(
    stories: Annotated[
        list[str] | None, typer.Argument(help="Ids, their beginnings, or last.", metavar="[ID...]")
    ] = None,
    forever: Annotated[
        bool, typer.Option("--empty-trash", help="Delete for good what was put away before.")
    ] = False,
) -> None:
    """Put stories away. `undelete` brings them back until --empty-trash."""
    from tinytales.errors import UsageError

    if bool(stories) == forever:
        raise UsageError("delete what?", hint="name ids, or --empty-trash alone")
    with opened() as shelf:
        if forever:
            print(f"{shelf.empty_trash()} stories deleted for good", file=sys.stderr)
            return
        ids = [shelf.resolve(name) for name in stories or ()]
        shelf.delete(ids)
    print(f"put away; tinytales library undelete {' '.join(ids)}", file=sys.stderr)


@app.command()
def undelete(stories: Ids) -> None:
    """Bring back what was put away."""
    with opened() as shelf:
        shelf.undelete([shelf.resolve(name) for name in stories])


@app.command("import")
def import_stories(
    file: Annotated[Path, typer.Argument(help="JSONL as export wrote it; - is stdin.")],
    as_json: Json = False,
) -> None:
    """Add the stories of a JSONL file: all of them or, if a line is wrong, none."""
    from tinytales.errors import UsageError
    from tinytales.library.exports import from_jsonl

    try:
        raw = sys.stdin.buffer.read() if file == Path("-") else file.read_bytes()
        tales = list(from_jsonl(raw.decode("utf-8-sig").split("\n")))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: byte {error.start}") from error
    with opened() as shelf:
        added = shelf.add_all(tale.story for tale in tales)
        for tale in tales:
            if tale.title != tale.story.title and shelf.entry(tale.story.id).title != tale.title:
                shelf.rename(tale.story.id, tale.title)
    if as_json:
        print(json.dumps({"added": added, "known": len(tales) - added}))
    else:
        print(f"{added} added, {len(tales) - added} were here already", file=sys.stderr)


@contextmanager
def opened() -> Iterator[Library]:
    """The library; what went wrong on opening is said on stderr."""
    from tinytales.library import Library

    with Library() as shelf:
        if shelf.note:
            print(f"note: {shelf.note}", file=sys.stderr)
        yield shelf


def print_entries(entries: list[Entry], as_json: bool) -> None:
    """A line for each story: id, day, words, heart, title."""
    if as_json:
        print(json.dumps([asdict(entry) for entry in entries], ensure_ascii=False))
        return
    for entry in entries:
        heart = "*" if entry.favorite else " "
        line = f"{entry.id}  {entry.created[:10]:10}  {entry.words:4} {heart} {entry.title}"
        print(plain(f"{line}  · {entry.found}" if entry.found else line))


def plain(text: str) -> str:
    """`text` without what a terminal would obey: imported stories may say anything."""
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs"))
