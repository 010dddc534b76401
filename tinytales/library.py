"""The saved stories: one SQLite file that survives crashes, crowds and years.

    with Library() as library:
        id = library.add(story)                       # whole, or sentence by sentence:
        id = library.begin(story); library.append(id, " The end."); library.finish(id, story)
        library.search("fox kite")

Each row holds the whole story record as one JSON text, the single truth; the columns beside it are
for sorting. Full-text search is an FTS5 index kept by triggers. Each call is one transaction in WAL
mode with full sync: what was said to be saved is saved, and several apps share one library. Each
thread gets its own connection, so that reading never waits for writing.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from tinytales.errors import LibraryError, TinytalesError, UsageError, nearest
from tinytales.librarydb import as_json, connect, prepare, put, spoken, transaction
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
#: Seconds of mending after which those who wait are told.
PATIENCE = 0.5
_ENTRY = "id, title, created, words, finish, favorite, parent, branch_at, position"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the shelf. `found` is where a search met its words; `depth` is set by tellings."""

    id: str
    title: str
    created: str
    words: int
    finish: str
    favorite: bool
    parent: str | None
    branch_at: int | None
    position: int
    depth: int = 0
    found: str = ""


Entries: TypeAlias = list[Entry]
Ids: TypeAlias = str | Iterable[str]


