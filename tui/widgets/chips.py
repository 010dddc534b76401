"""Small round choices: a wish that is on or off (`Chip`), or several together (`Chips`).

A group is one stop for Tab, which arrives where one was last, or at the one that is chosen. The
arrow keys walk inside it.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from rich.cells import cell_len
from textual import events
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding
from textual.geometry import Size
from textual.layout import ArrangeResult, Layout
from textual.layouts.grid import GridLayout
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

#: Cells between two chips of a row.
GAP = 1


class Chip(Static):
    """A wish that can be switched: Space or a click."""

    HELP = """\
## A wish

**Space** or a click switches it on and off, the arrow keys go to its neighbors, **Tab** leaves
them all.
"""
    can_focus = True
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[Any]] = [
        Binding("space", "switch", "Switch", show=False),
    ]
    DEFAULT_CSS = """
    Chip { width: 1fr; height: 1; padding: 0 1; color: $hush; }
    Chip { text-wrap: nowrap; text-overflow: ellipsis; }
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

    def allow_focus(self) -> bool:
        return not isinstance(self.parent, Chips) or self.parent.stop is self

    def focus(self, scroll_visible: bool = True) -> Self:
        if isinstance(self.parent, Chips):
            self.parent.stop = self
        return super().focus(scroll_visible)

    def action_switch(self) -> None:
        self.on = not self.on
        self.post_message(self.Switched(self))

    def on_click(self, event: events.Click) -> None:
        self.focus()
        self.action_switch()


class EvenRows(GridLayout):
    """As many columns as fit, or fewer if that takes no more rows: the rows are of like length."""

    def __init__(self, widest: int) -> None:
        super().__init__()
        self._widest = widest

    def arrange(
        self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True
    ) -> ArrangeResult:
        fit = max(1, (size.width + GAP) // (self._widest + GAP))
        rows = max(1, math.ceil(len(children) / fit))
        self.min_column_width = size.width // max(1, math.ceil(len(children) / rows))
        return super().arrange(parent, children, size, greedy)


class Chips(Widget):
    """A few chips, as many in a row as fit. With `one`, exactly one of them is on.

    Attributes:
        stop: the chip at which Tab arrives; no other can have the focus.
    """

    BINDINGS: ClassVar[list[Any]] = [
        Binding("right", "walk(1)", show=False),
        Binding("left", "walk(-1)", show=False),
        Binding("down", "climb(1)", show=False),
        Binding("up", "climb(-1)", show=False),
    ]
    DEFAULT_CSS = """
    Chips { width: 1fr; height: auto; grid-gutter: 0 1; }  /* GAP */
    """

    def __init__(
        self, labels: dict[str, str], *, id: str, on: tuple[str, ...] = (), one: bool = False
    ) -> None:
        widest = max(map(cell_len, labels.values())) + 4  # its mark, and the padding
        super().__init__(id=id)
        self._rows = EvenRows(widest)
        self._chips = [Chip(key, label, on=key in on) for key, label in labels.items()]
        self.one = one
        self.stop = self._chips[0]
        self._stop_at_chosen()

    @property
    def layout(self) -> Layout:
        return self._rows  # given here, since styles know layouts by name only

    def compose(self) -> ComposeResult:
        yield from self._chips

    def action_walk(self, step: int) -> None:
        """To the next one; after the last comes the first."""
        at = self._chips.index(self.stop)
        self._chips[(at + step) % len(self._chips)].focus()

    def action_climb(self, step: int) -> None:
        """To the row below or above; from the last one the key goes on to the form."""
        here = self.stop.region
        rows = {chip.region.y for chip in self._chips if (chip.region.y - here.y) * step > 0}
        if not rows:
            raise SkipAction
        row = min(rows, key=lambda y: abs(y - here.y))
        chips = (chip for chip in self._chips if chip.region.y == row)
        min(chips, key=lambda chip: abs(chip.region.x - here.x)).focus()

    def on_descendant_blur(self) -> None:
        if self.screen.focused not in self._chips:
            self._stop_at_chosen()

    def _stop_at_chosen(self) -> None:
        if self.one:
            self.stop = next((chip for chip in self._chips if chip.on), self.stop)

    def on_chip_switched(self, event: Chip.Switched) -> None:
        if self.one:
            self.choose(event.chip.key)

    @property
    def chosen(self) -> tuple[str, ...]:
        return tuple(chip.key for chip in self._chips if chip.on)

    def choose(self, *keys: str) -> None:
        for chip in self._chips:
            chip.on = chip.key in keys
        if self.is_mounted and self.screen.focused not in self._chips:
            self._stop_at_chosen()
