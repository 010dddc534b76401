"""A family's evening, without a model: the app on the originals, in a folder of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("textual")

from tinytales import paths
from tinytales.library import FILE, Library
from tinytales.settings import Settings
from tinytales.story import Story
from tinytales.tui.app import Launch, TinytalesApp
from tinytales.tui.memory import Memory
from tinytales.tui.rehearsal import Rehearsal
from tinytales.tui.shelf import Shelf

EVENING = datetime(2026, 11, 28, 19, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path) -> Iterator[None]:
    paths.override(tmp_path / "data")
    yield
    paths.override(None)


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[Callable[..., TinytalesApp]]:
    """Makes the app; `teller` and `shelf` may be given, other words go into its settings."""

    def make(
        *,
        teller: Any = None,
        shelf: Shelf | None = None,
        theme: str | None = None,
        seed: int = 3,
        ascii: bool = False,
        memory: Memory | None = None,
        model: Path | None = None,
        **settings: Any,
    ) -> TinytalesApp:
        settings.setdefault("pace", 0)
        return TinytalesApp(
            Launch(seed=seed, theme=theme, ascii=ascii, animation=False, model=model),
            settings=Settings(**settings),
            shelf=shelf or Shelf(Library(tmp_path / "data" / FILE), now=lambda: EVENING),
            memory=memory or Memory(),
            open_teller=lambda _path, _settings: teller or Rehearsal(),
        )

    yield make


async def until(true: Callable[[], Any], seconds: float = 5) -> None:
    """Wait until `true` says so; an AssertionError with its text otherwise."""
    for _ in range(int(seconds / 0.01)):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("this did not happen in time")


@pytest.fixture(name="until")
def _until() -> Callable[..., Any]:
    return until


@pytest.fixture
def told(until: Callable[..., Any]) -> Callable[..., Any]:
    """Press Enter on the form and wait for the whole story."""

    async def tell(pilot: Any) -> Story:
        app = pilot.app
        await until(lambda: app.narrator.teller is not None)
        await pilot.press("enter")
        await until(lambda: app.page.is_mounted and app.page.mode == "resting" and app.page.story)
        await pilot.pause()
        app.shelf.settle()
        story: Story = app.page.story
        return story

    return tell