def log_mending(path: Path) -> None:
    """One line to the log; on stderr for programs without logging of their own."""
    import logging  # hardly ever needed

    said = "The library %s is damaged: what can be read is being saved. This takes a moment."
    logging.getLogger(__name__).warning(said, path)


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
        self._own = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._closed = False
        self._address, self.note = prepare(self.path, lambda path: _mend(path, on_mending))
        self.writable = self._address == str(self.path)

    # -- saving ----------------------------------------------------------------------------------

    def add(self, story: Story) -> str:
        """Keep `story`; a kept one is brought up to date. Returns its id."""
        with self._writing() as db:
            put(db, story)
        return story.id

    def add_all(self, stories: Iterable[Story]) -> int:
        """Keep those of `stories` that are not known yet, all or none; how many these are."""
        added = 0
        with self._writing() as db:
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
        with self._writing() as db:
            story = _story(_row(db, id, "record")[0], id)
            put(db, replace(story, text=story.text + sentence))

    def finish(self, id: str, story: Story) -> None:
        """The story is told: `story` is its whole record."""
        self.add(replace(story, id=id))

    # -- reading ---------------------------------------------------------------------------------

    def get(self, id: str) -> Story:
        """The record of a story, also of one that was put away."""
        with self._reading() as db:
            return _story(_row(db, id, "record")[0], id)

    def entry(self, id: str) -> Entry:
        with self._reading() as db:
            return _entry(_row(db, id, _ENTRY))

    def resolve(self, name: str) -> str:
        """The id that begins with `name`; "last" is the newest story."""
        with self._reading() as db:
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
            raise _no_story(name)
        return ids[0]

    def count(self, *, favorites: bool = False, deleted: bool = False) -> int:
        with self._reading() as db:
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
        with self._reading() as db:
            rows = db.execute(
                f"SELECT {_ENTRY} FROM story WHERE {_where(favorites, deleted)} "
                f"ORDER BY {SORTS[sort]} LIMIT ? OFFSET ?",
                (limit, max(0, offset)),
            )
            return [_entry(row) for row in rows]

    def search(self, query: str, limit: int = 100, *, favorites: bool = False) -> Entries:
        """Stories in which a word begins with each word of `query`, the best first."""
        words = clean(query).split()
        if not words:
            return self.list(favorites=favorites, limit=limit)
        columns = ", ".join(f"story.{name.strip()}" for name in _ENTRY.split(","))
        where = _where(favorites, deleted=False)
        with self._reading() as db:
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
                replace(_entry(row[:-1]), found=" ".join(str(row[-1] or "").split()))
                for row in rows
            ]

    def __iter__(self) -> Iterator[Story]:
        """All stories on the shelf, oldest first."""
        return (self.get(entry.id) for entry in self.list(sort="oldest"))

    # -- keeping order ---------------------------------------------------------------------------

    def rename(self, id: str, title: str) -> None:
        """Give a story another title; an empty one is found in the story again."""
        title = clean(title)
        with self._writing() as db:
            derived = clean(_story(_row(db, id, "record")[0], id).title)
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
        with self._writing() as db:
            db.execute("DELETE FROM mark WHERE story IN (SELECT id FROM story WHERE deleted > '')")
            return db.execute("DELETE FROM story WHERE deleted IS NOT NULL").rowcount

    def leave(self, id: str, position: int) -> None:
        """Remember that a story was read up to character `position`, just now."""
        with self._writing() as db:
            _row(db, id, "id")
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
        with self._reading() as db:
            rows = db.execute(
                f"SELECT {_ENTRY} FROM story WHERE parent = ? AND deleted IS NULL "
                "ORDER BY branch_at, created, number",
                (id,),
            )
            return [_entry(row) for row in rows]

    def tellings(self, id: str) -> Entries:
        """All tellings of a story: its first one, then each under its parent, with its depth.

        Tellings that were put away are left out; what branched from them moves up.
        """
        with self._reading() as db:
            _row(db, id, "id")
            rows = db.execute(
                f"""
                WITH RECURSIVE
                    above(id) AS (
                        VALUES (?) UNION
                        SELECT story.parent FROM story JOIN above USING (id)
                        WHERE story.parent IS NOT NULL
                    ),
                    family(id) AS (
                        SELECT id FROM above UNION
                        SELECT story.id FROM story JOIN family ON story.parent = family.id
                    )
                SELECT {_ENTRY}, deleted IS NOT NULL FROM story JOIN family USING (id)
                ORDER BY branch_at, created, number
                """,
                (id,),
            ).fetchall()
        away = {str(row[0]) for row in rows if row[-1]}
        entries = {str(row[0]): _entry(row[:-1]) for row in rows}
        below: dict[str | None, Entries] = {}
        for entry in entries.values():
            below.setdefault(entry.parent if entry.parent in entries else None, []).append(entry)
        tree: Entries = []
        todo = [(entry, 0) for entry in reversed(below.get(None, []))]
        while todo:
            entry, depth = todo.pop()
            shown = entry.id not in away
            if shown:
                tree.append(replace(entry, depth=depth))
            todo += [(child, depth + shown) for child in reversed(below.get(entry.id, []))]
        return tree

    # -- exports ---------------------------------------------------------------------------------

    def export(self, ids: Ids, format: str, path: str | Path) -> Path:
        """Write one story or many to a file, in one of booklet.FORMATS. Returns its path."""
        from tinytales import booklet

        ids = [ids] if isinstance(ids, str) else ids
        tales = [booklet.Tale(self.entry(id).title, self.get(id)) for id in ids]
        return booklet.export(tales, format, path)

    # -- marks and duels -------------------------------------------------------------------------

    def add_mark(self, story_id: str, mark: Mapping[str, Any]) -> None:
        """Keep what a judge wrote of a story; earlier marks stay."""
        with self._writing() as db:
            _row(db, story_id, "id")
            db.execute(
                "INSERT INTO mark (story, created, mark) VALUES (?, ?, ?)",
                (story_id, now(), as_json(mark)),
            )

    def marks(self, story_id: str) -> Sequence[dict[str, Any]]:
        """The marks of a story, the oldest first."""
        with self._reading() as db:
            rows = db.execute("SELECT mark FROM mark WHERE story = ? ORDER BY number", (story_id,))
            return [json.loads(row[0]) for row in rows]

    def add_duel(self, winner: str, loser: str, *, drawn: bool = False) -> None:
        """Count a duel between two voices, named by their digests."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO duel (created, winner, loser, drawn) VALUES (?, ?, ?, ?)",
                (now(), winner, loser, drawn),
            )

    def duels(self) -> dict[str, tuple[int, int, int]]:
        """Digest of a voice -> duels won, lost, drawn."""
        with self._reading() as db:
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
        self._closed = True
        while self._connections:
            self._connections.pop().close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _db(self) -> sqlite3.Connection:
        """This thread's connection."""
        db: sqlite3.Connection | None = getattr(self._own, "db", None)
        if db is None:
            if self._closed:
                raise LibraryError(f"{self.path} was closed")
            db = connect(self._address)
            self._own.db = db
            self._connections.append(db)
        return db

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """What SQLite says, in words for people."""
        try:
            yield
        except sqlite3.Error as error:
            raise spoken(error, self.path) from error

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._speaking():
            yield self._db

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is saved, or nothing."""
        with self._speaking(), transaction(self._db) as db:
            yield db

    def _change(self, ids: Ids, assignment: str, value: object) -> None:
        with self._writing() as db:
            for id in [ids] if isinstance(ids, str) else ids:
                _row(db, id, "id")
                db.execute(f"UPDATE story SET {assignment} WHERE id = ?", (value, id))


def library_path() -> Path:
    """Where the library is when nobody says otherwise."""
    from tinytales.paths import data_dir

    return data_dir() / FILE


def _mend(path: Path, on_mending: Callable[[Path], object]) -> str:
    """Save what can be read of a damaged library; who waits longer than a moment is told."""
    from tinytales.salvage import salvage  # hardly ever needed

    late = threading.Timer(PATIENCE, on_mending, [path])
    late.daemon = True
    late.start()
    try:
        return salvage(path)
    finally:
        late.cancel()


def _row(db: sqlite3.Connection, id: str, columns: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = db.execute(
        f"SELECT {columns} FROM story WHERE id = ?", (id,)
    ).fetchone()
    if row is None:
        raise _no_story(id)
    return row


def _no_story(id: str) -> LibraryError:
    return LibraryError(f"there is no story {id!r}", hint="tinytales library list")


def _entry(row: Sequence[Any]) -> Entry:
    id, title, created, words, finish, favorite, parent, branch_at, position = row
    return Entry(id, title, created, words, finish, bool(favorite), parent, branch_at, position)


def _story(record: str, id: str) -> Story:
    try:
        return Story.from_dict(json.loads(record))
    except (ValueError, TypeError, TinytalesError) as error:
        raise LibraryError(f"the record of story {id} cannot be read: {error}") from error


def _where(favorites: bool, deleted: bool) -> str:
    return f"deleted IS {'NOT ' * deleted}NULL" + " AND favorite = 1" * favorites


def _moment() -> str:
    """The time with its fractions, so that what was read last is known within a second too."""
    return f"{time.time():017.6f}"
