"""The grown-ups' corner: how adventurous, how careful, where things are, what this is."""

from __future__ import annotations

from textual.app import ComposeResult

from tinytales.tui.screens.place import PlaceScreen


class GrownupsScreen(PlaceScreen):
    PLACE = "grownups"

    def compose(self) -> ComposeResult:
        yield from ()
