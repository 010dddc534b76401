"""The storyteller in the terminal: `tinytales`, or `tinytales app`.

Here stands what all screens share: how the app was started, the voice, the shelf of saved stories,
the settings, the ways between the places. The voice is opened in a thread after the first picture
stands, so that the form can be filled in while it wakes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import constants
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.filter import Monochrome, NoColor
from textual.screen import Screen
from textual.signal import Signal

from tinytales.errors import TinytalesError
from tinytales.prompt import StoryPrompt
from tinytales.tui.ascii import AsciiFilter
from tinytales.tui.commands import commands, explain
from tinytales.tui.memory import Memory
from tinytales.tui.narration import Order
from tinytales.tui.narrator import Narrator, open_storyteller
from tinytales.tui.screens.dialogs import HelpDialog, SumDialog
from tinytales.tui.screens.make import MakeScreen
from tinytales.tui.screens.page import PageScreen
from tinytales.tui.screens.place import PlaceScreen
from tinytales.tui.shelf import Shelf
from tinytales.tui.themes import BEDTIME_PACE, THEMES
from tinytales.tui.wishes import Dealer

if TYPE_CHECKING:
    from textual.driver import Driver

    from tinytales.settings import Settings
    from tinytales.storyteller import Storyteller
    from tinytales.tui.aloud import ReadAloud
    from tinytales.tui.judging import Judging
    from tinytales.tui.voices import Voice


@dataclass(frozen=True)
class Launch:
    """How the app was started; what is left out comes from the settings."""

    model: Path | None = None
    theme: str | None = None
    seed: int | None = None
    animation: bool = True
    ascii: bool = False


class TinytalesApp(App[None]):
    """The app. Tests give their own `open_teller`; everything else is as families have it."""

    TITLE = "tinytales"
    CSS_PATH = "style.tcss"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS: ClassVar[list[tuple[int, str]]] = [
        (0, "-narrow"),
        (64, "-normal"),
        (100, "-wide"),
    ]
    VERTICAL_BREAKPOINTS: ClassVar[list[tuple[int, str]]] = [
        (0, "-low"),
        (22, "-mid"),
        (32, "-tall"),
    ]
    BINDINGS: ClassVar[list[Any]] = [
        Binding("f2", "go('make')", "Make a story", show=False),
        Binding("f3", "go('library')", "Library", show=False),
        Binding("f4", "go('voices')", "Voices", show=False),
        Binding("f5", "go('grownups')", "Grown-ups", show=False),
        Binding("f6", "go('page')", "The page", show=False),
        Binding("ctrl+t", "next_theme", "Another look", show=False),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True),
        Binding("f1", "explain", "Help", key_display="F1"),
    ]

    def __init__(
        self,
        launch: Launch | None = None,
        *,
        settings: Settings | None = None,
        shelf: Shelf | None = None,
        memory: Memory | None = None,
        open_teller: Callable[[Path | None, Settings], Storyteller] | None = None,
    ) -> None:
        self.launch = launch or Launch()
        self.notes: list[TinytalesError] = []  # what went wrong before a screen could say it
        self.settings = settings or self._load_settings()
        super().__init__()
        for theme in THEMES.values():
            self.register_theme(theme)
        self.theme = self._first_theme()
        if self.no_color:  # Textual would draw in greys; NO_COLOR asks for none
            self._filters = [f for f in self._filters if not isinstance(f, Monochrome)]
            self._filters.append(NoColor())
        if self.launch.ascii or self.settings.ascii:
            self._filters.append(AsciiFilter())
        if not self.launch.animation or not self.settings.animation:
            self.animation_level = "none"
        self.shelf = shelf or Shelf.open()
        self.memory = memory or Memory.load()
        self.dealer = Dealer(self.launch.seed)
        self.grown_up = False  # the sum was solved in this session
        self.judging: Judging | None = None  # the grading that a grown-up agreed to last
        self.narrator = Narrator(
            open_teller or open_storyteller, lambda: self.settings, self.launch.seed
        )
        self.narrator.on_change = self._voice_woke
        self.voice_changed: Signal[None] = Signal(self, "voice-changed")
        self._came_from = "make"

    def get_driver_class(self) -> type[Driver]:
        if sys.platform == "win32" or constants.DRIVER:  # a browser has its own
            return super().get_driver_class()
        from tinytales.tui.driver import TerminalDriver

        return TerminalDriver

    # -- the first picture -----------------------------------------------------------------------

    def on_mount(self) -> None:
        self.install_screen(PageScreen(), "page")
        self.install_screen(MakeScreen(), "make")
        self.push_screen("make")
        self.call_after_refresh(self._after_first_picture)

    def _after_first_picture(self) -> None:
        self.open_voice(self.launch.model or self._chosen_model())
        self.shelf.on_news = lambda: self.call_later(self._say_news)
        if self.shelf.trouble or self.shelf.note:
            self._say_news()
        for error in self.notes:
            self.say(error)

    def _say_news(self) -> None:
        """The library has trouble, or was mended."""
        trouble, note = self.shelf.trouble, self.shelf.note
        how = "warning" if trouble else "information"
        timeout = 600 if self.shelf.mending else 10  # that it is being mended is said until it is
        self._notify_anew(trouble or note, title="The library", severity=how, timeout=timeout)
        for place in self._installed_screens.values():
            if isinstance(place, PlaceScreen) and place.is_mounted:
                place.library_changed()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return THEMES["day"].variables

    def _load_settings(self) -> Settings:
        from tinytales import settings

        try:
            return settings.load()
        except TinytalesError as error:
            self.notes.append(error)
            return settings.Settings()

    def _first_theme(self) -> str:
        if self.no_color:
            return "ansi"  # the one that can be drawn without any color
        wanted = self.launch.theme or self.settings.theme
        return wanted if wanted in THEMES else "day"

    def _chosen_model(self) -> Path | None:
        return Path(self.settings.model).expanduser() if self.settings.model else None

    def say(self, error: TinytalesError) -> None:
        """Say what went wrong, and what to do about it."""
        self.notify(error.hint, title=error.message, severity="warning", timeout=8)

    def _notify_anew(self, message: str, *, title: str, **how: Any) -> None:
        """A notice that takes the place of the one with the same title."""
        for notice in list(self._notifications):
            if notice.title == title:
                self._unnotify(notice)
        self.notify(message, title=title, **how)

    def action_help_quit(self) -> None:
        """Ctrl+C: it copies what is selected; many press it to leave."""
        self._notify_anew("Esc stops a story, Ctrl+Q leaves.", title="Do you want to stop?")

    # -- the voice -------------------------------------------------------------------------------

    def open_voice(self, path: Path | None) -> None:
        """Wake the voice at `path` (None: the shipped one) in a thread."""
        self.narrator.wake(path)
        self._say_voice()

    def _voice_woke(self) -> None:
        """The voice is awake, or there is none (in the waking thread)."""
        try:
            self.call_later(self._say_voice)  # left undone if the app is closing
        except RuntimeError:  # its loop may have ended since one could look
            if self.is_running:
                raise

    def _say_voice(self) -> None:
        self.voice_changed.publish(None)
        screen = self.screen
        if isinstance(screen, PlaceScreen):
            screen.say_voice()

    def find_voices(self) -> list[Voice]:
        """All voices on this machine; takes as long as reading their files."""
        from tinytales.paths import data_dir
        from tinytales.tui.voices import find_voices

        chosen = [p for p in (self.launch.model, self._chosen_model()) if p is not None]
        return find_voices(*chosen, data=data_dir())

    # -- telling ---------------------------------------------------------------------------------

    def tell(self, prompt: StoryPrompt, *, max_words: int = 0) -> None:
        """A new story on the page."""
        if self._has_voice():
            order = Order(prompt, self.narrator.sampling(max_words=max_words))
            self._on_page(lambda page: page.order(order))

    def _has_voice(self) -> bool:
        """Is there one, or may it still wake? Otherwise it is said why not."""
        if self.narrator.error is not None:
            self.say(self.narrator.error)
        return self.narrator.error is None

    @property
    def pace(self) -> int:
        """Words a minute as they are shown: bedtime is slower."""
        slower = BEDTIME_PACE if self.theme == "bedtime" else 1
        return int(self.settings.pace * slower)

    def set_pace(self, pace: int) -> None:
        self.change(pace=pace)
        if self.page.is_mounted:
            self.page.pace_changed()

    def change(self, **values: Any) -> None:
        """Change settings and keep them. Raises SettingsError for an impossible value."""
        from tinytales.settings import save

        self.settings = replace(self.settings, **values)
        if "safety" in values:
            self.narrator.be_safe()

        def keep(settings: Settings) -> None:
            try:
                save(settings)
            except TinytalesError as error:  # a matter of the settings, not of the library
                self.call_later(self.say, error)

        self.shelf.in_background(keep, self.settings)

    def read_aloud(self) -> ReadAloud | None:
        from tinytales.tui.aloud import ReadAloud, find_speaker

        speaker = find_speaker(self.pace or 150)
        return None if speaker is None else ReadAloud(speaker)

    # -- stories ---------------------------------------------------------------------------------

    def open_story(self, story_id: str) -> None:
        entry = self.shelf.entry(story_id)
        story = self.shelf.get(story_id)
        if story is None or entry is None:
            self.notify("This story cannot be found any more.", timeout=5)
            return
        self.shelf.leave(story_id, max(1, entry.position))
        self._on_page(lambda page: page.open(story, title=entry.title, favorite=entry.favorite))

    def replay(self, story_id: str) -> None:
        """Tell a kept story again from its record."""
        story = self.shelf.get(story_id)
        if story is None:
            return
        if self._has_voice():
            order = Order(story.prompt, story.sampling, same_as=story)
            self._on_page(lambda page: page.order(order))

    # -- ways ------------------------------------------------------------------------------------

    @property
    def page(self) -> PageScreen:
        page = self.get_screen("page")
        assert isinstance(page, PageScreen)
        return page

    @property
    def page_is_empty(self) -> bool:
        return self.page.mode == "empty"

    def _on_page(self, begin: Callable[[PageScreen], None]) -> None:
        """Turn to the page, then let a story begin there."""

        async def turn() -> None:
            if self.screen is not self.page:
                await self.switch_screen("page")
            begin(self.page)

        self.call_next(turn)

    def action_go(self, place: str) -> None:
        """To one of the places; the grown-ups' corner asks its sum first."""
        if place == "grownups" and not self.grown_up:

            def answered(right: bool | None) -> None:
                if right:
                    self.grown_up = True
                    self.action_go("grownups")

            self.push_screen(SumDialog(), answered)
            return
        if place == "page":
            if not self.page_is_empty:
                self._on_page(lambda page: None)
            return
        if place not in self._installed_screens:
            self.install_screen(new_place(place), place)
        if self.screen is not self.get_screen(place):
            self._came_from = place
            self.switch_screen(place)

    def go_back(self) -> None:
        self.action_go(self._came_from)

    def action_next_theme(self) -> None:
        names = list(THEMES)
        self.use_theme(names[(names.index(self.theme) + 1) % len(names)])

    def use_theme(self, name: str) -> None:
        self.theme = name
        self.change(theme=name)
        if self.page.is_mounted:
            self.page.pace_changed()

    def action_explain(self) -> None:
        self.push_screen(HelpDialog(explain(self.focused or self.screen)))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        return commands(self)

    async def action_quit(self) -> None:
        """Keep what was told and close the book."""
        if self.page.mode == "telling":
            self.page.action_stop()
        if self.judging is not None and not self.judging.leave():
            waits = "The judge's last answers are on their way, and paid for. "
            self.notify(waits + "Ctrl+Q again leaves at once.", timeout=20)
            return
        self.exit()

    def on_unmount(self) -> None:
        self.narrator.close()
        self.memory.save()
        self.shelf.close()


def new_place(name: str) -> Screen[Any]:
    """The places are built when someone goes there."""
    if name == "library":
        from tinytales.tui.screens.library import LibraryScreen

        return LibraryScreen()
    if name == "voices":
        from tinytales.tui.screens.voices import VoicesScreen

        return VoicesScreen()
    if name == "grownups":
        from tinytales.tui.screens.grownups import GrownupsScreen

        return GrownupsScreen()
    return MakeScreen()
