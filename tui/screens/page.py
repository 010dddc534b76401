"""The page: a story streams in at a reading pace; here it is paused, retold, branched, kept.

One screen for all stories. `order` asks for a new telling, `open` shows a kept one. A clock of 25
beats a second moves what the model has told onto the page and into the library, sentence by
sentence; nothing else here takes time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.timer import Timer
from textual.widgets import Static

from tinytales.prompt import StoryPrompt
from tinytales.sentences import ends_sentence
from tinytales.story import Story, title_of
from tinytales.tui.reading import Reading, next_pace, pace_name
from tinytales.tui.screens.place import PlaceScreen
from tinytales.tui.telling import LiveTelling
from tinytales.tui.widgets.bars import KeyBar, TopBar
from tinytales.tui.widgets.choices import Choices
from tinytales.tui.widgets.storyview import Span, StoryView
from tinytales.tui.wishes import next_chapter

if TYPE_CHECKING:
    from tinytales.sampling import Sampling
    from tinytales.tui.reader import ReadAloud

BEATS = 25
#: Tokens that a new telling has for itself: a page to go on, less to branch (all before is kept).
ROOM_TO_GO_ON, ROOM_TO_BRANCH = 200, 80
Mode = Literal["empty", "telling", "resting", "branching", "choosing"]

ENDINGS = {
    "end": "✦  The End  ✦",
    "length": "✦  The end, for now  ✦",
    "context": "· to be continued ·",
    "cancelled": "· stopped here ·",
    "unsafe": "· here the page was turned ·",
}


@dataclass(frozen=True)
class Order:
    """A telling that is wished for: how it begins, and which telling it grows from."""

    prompt: StoryPrompt
    sampling: Sampling
    parent: str | None = None
    branch_at: int | None = None
    read_already: int = 0  # so many characters of the opening are shown at once
    same_as: Story | None = None  # a replay: nothing new is kept


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
        self.story: Story | None = None
        self.reading = Reading()
        self.aloud: ReadAloud | None = None
        self.favorite = False
        self._order: Order | None = None
        self._live: LiveTelling | None = None
        self._timer: Timer | None = None
        self._title = ""
        self._kept_to = 0  # so much of the told text has gone to the library
        self._keeping: str | None = None  # the id under which it is kept
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
        self._order = order
        self.story, self.favorite, self._title = None, False, ""
        self._kept_to, self._keeping = 0, None
        self.reading = Reading(self.tales.pace)
        self.view.follows = True
        self.view.clear(wishes=order.prompt.words)
        self._live = self.tales.narrator.tell(order.prompt, order.sampling)
        if self.tales.settings.read_aloud:
            self.aloud = self.tales.read_aloud()  # silent where no speech command is
        self._enter("telling")

    def open(self, story: Story, *, title: str = "", favorite: bool = False) -> None:
        """Show a story from the library."""
        self._put_away()
        self.story, self.favorite, self._title = story, favorite, title or title_of(story.text)
        self._order, self._live, self._keeping = None, None, story.id
        self.reading = Reading(self.tales.pace)
        self.reading.feed(story.text)
        self.reading.show_all()
        self.view.follows = False
        self.view.clear(self._title, story.prompt.words)
        self._show()
        self.view.end(ENDINGS[story.finish])
        self.view.to_start()
        self._enter("resting")

    def _put_away(self) -> None:
        """The story before this one is kept as far as it was told."""
        if self.mode == "telling" and self._live is not None:
            self._stop()
        self._quiet()
        if self.is_mounted:
            self.query_one(Choices).display = False

    # -- a story comes ---------------------------------------------------------------------------

    def _beat(self) -> None:
        live = self._live
        if live is not None:
            more = live.drain()
            if more:
                first = not self.reading.text
                self.reading.feed(more)
                if first:
                    self.say_state()
                if first and self._order is not None and self._order.read_already:
                    self.reading.shown = min(self._order.read_already, len(self.reading.text))
                    self._show()
            if live.done and not self._title and live.story is not None and live.story.text:
                self._title = title_of(live.story.text)
                self.view.entitle(self._title)
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
        told = self.reading.text[self._kept_to : self.reading.shown]
        replay = self._order is not None and self._order.same_as is not None
        if self._live is None or replay or not ends_sentence(told):
            return
        record = self._record(self.reading.text[: self.reading.shown], "cancelled")
        if record is None:
            return
        if self._keeping is None:
            self._keeping = record.id
            self.refresh_bindings()
        self.tales.shelf.keep(record)
        self._kept_to = self.reading.shown

    def _told(self, live: LiveTelling) -> None:
        """The story is over, or there was none."""
        self._live = None
        if live.error is not None and not self.reading.text:
            self.view.end(f"{live.error.message}. {live.error.hint}".strip(". "))
            self.tales.say(live.error)
        elif live.story is not None:
            if live.error is not None:
                self.tales.say(live.error)
            order = self._order
            story = self._grown(live.story)
            if order is not None and order.same_as is not None:
                self._compare(order.same_as, story)
            else:
                self._finish(story)
            self.view.end(ENDINGS[story.finish])
        self._enter("resting")

    def _stop(self) -> None:
        """Stop now; what was told is kept."""
        live, self._live = self._live, None
        if live is None:
            self.reading.show_all()
            return
        live.cancel()
        text = self.reading.cut()
        if live.record is not None and text:
            order = self._order
            if order is not None and order.same_as is not None:
                self.story = order.same_as
            else:
                finish = live.record.finish if live.record.text == text else "cancelled"
                self._finish(replace(self._grown(live.record), text=text, finish=finish))

    def _record(self, text: str, finish: Any) -> Story | None:
        record = self._live.record if self._live is not None else None
        return None if record is None else replace(self._grown(record), text=text, finish=finish)

    def _grown(self, record: Story) -> Story:
        order = self._order
        if order is None:
            return record
        return replace(record, parent=order.parent, branch_at=order.branch_at)

    def _finish(self, story: Story) -> None:
        self.story = story
        self._keeping = story.id
        self.tales.shelf.finish(story)
        if not self._title:
            self._title = title_of(story.text)
        self.view.entitle(self._title)

    def _compare(self, kept: Story, told: Story) -> None:
        self.story = kept
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
        heart = "♥ " if self.favorite else ""
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
        if not self.tales.shelf.works:
            return f"not kept: {self.tales.shelf.trouble}"
        return f"{heart}kept in the library"

    def _say_facts(self) -> None:
        words = self.reading.words
        facts = f"{words} words · {pace_name(self.tales.pace_setting)}"
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
            "retell": mode in ("telling", "resting") and self._last_prompt() is not None,
            "go_further": resting and told,
            "favorite": mode in ("telling", "resting") and self._keeping is not None,
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
        live = self._live
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
        prompt = self._last_prompt()
        if prompt is None:
            return
        if self.mode == "telling":
            self._stop()
        parent = self.story
        root = parent.parent if parent is not None and parent.branch_at == 0 else None
        self.order(
            Order(
                prompt,
                self.tales.narrator.sampling(self._last_sampling()),
                parent=root or (parent.id if parent is not None else None),
                branch_at=0 if parent is not None else None,
            )
        )

    def action_go_further(self) -> None:
        """Tell on from the end; a story that was over gets a next chapter."""
        story = self.story
        if story is None:
            return
        sampling = self.tales.narrator.sampling(story.sampling)
        text = story.text
        if story.finish in ("end", "length") and ends_sentence(text):
            text = f"{text}\n{next_chapter(sampling.seed or 0)}"
        self._grow(story, text, len(story.text), sampling, ROOM_TO_GO_ON)

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
        story = self.story
        if story is None:
            return
        if start == 0 or not story.text[:start].strip():
            self._enter("resting")
            self.action_retell()
            return
        sampling = self.tales.narrator.sampling(story.sampling)
        self._grow(story, story.text[:start].rstrip(" "), start, sampling)

    def _grow(
        self,
        story: Story,
        text: str,
        branch_at: int,
        sampling: Sampling,
        room: int = ROOM_TO_BRANCH,
    ) -> None:
        """A new telling that begins with `text`, or with as much of its end as leaves `room`."""
        prompt = self.tales.narrator.fitting(replace(story.prompt, opening=text), room)
        self.order(
            Order(
                prompt,
                sampling,
                parent=story.id,
                branch_at=branch_at,
                read_already=len(prompt.opening),
            )
        )

    def action_leave_mode(self) -> None:
        if self.mode == "choosing":
            self._keep_picked()
        self._enter("resting")

    def action_favorite(self) -> None:
        if self._keeping is None:
            return
        self.favorite = not self.favorite
        self.tales.shelf.favorite(self._keeping, self.favorite)
        self.say_state()

    def action_pace(self, step: int) -> None:
        self.tales.set_pace(next_pace(self.tales.pace_setting, step))

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

    def _last_prompt(self) -> StoryPrompt | None:
        if self._order is not None:
            return self._order.prompt
        return self.story.prompt if self.story is not None else None

    def _last_sampling(self) -> Sampling | None:
        if self._order is not None:
            return self._order.sampling
        return self.story.sampling if self.story is not None else None

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
        story = self._keep_picked()
        if story is None:
            prompt = self._last_prompt() or StoryPrompt()
            self.order(Order(prompt, self.tales.narrator.sampling(self._last_sampling())))
        else:
            sampling = self.tales.narrator.sampling(story.sampling)
            self._grow(story, story.text, len(story.text), sampling, ROOM_TO_GO_ON)

    @on(Choices.Refused)
    def _refused(self, event: Choices.Refused) -> None:
        self.tales.say(event.error)

    def _keep_picked(self) -> Story | None:
        """Keep what was picked as a telling of its own. The story as it now stands."""
        text, before = self.reading.text, self.story
        if not text.strip() or (before is not None and text == before.text):
            return before
        sampling = self._last_sampling() or self.tales.narrator.sampling(None)
        prompt = replace(self._last_prompt() or StoryPrompt(), opening=text)
        story = Story(
            text=text,
            prompt=prompt,
            sampling=sampling,
            finish="cancelled",
            bundle=self.tales.narrator.name,
            bundle_digest=self.tales.narrator.digest,
            parent=before.id if before is not None else None,
            branch_at=self._picked_from if before is not None else None,
        )
        self._order = None
        self._finish(story)
        return story
