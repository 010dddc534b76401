"""All that can be done, in words: the help behind F1, and what Ctrl+P finds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.app import SystemCommand
from textual.dom import DOMNode

from tinytales.tui.reading import PACES, pace_name
from tinytales.tui.themes import LOOKS
from tinytales.tui.widgets.bars import PLACES

if TYPE_CHECKING:
    from tinytales.tui.tales import Tales

EVERYWHERE = """\
## Everywhere

**F2** makes a story, **F3** is the library, **F4** the voices, **F5** the grown-ups' corner,
**F6** goes back to the page.
**Ctrl+T** changes the look, **Ctrl+P** opens all commands, **Ctrl+Q** leaves.
"""


def explain(here: DOMNode) -> str:
    """Help (Markdown) for what has the focus, then for what is around it."""
    parts: list[str] = []
    node: DOMNode | None = here
    while node is not None:
        if node.HELP and node.HELP not in parts:
            parts.append(node.HELP)
        node = node.parent
    return "\n".join([*parts, EVERYWHERE])


def commands(tales: Tales) -> Iterator[SystemCommand]:
    for place, (_key, name, _) in PLACES.items():
        yield SystemCommand(name, "Go there", partial(tales.action_go, place))
    for theme, says in LOOKS.items():
        yield SystemCommand(f"Look: {theme}", says, partial(tales.use_theme, theme))
    for pace in PACES:
        yield SystemCommand(
            f"Pace: {pace_name(pace)}", "How fast words come", partial(tales.set_pace, pace)
        )
    yield SystemCommand("Help", "What can be done here", tales.action_explain)
    yield SystemCommand("Quit", "Good night", tales.action_quit)
