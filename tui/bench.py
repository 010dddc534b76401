"""Is the app quick? Measured in a real pseudo-terminal, with the app as families have it.

    python -m tinytales.tui.bench                    all, one minute of streaming
    python -m tinytales.tui.bench --seconds 10       a shorter stream
    python -m tinytales.tui.bench start library      only these

start     process start to the first usable picture; Enter to the first word (with --model or the
          shipped voice; a rehearsal where there is none, and the report says so)
stream    500 tokens a second: share of one core, longest time the interface stood still, key to
          effect (95th percentile)
escape    Esc to the stop on the screen, while the shipped voice tells; nothing but the bytes that
          a terminal would see is measured
library   10,000 stories: open, search

The child process writes its times (CLOCK_MONOTONIC, the same clock for both) into a file; this
process plays the terminal: it reads everything and presses the keys.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tinytales.tui.pseudoterminal import Terminal

TARGETS = {
    "first picture, s": 0.8,
    "first word after Enter, s": 0.3,
    "share of one core, %": 35,
    "longest frame, ms": 120,
    "key to effect, p95, ms": 60,
    "Esc to the stop, p95, ms": 100,
    "open 10,000 stories, s": 0.3,
    "search 10,000 stories, s": 0.3,
}
KEY_EVERY = 0.21


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tinytales.tui.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="*", help="start, stream, escape, library; default: all")
    parser.add_argument("--seconds", type=float, default=60, help="how long to stream")
    parser.add_argument("--rate", type=float, default=500, help="tokens a second")
    parser.add_argument("--stories", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5, help="starts; the median counts")
    parser.add_argument("--stops", type=int, default=40, help="how often a story is stopped")
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--inside", default="", help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        {"start": start_inside, "stream": stream_inside}[options.inside](options)
        return
    figures: dict[str, Any] = {}
    for measure in (start, stream, escape, library):
        name = measure.__name__
        if not options.what or name in options.what:
            figures |= measure(options)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        target = TARGETS.get(name)
        against = "" if target is None else f"   (target: at most {target:g})"
        print(f"{name:<32} {value if isinstance(value, str) else f'{value:.3g}'}{against}")


def child(options: argparse.Namespace, inside: str, log: Path, *more: str) -> list[str]:
    command = [sys.executable, "-m", "tinytales.tui.bench", "--inside", inside, "--log", str(log)]
    if options.model is not None:
        command += ["--model", str(options.model.absolute())]
    return [*command, *more]


def note(log: Path, name: str, value: float) -> None:
    with log.open("a") as file:
        file.write(f"{name} {value!r}\n")


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else float("nan")


# -- start -----------------------------------------------------------------------------------------


def start(options: argparse.Namespace) -> dict[str, Any]:
    pictures, words, cpu, rehearsed = [], [], [], False
    for _ in range(options.runs):
        times = one_start(options)
        pictures.append(times["picture"])
        cpu.append(times["cpu"])
        words.append(times["word"])
        rehearsed = "rehearsed" in times
    figures: dict[str, Any] = {
        "first picture, s": median(pictures),
        "first picture, CPU s": median(cpu),
        "first word after Enter, s": median(words),
    }
    return figures | ({"note": "no voice here: a rehearsal told"} if rehearsed else {})


def one_start(options: argparse.Namespace) -> dict[str, float]:
    """Seconds from the start to the first picture, and from Enter to the first word."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        terminal = Terminal(child(options, "start", log), log)
        try:
            if not terminal.wait(lambda: bool(terminal.times("picture")), 20):
                raise SystemExit("the app drew nothing within 20 s")
            terminal.wait(lambda: bool(terminal.times("awake")), 20)
            pressed = terminal.press(b"\r")
            terminal.wait(lambda: bool(terminal.times("word")), 20)
            times = {name: terminal.times(name) for name in ("picture", "cpu", "word", "rehearsed")}
        finally:
            terminal.close()
    seconds = {name: values[0] for name, values in times.items() if values}
    seconds["picture"] -= terminal.started
    seconds["word"] = seconds.get("word", float("nan")) - pressed
    return seconds


