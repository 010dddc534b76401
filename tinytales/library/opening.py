"""Opening a library looks before it touches.

A file of a newer tinytales or of another program is left as it is, a damaged one is mended, one
that may only be read is read.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from tinytales.errors import LibraryError, TinytalesError
from tinytales.library.connection import address_of, cannot_write, connect, is_damage, spoken
from tinytales.library.schema import applied, bring_up_to_date, check

#: Seconds of mending after which those who wait are told.
PATIENCE = 0.5


def prepare(path: Path, on_mending: Callable[[Path], object]) -> tuple[str, str]:
    """Make the library at `path` ready to be used: create it, bring it up to date, mend it.

    `on_mending` is called in another thread if a damaged file takes a moment to be mended.
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
                return str(path), _mend(path, on_mending)
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


def _mend(path: Path, on_mending: Callable[[Path], object]) -> str:
    """Save what can be read of a damaged library; who waits longer than a moment is told."""
    from tinytales.library.salvage import salvage  # hardly ever needed

    late = threading.Timer(PATIENCE, on_mending, [path])
    late.daemon = True
    late.start()
    try:
        return salvage(path)
    finally:
        late.cancel()


def log_mending(path: Path) -> None:
    """One line to the log; on stderr for programs without logging of their own."""
    import logging  # hardly ever needed

    said = "The library %s is damaged: what can be read is being saved. This takes a moment."
    logging.getLogger("tinytales.library").warning(said, path)


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
        if applied(db, path) is None:
            raise LibraryError(f"{path} {why}, and holds no stories")
        check(db)
    return address, f"{path} {why}: nothing new is kept"
