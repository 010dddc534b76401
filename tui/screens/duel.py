"""A blind duel: two voices, one prompt, one seed. Pick the better; then see whose it was."""

from __future__ import annotations

import asyncio
import random
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Label, Static

from tinytales.errors import TinytalesError
from tinytales.prompt import StoryPrompt
from tinytales.tui.screens.place import Dialog
from tinytales.tui.voices import Voice
from tinytales.tui.widgets.bars import KeyBar
from tinytales.tui.widgets.storyview import StoryView


class DuelScreen(Dialog[None]):
    """Left and right are dealt by chance, so that nobody knows who tells."""

    HELP = """\
## Duel

Read both. **Left** or **1** says that the left one is better, **Right** or **2** the right one,
**=** that they are even. Then you see whose stories they were. **n** is another round.
"""
    BINDINGS: ClassVar[list[Any]] = [
        Binding("left,1", "pick(0)", "The first", key_display="1"),
        Binding("right,2", "pick(1)", "The second", key_display="2"),
        Binding("equals_sign,0", "even", "Even", key_display="="),
        Binding("n", "again", "Another round"),
        Binding("tab", "app.focus_next", show=False),
        Binding("escape", "dismiss", "Back", key_display="Esc"),
    ]

    def __init__(self, one: Voice, other: Voice, dice: random.Random | None = None) -> None:
        super().__init__()
        self._dice = dice or random.Random()
        self.sides = [one, other]
        self.ready = False
        self.decided = False

    def compose(self) -> ComposeResult:
        with Vertical(id="match"):
            yield Label("Which story is better?", id="question")
            with Horizontal(id="arena"):
                for number in (0, 1):
                    with Vertical():
                        yield Static("", id=f"name{number}", classes="name")
                        yield StoryView(id=f"side{number}")
            with Horizontal(classes="buttons"):
                yield Button("1  The first", id="pick0", variant="primary", compact=True)
                yield Button("2  The second", id="pick1", variant="primary", compact=True)
                yield Button("=  Even", id="even", compact=True)
                yield Button("n  Again", id="again", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#side0").focus()
        for view in self.query(StoryView):
            view.follows = False
        self._tell()

    @work(exclusive=True, group="duel")
    async def _tell(self) -> None:
        self.ready = self.decided = False
        self._dice.shuffle(self.sides)
        opening = self.tales.dealer.opening()
        self.query_one("#question", Label).update("Two voices are thinking of a story …")
        for number in (0, 1):
            self.query_one(f"#name{number}", Static).update(("the first", "the second")[number])
            self.query_one(f"#side{number}", StoryView).clear()
        prompt, seed = StoryPrompt(opening=opening), self._dice.randrange(1_000_000)
        for number, voice in enumerate(self.sides):
            try:
                text = await asyncio.to_thread(self.tales.tell_with, voice, prompt, seed)
            except TinytalesError as error:
                self.notify(error.message, timeout=6)
                self.dismiss(None)
                return
            view = self.query_one(f"#side{number}", StoryView)
            view.show(text, len(text))
            view.to_start()
        self.query_one("#question", Label).update("Which story is better?")
        self.ready = True

    def action_pick(self, number: int) -> None:
        if self.ready and not self.decided:
            winner, loser = self.sides[number], self.sides[1 - number]
            self._count(winner, loser)
            self._reveal(number)

    def action_even(self) -> None:
        if self.ready and not self.decided:
            self._count(*self.sides, drawn=True)
            self._reveal(None)

    def _count(self, winner: Voice, loser: Voice, *, drawn: bool = False) -> None:
        told = self.tales.voice_changed  # the table of voices shows the tally
        self.tales.shelf.duel(
            winner.digest,
            loser.digest,
            drawn=drawn,
            then=lambda: self.app.call_later(told.publish, None),
        )

    def _reveal(self, winner: int | None) -> None:
        self.decided = True
        for number, voice in enumerate(self.sides):
            crown = "★ " if number == winner else ""
            name = f"{crown}{voice.name} ({voice.quantization})"
            self.query_one(f"#name{number}", Static).update(name)
        done = "They are even." if winner is None else f"{self.sides[winner].name} it is."
        self.query_one("#question", Label).update(f"{done} n is another round.")

    def action_again(self) -> None:
        if self.ready:
            self._tell()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        name = event.button.id or ""
        if name.startswith("pick"):
            self.action_pick(int(name[-1]))
        elif name == "even":
            self.action_even()
        else:
            self.action_again()
