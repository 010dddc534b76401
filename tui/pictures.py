"""The pictures in README and docs: the real app, pressed by a script, saved as SVG.

    python -m tinytales.tui.pictures docs/pictures          with the shipped voice
    python -m tinytales.tui.pictures docs/pictures --rehearse  with originals instead
    python -m tinytales.tui.pictures docs/pictures grading consent   only these

The same seed, the same wishes, a frozen clock: the same pictures, until app or voice change.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from tinytales import paths
from tinytales.library import FILE, Library
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.settings import Settings
from tinytales.tui.app import Launch, TinytalesApp, open_storyteller
from tinytales.tui.memory import Memory
from tinytales.tui.rehearsal import Rehearsal
from tinytales.tui.shelf import Shelf

#: The evening on which all pictures are taken.
EVENING = datetime(2026, 11, 28, 19, 0, tzinfo=UTC)
SIZE = (92, 28)
#: A judge on this machine; it is never asked.
JUDGE = "http://localhost:8080/v1"

Step = str | float | Callable[[TinytalesApp], Any]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tinytales.tui.pictures")
    parser.add_argument("folder", type=Path)
    parser.add_argument("scenes", nargs="*", choices=[*SCENES, []], help="left out: all")
    parser.add_argument("--rehearse", action="store_true", help="originals instead of the voice")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.scenes or SCENES:
        theme, steps = SCENES[name]
        # A new voice for each picture: the app closes its own when it leaves.
        teller = (
            Rehearsal(name="storyteller")
            if options.rehearse
            else open_storyteller(None, Settings())
        )
        svg = asyncio.run(picture(teller, theme, steps))
        (options.folder / f"{name}.svg").write_text(svg, encoding="utf-8")
        print(options.folder / f"{name}.svg")


async def picture(teller: Any, theme: str, steps: list[Step]) -> str:
    """Press what `steps` say (a number waits), and draw what is there then."""
    with tempfile.TemporaryDirectory() as folder:
        paths.override(Path(folder))  # grades and settings of a family are not for pictures
        shelf = Shelf(filled_library(Path(folder) / FILE, teller), now=lambda: EVENING)
        app = TinytalesApp(
            Launch(seed=7, theme=theme),
            settings=Settings(pace=0, judge_model="gemma-3", judge_base_url=JUDGE),
            shelf=shelf,
            memory=Memory(),
            open_teller=lambda _path, _settings: teller,
        )
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause(0.3)
            for step in steps:
                await take(pilot, app, step)
            await pilot.pause(0.2)
            return app.export_screenshot(title="tinytales")


async def take(pilot: Pilot[None], app: TinytalesApp, step: Step) -> None:
    if callable(step):
        step(app)
    elif isinstance(step, str):
        await pilot.press(step)
    else:
        await pilot.pause(step)


def filled_library(path: Path, teller: Any, count: int = 14) -> Library:
    """A library with a fortnight of stories, the newest told today."""
    library = Library(path)
    for number in range(count):
        told = teller.tell(StoryPrompt(), Sampling(seed=100 + number))
        moment = EVENING - timedelta(hours=17 * (count - 1 - number))
        story = replace(told, id=f"story-{number:02}", created=moment.isoformat())
        library.add(story)
        library.favorite(story.id, number % 5 == 3)
    return library


def middle(app: TinytalesApp) -> None:
    """Stop the clock in the midst of a story, with a word lit."""
    page = app.page
    page.reading.restart()
    page.view.end("")
    text = page.reading.text
    stop = text.find(" ", len(text) * 3 // 5)
    start = text.rfind(" ", 0, stop) + 1
    page.reading.shown, page.reading.lit = stop, (start, stop)
    page._enter("telling")
    if page._timer is not None:
        page._timer.pause()
    app.set_pace(120)
    page._show()


def graded(app: TinytalesApp) -> None:
    """Grades as a judge would give them. They are drawn: no judge has been asked."""
    from tinytales.grading import Desk
    from tinytales.grading.cache import Score

    dice = random.Random(3)
    with Desk() as desk:
        for number in (13, 12, 10, 9):
            grades = {
                name: dice.randint(12, 19) / 2 for name in ("safe", "warm", "simple", "ending")
            }
            desk.cache.add_score(
                Score(f"story-{number:02}", "gentle@1", "rehearsal", grades=grades)
            )
        story = app.shelf.get("story-08")
        desk.wait([story] if story is not None else [], "gentle")
    app.grown_up = True


def grading(app: TinytalesApp) -> None:
    app.screen.query_one("#sheets").active = "grading"
    app.screen.query_one("#marks").focus()


GRADING: list[Step] = [graded, "f5", 0.5, grading, 1.0, "down"]
WISHES: list[Step] = [
    lambda app: app.screen._write("hero", "a little cat"),
    lambda app: app.screen._write("place", "in the garden"),
    lambda app: app.screen._write("word1", "apple"),
    lambda app: app.screen._write("word2", "share"),
    lambda app: app.screen._write("word3", "red"),
]
SCENES: dict[str, tuple[str, list[Step]]] = {
    "make": ("day", [*WISHES, 0.1]),
    "page": ("bedtime", [*WISHES, "enter", 1.5, middle, 0.2]),
    "library": ("day", ["f3", 0.3, "down", "down", 0.2]),
    "grading": ("day", GRADING),
    "consent": ("day", [*GRADING, "down", *["space"] * 3, "g", 1.0]),
    "choose": ("day", ["enter", 1.5, "n", 0.5]),
}

if __name__ == "__main__":
    main()
