"""A story comes onto the page: at a reading pace, read aloud if one likes, kept by the sentence.

One screen for all stories. `order` asks for a new telling, `open` shows a kept one; `narration` is
the one that is here. A clock of 25 beats a second moves what the model has told onto the page and
into the library; nothing else here takes time. What hands may do with it is the page's (`page.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.timer import Timer
from textual.widgets import Static

from tinytales.story import Story, title_of
from tinytales.tui.narration import Narration, Order
from tinytales.tui.reading import Reading, pace_name
from tinytales.tui.screens.place import PlaceScreen
from tinytales.tui.telling import LiveTelling
from tinytales.tui.widgets.bars import KeyBar, TopBar
from tinytales.tui.widgets.choices import Choices
from tinytales.tui.widgets.storyview import StoryView

if TYPE_CHECKING:
    from tinytales.tui.aloud import ReadAloud

BEATS = 25
Mode = Literal["empty", "telling", "resting", "branching", "choosing"]

ENDINGS = {
    "end": "✦  The End  ✦",
    "length": "✦  The end, for now  ✦",
    "context": "· to be continued ·",
    "cancelled": "· stopped here ·",
    "unsafe": "· here the page was turned ·",
}


class RecitalScreen(PlaceScreen):
    """A story, being told or told, and the line that says which."""

    def __init__(self) -> None:
        super().__init__()
        self.mode: Mode = "empty"
        self.narration = Narration(Reading())
        self.aloud: ReadAloud | None = None
        self._timer: Timer | None = None
        self._waits = False  # paused because another screen is in front

    def compose(self) -> ComposeResult:
        yield TopBar(self.PLACE)
        yield StoryView(id="story")
        yield Choices(id="choices")
        with Horizontal(id="status"):
            yield Static("", id="state")
            yield Static("", id="facts")
        yield KeyBar()

    @property
    def story(self) -> Story | None:
        return self.narration.story

    @property
    def reading(self) -> Reading:
        return self.narration.reading

    @property
    def view(self) -> StoryView:
        return self.query_one("#story", StoryView)

    def on_mount(self) -> None:
        self._timer = self.set_interval(1 / BEATS, self._beat, pause=True)
        self.query_one(Choices).display = False
        self.view.focus()

    def on_screen_suspend(self) -> None:
        """A story that is left waits."""
        if self.mode == "telling" and not self.reading.paused:
            self.action_pause()
            self._waits = True

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self._waits and self.mode == "telling":
            self.action_go_on()
        self._waits = False

    # -- a story begins --------------------------------------------------------------------------

    def order(self, order: Order) -> None:
        """Tell a new story here."""
        self._put_away()
        live = self.tales.narrator.tell(order.prompt, order.sampling)
        self.narration = Narration(Reading(self.tales.pace), order, live)
        self.view.follows = True
        self.view.clear(wishes=order.prompt.words)
        if self.tales.settings.read_aloud:
            self.aloud = self.tales.read_aloud()  # silent where no speech command is
        self._enter("telling")

    def open(self, story: Story, *, title: str = "", favorite: bool = False) -> None:
        """Show a story from the library."""
        self._put_away()
        self.narration = Narration.opened(story, self.tales.pace, title=title, favorite=favorite)
        self.view.follows = False
        self.view.clear(self.narration.title, story.prompt.words)
        self._show()
        self.view.end(ENDINGS[story.finish])
        self.view.to_start()
        self._enter("resting")

    def _put_away(self) -> None:
        """The story before this one is kept as far as it was told."""
        if self.mode == "telling" and self.narration.live is not None:
            self._stop()
        self._quiet()
        if self.is_mounted:
            self.query_one(Choices).display = False

    # -- a story comes ---------------------------------------------------------------------------

    def _beat(self) -> None:
        narration = self.narration
        if narration.drain():
            self.say_state()
            self._show()
        live = narration.live
        told = live.story if live is not None and live.done else None
        if told is not None and told.text and not narration.title:
            self._entitle(told)  # to its end, though not shown yet
        limit = self.aloud.limit(self.reading) if self.aloud is not None else None
        if self.reading.tick(limit):
            self._show()
            self._keep_sentences()
        if self.reading.waiting or (live is not None and not live.finished):
            return
        if self.aloud is not None and self.aloud.speaking:
            return
        if live is not None:
            self._told(live)
        else:  # read again to the end
            self._enter("resting")

    def _show(self) -> None:
        self.view.show(self.reading.text, self.reading.shown, self.reading.lit)
        self._say_facts()

    def _keep_sentences(self) -> None:
        """Send the sentences that were shown to the library, once for each."""
        first = self.narration.kept_as is None
        record = self.narration.new_sentences()
        if record is not None:
            self.tales.shelf.keep(record)
            if first:
                self.refresh_bindings()

    def _told(self, live: LiveTelling) -> None:
        """The story is over, or there was none."""
        narration = self.narration
        narration.live = None
        if live.error is not None and not self.reading.text:
            self.view.end(f"{live.error.message}. {live.error.hint}".strip(". "))
            self.tales.say(live.error)
        elif live.story is not None:
            if live.error is not None:
                self.tales.say(live.error)
            story = narration.grown(live.story)
            if narration.replay_of is not None:
                self._compare(narration.replay_of, story)
            else:
                self._finish(narration.told(story))
            self.view.end(ENDINGS[story.finish])
        self._enter("resting")

    def _stop(self) -> None:
        """Stop now; what was told is kept."""
        story = self.narration.stop()
        if story is not None:
            self._finish(story)

    def _finish(self, story: Story) -> None:
        self.tales.shelf.finish(story)
        self._entitle(story)

    def _entitle(self, story: Story) -> None:
        self.narration.title = self.narration.title or title_of(story.text)
        self.view.entitle(self.narration.title)

    def _compare(self, kept: Story, told: Story) -> None:
        self.narration.story = kept
        same = told.text == kept.text or (
            kept.finish == "cancelled" and told.text.startswith(kept.text)
        )
        self.notify(
            "Word for word the same story." if same else "Another voice tells it differently.",
            timeout=5,
        )

    # -- it waits, or is over ---------------------------------------------------------------------

    def action_pause(self) -> None:
        self.reading.pause(True)
        if self.aloud is not None:
            self.aloud.pause()
        self.say_state()
        self.refresh_bindings()

    def action_go_on(self) -> None:
        self.reading.pause(False)
        self.say_state()
        self.refresh_bindings()

    def _quiet(self) -> None:
        if self.aloud is not None:
            self.aloud.stop()
            self.aloud = None

    def pace_changed(self) -> None:
        """The pace was set, here or in the command palette."""
        self.reading.pace = self.tales.pace
        self._say_facts()

    # -- modes -----------------------------------------------------------------------------------

    def _enter(self, mode: Mode) -> None:
        self.mode = mode
        if self._timer is not None:
            (self._timer.resume if mode == "telling" else self._timer.pause)()
        if mode == "resting":
            self._quiet()
            self.reading.lit = (0, 0)
            self.reading.pause(False)
            if self.reading.text:
                self._show()
        if mode != "branching":
            self.view.choose(None)
        self.query_one(Choices).display = mode == "choosing"
        if mode != "choosing":
            self.view.focus()
        self.say_state()
        self._say_facts()
        self.refresh_bindings()

    def say_state(self) -> None:
        self.query_one("#state", Static).update(self._state())

    library_changed = say_state

    def _state(self) -> str:
        heart = "♥ " if self.narration.favorite else ""
        if self.mode == "telling":
            if self.reading.paused:
                return "‖ paused"
            if not self.reading.text:
                waking = self.tales.narrator.teller is None
                return "the storyteller is waking up …" if waking else "once upon a time …"
            return f"{heart}♪ reading aloud" if self.aloud else f"{heart}telling …"
        if self.mode == "branching":
            return "From which sentence shall it go differently?"
        if self.mode == "choosing":
            return "What comes next? You say."
        if self.story is None:
            return ""
        shelf = self.tales.shelf
        if not shelf.works:
            return f"not kept: {shelf.trouble}"
        if shelf.mending:
            return f"{heart}kept as soon as the library is mended"
        return f"{heart}kept in the library"

    def _say_facts(self) -> None:
        words = self.reading.words
        facts = f"{words} words · {pace_name(self.tales.settings.pace)}"
        if self.has_class("-narrow"):
            facts = f"{words} words"
        self.query_one("#facts", Static).update(facts)