def start_inside(options: argparse.Namespace) -> None:
    """The command line as it is, with an app that notes when things are on the screen."""
    import runpy

    from tinytales.tui import app as module
    from tinytales.tui.widgets.storyview import StoryView

    log = options.log

    class Noting(module.TinytalesApp):
        def _after_first_picture(self) -> None:
            note(log, "picture", time.monotonic())
            note(log, "cpu", time.process_time())
            super()._after_first_picture()

        def _say_voice(self) -> None:
            super()._say_voice()
            who = self.narrator
            if who.teller is not None or who.error is not None:
                if who.teller is None:
                    from tinytales.tui.rehearsal import Rehearsal

                    who.teller, who.error = Rehearsal(), None  # type: ignore[assignment]
                    note(log, "rehearsed", 1)
                note(log, "awake", time.monotonic())

    show = StoryView.show

    def noting(view: StoryView, text: str, shown: int, lit: tuple[int, int] = (0, 0)) -> None:
        show(view, text, shown, lit)
        if shown:
            view.call_after_refresh(lambda: note(log, "word", time.monotonic()))
            StoryView.show = show  # type: ignore[method-assign]

    StoryView.show = noting  # type: ignore[method-assign]
    module.TinytalesApp = Noting  # type: ignore[misc]
    sys.argv = ["tinytales", "app", *(["--model", str(options.model)] if options.model else [])]
    runpy.run_module("tinytales", run_name="__main__")


# -- stream ----------------------------------------------------------------------------------------


