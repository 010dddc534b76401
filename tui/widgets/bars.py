"""The two lines that frame every screen: where one is, and which keys matter."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

#: screen -> (key, what a wide and what a narrow terminal calls it)
PLACES: dict[str, tuple[str, str, str]] = {
    "make": ("F2", "Make a story", "Make"),
    "page": ("F6", "The page", "Page"),
    "library": ("F3", "Library", "Books"),
    "voices": ("F4", "Voices", "Voices"),
    "grownups": ("F5", "Grown-ups", "Adults"),
}


class Place(Static):
    """One of the places in the top bar; a click goes there."""

    ALLOW_SELECT = False

    def __init__(self, name: str) -> None:
        self.key, self.wide, self.narrow = PLACES[name]
        super().__init__(self.wide, id=f"to-{name}")
        self.place = name
        self.tooltip = f"{self.wide} ({self.key})"

    def on_resize(self) -> None:
        self.update(self.narrow if self.app.size.width < 64 else self.wide)

    def on_click(self) -> None:
        self.app.action_go(self.place)  # type: ignore[attr-defined]


class TopBar(Horizontal):
    """The name of the house, its rooms, and whose voice is telling."""

    DEFAULT_CSS = """
    TopBar { dock: top; height: 1; background: $panel; color: $hush; padding: 0 1; }
    TopBar > .house { width: auto; color: $primary; text-style: bold; margin-right: 2; }
    TopBar > Place { width: auto; padding: 0 1; }
    TopBar > Place:hover { color: $ink; background: $chosen; pointer: pointer; }
    TopBar > Place.-here { color: $ink; text-style: bold underline; }
    TopBar > .voice { width: 1fr; text-align: right; text-overflow: ellipsis; text-wrap: nowrap; }
    """

    def __init__(self, here: str = "") -> None:
        super().__init__()
        self._here = here
        # Made here, since the voice may wake before the bar is composed, or while it is removed.
        self._voice = Static("", classes="voice")

    def compose(self) -> ComposeResult:
        yield Static("✦ tinytales", classes="house")
        for name in PLACES:
            place = Place(name)
            place.set_class(name == self._here, "-here")
            yield place
        yield self._voice

    def say(self, what: str) -> None:
        """What stands at the right: the voice, or what it is doing."""
        self._voice.update(what)


class KeyBar(Widget):
    """The keys that matter here, as many as fit; each can be clicked."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"keybar--key", "keybar--off"}
    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; background: $panel; color: $hush; padding: 0 1; }
    KeyBar > .keybar--key { color: $primary; text-style: bold; }
    KeyBar > .keybar--off { text-style: dim; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[tuple[Binding, str, bool]] = []
        self._places: list[tuple[int, int, Binding]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._look)
        self._look()

    def _look(self, _: object = None) -> None:
        keys: dict[str, tuple[Binding, str, bool]] = {}
        for _node, binding, enabled, _tip in self.screen.active_bindings.values():
            if binding.show:
                display = self.app.get_key_display(binding)
                keys.setdefault(binding.action, (binding, display, enabled))
        # In the order of the screen, whatever has the focus. F1 comes last and is never left out:
        # it explains all others.
        own = [binding.action for binding in self.screen.BINDINGS if isinstance(binding, Binding)]
        found = sorted(
            keys.values(),
            key=lambda k: (k[0].key == "f1", own.index(k[0].action) if k[0].action in own else -1),
        )
        if found != self._keys:
            self._keys = found
            self.refresh()

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        key_style = self.get_component_rich_style("keybar--key", partial=True)
        off = self.get_component_rich_style("keybar--off", partial=True)
        width = self.content_size.width
        fits: list[tuple[Binding, str, bool]] = []
        used = 0
        for key in reversed(self._keys[-1:]):
            used += self._cells_of(key)
        for key in self._keys[:-1]:
            if used + self._cells_of(key) > width:
                break
            used += self._cells_of(key)
            fits.append(key)
        fits += self._keys[-1:]
        segments, self._places, x = [], [], 0
        for binding, display, enabled in fits:
            style = base if enabled else base + off
            segments.append(Segment(f"{display} ", style + key_style if enabled else style))
            segments.append(Segment(f"{binding.description}  ", style))
            end = x + cell_len(display) + cell_len(binding.description) + 3
            self._places.append((x, end - 2, binding))
            x = end
        return Strip(segments).adjust_cell_length(width, base)

    @staticmethod
    def _cells_of(key: tuple[Binding, str, bool]) -> int:
        return cell_len(key[1]) + cell_len(key[0].description) + 3

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        for start, end, binding in self._places:
            if start <= offset.x < end:
                self.app.simulate_key(binding.key)
                return
