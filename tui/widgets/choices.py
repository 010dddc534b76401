"""What comes next? A few words, or whole turns, from which the child picks.

The model proposes in a thread; the numbers on the buttons are the keys. Picking a word proposes the
next ones, so that a story can be told word by word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import ItemGrid, Vertical
from textual.message import Message
from textual.widgets import Button, Static

from tinytales.errors import TinytalesError
from tinytales.sentences import ends_sentence
from tinytales.tui.narrator import OFFERED

if TYPE_CHECKING:
    from tinytales.tui.tales import Tales


def with_word(text: str, word: str) -> str:
    """`text` and one more word (or full stop), spaced and capitalized as in a book."""
    if word in ".!?,":
        return text.rstrip() + word
    if not text.strip() or text.endswith("\n") or ends_sentence(text):
        word = word[:1].upper() + word[1:]
    return f"{text}{'' if not text or text[-1].isspace() else ' '}{word}"


class Choices(Vertical):
    """The offers, under the page."""

    HELP = """\
## Pick the next words

Press **1** to **4**, or click a word, and it is told. **0** brings other words, **.** ends the
sentence, **s** switches between single words and whole turns of the story. **Enter** lets the
storyteller tell on, **Esc** leaves the story as it is.
"""
    can_focus = True
    BINDINGS: ClassVar[list[Any]] = [
        *(Binding(str(n), f"pick({n - 1})", f"{n}", show=False) for n in range(1, OFFERED + 1)),
        Binding("enter", "tell_on", "Storyteller, tell on!", key_display="Enter"),
        Binding("0", "others", "Others"),
        Binding("full_stop", "stop_here", "Full stop", key_display="."),
        Binding("s", "turns", "Words or turns"),
    ]
    DEFAULT_CSS = """
    Choices { height: auto; padding: 0 2; background: $field; }
    Choices ItemGrid { height: auto; grid-gutter: 0 1; }
    Choices Button { width: 1fr; text-align: left; content-align: left middle; }
    Choices .ask { color: $hush; }
    """

    @dataclass
    class Picked(Message):
        """`text` is the story with what was picked."""

        text: str

    @dataclass
    class Refused(Message):
        """There is nothing to offer."""

        error: TinytalesError

    class TellOn(Message):
        """The storyteller shall go on by itself."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._text = ""
        self._draw = 0
        self._offers: list[str] = []
        self.turns = False

    def compose(self) -> ComposeResult:
        yield Static("", classes="ask")

    def offer(self, text: str) -> None:
        """Propose what may follow `text`."""
        self._text, self._draw = text, 0
        self.focus()
        self._propose()

    @work(exclusive=True, group="choices")
    async def _propose(self) -> None:
        import asyncio

        narrator = cast("Tales", self.app).narrator
        self.query_one(".ask", Static).update("thinking …")
        ask = narrator.propose_turns if self.turns else narrator.propose_words
        try:
            offers = await asyncio.to_thread(ask, self._text, self._draw)
        except TinytalesError as error:
            self.post_message(self.Refused(error))
            offers = []
        await self._lay_out(offers)

    async def _lay_out(self, offers: list[str]) -> None:
        self._offers = offers
        await self.query(ItemGrid).remove()
        widest = max((len(offer) for offer in offers), default=1) + 6
        grid = ItemGrid(min_column_width=min(widest, max(20, self.size.width - 6)), regular=True)
        await self.mount(grid)
        buttons = [
            Button(f"{n + 1}  {offer}", name=str(n), compact=True) for n, offer in enumerate(offers)
        ]
        for button in buttons:
            button.can_focus = False
        await grid.mount(*buttons)
        what = "turn" if self.turns else "word"
        ask = f"Which {what} comes next?" if offers else f"No {what} comes to mind. 0 tries again."
        self.query_one(".ask", Static).update(ask)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.action_pick(int(event.button.name or 0))

    def action_pick(self, number: int) -> None:
        if number >= len(self._offers):
            return
        offer = self._offers[number]
        self._take(self._text + offer if self.turns else with_word(self._text, offer))

    def action_stop_here(self) -> None:
        if self._text.strip() and not ends_sentence(self._text):
            self._take(with_word(self._text, "."))

    def _take(self, text: str) -> None:
        self._text, self._offers, self._draw = text, [], 0
        self.post_message(self.Picked(text))
        self._propose()

    def action_others(self) -> None:
        self._draw += 1
        self._propose()

    def action_turns(self) -> None:
        self.turns = not self.turns
        self._draw = 0
        self._propose()

    def action_tell_on(self) -> None:
        self.post_message(self.TellOn())
