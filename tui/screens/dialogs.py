"""The small things in front of a screen: help, a title, an export, a sum, a tree of tellings."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Input, Label, Markdown, OptionList
from textual.widgets.option_list import Option

from tinytales.errors import TinytalesError
from tinytales.tui.screens.place import Dialog, PlaceScreen
from tinytales.tui.widgets.chips import Chips

ESC = Binding("escape", "dismiss", "Close", show=False)


class ReadingDialog(Dialog[None]):
    """Something to read and close; `matter` says what."""

    BINDINGS: ClassVar[list[Any]] = [
        ESC,
        Binding("f1,q,enter", "dismiss", "Close", show=False),
    ]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide"):
            yield from self.headline()
            with VerticalScroll(id="help"):
                yield from self.matter()
            with Horizontal(classes="buttons"):
                yield Button("Close  Esc", id="close", compact=True)

    def headline(self) -> ComposeResult:
        """What stays in place above it."""
        yield from ()

    def matter(self) -> ComposeResult:
        raise NotImplementedError

    def on_mount(self) -> None:
        self.query_one("#help").focus()

    @on(Button.Pressed)
    def _close(self) -> None:
        self.dismiss()


class HelpDialog(ReadingDialog):
    """What one may do here: F1 for whatever has the focus."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def matter(self) -> ComposeResult:
        yield Markdown(self._text)


class RenameDialog(Dialog["str | None"]):
    """Another title."""

    BINDINGS: ClassVar[list[Any]] = [ESC]

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title_now = title

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label("What shall the story be called?")
            yield Input(self._title_now, id="title", compact=True, max_length=80)
            with Horizontal(classes="buttons"):
                yield Button("Call it so", id="yes", variant="primary", compact=True)
                yield Button("Never mind", id="no", compact=True)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    @on(Input.Submitted)
    @on(Button.Pressed, "#yes")
    def _yes(self) -> None:
        self.dismiss(self.query_one(Input).value.strip() or None)

    @on(Button.Pressed, "#no")
    def _no(self) -> None:
        self.dismiss(None)


