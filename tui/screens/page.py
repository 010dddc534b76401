"""The page: a story streams in at a reading pace; here it is paused, retold, branched, kept.

One screen for all stories. `order` asks for a new telling, `open` shows a kept one; `narration` is
the one that is here. A clock of 25 beats a second moves what the model has told onto the page and
into the library, sentence by sentence; nothing else here takes time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.timer import Timer
from textual.widgets import Static

from tinytales.story import Story, title_of
from tinytales.tui.narration import Narration, Order
from tinytales.tui.reading import Reading, next_pace, pace_name
from tinytales.tui.screens.place import PlaceScreen
from tinytales.tui.telling import LiveTelling
from tinytales.tui.widgets.bars import KeyBar, TopBar
from tinytales.tui.widgets.choices import Choices
from tinytales.tui.widgets.storyview import Span, StoryView

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


class PageScreen(PlaceScreen):
    """A story, being told or told."""

    PLACE = "page"
    HELP = """\
## The page

**Space** pauses and goes on, **Esc** stops at once. Then:

- **r** tells it anew, **c** tells on, **f** keeps it among your favorites
- **b** chooses a sentence and tells differently from there
- **n** lets you choose the next words yourself
- **t** shows all tellings of this story, **e** exports it
- **a** reads aloud, **+** and **-** change the pace
- **Up**, **Down**, **PageUp**, **PageDown** turn back, even while it is told
"""
    BINDINGS: ClassVar[list[Any]] = [
        # While a sentence is chosen, these keys are taken from the scrolling of the page.
        Binding("enter", "branch_here", "Tell from here", key_display="Enter", priority=True),
        Binding("up,left,k", "choose(-1)", "Before", key_display="↑", priority=True),
        Binding("down,right,j", "choose(1)", "After", key_display="↓", priority=True),
        Binding("space", "pause", "Pause", key_display="Space"),
        Binding("space", "go_on", "Read on", key_display="Space"),
        Binding("space", "read_again", "Read it", key_display="Space"),
        Binding("escape", "stop", "Stop", key_display="Esc"),
        Binding("escape", "leave_mode", "Never mind", key_display="Esc"),
        Binding("r", "retell", "Again"),
        Binding("c", "go_further", "Tell on"),
        Binding("f", "favorite", "Keep"),
        Binding("b", "branch", "Change"),
        Binding("n", "pick_words", "Words"),
        Binding("a", "aloud", "Aloud"),
        Binding("plus,equals_sign", "pace(1)", "Quicker", key_display="+"),
        Binding("minus", "pace(-1)", "Slower", key_display="-"),
        Binding("m", "app.go('make')", "New"),
        Binding("e", "export", "Export"),
        Binding("t", "tellings", "Tellings"),
        Binding("end", "newest", "Newest word", show=False),
        Binding("escape", "leave", "Back", key_display="Esc"),
        Binding("l", "app.go('library')", "Library", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.mode: Mode = "empty"
        self.narration = Narration(Reading())
        self.aloud: ReadAloud | None = None
        self._timer: Timer | None = None
        self._chosen = 0
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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        mode, paused = self.mode, self.reading.paused
        resting, told = mode == "resting", self.story is not None
        allowed = {
            "branch_here": mode == "branching",
            "choose": mode == "branching",
            "leave_mode": mode in ("branching", "choosing"),
            "pause": mode == "telling" and not paused,
            "go_on": mode == "telling" and paused,
            "read_again": resting and told,
            "stop": mode == "telling",
            "leave": resting or mode == "empty",
            "retell": mode in ("telling", "resting") and self.narration.prompt is not None,
            "go_further": resting and told,
            "favorite": mode in ("telling", "resting") and self.narration.kept_as is not None,
            "branch": mode in ("telling", "resting") and bool(self.reading.shown),
            "pick_words": mode in ("telling", "resting"),
            "pace": mode == "telling",
            "tellings": resting and told,
            "export": resting and told,
            "aloud": mode in ("telling", "resting") and bool(self.reading.text),
        }
        return allowed.get(action, True)

    # -- keys ------------------------------------------------------------------------------------

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

    def action_read_again(self) -> None:
        """Show the story word by word from its beginning."""
        self.reading.restart()
        self.view.follows = True
        self.view.end("")
        self._show()
        self.view.to_start()
        self._enter("telling")

    def action_stop(self) -> None:
        live = self.narration.live
        self._stop()
        if live is not None and self.reading.text:
            self.view.end(ENDINGS[self.story.finish if self.story else "cancelled"])
        elif self.story is not None:
            self.view.end(ENDINGS[self.story.finish])
        self._enter("resting")

    def action_leave(self) -> None:
        self.tales.go_back()

    def action_retell(self) -> None:
        """The same wishes, another story."""
        if self.mode == "telling":
            self._stop()
        self.order(self.narration.again(self.tales.narrator))

    def action_go_further(self) -> None:
        """Tell on from the end; a story that was over gets a next chapter."""
        order = self.narration.further(self.tales.narrator, chapter=True)
        if order is not None:
            self.order(order)

    def action_branch(self) -> None:
        """Choose a sentence, beginning with the newest."""
        if self.mode == "telling":
            self.action_stop()
        self._branch_at(len(self.view.sentences()) - 1)

    def _branch_at(self, sentence: int) -> None:
        sentences = self.view.sentences()
        if sentences and self.story is not None:
            self._enter("branching")
            self._chosen = sentence
            self._mark(sentences)

    def action_choose(self, step: int) -> None:
        sentences = self.view.sentences()
        self._chosen = max(0, min(len(sentences) - 1, self._chosen + step))
        self._mark(sentences)

    def _mark(self, sentences: list[Span]) -> None:
        self.view.choose(sentences[self._chosen])

    @on(StoryView.SentencePicked)
    def _sentence_clicked(self, event: StoryView.SentencePicked) -> None:
        """A click chooses a sentence; a click on the chosen one tells on from there."""
        if self.mode == "branching" and event.index == self._chosen:
            self.action_branch_here()
        elif self.mode in ("branching", "resting"):
            self._branch_at(event.index)
        elif self.mode == "telling":
            self.action_stop()
            self._branch_at(min(event.index, len(self.view.sentences()) - 1))

    def action_branch_here(self) -> None:
        start, _ = self.view.sentences()[self._chosen]
        order = self.narration.otherwise(self.tales.narrator, start)
        if order is not None:
            self._enter("resting")
            self.order(order)

    def action_leave_mode(self) -> None:
        if self.mode == "choosing":
            self._keep_picked()
        self._enter("resting")

    def action_favorite(self) -> None:
        narration = self.narration
        if narration.kept_as is None:
            return
        narration.favorite = not narration.favorite
        self.tales.shelf.favorite(narration.kept_as, narration.favorite)
        self.say_state()

    def action_pace(self, step: int) -> None:
        self.tales.set_pace(next_pace(self.tales.settings.pace, step))

    def pace_changed(self) -> None:
        """The pace was set, here or in the command palette."""
        self.reading.pace = self.tales.pace
        self._say_facts()

    def action_newest(self) -> None:
        self.view.to_end()

    def action_aloud(self) -> None:
        if self.aloud is not None:
            self._quiet()
            self.say_state()
            return
        self.aloud = self.tales.read_aloud()
        if self.aloud is None:
            self.notify(
                "There is no voice on this machine to read aloud with. "
                "Install espeak-ng (or use say on a Mac).",
                timeout=6,
            )
            return
        if self.mode == "resting":
            self.action_read_again()
        else:
            self.aloud.begin_at(self.reading)
        self.say_state()

    def _quiet(self) -> None:
        if self.aloud is not None:
            self.aloud.stop()
            self.aloud = None

    def action_tellings(self) -> None:
        if self.story is not None:
            self.tales.show_tellings(self.story.id)

    def action_export(self) -> None:
        if self.story is not None:
            self.tales.export([self.story.id])

    # -- picking the next words ------------------------------------------------------------------

    def action_pick_words(self) -> None:
        """The child tells: a few words to pick from, or whole turns."""
        if self.mode == "telling":
            self.action_stop()
        self._picked_from = self.reading.shown
        self.view.end("")
        self._enter("choosing")
        self.query_one(Choices).offer(self.reading.text)

    @on(Choices.Picked)
    def _picked(self, event: Choices.Picked) -> None:
        self.reading.text = event.text
        before = self.reading.shown
        self.reading.show_all()
        self.reading.lit = (before, self.reading.shown)
        self._show()
        self.view.to_end()

    @on(Choices.TellOn)
    def _tell_on(self) -> None:
        """The storyteller goes on after the words that were picked."""
        self._keep_picked()
        narration, narrator = self.narration, self.tales.narrator
        self.order(narration.further(narrator, chapter=False) or narration.again(narrator))

    @on(Choices.Refused)
    def _refused(self, event: Choices.Refused) -> None:
        self.tales.say(event.error)

    def _keep_picked(self) -> None:
        """Keep what was picked as a telling of its own."""
        text, narrator = self.reading.text, self.tales.narrator
        story = self.narration.picked(text, self._picked_from, narrator)
        if story is not None:
            self._finish(story)
