"""Plain mode: the same storyteller line by line, for screen readers and simple terminals.

    tinytales app --plain

No boxes, no colors, no moving cursor: every line is said once. An empty line tells a story; a line
of words begins one; a word with a colon asks for something. Reads stdin, so that it can be piped.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tinytales.errors import TinytalesError
from tinytales.prompt import StoryPrompt
from tinytales.sentences import ends_sentence
from tinytales.story import Story
from tinytales.tui.wishes import next_chapter

if TYPE_CHECKING:
    from tinytales.library import Entry, Library
    from tinytales.sampling import Sampling
    from tinytales.storyteller import Storyteller

HELP = """\
Press Enter alone and a story is told.
Write the beginning of a story, and it is told on.
words kite, windy     a story with these words
again                 the same wishes, another story
more                  the story goes on
keep                  the story becomes a favorite
list                  the last stories
find fox              the stories with these words
read 2                the second story of the last list
export story.txt      the last story into a file (.txt, .md or .html)
quit                  good night
Ctrl-C stops a story."""


class PlainApp:
    """Asks, tells, asks again. `run` returns at the end of the input."""

    def __init__(
        self,
        teller: Storyteller,
        library: Library | None,
        sampling: Callable[[], Sampling],
        *,
        out: TextIO | None = None,
        read: TextIO | None = None,
    ) -> None:
        self.teller, self.library, self.sampling = teller, library, sampling
        self.out, self.read = out or sys.stdout, read or sys.stdin
        self.story: Story | None = None
        self.prompt = StoryPrompt()
        self.listed: list[str] = []

    def say(self, line: str) -> None:
        self.out.write(line + "\n")
        self.out.flush()

    def run(self) -> None:
        self.say("tinytales. Press Enter for a story, or write help.")
        while True:
            line = self.read.readline()
            if not line:
                return
            try:
                if not self.obey(line.strip()):
                    return
            except TinytalesError as error:
                self.say(f"{error.message}. {error.hint}".strip())
            except KeyboardInterrupt:
                self.say("Stopped.")

    def obey(self, line: str) -> bool:
        """Do what a line says. False at the end."""
        word, _, rest = line.partition(" ")
        word, rest = word.lower().rstrip(":"), rest.strip()
        commands: dict[str, Callable[[str], None]] = {
            "words": self._words, "again": self._again, "more": self._more, "keep": self._keep,
            "list": self._list, "find": self._find, "read": self._read, "export": self._export,
        }  # fmt: skip
        if word == "read" and not rest.isdecimal():
            word = ""  # "Read me the stars, said the fox."
        alone = word in ("again", "more", "keep", "list") and rest
        if word in ("quit", "exit", "bye") and not rest:
            self.say("Good night.")
            return False
        if word in ("help", "?") and not rest:
            self.say(HELP)
        elif word in commands and not alone and (rest or word not in ("words", "find", "read")):
            commands[word](rest)
        else:
            self._tell(StoryPrompt(opening=line))
        return True

    # -- telling ---------------------------------------------------------------------------------

    def _tell(self, prompt: StoryPrompt, *, parent: Story | None = None) -> None:
        self.prompt = prompt
        telling = self.teller.stream(prompt, self.sampling())
        pending = ""
        try:
            for piece in telling:
                pending += piece
                # One sentence a line: a screen reader says it in one breath.
                if ends_sentence(pending) or pending.endswith("\n"):
                    self._say_told(pending)
                    pending = ""
        except KeyboardInterrupt:
            telling.cancel()
            for _ in telling:
                pass
            self.say("Stopped.")
        self._say_told(pending)
        story = telling.story
        if parent is not None:
            story = replace(story, parent=parent.id, branch_at=len(parent.text))
        self.story = story
        if story.finish in ("end", "length"):
            self.say("The end.")
        if self.library is not None and story.text.strip():
            try:
                self.library.add(story)
            except TinytalesError as error:
                self.say(f"The story is not kept: {error.message}.")

    def _say_told(self, text: str) -> None:
        for line in text.split("\n"):
            if line.strip():
                self.say(line.strip())

    def _words(self, rest: str) -> None:
        self._tell(StoryPrompt(words=rest.split(",")))

    def _again(self, _: str) -> None:
        self._tell(self.prompt)

    def _more(self, _: str) -> None:
        story = self._last()
        text = story.text
        if story.finish in ("end", "length") and ends_sentence(text):
            text += "\n" + next_chapter(len(text))
        self._tell(replace(story.prompt, opening=text), parent=story)

    def _last(self) -> Story:
        if self.story is None:
            raise TinytalesError("No story was told yet", hint="Press Enter for one.")
        return self.story

    # -- the library -----------------------------------------------------------------------------

    def _shelf(self) -> Library:
        if self.library is None:
            raise TinytalesError("The library cannot be opened")
        return self.library

    def _keep(self, _: str) -> None:
        story = self._last()
        self._shelf().favorite(story.id, True)
        self.say(f"{story.title} is a favorite now.")

    def _list(self, _: str) -> None:
        self._show(self._shelf().list(limit=10))

    def _find(self, rest: str) -> None:
        self._show(self._shelf().search(rest, 10))

    def _show(self, entries: Sequence[Entry]) -> None:
        self.listed = [entry.id for entry in entries]
        for number, entry in enumerate(entries, start=1):
            loved = ", a favorite" if entry.favorite else ""
            self.say(f"{number}. {entry.title}, {entry.words} words{loved}")
        if not entries:
            self.say("No story.")

    def _read(self, rest: str) -> None:
        if not 1 <= int(rest[:9]) <= len(self.listed):
            raise TinytalesError("There is no such number", hint="list shows the last stories.")
        self.story = self._shelf().get(self.listed[int(rest) - 1])
        self.prompt = self.story.prompt
        self.say(self._shelf().entry(self.story.id).title + ".")
        self._say_told(self.story.text)

    def _export(self, rest: str) -> None:
        from tinytales.library.exports import FORMATS

        path = Path(rest).expanduser()
        suffixes = {form.suffix: name for name, form in reversed(FORMATS.items())}
        if path.suffix not in suffixes:
            raise TinytalesError(
                f"{rest} does not say as what", hint="End its name with .txt, .md or .html."
            )
        self._shelf().export([self._last().id], suffixes[path.suffix], path)
        self.say(f"Written to {path}.")


def run_plain(*, model: Path | None = None, seed: int | None = None) -> None:
    """Open voice and library, and begin."""
    from tinytales import settings as module
    from tinytales.library import Library
    from tinytales.safety import Safety
    from tinytales.storyteller import Storyteller

    try:
        settings = module.load()
    except TinytalesError as error:
        print(f"note: {error.message}", file=sys.stderr)
        settings = module.Settings()
    try:
        library = Library()
        if library.note:
            print(f"note: {library.note}", file=sys.stderr)
    except TinytalesError as error:
        print(f"note: {error.message}. Stories are told and not kept.", file=sys.stderr)
        library = None
    seeds = None if seed is None else itertools.count(seed)
    chosen = model or (Path(settings.model).expanduser() if settings.model else None)
    with Storyteller.open(chosen, safety=Safety(settings.safety)) as teller:
        try:
            PlainApp(
                teller, library, lambda: settings.sampling(next(seeds) if seeds else None)
            ).run()
        finally:
            if library is not None:
                library.close()
