"""Esc at once: the driver of the app on Linux and macOS.

A terminal sends Esc as the byte with which all other special keys begin, so that a driver has to
wait a moment for the rest of a key. Textual's moment is 100 ms, and it looks every 100 ms whether
the moment is over. A story has to stop sooner than that: here both are 25 ms. Who sits at a slow
line may set ESCDELAY (milliseconds, the variable is ncurses').

    python -m tinytales.tui.bench escape     from the key to the stop on the screen
"""

from __future__ import annotations

import os
import selectors
from types import SimpleNamespace
from typing import Any

from textual import constants
from textual.drivers import linux_driver

if "ESCDELAY" not in os.environ:
    constants.ESCAPE_DELAY = 0.025  # type: ignore[misc]


class EagerSelector(selectors.SelectSelector):
    """Waits no longer than a lone Esc may after a key, and as long as it is told otherwise."""

    _after_key = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._after_key and timeout is not None:
            timeout = min(timeout, constants.ESCAPE_DELAY + 0.001)  # then its time is over
        found = super().select(timeout)
        self._after_key = bool(found)
        return found


class TerminalDriver(linux_driver.LinuxDriver):
    """Textual's driver with another selector: all that it has of its own time."""

    def run_input_thread(self) -> None:
        ours: dict[str, Any] = vars(selectors) | {"SelectSelector": EagerSelector}
        linux_driver.selectors = SimpleNamespace(**ours)  # type: ignore[attr-defined]
        super().run_input_thread()
