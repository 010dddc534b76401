"""How SQLite is spoken to: connections, transactions, and what its errors mean for people."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tinytales.errors import LibraryError

#: So long one app waits for another that is writing.
BUSY_SECONDS = 15.0


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


class Connections:
    """An open library file: a connection for each thread, so that reading never waits for writing.

    What SQLite says in `reading` and `writing` is raised as LibraryError.
    """

    def __init__(self, address: str, path: Path) -> None:
        self._address, self._path = address, path
        self._own = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._closed = False

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self.db
        except sqlite3.Error as error:
            raise spoken(error, self._path) from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is saved, or nothing."""
        with self.reading() as db, transaction(db):
            yield db

    def close(self) -> None:
        """Close all connections; the library is one tidy file then."""
        self._closed = True
        while self._all:
            self._all.pop().close()

    @property
    def db(self) -> sqlite3.Connection:
        """This thread's own connection."""
        db: sqlite3.Connection | None = getattr(self._own, "db", None)
        if db is None:
            if self._closed:
                raise LibraryError(f"{self._path} was closed")
            db = connect(self._address)
            self._own.db = db
            self._all.append(db)
        return db
