"""Small round choices: a wish that is on or off (`Chip`), or one of several (`Choice`)."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import ItemGrid
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static


class Chip(Static):
    """A wish that can be switched: Space or a click."""

    HELP = """\
## A wish

**Space** or a click switches it on and off, the arrow keys go to the next one.
"""
    can_focus = True
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[Any]] = [
        Binding("space", "switch", "Switch", show=False),
        Binding("right", "app.focus_next", show=False),
        Binding("left", "app.focus_previous", show=False),
    ]
    DEFAULT_CSS = """
    Chip { width: 1fr; height: 1; padding: 0 1; color: $hush; text-wrap: nowrap; }
    Chip.-on { color: $glow; text-style: bold; }
    Chip:hover { background: $field; pointer: pointer; }
    Chip:focus { background: $chosen; color: $chosen-text; }
    """
    on = reactive(False, toggle_class="-on")

    class Switched(Message):
        def __init__(self, chip: Chip) -> None:
            super().__init__()
            self.chip = chip

        @property
        def control(self) -> Chip:
            return self.chip

    def __init__(self, key: str, label: str, *, on: bool = False) -> None:
        super().__init__()
        self.key, self.label = key, label
        self.set_reactive(Chip.on, on)
        self.set_class(on, "-on")

    def render(self) -> str:
        return f"{'●' if self.on else '○'} {self.label}"

    def action_switch(self) -> None:
        self.on = not self.on
        self.post_message(self.Switched(self))

    def on_click(self, event: events.Click) -> None:
        self.action_switch()


class Chips(ItemGrid):
    """A few chips, as many in a row as fit. With `one`, exactly one of them is on."""

    DEFAULT_CSS = """
    Chips { height: auto; grid-gutter: 0 1; }
    """

    def __init__(
        self, labels: dict[str, str], *, id: str, on: tuple[str, ...] = (), one: bool = False
    ) -> None:
        widest = max(map(len, labels.values())) + 5
        super().__init__(id=id, min_column_width=widest, regular=True)
        self._labels, self._on, self.one = labels, on, one

    def compose(self) -> ComposeResult:
        for key, label in self._labels.items():
            yield Chip(key, label, on=key in self._on)

    def on_chip_switched(self, event: Chip.Switched) -> None:
        if self.one:
            for chip in self.query(Chip):
                chip.on = chip is event.chip

    @property
    def chosen(self) -> tuple[str, ...]:
        return tuple(chip.key for chip in self.query(Chip) if chip.on)

    def choose(self, *keys: str) -> None:
        for chip in self.query(Chip):
            chip.on = chip.key in keys
