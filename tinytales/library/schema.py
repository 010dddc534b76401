"""The tables of the library, and how a file of any age comes to have them.

The schema grows by named migrations, which the file lists. A name that is not known is how a file
of a newer tinytales is recognized; it is left as it is, like one of another program.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from tinytales.errors import LibraryError
from tinytales.library.connection import address_of, connect, transaction
from tinytales.story import now

#: "tale": a SQLite file with another application id is not ours.
APPLICATION_ID = 0x74616C65
#: A story and its record fit into one page, which makes damaged files readable (see salvage.py).
PAGE_BYTES = 8192

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
            names = applied(db, path)
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


def applied(db: sqlite3.Connection, path: Path) -> list[str] | None:
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
    _set_up(db)
    with transaction(db):
        names = applied(db, path)  # another app may have been quicker
        if names is None:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute("CREATE TABLE migration (name TEXT NOT NULL UNIQUE, applied TEXT NOT NULL)")
        for name, sql in MIGRATIONS.items():
            if name not in (names or ()):
                for statement in _statements(sql):
                    db.execute(statement)
                db.execute("INSERT INTO migration VALUES (?, ?)", (name, now()))


def _set_up(db: sqlite3.Connection) -> None:
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
