"""What every screen of the app has: a way to the app with its right type, and a top bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual.screen import ModalScreen, Screen

from tinytales.tui.widgets.bars import TopBar

if TYPE_CHECKING:
    from tinytales.tui.tales import Tales


Result = TypeVar("Result")


class PlaceScreen(Screen[None]):
    """One of the places. `PLACE` is its name in the top bar."""

    PLACE: ClassVar[str] = ""

    @property
    def tales(self) -> Tales:
        return cast("Tales", self.app)

    def on_screen_resume(self) -> None:
        self.say_voice()
        for place in self.query("#to-page"):
            place.display = not self.tales.page_is_empty

    def say_voice(self) -> None:
        for bar in self.query(TopBar):
            bar.say(self.tales.narrator.line)

    def library_changed(self) -> None:
        """The library was mended, or has trouble: show what is there now."""


class Dialog(ModalScreen[Result]):
    """Something small in front of a screen. Esc leaves it."""

    @property
    def tales(self) -> Tales:
        return cast("Tales", self.app)
