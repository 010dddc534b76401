"""One story on the page, without the page: what was wished for, how far it is shown, what is kept.

A narration begins with an `Order` and grows while the narrator tells, or it is a story from the
library. It gives records to be kept; keeping them is the page's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tinytales.prompt import StoryPrompt
from tinytales.sentences import ends_sentence
from tinytales.story import Story, title_of
from tinytales.tui.reading import Reading
from tinytales.tui.wishes import next_chapter

if TYPE_CHECKING:
    from tinytales.sampling import Sampling
    from tinytales.tui.narrator import Narrator
    from tinytales.tui.telling import LiveTelling

#: Tokens that a new telling has for itself: a page to go on, less to branch (all before is kept).
ROOM_TO_GO_ON, ROOM_TO_BRANCH = 200, 80


@dataclass(frozen=True)
class Order:
    """A telling that is wished for: how it begins, and which telling it grows from."""

    prompt: StoryPrompt
    sampling: Sampling
    parent: str | None = None
    branch_at: int | None = None
    read_already: int = 0  # so many characters of the opening are shown at once
    same_as: Story | None = None  # a replay: nothing new is kept


class Narration:
    """Attributes:
    reading: the text, and how much of it is shown.
    order: what was wished for; None for a story from the library.
    live: the telling, as long as it goes on.
    story: the record, once there is a whole one.
    kept_as: the id under which the library has it.
    """

    def __init__(
        self, reading: Reading, order: Order | None = None, live: LiveTelling | None = None
    ) -> None:
        self.reading = reading
        self.order = order
        self.live = live
        self.story: Story | None = None
        self.title = ""
        self.favorite = False
        self.kept_as: str | None = None
        self._kept_to = 0  # so much of the told text has gone to the library

    @classmethod
    def opened(cls, story: Story, pace: int, *, title: str, favorite: bool) -> Narration:
        """A story from the library, all of it shown."""
        narration = cls(Reading(pace))
        narration.reading.feed(story.text)
        narration.reading.show_all()
        narration.told(story, title)
        narration.favorite = favorite
        return narration

    @property
    def replay_of(self) -> Story | None:
        """The kept story that is told again; nothing new is kept then."""
        return self.order.same_as if self.order is not None else None

    @property
    def prompt(self) -> StoryPrompt | None:
        told_of = self.order or self.story
        return told_of.prompt if told_of is not None else None

    @property
    def sampling(self) -> Sampling | None:
        told_of = self.order or self.story
        return told_of.sampling if told_of is not None else None

    # -- it grows --------------------------------------------------------------------------------

    def drain(self) -> bool:
        """Take what was told since the last time. True with the first words."""
        more = self.live.drain() if self.live is not None else ""
        first = bool(more) and not self.reading.text
        if more:
            self.reading.feed(more)
        if first and self.order is not None and self.order.read_already:
            self.reading.shown = min(self.order.read_already, len(self.reading.text))
        return first

    def new_sentences(self) -> Story | None:
        """The record to be kept now, if a sentence was shown to its end since the last time."""
        shown = self.reading.shown
        if self.live is None or self.replay_of is not None or self.live.record is None:
            return None
        if not ends_sentence(self.reading.text[self._kept_to : shown]):
            return None
        record = self.grown(self.live.record, text=self.reading.text[:shown], finish="cancelled")
        self.kept_as = self.kept_as or record.id
        self._kept_to = shown
        return record

    def stop(self) -> Story | None:
        """Stop now. The record of what was shown, to be kept; None where there is nothing new."""
        live, self.live = self.live, None
        if live is None:
            self.reading.show_all()
            return None
        live.cancel()
        text, record = self.reading.cut(), live.record
        if record is None or not text:
            return None
        if self.replay_of is not None:
            self.story = self.replay_of
            return None
        finish = record.finish if record.text == text else "cancelled"
        return self.told(self.grown(record, text=text, finish=finish))

    def grown(self, record: Story, **changes: Any) -> Story:
        """`record` with the telling that it grew from, and with other changes."""
        if self.order is not None:
            changes |= {"parent": self.order.parent, "branch_at": self.order.branch_at}
        return replace(record, **changes)

    def told(self, story: Story, title: str = "") -> Story:
        """This is the whole record."""
        self.story, self.kept_as = story, story.id
        self.title = title or self.title or title_of(story.text)
        return story

    def picked(self, text: str, picked_from: int, narrator: Narrator) -> Story | None:
        """What a child told word by word, as a telling of its own; None if nothing was picked."""
        before = self.story
        if not text.strip() or (before is not None and text == before.text):
            return None
        story = Story(
            text=text,
            prompt=replace(self.prompt or StoryPrompt(), opening=text),
            sampling=self.sampling or narrator.sampling(),
            finish="cancelled",
            bundle=narrator.name,
            bundle_digest=narrator.digest,
            parent=before.id if before is not None else None,
            branch_at=picked_from if before is not None else None,
        )
        self.order = None
        return self.told(story)

    # -- others grow from it ---------------------------------------------------------------------

    def again(self, narrator: Narrator) -> Order:
        """The same wishes, another story: a telling beside this one."""
        story, prompt = self.story, self.prompt or StoryPrompt()
        sampling = narrator.sampling(self.sampling)
        if story is None:
            return Order(prompt, sampling)
        beside = story.parent if story.branch_at == 0 else None
        return Order(prompt, sampling, parent=beside or story.id, branch_at=0)

    def further(self, narrator: Narrator, *, chapter: bool) -> Order | None:
        """Told on from the end; with `chapter`, a story that was over gets a next one."""
        story = self.story
        if story is None:
            return None
        sampling = narrator.sampling(story.sampling)
        text = story.text
        if chapter and story.finish in ("end", "length") and ends_sentence(text):
            text = f"{text}\n{next_chapter(sampling.seed or 0)}"
        return self._grow(narrator, text, len(story.text), sampling, ROOM_TO_GO_ON)

    def otherwise(self, narrator: Narrator, start: int) -> Order | None:
        """Told differently from character `start` on; from the beginning it is told anew."""
        story = self.story
        if story is None:
            return None
        if not story.text[:start].strip():
            return self.again(narrator)
        sampling = narrator.sampling(story.sampling)
        return self._grow(narrator, story.text[:start].rstrip(" "), start, sampling, ROOM_TO_BRANCH)

    def _grow(
        self, narrator: Narrator, text: str, branch_at: int, sampling: Sampling, room: int
    ) -> Order:
        """A new telling that begins with `text`, or with as much of its end as leaves `room`."""
        assert self.story is not None
        prompt = narrator.fitting(replace(self.story.prompt, opening=text), room)
        return Order(
            prompt,
            sampling,
            parent=self.story.id,
            branch_at=branch_at,
            read_already=len(prompt.opening),
        )
