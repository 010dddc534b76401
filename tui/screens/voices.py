"""Voices: who can tell here, how large and how fast they are, and a blind duel between two."""

from __future__ import annotations

import asyncio
import random
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widgets import Button, DataTable, Static

from tinytales.errors import TinytalesError
from tinytales.tui.cells import shorten
from tinytales.tui.screens.duel import DuelScreen
from tinytales.tui.screens.place import PlaceScreen
from tinytales.tui.voices import Voice, measure
from tinytales.tui.widgets.bars import KeyBar, TopBar

#: A longer name would leave no room for what is said of the voice.
LONGEST_NAME = 18


def megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if size else "–"


class VoicesScreen(PlaceScreen):
    """A table of voices. Enter gives one the word; w lets two tell the same, unseen."""

    PLACE = "voices"
    HELP = """\
## Voices

Each voice is a tiny model that lives on this machine.

- **Enter** lets the voice under the cursor tell from now on
- **x** measures how fast it tells here and how much memory it takes
- **w** is a duel: this voice and another tell the same story, and you pick the better one before
  you learn whose it was. The tally is kept.
"""
    BINDINGS: ClassVar[list[Any]] = [
        Binding("enter", "speak", "Let it tell", key_display="Enter", priority=True),
        Binding("x", "measure", "Measure"),
        Binding("w", "duel", "Duel"),
        Binding("f5", "app.go('grownups')", "Grown-ups", key_display="F5"),
        Binding("escape", "app.go('make')", "Back", key_display="Esc"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.voices: list[Voice] = []

    def compose(self) -> ComposeResult:
        yield TopBar(self.PLACE)
        yield Static("", id="trouble")
        yield DataTable(id="voices", cursor_type="row", zebra_stripes=False)
        yield Static("looking for voices …", id="about")
        with Horizontal(classes="buttons"):
            yield Button("Let it tell", id="speak", variant="primary", compact=True)
            yield Button("Measure", id="measure", compact=True)
            yield Button("Duel", id="duel", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        table: DataTable[str] = self.query_one(DataTable)
        for key, label in (
            ("now", " "), ("name", "Voice"), ("size", "Size"), ("kind", "Weights"),
            ("speed", "Tokens/s"), ("memory", "Memory"), ("duels", "Won"), ("origin", "From"),
        ):  # fmt: skip
            table.add_column(label, key=key)
        table.focus()
        self.tales.voice_changed.subscribe(self, lambda _: self._fill())

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self._look()

    @work(exclusive=True, group="voices")
    async def _look(self) -> None:
        self.voices = await asyncio.to_thread(self.tales.find_voices)
        self._fill()
        if not self.voices:
            self.query_one("#about", Static).update("No voice was found on this machine.")

    def _fill(self) -> None:
        table: DataTable[str] = self.query_one(DataTable)
        row = table.cursor_row
        table.clear()
        memory, duels = self.tales.memory, self.tales.shelf.duels()
        for number, voice in enumerate(self.voices):
            speed = memory.speeds.get(voice.digest, {})
            won, lost, drawn = duels.get(voice.digest, (0, 0, 0))
            here = voice.digest and voice.digest == self.tales.narrator.digest
            table.add_row(
                "●" if here else "×" if voice.trouble else " ",
                shorten(voice.name, LONGEST_NAME),
                megabytes(voice.size),
                voice.quantization or "–",
                f"{speed['tokens_per_second']:,.0f}" if "tokens_per_second" in speed else "–",
                megabytes(speed.get("memory", 0)),
                f"{won} of {won + lost + drawn}" if won + lost + drawn else "–",
                voice.origin,
                key=str(number),
            )
        if self.voices:
            table.move_cursor(row=min(row, len(self.voices) - 1))
        trouble = self.query_one("#trouble", Static)
        error = self.tales.narrator.error
        trouble.display = error is not None
        if error is not None:
            trouble.update(f"{error.message}\n{error.hint}".strip())
        self._about()

    @on(DataTable.RowHighlighted)
    def _about(self) -> None:
        voice = self._current()
        if voice is not None:
            lines = (str(voice.path), voice.trouble or self._facts(voice))
            self.query_one("#about", Static).update("\n".join(lines))

    def _facts(self, voice: Voice) -> str:
        """What the table says, and more: it may have no room for all."""
        speed = self.tales.memory.speeds.get(voice.digest, {}).get("tokens_per_second", 0)
        facts = (
            f"{voice.parameters / 1e6:.1f} million parameters" if voice.parameters else "",
            megabytes(voice.size) if voice.size else "",
            f"{speed:,.0f} tokens/s" if speed else "",
        )
        return " · ".join(fact for fact in facts if fact)

    def _current(self) -> Voice | None:
        row = self.query_one(DataTable).cursor_row
        return self.voices[row] if 0 <= row < len(self.voices) else None

    @on(DataTable.RowSelected)
    @on(Button.Pressed, "#speak")
    def action_speak(self) -> None:
        voice = self._current()
        if voice is None:
            return
        if voice.trouble:
            self.notify(voice.trouble, title="This voice cannot tell", timeout=6)
        else:
            self.tales.open_voice(voice.path)

    @on(Button.Pressed, "#measure")
    def action_measure(self) -> None:
        voice = self._current()
        if voice is not None and not voice.trouble:
            self._measure(voice)

    @work(exclusive=True, group="measure")
    async def _measure(self, voice: Voice) -> None:
        self.query_one("#about", Static).update(f"{voice.name} tells to itself …")
        try:
            self.tales.memory.speeds[voice.digest] = await asyncio.to_thread(measure, voice.path)
            self.tales.memory.save()
        except (TinytalesError, OSError, ValueError) as error:
            self.notify(str(error), timeout=6)
        except Exception as error:  # subprocess.TimeoutExpired
            self.notify(f"That took too long: {type(error).__name__}", timeout=6)
        self._fill()

    @on(Button.Pressed, "#duel")
    def action_duel(self) -> None:
        voice = self._current()
        sound = [v for v in self.voices if not v.trouble]
        if voice is None or voice.trouble or len(sound) < 2:
            self.notify("A duel needs two voices. Export another one: tinytales export.", timeout=6)
            return
        now = [v for v in sound if v.digest == self.tales.narrator.digest and v != voice]
        other = now[0] if now else random.choice([v for v in sound if v != voice])
        self.app.push_screen(DuelScreen(voice, other), lambda _: self._fill())
