"""A blind duel: two voices, one prompt, one seed. Pick the better; then see whose it was.

The stories stand side by side, in a narrow terminal one above the other, and in the smallest one at
a time: Tab turns to the other.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, ClassVar

from rich.cells import cell_len
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Label, Static

from tinytales.errors import TinytalesError
from tinytales.prompt import StoryPrompt
from tinytales.tui.cells import shorten
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
**Tab** turns to the other story.
"""
    BINDINGS: ClassVar[list[Any]] = [
        Binding("left,1", "pick(0)", "First", key_display="1"),
        Binding("right,2", "pick(1)", "Second", key_display="2"),
        Binding("equals_sign,0", "even", "Even", key_display="="),
        Binding("n", "again", "Again"),
        Binding("tab", "turn", "The other", show=False),
        Binding("escape", "dismiss", "Back", key_display="Esc"),
    ]

    def __init__(self, one: Voice, other: Voice, dice: random.Random | None = None) -> None:
        super().__init__()
        self._dice = dice or random.Random()
        self.sides = [one, other]
        self.ready = False
        self.decided = False
        self._names = ("the first", "the second")
        self._front = 0  # the story that is shown where only one has room

    def compose(self) -> ComposeResult:
        with Vertical(id="match"):
            yield Label("Which story is better?", id="question")
            with Horizontal(id="arena"):
                for number in (0, 1):
                    with Vertical(classes="side"):
                        yield Static("", id=f"name{number}", classes="name")
                        yield StoryView(id=f"side{number}", head=0)
            with Horizontal(classes="buttons"):
                for label, action, id in (
                    ("1  The first", "pick(0)", "pick0"),
                    ("2  The second", "pick(1)", "pick1"),
                    ("=  Even", "even", "even"),
                    ("n  Again", "again", "again"),
                ):
                    variant = "primary" if id.startswith("pick") else "default"
                    action = f"screen.{action}"
                    yield Button(label, variant, id=id, action=action, compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        for view in self.query(StoryView):
            view.follows = False
        self._tell()

    @work(exclusive=True, group="duel")
    async def _tell(self) -> None:
        self.ready = self.decided = False
        self._allow()
        self._dice.shuffle(self.sides)
        opening = self.tales.dealer.opening()
        self.query_one("#question", Label).update("Two voices are thinking of a story …")
        for view in self.query(StoryView):
            view.clear()
        self._names = ("the first", "the second")
        self._show(0)
        prompt, seed = StoryPrompt(opening=opening), self._dice.randrange(1_000_000)
        for number, voice in enumerate(self.sides):
            try:
                text = await asyncio.to_thread(self.tales.narrator.duel, voice, prompt, seed)
            except TinytalesError as error:
                self.notify(error.message, timeout=6)
                self.dismiss(None)
                return
            view = self.query_one(f"#side{number}", StoryView)
            view.show(text, len(text))
            view.to_start()
        self.query_one("#question", Label).update("Which story is better?")
        self.ready = True
        self._allow()

    @property
    def _one_at_a_time(self) -> bool:
        return self.has_class("-narrow") and self.has_class("-low")

    def _show(self, front: int) -> None:
        """The names above the stories, and one of these in front."""
        self._front = front
        turns = " · Tab: the other" if self._one_at_a_time else ""
        for number, side in enumerate(self.query(".side")):
            side.set_class(number != front, "-behind")
            name = shorten(self._names[number], self.size.width - cell_len(turns))
            self.query_one(f"#name{number}", Static).update(name + turns)
        self.query_one(f"#side{front}").focus()

    def on_resize(self) -> None:
        self.call_after_refresh(lambda: self._show(self._front))  # when the classes are known

    def action_turn(self) -> None:
        if self._one_at_a_time:
            self._show(1 - self._front)
        else:
            self.focus_next()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("pick", "even"):
            return self.ready and not self.decided
        return self.ready if action == "again" else True

    def _allow(self) -> None:
        """What can be done has changed: a button is on when its key is."""
        for button in self.query(Button):
            action = (button.id or "").rstrip("01")
            button.disabled = not self.check_action(action, ())
        self.refresh_bindings()

    def action_pick(self, number: int) -> None:
        winner, loser = self.sides[number], self.sides[1 - number]
        self._count(winner, loser)
        self._reveal(number)

    def action_even(self) -> None:
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
        first, second = (
            f"{'★ ' if number == winner else ''}{voice.name} ({voice.quantization})"
            for number, voice in enumerate(self.sides)
        )
        self._names = (first, second)
        self._show(self._front if winner is None else winner)
        done = "They are even." if winner is None else f"{self.sides[winner].name} it is."
        self.query_one("#question", Label).update(done)
        self._allow()

    def action_again(self) -> None:
        self._tell()