def stream(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        more = ["--seconds", str(options.seconds), "--rate", str(options.rate)]
        terminal = Terminal(child(options, "stream", log, *more), log)
        presses: list[float] = []
        try:
            terminal.wait(lambda: bool(terminal.times("telling")), 20)
            while not terminal.times("done"):
                presses.append(terminal.press(b"f"))
                pause = time.monotonic() + KEY_EVERY
                terminal.wait(lambda end=pause: time.monotonic() > end, 1)  # type: ignore[misc]
                if len(presses) > (options.seconds + 30) / KEY_EVERY:
                    break
            effects = terminal.times("effect")
            delays = sorted(b - a for a, b in zip(presses, effects, strict=False))
            wall, cpu = terminal.times("wall")[0], terminal.times("cpu")[0]
            return {
                "tokens shown": terminal.times("tokens")[0],
                "tokens a second": terminal.times("tokens")[0] / wall,
                "share of one core, %": 100 * cpu / wall,
                "longest frame, ms": 1000 * max(terminal.times("stall")),
                "key to effect, median, ms": 1000 * delays[len(delays) // 2],
                "key to effect, p95, ms": 1000 * delays[int(len(delays) * 0.95)],
                "keys": float(len(delays)),
            }
        finally:
            terminal.close()


def stream_inside(options: argparse.Namespace) -> None:
    from tinytales.prompt import StoryPrompt
    from tinytales.settings import Settings
    from tinytales.tui.app import TinytalesApp
    from tinytales.tui.rehearsal import Rehearsal
    from tinytales.tui.screens.page import PageScreen

    log = options.log
    tokens = int(options.seconds * options.rate)
    teller = Rehearsal(tokens_per_second=options.rate, tokens=tokens)

    class Streaming(TinytalesApp):
        def _after_first_picture(self) -> None:
            super()._after_first_picture()
            self.tell(StoryPrompt())
            self.run_worker(self._watch())

        async def _watch(self) -> None:
            while self.screen is not self.page or self.page.narration.kept_as is None:
                await asyncio.sleep(0.01)  # until there is a story to keep: `f` has an effect
            note(log, "telling", time.monotonic())
            wall, cpu, longest = time.perf_counter(), time.process_time(), 0.0
            while self.page.mode == "telling":
                before = time.perf_counter()
                await asyncio.sleep(0.005)
                longest = max(longest, time.perf_counter() - before - 0.005)
            note(log, "wall", time.perf_counter() - wall)
            note(log, "cpu", time.process_time() - cpu)
            note(log, "stall", longest)
            story = self.page.story
            note(log, "tokens", story.tokens if story is not None else 0)
            note(log, "done", 1)

    favorite = PageScreen.action_favorite

    def noting(page: PageScreen) -> None:
        favorite(page)
        page.call_after_refresh(lambda: note(log, "effect", time.monotonic()))

    PageScreen.action_favorite = noting  # type: ignore[method-assign]
    Streaming(
        settings=Settings(pace=0),
        open_teller=lambda _path, _settings: teller,  # type: ignore[arg-type,return-value]
    ).run()


# -- escape ----------------------------------------------------------------------------------------


def escape(options: argparse.Namespace) -> dict[str, Any]:
    """A story is stopped in the middle and another one begun, again and again."""
    command = [sys.executable, "-m", "tinytales", "app", "--seed", "7"]
    if options.model is not None:
        command += ["--model", str(options.model.absolute())]
    delays, dice = [], random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        terminal = Terminal(command, Path(folder) / "log")
        try:
            if not terminal.draws(" tells"):
                raise SystemExit("no voice woke within 20 s")
            terminal.press(b"\r")
            for _ in range(options.stops):
                if not terminal.draws("telling"):
                    raise SystemExit("no story began within 20 s")
                until = time.monotonic() + dice.uniform(0.3, 1)
                terminal.wait(lambda end=until: time.monotonic() > end, 2)  # type: ignore[misc]
                pressed = terminal.press(b"\x1b")
                if not terminal.draws("stopped here"):
                    raise SystemExit("Esc did not stop the story within 20 s")
                delays.append(1000 * (time.monotonic() - pressed))
                terminal.press(b"r")
        finally:
            terminal.close()
    delays.sort()
    return {
        "Esc to the stop, median, ms": median(delays),
        "Esc to the stop, p95, ms": delays[int(len(delays) * 0.95)],
        "stops": float(len(delays)),
    }


# -- library ---------------------------------------------------------------------------------------


def library(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TINYTALES_DATA_DIR"] = folder
        return asyncio.run(open_and_search(options.stories))


async def open_and_search(count: int) -> dict[str, Any]:
    """Fill a library, open it, search it word by word; from the key to what is drawn."""
    from textual.widgets import Input

    from tinytales.library import Library
    from tinytales.prompt import StoryPrompt
    from tinytales.sampling import Sampling
    from tinytales.settings import Settings
    from tinytales.story import Story
    from tinytales.tui.app import TinytalesApp
    from tinytales.tui.rehearsal import Rehearsal, originals
    from tinytales.tui.screens.library import LibraryScreen
    from tinytales.tui.shelf import Shelf

    texts, prompt = originals(1000), StoryPrompt()
    library = Library()
    library.add_all(
        Story(text=texts[n % len(texts)], prompt=prompt, sampling=Sampling(seed=n), finish="end")
        for n in range(count)
    )
    app = TinytalesApp(
        settings=Settings(),
        shelf=Shelf(library),
        open_teller=lambda _path, _settings: Rehearsal(),  # type: ignore[arg-type,return-value]
    )
    drawn = asyncio.Event()
    load = LibraryScreen.load

    def noting(screen: LibraryScreen, keep: str = "") -> None:
        load(screen, keep)
        screen.call_after_refresh(drawn.set)

    LibraryScreen.load = noting  # type: ignore[method-assign]
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.5)
        begin = time.perf_counter()
        app.action_go("library")
        await drawn.wait()
        opened = time.perf_counter() - begin
        searches = []
        for word in ("fox", "turtle", "the", "moon lantern", "blanket"):
            drawn.clear()
            app.screen.query_one("#search", Input).value = word
            begin = time.perf_counter()
            app.screen._find()  # type: ignore[attr-defined]
            await drawn.wait()
            searches.append(time.perf_counter() - begin)
    LibraryScreen.load = load  # type: ignore[method-assign]
    return {
        "open 10,000 stories, s": opened,
        "search 10,000 stories, s": max(searches),
        "search, median of five, s": median(searches),
        "stories": float(count),
    }


if __name__ == "__main__":
    main()
