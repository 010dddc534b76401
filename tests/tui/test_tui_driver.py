"""The driver: a lone Esc is not waited for longer than it must be."""

from __future__ import annotations

import inspect
import os
import selectors
import sys

import pytest

pytest.importorskip("textual")
if sys.platform == "win32":
    pytest.skip("Windows has a driver of its own", allow_module_level=True)

from textual import constants
from textual.drivers import linux_driver

from tinytales.tui.driver import EagerSelector, TerminalDriver


def test_after_a_key_the_wait_is_short_and_then_long_again(monkeypatch) -> None:
    asked: list[float | None] = []
    select = selectors.SelectSelector.select

    def noting(self, timeout=None):
        asked.append(timeout)
        return select(self, 0)

    monkeypatch.setattr(selectors.SelectSelector, "select", noting)
    read, write = os.pipe()
    selector = EagerSelector()
    selector.register(read, selectors.EVENT_READ)
    assert not selector.select(0.1)
    os.write(write, b"\x1b")
    assert selector.select(0.1)
    os.read(read, 1)
    assert not selector.select(0.1)
    assert not selector.select(0.1)
    selector.close()
    assert asked == [0.1, 0.1, pytest.approx(constants.ESCAPE_DELAY + 0.001), 0.1]
    assert constants.ESCAPE_DELAY < 0.05


def test_textual_still_waits_with_the_selector_that_is_replaced(make_app, monkeypatch) -> None:
    monkeypatch.setattr(constants, "DRIVER", None)
    assert make_app().get_driver_class() is TerminalDriver
    assert "selectors.SelectSelector()" in inspect.getsource(
        linux_driver.LinuxDriver.run_input_thread
    )


def test_a_browser_keeps_its_own_driver(make_app, monkeypatch) -> None:
    monkeypatch.setattr(constants, "DRIVER", "textual.drivers.web_driver:WebDriver")
    assert make_app().get_driver_class().__name__ == "WebDriver"
