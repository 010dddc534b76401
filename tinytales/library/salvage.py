"""Saving what can be read out of a damaged library.

The damaged file is never written to and never deleted: it is read in a copy, what can be read goes
into a fresh library, and the damaged one stays beside it under another name. Three ways of reading,
from the best to the last:

1. row by row through SQLite, stepping over the pages that cannot be read;
2. through the bytes of the file: each row holds the whole story as one JSON text, which can be
   found even where there is no database around it any more;
3. the same in the write-ahead log, which holds what was saved last.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinytales.errors import LibraryError, TinytalesError
from tinytales.library.connection import connect, transaction
from tinytales.library.rows import put
from tinytales.library.schema import PAGE_BYTES, bring_up_to_date
from tinytales.story import Story

#: How the record of a story begins in the file. One that is longer than a page lies in pieces.
_RECORD = re.compile(rb'\{"id":"')
MAGIC = b"SQLite format 3\0"
MOST_BYTES = 1 << 32
_STORY = (
    "number, id, created, title, renamed, words, finish, favorite, deleted, parent, branch_at, "
    "position, opened, record"
)
#: Tables without stories, copied as they are.
_OTHERS = {"mark": "number, story, created, mark", "duel": "number, created, winner, loser, drawn"}
#: Places that know which stories there were, independent of each other.
_NUMBERS = (
    "SELECT number FROM story ORDER BY number",
    "SELECT number FROM story ORDER BY number DESC",
    "SELECT number FROM story INDEXED BY story_created WHERE deleted IS NULL",
    "SELECT id FROM story_index_docsize",
)


def salvage(path: Path) -> str:
    """Put a fresh library in the place of the damaged one at `path`; says what was saved.

    Raises:
        LibraryError: nothing in the file is a library's, or the fresh one cannot be written. The
            file is where and what it was.
    """
    with _only_one(path):
        with contextlib.suppress(sqlite3.Error):
            bring_up_to_date(path)
            return ""  # another app was quicker
        for left in path.parent.glob(".mending-*"):  # from one that was killed meanwhile
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".mending-", dir=path.parent) as folder:
            fresh = Path(folder) / "fresh.sqlite"
            said = _save(path, Path(folder), fresh)
            kept = _set_aside(path)
            fresh.replace(path)
    return f"{path} was damaged. {said} The damaged file is kept as {kept.name}"


def _stories(count: int) -> str:
    return f"{count} {'story' if count == 1 else 'stories'}"


def _save(path: Path, folder: Path, fresh: Path) -> str:
    """Read the damaged library in a copy and write `fresh`; says what could be saved."""
    copy = folder / "damaged.sqlite"
    log = path.with_name(path.name + "-wal")
    shutil.copyfile(path, copy)
    _fill_up(copy)
    if log.is_file():
        shutil.copyfile(log, folder / "damaged.sqlite-wal")
    known, rows, others = _read_rows(copy)
    carved: dict[str, Story] = {}
    if not rows or known - rows.keys():
        ids = {row[1] for row in rows.values()}
        for story in _carve(path, log):
            old = carved.get(story.id)
            if story.id not in ids and (old is None or len(old.text) <= len(story.text)):
                carved[story.id] = story
    if not rows and not carved and not _was_library(path):
        raise LibraryError(
            f"{path} is not a tinytales library", hint="move it away, and a new one is begun"
        )
    bring_up_to_date(fresh)
    with contextlib.closing(connect(str(fresh))) as db, transaction(db):
        _insert(db, "story", _STORY, rows.values())
        for table, columns in _OTHERS.items():
            _insert(db, table, columns, others[table])
        for story in carved.values():
            put(db, story)
    said = f"{_stories(len(rows) + len(carved))} could be saved"
    said += f", {len(carved)} of them without title, heart and marks" if carved else ""
    lost = len(known - rows.keys()) - len(carved)
    if lost > 0:
        said += f"; {_stories(lost)} could not be read"
    elif not rows:
        said += "; nobody knows how many could not"
    return f"{said}."


def _fill_up(copy: Path) -> None:
    """Give a file that was cut short its length again: SQLite reads nothing of a shorter one."""
    with copy.open("r+b") as file:
        header = file.read(32)
        if header.startswith(MAGIC) and len(header) == 32:
            page_bytes, pages = int.from_bytes(header[16:18]), int.from_bytes(header[28:32])
            whole = page_bytes * pages
            if file.seek(0, os.SEEK_END) < whole < MOST_BYTES:
                file.truncate(whole)


def _read_rows(
    copy: Path,
) -> tuple[set[int], dict[int, tuple[Any, ...]], dict[str, list[tuple[Any, ...]]]]:
    """(numbers of the stories that there were, rows that can be read, rows of other tables)."""
    known: set[int] = set()
    rows: dict[int, tuple[Any, ...]] = {}
    others: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _OTHERS}
    with contextlib.suppress(sqlite3.Error), contextlib.closing(connect(str(copy))) as db:
        for query in _NUMBERS:
            known.update(row[0] for row in _readable(db, query) if isinstance(row[0], int))
        for number in sorted(known):
            for row in _readable(db, f"SELECT {_STORY} FROM story WHERE number = ?", number):
                if _is_story(row):
                    rows[number] = row
        for table, columns in _OTHERS.items():
            others[table] = list(_readable(db, f"SELECT {columns} FROM {table}"))
    return known, rows, others


def _readable(db: sqlite3.Connection, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    """The rows up to the first that cannot be read."""
    with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
        yield from db.execute(query, values)


def _is_story(row: tuple[Any, ...]) -> bool:
    try:
        return bool(Story.from_dict(json.loads(row[-1])).id == row[1])
    except (ValueError, TypeError, TinytalesError):
        return False


def _insert(db: sqlite3.Connection, table: str, columns: str, rows: Any) -> None:
    """Copy rows; those that the fresh table does not take are left out."""
    marks = ", ".join("?" * len(columns.split(",")))
    for row in rows:
        with contextlib.suppress(sqlite3.IntegrityError):
            db.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", row)


def _carve(*files: Path) -> Iterator[Story]:
    """Stories found in the bytes of files, whatever is around them."""
    decoder = json.JSONDecoder()
    for file in files:
        data = file.read_bytes() if file.is_file() else b""
        for match in _RECORD.finditer(data):
            text = data[match.start() : match.start() + PAGE_BYTES].split(b"\0", 1)[0]
            with contextlib.suppress(ValueError, TypeError, RecursionError, TinytalesError):
                record, _end = decoder.raw_decode(text.decode("utf-8", "replace"))
                story = Story.from_dict(record)
                if isinstance(story.text, str) and "\ufffd" not in story.text:
                    yield story


def _was_library(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == MAGIC


def _set_aside(path: Path) -> Path:
    """Give the damaged file (and its log) a second name; a crash here leaves the first as well."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    kept = path.with_name(f"{path.stem}.damaged-{stamp}{path.suffix}")
    for end in ("", "-wal"):
        file, twin = path.with_name(path.name + end), kept.with_name(kept.name + end)
        if file.is_file() and file.stat().st_size:
            try:
                os.link(file, twin)
            except OSError:  # a file system without hard links
                shutil.copyfile(file, twin)
    for end in ("-wal", "-shm"):  # a log must never meet another database
        path.with_name(path.name + end).unlink(missing_ok=True)
    return kept


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """One app mends, others wait: SQLite's own lock, on a file beside, which a crash lets go.

    The empty file stays: those who wait have it open.
    """
    with contextlib.closing(connect(str(path.with_name(f".{path.name}.mending")))) as db:
        db.execute("PRAGMA busy_timeout = 600000")
        db.execute("BEGIN EXCLUSIVE")
        yield
