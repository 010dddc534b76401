"""The page: what hands may do with a story. It is paused, retold, told on, branched, picked, kept.

How a story comes onto the page is in `recital.py`; here stand the keys, and what they mean in which
mode.
"""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on
from textual.binding import Binding

from tinytales.tui.reading import next_pace
from tinytales.tui.screens.dialogs import ask_export, ask_telling
from tinytales.tui.screens.recital import ENDINGS, RecitalScreen
from tinytales.tui.widgets.choices import Choices
from tinytales.tui.widgets.storyview import Span, StoryView


class PageScreen(RecitalScreen):
    """A story under a child's hands."""

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
        self._chosen = 0  # the sentence from which it shall go differently
        self._picked_from = 0

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

    def action_read_again(self) -> None:
        """Show the story word by word from its beginning."""
        self.reading.restart()
        self.view.follows = True
        self.view.end("")
        self._show()
        self.view.to_start()
        self._enter("telling")

    def action_stop(self) -> None:
        self._stop()
        self._say_ending()
        self._enter("resting")

    def _say_ending(self) -> None:
        """How it ended; where nothing was told yet, that it was stopped."""
        self.view.end(ENDINGS[self.story.finish if self.story is not None else "cancelled"])

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
            self._say_ending()
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

    def action_tellings(self) -> None:
        if self.story is not None:
            ask_telling(self, self.story.id)

    def action_export(self) -> None:
        if self.story is not None:
            ask_export(self, [self.story.id])

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
