"""Make a story: everything may be wished for, nothing has to be. Enter tells."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Input, Label, Static

from tinytales.errors import TinytalesError
from tinytales.tui.screens.place import PlaceScreen
from tinytales.tui.widgets.bars import KeyBar, TopBar
from tinytales.tui.widgets.chips import Chips
from tinytales.tui.wishes import FEATURE_NAMES, LENGTHS, Wishes

#: Longer than any prompt that fits; a paste beyond it is cut and said so.
LONGEST_OPENING = 2000


class Line(Input):
    """One line to write in; what is pasted is made one line and cut to what can be told."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("enter", "submit", "Tell a story", key_display="Enter")
    ]

    def __init__(self, hint: str, *, id: str, help: str, limit: int = 60) -> None:
        super().__init__(placeholder=hint, id=id, compact=True, max_length=limit)
        self.HELP = f"## Write\n\n{help}\n\n**Tab** goes on, **Enter** tells the story."
        self._limit = limit

    def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        start, end = sorted(self.selection)
        room = self._limit - len(self.value) + end - start
        tidy = " ".join(event.text[: 4 * self._limit].split())
        if len(tidy) > room or len(event.text) > 4 * self._limit:
            self.app.notify("That is a lot of text: its beginning is taken.", timeout=4)
        self.replace(tidy[: max(0, room)], start, end)


class Form(VerticalScroll, can_focus=False, inherit_bindings=False):
    """Scrolls to what has the focus, so that the arrow keys may go from field to field."""


class MakeScreen(PlaceScreen):
    """The form. It keeps what was written while one reads."""

    PLACE = "make"
    HELP = """\
## Make a story

Press **Enter** and a story is told. Before that you may say how it begins, who it is about, where
it happens, and three words that shall come in it.

- **Ctrl+D** deals an opening, **Ctrl+W** draws three words, **Ctrl+H** a hero and a place.
- **Space** switches a wish on: talking, a surprise, a lesson …
- **Ctrl+L** wipes the form clean.
"""
    BINDINGS: ClassVar[list[Any]] = [
        Binding("enter", "tell", "Tell a story", key_display="Enter"),
        Binding("ctrl+d", "deal", "Deal an opening", priority=True, key_display="^d"),
        Binding("ctrl+g", "friends", "Deal hero, place", priority=True, key_display="^g"),
        Binding("ctrl+w", "draw", "Draw words", priority=True, key_display="^w"),
        Binding("ctrl+l", "wipe", "Wipe", priority=True, key_display="^l"),
        Binding("f3", "app.go('library')", "Library", key_display="F3"),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
        Binding("ctrl+q", "app.quit", "Quit", key_display="^q"),
    ]

    def compose(self) -> ComposeResult:
        yield TopBar(self.PLACE)
        with Form(id="form"):
            yield Static("", id="trouble")
            yield Static(id="greeting")
            yield Label("How does it begin?")
            with Horizontal(classes="row"):
                yield Line(
                    "leave it empty for a surprise",
                    id="opening",
                    limit=LONGEST_OPENING,
                    help="How the story begins. Leave it empty and the storyteller begins.",
                )
                yield Button("Deal one", id="deal", compact=True)
            with Horizontal(classes="row pair"):
                with Vertical():
                    yield Label("Who is it about?")
                    yield Line("a fox, Mia, two robots …", id="hero", help="The hero of the story.")
                with Vertical():
                    yield Label("Where?")
                    yield Line("in the forest …", id="place", help="Where it happens.")
                yield Button("Deal", id="friends", compact=True)
            yield Label("Three words that come in it")
            with Horizontal(classes="row"):
                for number, hint in enumerate(("kite", "climb", "windy"), start=1):
                    yield Line(
                        hint,
                        id=f"word{number}",
                        limit=40,
                        help="A word that shall come in the story. It glows when it comes.",
                    )
                yield Button("Draw", id="draw", compact=True)
            yield Label("With")
            yield Chips(FEATURE_NAMES, id="features")
            yield Label("How long?")
            lengths = {key: name for key, (name, _) in LENGTHS.items()}
            yield Chips(lengths, id="length", on=("free",), one=True)
            with Horizontal(id="go"):
                yield Button("Tell me a story  ⏎", id="tell", variant="primary", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#opening").focus()
        self.tales.voice_changed.subscribe(self, self._voice_changed)
        self._voice_changed()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        when = "tonight" if self.app.theme == "bedtime" else "today"
        self.query_one("#greeting", Static).update(f"What shall we tell {when}?")

    def _voice_changed(self, _: object = None) -> None:
        trouble = self.query_one("#trouble", Static)
        error = self.tales.narrator.error
        trouble.display = error is not None
        if error is not None:
            trouble.update(f"{error.message}\n{error.hint}".strip())

    # -- what is wished for ----------------------------------------------------------------------

    def wishes(self) -> Wishes:
        value = {line.id: line.value for line in self.query(Line)}
        return Wishes(
            opening=value["opening"],
            hero=value["hero"],
            place=value["place"],
            words=tuple(value[f"word{n}"] for n in (1, 2, 3)),
            features=self.query_one("#features", Chips).chosen,
        )

    def action_tell(self) -> None:
        try:
            prompt = self.wishes().prompt()
        except TinytalesError as error:
            self.tales.say(error)
            return
        (length,) = self.query_one("#length", Chips).chosen or ("free",)
        self.tales.tell(prompt, max_words=LENGTHS[length][1])

    def action_deal(self) -> None:
        self._write("opening", self.tales.dealer.opening())

    def action_friends(self) -> None:
        self._write("hero", self.tales.dealer.hero())
        self._write("place", self.tales.dealer.place())

    def action_draw(self) -> None:
        for number, word in enumerate(self.tales.dealer.words(), start=1):
            self._write(f"word{number}", word)

    def action_wipe(self) -> None:
        for line in self.query(Line):
            line.value = ""
        self.query_one("#features", Chips).choose()
        self.query_one("#length", Chips).choose("free")
        self.query_one("#opening").focus()

    def _write(self, line: str, text: str) -> None:
        field = self.query_one(f"#{line}", Line)
        field.value = text
        field.cursor_position = len(text)

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.action_tell()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        getattr(self, f"action_{event.button.id}")()
