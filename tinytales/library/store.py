"""The saved stories, kept, found and put in order: `Library`.

Each call is one transaction in WAL mode with full sync: what was said to be saved is saved. Search
is an FTS5 index, kept by triggers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from tinytales.errors import LibraryError, UsageError, nearest
from tinytales.library.connection import Connections
from tinytales.library.opening import log_mending, prepare
from tinytales.library.rows import ENTRY, Entry, as_json, entry_of, no_story, put, row_of, story_of
from tinytales.library.tellings import tellings
from tinytales.prompt import clean
from tinytales.story import Story, now

FILE = "library.sqlite"
#: sort -> SQL order
SORTS: dict[str, str] = {
    "newest": "created DESC, number DESC",
    "oldest": "created, number",
    "title": "title COLLATE NOCASE, number",
    "longest": "words DESC, number DESC",
    "read": "opened DESC, number DESC",
}

Entries: TypeAlias = list[Entry]
Ids: TypeAlias = str | Iterable[str]


class Library:
    """An open library; a context manager; safe to share between threads.

    Args:
        path: the file; default: `library_path()`.
        on_mending: called in another thread when a damaged library takes a moment to be mended.

    Attributes:
        path: the file.
        note: what went wrong on opening without stopping it: stories saved from a damaged file,
            or a library that can only be read. Empty when all is well.
        writable: is what is added here kept?

    Raises, from every method:
        LibraryError: it cannot be opened, read or written; nothing that was saved is lost.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        on_mending: Callable[[Path], object] = log_mending,
    ) -> None:
        self.path = library_path() if path is None else Path(path)
        address, self.note = prepare(self.path, on_mending)
        self.writable = address == str(self.path)
        self._file = Connections(address, self.path)

    # -- saving ----------------------------------------------------------------------------------

    def add(self, story: Story) -> str:
        """Keep `story`; a kept one is brought up to date. Returns its id."""
        with self._file.writing() as db:
            put(db, story)
        return story.id

    def add_all(self, stories: Iterable[Story]) -> int:
        """Keep those of `stories` that are not known yet, all or none; how many these are."""
        added = 0
        with self._file.writing() as db:
            for story in stories:
                if db.execute("SELECT 1 FROM story WHERE id = ?", (story.id,)).fetchone() is None:
                    put(db, story)
                    added += 1
        return added

    def begin(self, story: Story) -> str:
        """Keep a story that is still being told, with what is told of it. Returns its id."""
        return self.add(story)

    def append(self, id: str, sentence: str) -> None:
        """The story goes on with `sentence`, given with the white space before it."""
        with self._file.writing() as db:
            story = story_of(row_of(db, id, "record")[0], id)
            put(db, replace(story, text=story.text + sentence))

    def finish(self, id: str, story: Story) -> None:
        """The story is told: `story` is its whole record."""
        self.add(replace(story, id=id))

    # -- reading ---------------------------------------------------------------------------------

    def get(self, id: str) -> Story:
        """The record of a story, also of one that was put away."""
        with self._file.reading() as db:
            return story_of(row_of(db, id, "record")[0], id)

    def entry(self, id: str) -> Entry:
        with self._file.reading() as db:
            return entry_of(row_of(db, id, ENTRY))

    def resolve(self, name: str) -> str:
        """The id that begins with `name`; "last" is the newest story."""
        with self._file.reading() as db:
            if name == "last":
                rows = db.execute(
                    f"SELECT id FROM story WHERE deleted IS NULL ORDER BY {SORTS['newest']} LIMIT 1"
                ).fetchall()
                if not rows:
                    raise LibraryError("no story is saved yet", hint="tinytales tell --save")
                return str(rows[0][0])
            ids = [
                str(row[0])
                for row in db.execute(
                    "SELECT id FROM story WHERE substr(id, 1, ?) = ? LIMIT 20", (len(name), name)
                )
            ]
        if name in ids:
            return name
        if len(ids) > 1 and name:
            raise LibraryError(f"{name!r} is the beginning of {len(ids)} ids", hint=", ".join(ids))
        if not ids or not name:
            raise no_story(name)
        return ids[0]

    def count(self, *, favorites: bool = False, deleted: bool = False) -> int:
        with self._file.reading() as db:
            where = _where(favorites, deleted)
            return int(db.execute(f"SELECT count(*) FROM story WHERE {where}").fetchone()[0])

    def list(
        self,
        *,
        sort: str = "newest",
        favorites: bool = False,
        deleted: bool = False,
        limit: int = -1,
        offset: int = 0,
    ) -> Entries:
        """Rows of the shelf, in an order of SORTS; `deleted` lists what was put away instead."""
        if sort not in SORTS:
            raise UsageError(f"unknown order {sort!r}", hint=nearest(sort, SORTS))
        with self._file.reading() as db:
            rows = db.execute(
                f"SELECT {ENTRY} FROM story WHERE {_where(favorites, deleted)} "
                f"ORDER BY {SORTS[sort]} LIMIT ? OFFSET ?",
                (limit, max(0, offset)),
            )
            return [entry_of(row) for row in rows]

    def search(self, query: str, limit: int = 100, *, favorites: bool = False) -> Entries:
        """Stories in which a word begins with each word of `query`, the best first."""
        words = clean(query).split()
        if not words:
            return self.list(favorites=favorites, limit=limit)
        columns = ", ".join(f"story.{name.strip()}" for name in ENTRY.split(","))
        where = _where(favorites, deleted=False)
        with self._file.reading() as db:
            known = [word for word in words if any(c.isalnum() for c in word)]
            if not known:  # an emoji: the index knows only words
                rows = db.execute(
                    f"SELECT {columns}, '' FROM story_text JOIN story USING (number) "
                    f"WHERE {where} AND instr(text, ?) ORDER BY created DESC LIMIT ?",
                    (" ".join(words), limit),
                )
            else:
                match = " ".join('"' + word.replace('"', '""') + '"*' for word in known)
                rows = db.execute(
                    f"SELECT {columns}, snippet(story_index, 1, '', '', '…', 12) FROM story_index "
                    "JOIN story ON story.number = story_index.rowid "
                    f"WHERE story_index MATCH ? AND rank MATCH 'bm25(4.0, 1.0)' AND {where} "
                    "ORDER BY rank LIMIT ?",
                    (match, limit),
                )
            return [
                replace(entry_of(row[:-1]), found=" ".join(str(row[-1] or "").split()))
                for row in rows
            ]

    def __iter__(self) -> Iterator[Story]:
        """All stories on the shelf, oldest first."""
        return (self.get(entry.id) for entry in self.list(sort="oldest"))

    # -- keeping order ---------------------------------------------------------------------------

    def rename(self, id: str, title: str) -> None:
        """Give a story another title; an empty one is found in the story again."""
        title = clean(title)
        with self._file.writing() as db:
            derived = clean(story_of(row_of(db, id, "record")[0], id).title)
            db.execute(
                "UPDATE story SET title = ?, renamed = ? WHERE id = ?",
                (title or derived, bool(title), id),
            )

    def favorite(self, id: str, on: bool = True) -> None:
        self._change([id], "favorite = ?", on)

    def delete(self, ids: Ids) -> None:
        """Put stories away. They can be brought back until `empty_trash`."""
        self._change(ids, "deleted = ?", now())

    def undelete(self, ids: Ids) -> None:
        """Bring back what was put away."""
        self._change(ids, "deleted = ?", None)

    def empty_trash(self) -> int:
        """Delete for good what was put away; how many stories these were."""
        with self._file.writing() as db:
            db.execute("DELETE FROM mark WHERE story IN (SELECT id FROM story WHERE deleted > '')")
            return db.execute("DELETE FROM story WHERE deleted IS NOT NULL").rowcount

    def leave(self, id: str, position: int) -> None:
        """Remember that a story was read up to character `position`, just now."""
        with self._file.writing() as db:
            row_of(db, id, "id")
            db.execute(
                "UPDATE story SET position = ?, opened = ? WHERE id = ?",
                (max(0, position), _moment(), id),
            )

    def left_off(self) -> Entry | None:
        """The story that was read last, with its position."""
        rows = [e for e in self.list(sort="read", limit=1) if e.position]
        return rows[0] if rows else None

    # -- the tree of tellings --------------------------------------------------------------------

    def children(self, id: str) -> Entries:
        """The tellings that branch from this one, in the order of their branches."""
        with self._file.reading() as db:
            rows = db.execute(
                f"SELECT {ENTRY} FROM story WHERE parent = ? AND deleted IS NULL "
                "ORDER BY branch_at, created, number",
                (id,),
            )
            return [entry_of(row) for row in rows]

    def tellings(self, id: str) -> Entries:
        """All tellings of a story: its first one, then each under its parent, with its depth.

        Tellings that were put away are left out; what branched from them moves up.
        """
        with self._file.reading() as db:
            return tellings(db, id)

    # -- exports ---------------------------------------------------------------------------------

    def export(self, ids: Ids, format: str, path: str | Path) -> Path:
        """Write one story or many to a file, in one of exports.FORMATS. Returns its path."""
        from tinytales.library.exports import Tale, export

        ids = [ids] if isinstance(ids, str) else ids
        return export([Tale(self.entry(id).title, self.get(id)) for id in ids], format, path)

    # -- marks and duels -------------------------------------------------------------------------

    def add_mark(self, story_id: str, mark: Mapping[str, Any]) -> None:
        """Keep what a judge wrote of a story; earlier marks stay."""
        with self._file.writing() as db:
            row_of(db, story_id, "id")
            db.execute(
                "INSERT INTO mark (story, created, mark) VALUES (?, ?, ?)",
                (story_id, now(), as_json(mark)),
            )

    def marks(self, story_id: str) -> Sequence[dict[str, Any]]:
        """The marks of a story, the oldest first."""
        with self._file.reading() as db:
            rows = db.execute("SELECT mark FROM mark WHERE story = ? ORDER BY number", (story_id,))
            return [json.loads(row[0]) for row in rows]

    def add_duel(self, winner: str, loser: str, *, drawn: bool = False) -> None:
        """Count a duel between two voices, named by their digests."""
        with self._file.writing() as db:
            db.execute(
                "INSERT INTO duel (created, winner, loser, drawn) VALUES (?, ?, ?, ?)",
                (now(), winner, loser, drawn),
            )

    def duels(self) -> dict[str, tuple[int, int, int]]:
        """Digest of a voice -> duels won, lost, drawn."""
        with self._file.reading() as db:
            rows = db.execute(
                """
                SELECT voice, sum(won), sum(lost), sum(drawn) FROM (
                    SELECT winner AS voice, NOT drawn AS won, 0 AS lost, drawn FROM duel UNION ALL
                    SELECT loser, 0, NOT drawn, drawn FROM duel
                ) GROUP BY voice
                """
            )
            return {str(voice): (won, lost, drawn) for voice, won, lost, drawn in rows}

    # -- the file --------------------------------------------------------------------------------

    def close(self) -> None:
        """Close all connections; the library is one tidy file then."""
        self._file.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _change(self, ids: Ids, assignment: str, value: object) -> None:
        with self._file.writing() as db:
            for id in [ids] if isinstance(ids, str) else ids:
                row_of(db, id, "id")
                db.execute(f"UPDATE story SET {assignment} WHERE id = ?", (value, id))


def library_path() -> Path:
    """Where the library is when nobody says otherwise."""
    from tinytales.paths import data_dir

    return data_dir() / FILE


def _where(favorites: bool, deleted: bool) -> str:
    return f"deleted IS {'NOT ' * deleted}NULL" + " AND favorite = 1" * favorites


def _moment() -> str:
    """The time with its fractions, so that what was read last is known within a second too."""
    return f"{time.time():017.6f}"
