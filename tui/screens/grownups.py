"""The grown-ups' corner: how adventurous, how careful, what things are worth, where they are.

The rows are made from the settings themselves (`tinytales.settings.Settings` explains each key), so
that a new setting needs a line in `ROWS` and nothing else.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input, Label, Static, TabbedContent, TabPane

from tinytales import __version__, paths
from tinytales.errors import TinytalesError
from tinytales.settings import Settings
from tinytales.tui.screens.grading import GradingPane
from tinytales.tui.screens.place import PlaceScreen
from tinytales.tui.widgets.bars import KeyBar, TopBar
from tinytales.tui.widgets.chips import Chip, Chips

#: tab -> setting -> what a grown-up calls it
ROWS: dict[str, dict[str, str]] = {
    "Telling": {
        "temperature": "Adventure (temperature)",
        "top_p": "Top p",
        "min_p": "Min p",
        "max_words": "At most so many words",
        "word_help": "Help for asked-for words",
        "threads": "Threads",
    },
    "Care": {
        "safety": "What is not told",
        "pace": "Words a minute",
        "read_aloud": "Read aloud",
        "theme": "Look",
        "animation": "Animation",
        "ascii": "ASCII only (next start)",
        "plain": "Line by line (next start)",
    },
}


class SettingRow(Horizontal):
    """One setting: its name, its value, what it does."""

    def __init__(self, key: str, label: str, value: Any) -> None:
        super().__init__(classes="setting")
        self.key, self._label, self._value = key, label, value
        self._setting = next(f for f in fields(Settings) if f.name == key)

    def compose(self) -> ComposeResult:
        yield Label(self._label)
        one_of = self._setting.metadata["one_of"]
        if isinstance(self._value, bool):
            yield Chip(self.key, "yes", on=self._value)
        elif one_of:
            names = {name: name for name in one_of}
            yield Chips(names, id=f"choose-{self.key}", on=(self._value,), one=True)
        else:
            yield Input(self._shown(), id=f"set-{self.key}", compact=True)
        yield Static(self._setting.metadata["says"], classes="why")

    def _shown(self) -> str:
        return f"{self._value:g}" if isinstance(self._value, float) else str(self._value)

    def take(self, raw: Any) -> Any:
        """What was typed, as the setting keeps it. Raises ValueError."""
        kind = type(self._value)
        return raw if kind is bool or kind is str else kind(float(raw) if kind is float else raw)

    def settle(self, value: Any) -> None:
        """This is the value now."""
        self._value = value
        for line in self.query(Input):
            line.value = self._shown()
        for chips in self.query(Chips):
            chips.choose(value)


class GrownupsScreen(PlaceScreen):
    """Settings, grading, folders, about."""

    PLACE = "grownups"
    HELP = """\
## The grown-ups' corner

**Tab** goes from field to field, **Left** and **Right** from sheet to sheet. A number is kept when
you press **Enter** or leave its field. **Space** switches.
"""
    BINDINGS: ClassVar[list[Any]] = [
        Binding("ctrl+right,ctrl+n", "sheet(1)", "Next sheet", key_display="^n"),
        Binding("ctrl+left,ctrl+b", "sheet(-1)", "Sheet before", key_display="^b"),
        Binding("escape", "app.go('make')", "Back", key_display="Esc"),
    ]

    def compose(self) -> ComposeResult:
        yield TopBar(self.PLACE)
        with TabbedContent(id="sheets"):
            for tab, rows in ROWS.items():
                with TabPane(tab, id=tab.lower()), VerticalScroll(classes="corner"):
                    for key, label in rows.items():
                        yield SettingRow(key, label, getattr(self.tales.settings, key))
            with TabPane("Grading", id="grading"):
                yield GradingPane()
            with TabPane("Folders", id="folders"), VerticalScroll(classes="corner"):
                yield Static(id="places")
            with TabPane("About", id="about"), VerticalScroll(classes="corner"):
                yield Static(id="this")
        yield KeyBar()

    def on_mount(self) -> None:
        self.tales.voice_changed.subscribe(self, lambda _: self._say_this())

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        for row in self.query(SettingRow):
            row.settle(getattr(self.tales.settings, row.key))
        self.query_one("#places", Static).update(self._places())
        self._say_this()
        self.query_one(GradingPane).look()

    def _places(self) -> str:
        """Where everything is, and how much of it."""
        shelf = self.tales.shelf
        stories = shelf.count()
        return "\n".join(
            [
                f"Stories   {paths.data_dir()}",
                f"Settings  {paths.config_dir()}",
                f"Cache     {paths.cache_dir()}",
                "",
                f"{stories:,} {'story is' if stories == 1 else 'stories are'} kept.",
                shelf.trouble or shelf.note,
            ]
        )

    def _say_this(self) -> None:
        self.query_one("#this", Static).update(
            f"tinytales {__version__}, Apache-2.0\n\n{self.tales.narrator.about()}"
        )

    def action_sheet(self, step: int) -> None:
        sheets = self.query_one(TabbedContent)
        names = [pane.id or "" for pane in self.query(TabPane)]
        sheets.active = names[(names.index(sheets.active) + step) % len(names)]

    # -- changing --------------------------------------------------------------------------------

    @on(Chip.Switched)
    def _switched(self, event: Chip.Switched) -> None:
        row = next((a for a in event.chip.ancestors if isinstance(a, SettingRow)), None)
        if row is not None:
            choice = event.chip.key != row.key
            self._set(row, event.chip.key if choice else event.chip.on)

    @on(Input.Submitted)
    @on(Input.Blurred)
    def _written(self, event: Input.Submitted | Input.Blurred) -> None:
        row = next((a for a in event.input.ancestors if isinstance(a, SettingRow)), None)
        if row is not None:
            self._set(row, event.input.value.strip())

    def _set(self, row: SettingRow, raw: Any) -> None:
        now = getattr(self.tales.settings, row.key)
        try:
            value = row.take(raw)
            if value != now:
                if row.key == "theme":
                    self.tales.use_theme(value)
                elif row.key == "pace":
                    self.tales.set_pace(value)
                else:
                    self.tales.change(**{row.key: value})
        except ValueError:
            self.notify(f"{raw!r} is not a number.", timeout=4)
        except TinytalesError as error:
            self.tales.say(error)
        row.settle(getattr(self.tales.settings, row.key))
