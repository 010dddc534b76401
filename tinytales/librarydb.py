"""The library's file: its tables, how it is opened, what SQLite's errors mean.

Opening looks before it touches: a file of a newer tinytales or of another program is left as it is,
a damaged one is handed to be mended, one that may only be read is read. Only `library` and
`salvage` import this.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tinytales.errors import LibraryError, TinytalesError
from tinytales.prompt import clean
from tinytales.story import Story, now, title_of

#: "tale": a SQLite file with another application id is not ours.
APPLICATION_ID = 0x74616C65
#: A story and its record fit into one page, which makes damaged files readable (see salvage.py).
PAGE_BYTES = 8192
#: So long one app waits for another that is writing.
BUSY_SECONDS = 15.0

#: name -> SQL, applied once and in order. A library that names others is from a newer version.
MIGRATIONS: dict[str, str] = {
    "stories": """
        CREATE TABLE story (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            created TEXT NOT NULL,
            title TEXT NOT NULL,
            renamed INTEGER NOT NULL DEFAULT 0,
            words INTEGER NOT NULL,
            finish TEXT NOT NULL,
            favorite INTEGER NOT NULL DEFAULT 0,
            deleted TEXT,                           -- when it was put away
            parent TEXT,                            -- id of the telling it branched from,
            branch_at INTEGER,                      -- at this character
            position INTEGER NOT NULL DEFAULT 0,    -- characters read
            opened TEXT,                            -- when it was read last
            record TEXT NOT NULL                    -- Story.to_dict() as JSON
        );
        CREATE INDEX story_created ON story (deleted, created);
        CREATE INDEX story_title ON story (deleted, title COLLATE NOCASE);
        CREATE INDEX story_words ON story (deleted, words);
        CREATE INDEX story_favorite ON story (deleted, favorite);
        CREATE INDEX story_opened ON story (deleted, opened);
        CREATE INDEX story_parent ON story (parent);
    """,
    "search": """
        CREATE VIEW story_text AS
            SELECT number, title, json_extract(record, '$.text') AS text FROM story;
        CREATE VIRTUAL TABLE story_index USING fts5(
            title, text, content='story_text', content_rowid='number',
            tokenize='unicode61 remove_diacritics 2', prefix='2 3'
        );
        CREATE TRIGGER story_added AFTER INSERT ON story BEGIN
            INSERT INTO story_index (rowid, title, text)
            VALUES (new.number, new.title, json_extract(new.record, '$.text'));
        END;
        CREATE TRIGGER story_changed AFTER UPDATE OF title, record ON story BEGIN
            INSERT INTO story_index (story_index, rowid, title, text)
            VALUES ('delete', old.number, old.title, json_extract(old.record, '$.text'));
            INSERT INTO story_index (rowid, title, text)
            VALUES (new.number, new.title, json_extract(new.record, '$.text'));
        END;
        CREATE TRIGGER story_removed AFTER DELETE ON story BEGIN
            INSERT INTO story_index (story_index, rowid, title, text)
            VALUES ('delete', old.number, old.title, json_extract(old.record, '$.text'));
        END;
    """,
    "marks": """
        CREATE TABLE mark (
            number INTEGER PRIMARY KEY,
            story TEXT NOT NULL,
            created TEXT NOT NULL,
            mark TEXT NOT NULL                      -- JSON, as the grading wrote it
        );
        CREATE INDEX mark_story ON mark (story);
    """,
    "duels": """
        CREATE TABLE duel (
            number INTEGER PRIMARY KEY,
            created TEXT NOT NULL,
            winner TEXT NOT NULL,                   -- digests of two voices
            loser TEXT NOT NULL,
            drawn INTEGER NOT NULL
        );
    """,
}


def prepare(path: Path, mend: Callable[[Path], str]) -> tuple[str, str]:
    """Make the library at `path` ready to be used: create it, bring it up to date, mend it.

    `mend` saves what can be read of a damaged file into a fresh one, and says what it could not.
    Returns (address, note): what `connect` takes, and what went wrong without stopping it.

    Raises:
        LibraryError: from a newer version, of another program, or out of reach. It is untouched.
    """
    from tinytales.paths import make

    try:
        make(path.parent)
        if path.is_file() and not _writable(path):
            return _read_only(path, "may only be read")
        try:
            bring_up_to_date(path)
        except sqlite3.Error as error:
            if is_damage(error):
                return str(path), mend(path)
            if path.is_file() and path.stat().st_size and cannot_write(error):
                return _read_only(path, f"can only be read ({error})")
            raise
    except sqlite3.Error as error:
        raise spoken(error, path) from error
    except OSError as error:
        raise LibraryError(f"{path} cannot be opened: {error.strerror}") from error
    except LibraryError:
        raise
    except TinytalesError as error:
        raise LibraryError(error.message, hint=error.hint) from error
    return str(path), ""


def bring_up_to_date(path: Path) -> None:
    """Look whether the file is whole, and apply the migrations that it lacks.

    Raises:
        LibraryError: it is from a newer version or another program.
        sqlite3.DatabaseError: it is damaged (see `is_damage`).
    """
    names = None
    if path.is_file() and path.stat().st_size:
        # Looking must not write: SQLite tidies up when it closes what it may write to.
        with contextlib.closing(connect(f"{address_of(path)}?mode=ro")) as db:
            names = _applied(db, path)
            if names is not None:
                check(db)
    if names is None or len(names) < len(MIGRATIONS):
        with contextlib.closing(connect(str(path))) as db:
            _migrate(db, path)


def check(db: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError if a page or a record is not whole; 0.1 s for 10,000 stories."""
    found = [str(row[0]) for row in db.execute("PRAGMA quick_check(1)")]
    broken = db.execute("SELECT count(*) FROM story WHERE NOT json_valid(record)").fetchone()[0]
    if found != ["ok"] or broken:
        raise sqlite3.DatabaseError(f"malformed: {found[0] if found != ['ok'] else 'a record'}")


