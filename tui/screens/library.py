"""The library: every story that was told here, found again by any of its words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.timer import Timer
from textual.widgets import Button, Input, Static

from tinytales.library import Entry
from tinytales.tui.screens.dialogs import RenameDialog, ask_export, ask_telling
from tinytales.tui.screens.place import PlaceScreen
from tinytales.tui.shelf import MENDING, SORTS
from tinytales.tui.widgets.bars import KeyBar, TopBar
from tinytales.tui.widgets.storylist import StoryList
from tinytales.tui.widgets.storyview import StoryView

#: So long after the last key the search begins.
TYPING = 0.12


class LibraryScreen(PlaceScreen):
    """The shelf, a line to search in, and a look into the story under the cursor."""

    PLACE = "library"
    HELP = """\
## The library

- Write to **search**: every word of every story is found. **/** goes to the search line.
- **Enter** opens, **f** keeps as favorite, **v** shows only favorites, **s** sorts
- **d** puts a story away, **u** brings it back; **i** gives it another title
- **Space** marks several, **e** exports them (or the one under the cursor)
- **p** tells the story again, word for word; **t** shows all its tellings
"""
    BINDINGS: ClassVar[list[Any]] = [
        Binding("enter", "open", "Open", key_display="Enter"),
        Binding("slash", "search", "Search", key_display="/"),
        Binding("f", "favorite", "Keep"),
        Binding("e", "export", "Export"),
        Binding("d,delete", "put_away", "Put away"),
        Binding("u", "bring_back", "Bring back"),
        Binding("s", "sort", "Sort"),
        Binding("v", "favorites", "Favorites"),
        Binding("i", "rename", "Title"),
        Binding("space", "mark", "Mark", key_display="Space"),
        Binding("p", "replay", "Replay"),
        Binding("t", "tellings", "Tellings"),
        Binding("escape", "leave", "Back", key_display="Esc"),
        Binding("m", "app.go('make')", "New story", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._away: list[str] = []  # put away here, last first to come back
        self._typing: Timer | None = None
        self._searched = ""

    def compose(self) -> ComposeResult:
        yield TopBar(self.PLACE)
        with Horizontal(id="finder"):
            yield Input(placeholder="search all stories", id="search", compact=True)
            yield Button("", id="sort", compact=True)
            yield Button("", id="favorites", compact=True)
        yield Static("", id="trouble")
        with Horizontal(id="shelf"):
            yield StoryList(id="stories")
            yield StoryView(id="preview")
        yield Static("", id="count")
        yield KeyBar()

    @property
    def stories(self) -> StoryList:
        return self.query_one(StoryList)

    def on_mount(self) -> None:
        preview = self.query_one("#preview", StoryView)
        preview.can_focus, preview.follows = False, False
        self.stories.when = self.tales.shelf.when
        self.stories.focus()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.library_changed()

    def library_changed(self) -> None:
        self.load(keep=self.tales.shelf.left_off())

    # -- what stands on the shelf ----------------------------------------------------------------

    def load(self, keep: str = "") -> None:
        """Fetch the shelf again, with the cursor on the story `keep` if it is there."""
        shelf, memory = self.tales.shelf, self.tales.memory
        sort = memory.sort if memory.sort in SORTS else next(iter(SORTS))
        favorites = memory.favorites_only
        self.query_one("#sort", Button).label = f"by {SORTS[sort]}"
        self.query_one("#favorites", Button).label = "♥ only" if favorites else "all"
        if self._searched:
            found = shelf.search(self._searched, favorites=favorites)
            count, fetch = len(found), lambda offset, limit: found[offset : offset + limit]
        else:
            count = shelf.count(favorites=favorites)

            def fetch(offset: int, limit: int) -> Any:
                return shelf.list(sort=sort, favorites=favorites, offset=offset, limit=limit)

        cursor = 0
        if keep:
            rows = fetch(0, 200)
            cursor = next((i for i, entry in enumerate(rows) if entry.id == keep), 0)
        self.stories.fill(count, fetch, cursor)
        self._say(count)
        self.refresh_bindings()

    def _say(self, count: int) -> None:
        shelf = self.tales.shelf
        trouble = self.query_one("#trouble", Static)
        said = shelf.trouble or (MENDING if shelf.mending else "")
        trouble.display = bool(said)
        trouble.update(said)
        marked = len(self.stories.marked)
        line = f"{count:,} {'story' if count == 1 else 'stories'}"
        if self._searched:
            line = f"{line} with “{self._searched}”"
        if marked:
            line += f" · {marked} marked"
        if shelf.mending:
            line = ""
        elif not count and not self._searched:
            line = "No story yet. Press m to tell one."
        self.query_one("#count", Static).update(line)

    @on(StoryList.Moved)
    def _moved(self, event: StoryList.Moved) -> None:
        entry = event.entry
        preview = self.query_one("#preview", StoryView)
        if not preview.display or entry is None:
            preview.clear()
            return
        story = self.tales.shelf.get(entry.id)
        if story is None:
            preview.clear(entry.title)
            return
        preview.clear(entry.title, story.prompt.words)
        preview.show(story.text, len(story.text))
        preview.to_start()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not self.is_mounted:
            return True
        if action == "bring_back":
            return bool(self._away)
        needs_story = ("open", "favorite", "put_away", "rename", "mark", "replay", "tellings")
        if action in needs_story or action == "export":
            return self.stories.count > 0
        return True

    # -- searching -------------------------------------------------------------------------------

    @on(Input.Changed, "#search")
    def _written(self, event: Input.Changed) -> None:
        if self._typing is not None:
            self._typing.stop()
        self._typing = self.set_timer(TYPING, self._find)

    def _find(self) -> None:
        wanted = self.query_one("#search", Input).value.strip()
        if wanted != self._searched:
            self._searched = wanted
            self.load()
            self.refresh_bindings()

    @on(Input.Submitted, "#search")
    def _found(self) -> None:
        self._find()
        self.stories.focus()

    def action_search(self) -> None:
        self.query_one("#search").focus()

    def action_leave(self) -> None:
        search = self.query_one("#search", Input)
        if search.value:
            search.value = ""
            self._find()
            self.stories.focus()
        elif self.stories.marked:
            self.stories.marked.clear()
            self.stories.refresh()
            self._say(self.stories.count)
        elif search.has_focus:
            self.stories.focus()
        else:
            self.tales.action_go("make")

    # -- what can be done with a story -----------------------------------------------------------

    def _current(self) -> Entry | None:
        return self.stories.current

    @on(StoryList.Opened)
    def action_open(self) -> None:
        entry = self._current()
        if entry is not None:
            self.tales.open_story(entry.id)

    def action_favorite(self) -> None:
        entry = self._current()
        if entry is not None:
            self.tales.shelf.favorite(entry.id, not entry.favorite, self._soon(self._reload_here))

    def action_put_away(self) -> None:
        entry = self._current()
        if entry is not None:
            self.tales.shelf.delete(entry.id, self._soon(self._reload_here))
            self._away.append(entry.id)
            self.stories.marked.pop(entry.id, None)
            self.notify(f"“{entry.title}” was put away. u brings it back.", timeout=5)

    def action_bring_back(self) -> None:
        if self._away:
            story = self._away.pop()
            self.tales.shelf.undelete(story, self._soon(lambda: self.load(keep=story)))

    def _soon(self, work: Callable[[], None]) -> Callable[[], object]:
        """`work`, to be called by the thread that writes, done by the app."""
        return lambda: self.app.call_later(work)

    def _reload_here(self) -> None:
        """What has changed, with the cursor where it was."""
        row = self.stories.cursor
        self.load()
        self.stories.go(row)

    @on(Button.Pressed, "#sort")
    def action_sort(self) -> None:
        names, memory = list(SORTS), self.tales.memory
        place = names.index(memory.sort) if memory.sort in names else 0
        memory.sort = names[(place + 1) % len(names)]
        memory.save()
        self.load()

    @on(Button.Pressed, "#favorites")
    def action_favorites(self) -> None:
        memory = self.tales.memory
        memory.favorites_only = not memory.favorites_only
        memory.save()
        self.load()

    def action_rename(self) -> None:
        entry = self._current()
        if entry is None:
            return

        def renamed(title: str | None) -> None:
            if title:
                self.tales.shelf.rename(entry.id, title, self._soon(self._reload_here))

        self.app.push_screen(RenameDialog(entry.title), renamed)

    def action_mark(self) -> None:
        self.stories.mark()
        self._say(self.stories.count)

    def action_export(self) -> None:
        ids = list(self.stories.marked) or [e.id for e in [self._current()] if e is not None]
        if ids:
            ask_export(self, ids)

    def action_replay(self) -> None:
        entry = self._current()
        if entry is not None:
            self.tales.replay(entry.id)

    def action_tellings(self) -> None:
        entry = self._current()
        if entry is not None:
            ask_telling(self, entry.id)
