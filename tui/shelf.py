"""The library as the app sees it: it never raises, never waits, and says what it cannot do.

Writing goes through one thread, so that a slow or full disk cannot stop a story; reading is quick
enough for the interface. Where the library cannot be opened (read-only folder, a newer version, a
damaged file), stories are still told and live in memory for the evening, and `trouble` says so.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytales.errors import TinytalesError
from tinytales.story import Story, title_of

if TYPE_CHECKING:
    from tinytales.library import Library

#: sort -> what it is called
SORTS = {"newest": "newest", "oldest": "oldest", "title": "title", "longest": "longest"}
#: format -> (what it is called, suffix)
FORMATS = {
    "markdown": ("Markdown", ".md"),
    "text": ("plain text", ".txt"),
    "html": ("web page", ".html"),
    "booklet": ("a booklet to print", ".html"),
}
SEARCH_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the shelf."""

    id: str
    title: str
    words: int
    when: str
    favorite: bool = False


class Shelf:
    """Saved stories. `trouble` is empty as long as everything is kept."""

    def __init__(self, library: Library | None = None, *, trouble: str = "") -> None:
        self._library = library
        self.trouble = trouble
        self._evening: dict[str, tuple[Story, str, bool]] = {}  # id -> story, title, favorite
        self._jobs: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None

    @property
    def works(self) -> bool:
        return not self.trouble

    def in_background(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Do `work` in the writing thread, in order; what fails becomes `trouble`."""
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="shelf", daemon=True)
            self._writer.start()
        self._jobs.put(lambda: work(*arguments))

    def _write(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except TinytalesError as error:
                self.trouble = f"{error.message}. {error.hint}".rstrip(". ") + "."
            except OSError as error:
                self.trouble = f"{error.filename or 'the data folder'}: {error.strerror}."

    def close(self) -> None:
        """Wait until everything is written."""
        if self._writer is not None:
            self._jobs.put(None)
            self._writer.join(5)
            self._writer = None

    # -- an evening without a library ------------------------------------------------------------
    @staticmethod
    def open() -> "Shelf":
        return Shelf()
    def begin(self, story): self._evening[story.id]=(story, title_of(story.text), False)
    tell_on = begin
    finish = begin
    def favorite(self, id, on):
        s,t,_=self._evening[id]; self._evening[id]=(s,t,on)
    def count(self, favorites=False): return len(self._evening)
    def list(self, sort="newest", favorites=False, offset=0, limit=100):
        return [self.entry(i) for i in list(self._evening)[offset:offset+limit]]
    def search(self, q, favorites=False): return [e for e in self.list() if q in self._evening[e.id][0].text]
    def entry(self, id):
        s,t,f=self._evening[id]; return Entry(id,t,s.words,s.created[:10],f)
    def get(self,id): return self._evening[id][0]
    def rename(self,id,t): 
        s,_,f=self._evening[id]; self._evening[id]=(s,t,f)
    def delete(self,id): self._evening.pop(id); return True
    def undelete(self,id): pass
    def tellings(self,id): return [(i,0,t) for i,(s,t,f) in self._evening.items()]
