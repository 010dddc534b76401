"""A story being told while the app stays awake: a thread that fills a queue, emptied by the page.

The thread touches nothing of Textual. The page looks into the queue some 25 times a second, so that
a fast model costs no more than a slow one; `cancel` works between any two tokens.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from tinytales.errors import TinytalesError
from tinytales.story import Story


class Tells(Protocol):
    """What `tinytales.Telling` is: an iterator over pieces of text, with the record."""

    def __iter__(self) -> Iterator[str]: ...
    def cancel(self) -> None: ...
    @property
    def story(self) -> Story: ...


class LiveTelling:
    """One telling in a thread of its own.

    `begin` makes the telling in that thread (encoding a prompt takes time as well). After `done`,
    either `story` or `error` is set; a story that failed on its way has both.
    """

    def __init__(self, begin: Callable[[], Tells]) -> None:
        self._begin = begin
        self._pieces: deque[str] = deque()
        self._telling: Tells | None = None
        self._cancelled = False
        self.done = False
        self.story: Story | None = None
        self.error: TinytalesError | None = None
        self._thread = threading.Thread(target=self._run, name="telling", daemon=True)
        self._thread.start()

    def drain(self) -> str:
        """The text that came since the last call."""
        pieces = self._pieces
        return "".join(pieces.popleft() for _ in range(len(pieces)))

    @property
    def finished(self) -> bool:
        """Told to the end, and all of it drained."""
        return self.done and not self._pieces

    @property
    def record(self) -> Story | None:
        """What was told so far; None before the first token."""
        if self.story is not None or self._telling is None:
            return self.story
        return self._telling.story

    def cancel(self) -> None:
        self._cancelled = True
        if self._telling is not None:
            self._telling.cancel()

    def join(self, seconds: float) -> None:
        """Wait for the thread, so that no model is closed while it thinks."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._telling = telling = self._begin()
            if self._cancelled:
                telling.cancel()
            for piece in telling:
                self._pieces.append(piece)
        except TinytalesError as error:
            self.error = error
        except Exception as error:  # a broken model must not take the app with it
            self.error = TinytalesError(
                f"the storyteller lost its voice: {type(error).__name__}: {error}",
                hint="try again, or choose another voice",
            )
        finally:
            if self._telling is not None:
                self.story = self._telling.story
            self.done = True
