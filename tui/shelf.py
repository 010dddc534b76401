"""The library as the app sees it: it never raises, never waits, and says what it cannot do.

Writing goes through one thread, so that a slow, full or busy disk cannot stop a story; reading
never waits for writing (WAL). Where the library cannot be opened at all (read-only folder, a newer
version), the evening's stories live in a temporary one, and `trouble` says so. A damaged one is
mended while the app goes on: what is told meanwhile waits in the queue and is kept after it, or, if
the app ends before, by the next one (meanwhile.py).
"""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from tinytales.errors import LibraryError, TinytalesError
from tinytales.library import FILE, Entry, Library, library_path
from tinytales.story import Story
from tinytales.tui.meanwhile import Meanwhile

#: sort -> what it is called
SORTS = {
    "newest": "newest",
    "read": "last read",
    "title": "title",
    "longest": "longest",
    "oldest": "oldest",
}
#: No more is found at once; who searches writes another word.
SEARCH_LIMIT = 500
MENDING = "The library was damaged and is being mended. Your stories come back in a moment."

T = TypeVar("T")
Now = Callable[[], datetime]


class Shelf:
    """Saved stories.

    Attributes:
        trouble: why what is told now is not kept; empty as long as everything is.
        note: what shall be known though everything is kept: a damaged library was mended.
    """

    def __init__(self, library: Library | None, *, now: Now | None = None) -> None:
        self.trouble = self.note = ""
        self.on_news: Callable[[], Any] = lambda: None  # called in the writing thread
        self.evening: Path | None = None  # the folder of a temporary library
        self._library: Library | None = None
        self._meanwhile: Meanwhile | None = None  # where a library may have to be mended
        self._known = threading.Event()  # the library is open, or known to come later
        self._now = now or (lambda: datetime.now(UTC))
        self._jobs: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        if library is not None:
            self._take(library)

    @classmethod
    def open(cls, path: Path | None = None) -> Shelf:
        """The family's library, or one for this evening. One that must be mended comes later."""
        shelf, path = cls(None), path or library_path()
        shelf._meanwhile = Meanwhile(path)
        shelf.in_background(shelf._open, path)
        shelf._known.wait()
        return shelf

    def _open(self, path: Path) -> None:
        try:
            self._take(Library(path, on_mending=self._mends))
        except LibraryError as error:
            self.evening = Path(tempfile.mkdtemp(prefix="tinytales-"))
            self.trouble = f"{sentence(error)} Stories told now are kept until you leave."
            self._take(Library(self.evening / FILE))
        finally:
            self._known.set()
        if self._meanwhile is not None and self.evening is None and self.library.writable:
            self._meanwhile.hand_over(self.library)

    def _mends(self, _: Path) -> None:
        self.note = MENDING
        self._known.set()

    def _take(self, library: Library) -> None:
        late = self.note == MENDING
        self._library = library
        self.note = library.note if library.writable else ""
        if not library.writable:
            self.trouble = library.note
        if late:  # said when what was told meanwhile stands on the shelf too
            self.in_background(lambda: self.on_news())

    @property
    def library(self) -> Library:
        """Raises LibraryError while it is being mended."""
        if self._library is None:
            raise LibraryError(self.trouble or MENDING)
        return self._library

    @property
    def mending(self) -> bool:
        """Does the library come later? Until then it looks empty, and what is told waits."""
        return self._library is None

    @property
    def works(self) -> bool:
        """Is what is told now kept?"""
        return not self.trouble

    # -- writing, in its own thread --------------------------------------------------------------

    def in_background(
        self, work: Callable[..., Any], *arguments: Any, then: Callable[[], Any] | None = None
    ) -> None:
        """Do `work` in the writing thread, in order, and `then` after it (in that thread too)."""
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="shelf", daemon=True)
            self._writer.start()

        def job() -> None:
            work(*arguments)
            if then is not None:
                then()

        self._jobs.put(job)

    def _write(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except TinytalesError as error:
                self._failed(sentence(error))
            except OSError as error:
                self._failed(f"{error.filename or 'The data folder'}: {error.strerror}.")

    def _failed(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self.on_news()

    def change(self, work: Callable[[Library], Any], then: Callable[[], Any] | None = None) -> None:
        """Do `work` with the library in the writing thread; after its mending, if need be."""
        self.in_background(lambda: work(self.library), then=then)

    def keep(self, story: Story) -> None:
        """Keep a story as far as it is told; the same again with every sentence."""
        self._keep_meanwhile(story)
        self.change(lambda library: library.add(story))

    def finish(self, story: Story) -> None:
        """Keep a story that is told; it is the one that was read last."""

        def work(library: Library) -> None:
            library.add(story)
            library.leave(story.id, max(1, len(story.text)))

        self._keep_meanwhile(story)
        self.change(work)

    def _keep_meanwhile(self, story: Story) -> None:
        if self.mending and self._meanwhile is not None:
            self._meanwhile.keep(story)

    def favorite(self, id: str, on: bool, then: Callable[[], Any] | None = None) -> None:
        self.change(lambda library: library.favorite(id, on), then)

    def rename(self, id: str, title: str, then: Callable[[], Any] | None = None) -> None:
        self.change(lambda library: library.rename(id, title), then)

    def delete(self, id: str, then: Callable[[], Any] | None = None) -> None:
        self.change(lambda library: library.delete(id), then)

    def undelete(self, id: str, then: Callable[[], Any] | None = None) -> None:
        self.change(lambda library: library.undelete(id), then)

    def leave(self, id: str, position: int) -> None:
        """Remember how far a story was read."""
        self.change(lambda library: library.leave(id, position))

    def duel(self, winner: str, loser: str, *, drawn: bool, then: Callable[[], Any]) -> None:
        self.change(lambda library: library.add_duel(winner, loser, drawn=drawn), then)

    def export(self, ids: Sequence[str], format: str, path: Path) -> None:
        """Write stories to a file (in a thread of the caller's). Raises TinytalesError."""
        self.settle()
        self.library.export(ids, format, path)

    def settle(self, seconds: float = 5) -> None:
        """Wait until everything so far is written."""
        if self._writer is not None:
            done = threading.Event()
            self._jobs.put(done.set)
            done.wait(seconds)

    def close(self, seconds: float = 5) -> None:
        """Write what is left, as far as the seconds allow, and close the library."""
        if self._writer is not None:
            self._jobs.put(None)
            self._writer.join(seconds)
            self._writer = None
        if self._library is not None:  # one that is being mended is left as it was
            self._library.close()
        if self.evening is not None:
            shutil.rmtree(self.evening, ignore_errors=True)

    # -- reading ---------------------------------------------------------------------------------

    def _try(self, read: Callable[[Library], T], otherwise: T) -> T:
        if self._library is None:
            return otherwise
        try:
            return read(self._library)
        except TinytalesError as error:
            self.trouble = sentence(error)
            return otherwise

    def count(self, *, favorites: bool = False) -> int:
        return self._try(lambda it: it.count(favorites=favorites), 0)

    def list(self, *, sort: str, favorites: bool, offset: int, limit: int) -> Sequence[Entry]:
        return self._try(
            lambda it: it.list(sort=sort, favorites=favorites, offset=offset, limit=limit), []
        )

    def search(self, query: str, *, favorites: bool = False) -> Sequence[Entry]:
        return self._try(lambda it: it.search(query, SEARCH_LIMIT, favorites=favorites), [])

    def get(self, id: str) -> Story | None:
        return self._try(lambda it: it.get(id), None)

    def entry(self, id: str) -> Entry | None:
        return self._try(lambda it: it.entry(id), None)

    def left_off(self) -> str:
        """The story that was read last; empty if there is none."""
        entry = self._try(Library.left_off, None)
        return "" if entry is None else entry.id

    def tellings(self, id: str) -> Sequence[Entry]:
        return self._try(lambda it: it.tellings(id), [])

    def duels(self) -> dict[str, tuple[int, int, int]]:
        return self._try(Library.duels, {})

    def when(self, created: str) -> str:
        """A date as one says it: today, yesterday, 3 May, May 2025."""
        try:
            then = datetime.fromisoformat(created).astimezone()
        except ValueError:
            return created[:10]
        now = self._now().astimezone()
        days = (now.date() - then.date()).days
        if days in (0, 1):
            return ("today", "yesterday")[days]
        return f"{then.day} {then:%b}" if then.year == now.year else f"{then:%b %Y}"


def sentence(error: TinytalesError) -> str:
    """An error in one line: what happened, and what to do."""
    what = error.message[:1].upper() + error.message[1:]
    hint = error.hint[:1].upper() + error.hint[1:]
    return f"{what}. {hint}." if hint else f"{what}."