class ExportDialog(Dialog["tuple[str, Path] | None"]):
    """As what, and where to."""

    BINDINGS: ClassVar[list[Any]] = [ESC, Binding("enter", "export", "Export", show=False)]

    def __init__(self, count: int, name: str, formats: dict[str, tuple[str, str]]) -> None:
        """`formats`: format -> (what it is called, the suffix of its file)."""
        super().__init__()
        self._count, self._file_name, self._formats = count, name, formats

    def compose(self) -> ComposeResult:
        what = "this story" if self._count == 1 else f"{self._count} stories"
        with Vertical(classes="dialog"):
            yield Label(f"Export {what} as")
            labels = {key: label for key, (label, _) in self._formats.items()}
            first = next(iter(labels))
            yield Chips(labels, id="format", on=(first,), one=True)
            yield Label("to the file")
            yield Input(self._path(first), id="path", compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Export", id="yes", variant="primary", compact=True)
                yield Button("Never mind", id="no", compact=True)

    def on_mount(self) -> None:
        self.query_one("Chip").focus()

    def _path(self, format: str) -> str:
        return str(Path.cwd() / f"{self._file_name}{self._formats[format][1]}")

    def on_chip_switched(self) -> None:
        (format,) = self.query_one(Chips).chosen
        path = self.query_one(Input)
        known = {self._path(f) for f in self._formats}
        if path.value in known or not path.value:
            path.value = self._path(format)
        else:
            path.value = str(Path(path.value).with_suffix(self._formats[format][1]))

    @on(Input.Submitted)
    @on(Button.Pressed, "#yes")
    def action_export(self) -> None:
        (format,) = self.query_one(Chips).chosen
        path = self.query_one(Input).value.strip()
        self.dismiss((format, Path(path).expanduser()) if path else None)

    @on(Button.Pressed, "#no")
    def _no(self) -> None:
        self.dismiss(None)


def ask_export(screen: PlaceScreen, ids: list[str]) -> None:
    """Ask as what and where to, then write in a thread."""
    from tinytales.library.exports import FORMATS, file_name

    shelf = screen.tales.shelf
    entry = shelf.entry(ids[0])
    title = entry.title if entry is not None and len(ids) == 1 else "tinytales"
    formats = {name: (form.name, form.suffix) for name, form in FORMATS.items()}

    async def write(format: str, path: Path) -> None:
        try:
            await asyncio.to_thread(shelf.export, ids, format, path)
        except TinytalesError as error:
            screen.tales.say(error)
        else:
            screen.app.notify(str(path), title="Exported", timeout=6)

    def chosen(answer: tuple[str, Path] | None) -> None:
        if answer is not None:
            screen.app.run_worker(write(*answer))

    screen.app.push_screen(ExportDialog(len(ids), file_name(title), formats), chosen)


class SumDialog(Dialog[bool]):
    """A small sum keeps the grown-ups' corner for grown-ups."""

    BINDINGS: ClassVar[list[Any]] = [ESC]

    def __init__(self, dice: random.Random | None = None) -> None:
        super().__init__()
        dice = dice or random.Random()
        self.a, self.b = dice.randint(12, 49), dice.randint(13, 48)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label("This corner is for grown-ups.")
            yield Label(f"How much is {self.a} + {self.b}?", id="sum")
            yield Input(id="answer", type="integer", max_length=4, compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Come in", id="yes", variant="primary", compact=True)
                yield Button("Go back", id="no", compact=True)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    @on(Input.Submitted)
    @on(Button.Pressed, "#yes")
    def _answered(self) -> None:
        field = self.query_one(Input)
        if field.value.strip() == str(self.a + self.b):
            self.dismiss(True)
        else:
            field.value = ""
            self.query_one("#sum", Label).update(f"Not quite. How much is {self.a} + {self.b}?")

    @on(Button.Pressed, "#no")
    def _no(self) -> None:
        self.dismiss(False)


class TellingsDialog(Dialog["str | None"]):
    """All tellings of a story, as a small tree; one can be opened."""

    BINDINGS: ClassVar[list[Any]] = [ESC]

    def __init__(self, rows: list[tuple[str, int, str]], here: str) -> None:
        """`rows`: (id, depth, what to show), parents before children."""
        super().__init__()
        self._rows, self._here = rows, here

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide"):
            yield Label("All tellings of this story")
            options = [Option(f"{branch(d)}{label}", id=i) for i, d, label in self._rows]
            yield OptionList(*options, id="tellings", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Open", id="yes", variant="primary", compact=True)
                yield Button("Close", id="no", compact=True)

    def on_mount(self) -> None:
        tree = self.query_one(OptionList)
        tree.focus()
        ids = [row[0] for row in self._rows]
        tree.highlighted = ids.index(self._here) if self._here in ids else 0

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    @on(Button.Pressed, "#yes")
    def _yes(self) -> None:
        row = self.query_one(OptionList).highlighted
        self.dismiss(None if row is None else self._rows[row][0])

    @on(Button.Pressed, "#no")
    def _no(self) -> None:
        self.dismiss(None)


def branch(depth: int) -> str:
    """The line that leads to a telling from its parent."""
    return "" if depth == 0 else "   " * (depth - 1) + "└─ "


def ask_telling(screen: PlaceScreen, story_id: str) -> None:
    """Show all tellings of a story, and open the one that is chosen."""
    rows = [
        (entry.id, entry.depth, f"{entry.title} · {entry.words} words")
        for entry in screen.tales.shelf.tellings(story_id)
    ]

    def chosen(telling: str | None) -> None:
        if telling:
            screen.tales.open_story(telling)

    screen.app.push_screen(TellingsDialog(rows, story_id), chosen)