def is_damage(error: sqlite3.Error) -> bool:
    """Is the file itself broken (and not the disk full, or another app writing)?"""
    said = str(error)
    return any(
        sign in said for sign in ("malformed", "not a database", "no such table", "no such column")
    )


def cannot_write(error: sqlite3.Error) -> bool:
    """Is the place at fault: full, failing, or not ours to write to?"""
    said = str(error)
    return any(sign in said for sign in ("full", "disk I/O", "readonly", "unable to open"))


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _read_only(path: Path, why: str) -> tuple[str, str]:
    """An address that only reads. What stands in the write-ahead log beside is read as well."""
    log = path.with_name(path.name + "-wal")
    address = f"{address_of(path)}?immutable=1"
    if log.is_file() and log.stat().st_size:
        folder = Path(tempfile.mkdtemp(prefix="tinytales-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        for file in (path, log):
            shutil.copyfile(file, folder / file.name)
        address = f"{address_of(folder / path.name)}?mode=ro"
    with contextlib.closing(connect(address)) as db:
        if _applied(db, path) is None:
            raise LibraryError(f"{path} {why}, and holds no stories")
        check(db)
    return address, f"{path} {why}: nothing new is kept"


def connect(address: str) -> sqlite3.Connection:
    """A connection as the library wants it; `address` is a path or a file: URI."""
    db = sqlite3.connect(
        address,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        uri=address.startswith("file:"),
    )
    db.execute("PRAGMA synchronous = FULL")
    return db


def address_of(path: Path) -> str:
    """`path` as a file: URI, to which ?mode=ro can be added."""
    return f"file:{quote(path.absolute().as_posix())}"


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def spoken(error: sqlite3.Error, path: Path) -> LibraryError:
    """An error of SQLite in words for people."""
    said = str(error)
    if "full" in said:
        return LibraryError(
            f"the disk is full: {path} cannot be written", hint="free some space and try again"
        )
    if "readonly" in said:
        return LibraryError(
            f"{path} may only be read", hint="check the permissions, or choose another --data-dir"
        )
    if "unable to open" in said:
        return LibraryError(
            f"{path} cannot be opened", hint="check the permissions, or choose another --data-dir"
        )
    if "locked" in said or "busy" in said:
        return LibraryError(
            f"another program has been writing to {path} for {BUSY_SECONDS:.0f} seconds",
            hint="close it and try again",
        )
    if "malformed" in said or "not a database" in said:
        return LibraryError(f"{path} is damaged", hint="start again: what can be read is saved")
    return LibraryError(f"{path}: {said}")


def _applied(db: sqlite3.Connection, path: Path) -> list[str] | None:
    """Names of the migrations that made this file; None for an empty one.

    Raises LibraryError if the file is from a newer version, or another program's.
    """
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    if not tables:
        return None
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise LibraryError(
            f"{path} is a database of another program", hint="choose another --data-dir"
        )
    names = [str(row[0]) for row in db.execute("SELECT name FROM migration ORDER BY rowid")]
    unknown = [name for name in names if name not in MIGRATIONS]
    if unknown:
        raise LibraryError(
            f"{path} is from a newer tinytales (it has {', '.join(unknown)})",
            hint="upgrade with pip install -U tinytales; the library was not touched",
        )
    return names


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the file up to date in one transaction."""
    _prepare(db)
    with transaction(db):
        applied = _applied(db, path)  # another app may have been quicker
        if applied is None:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute("CREATE TABLE migration (name TEXT NOT NULL UNIQUE, applied TEXT NOT NULL)")
        for name, sql in MIGRATIONS.items():
            if name not in (applied or ()):
                for statement in _statements(sql):
                    db.execute(statement)
                db.execute("INSERT INTO migration VALUES (?, ?)", (name, now()))


def _prepare(db: sqlite3.Connection) -> None:
    """Page size and WAL, which a transaction cannot set. Another app may be doing the same."""
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    for _ in range(200):
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(0.02)  # SQLite does not wait here by itself


def _statements(sql: str) -> Iterator[str]:
    """The statements of a script (executescript would commit between them)."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def put(db: sqlite3.Connection, story: Story) -> None:
    """Write the row of `story`; title by hand, favorite, position and trash stay as they were."""
    text = story.text
    if not isinstance(text, str) or not isinstance(story.id, str) or not story.id.strip():
        raise LibraryError("a story without text or id cannot be kept")
    record = as_json(story.to_dict())
    db.execute(
        """
        INSERT INTO story (id, created, title, words, finish, parent, branch_at, record)
        VALUES (:id, :created, :title, :words, :finish, :parent, :branch_at, :record)
        ON CONFLICT (id) DO UPDATE SET
            title = CASE renamed WHEN 1 THEN title ELSE excluded.title END,
            created = excluded.created, words = excluded.words, finish = excluded.finish,
            parent = excluded.parent, branch_at = excluded.branch_at, record = excluded.record
        """,
        {
            "id": story.id,
            "created": story.created,
            "title": clean(title_of(text)),
            "words": story.words,
            "finish": story.finish,
            "parent": story.parent,
            "branch_at": story.branch_at,
            "record": record,
        },
    )


def as_json(data: Mapping[str, Any]) -> str:
    return storable(json.dumps(data, ensure_ascii=False, separators=(",", ":")))


def storable(text: str) -> str:
    """SQLite's text is UTF-8: half characters (lone surrogates) become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
