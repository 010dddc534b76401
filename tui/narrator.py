"""Whoever tells: a voice that is opened in a thread, exchanged for another, and asked.

    narrator = Narrator(open_storyteller, lambda: settings)
    narrator.wake(None)                          # the shipped voice; `on_change` says when
    live = narrator.tell(prompt, sampling)       # waits in its thread until the voice is awake

Nothing here is of Textual. What is said to take time belongs in a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytales.errors import TinytalesError
from tinytales.prompt import StoryPrompt
from tinytales.sentences import split_sentences
from tinytales.tui.telling import LiveTelling

if TYPE_CHECKING:
    from tinytales.sampling import Sampling
    from tinytales.settings import Settings
    from tinytales.storyteller import Storyteller, Telling
    from tinytales.tui.voices import Voice

#: So many words, or whole sentences, are offered to go on with.
OFFERED = 4
TURNS = 3
#: A duel's stories are short enough to be read side by side.
DUEL_WORDS = 110


class Narrator:
    """Attributes:
    path: the bundle that was wished for; None is the shipped one.
    teller: the open voice; None while it wakes, and where it does not open.
    error: why there is no voice.
    """

    def __init__(
        self,
        open_teller: Callable[[Path | None, Settings], Storyteller],
        settings: Callable[[], Settings],
        first_seed: int | None = None,
    ) -> None:
        self.path: Path | None = None
        self.teller: Storyteller | None = None
        self.error: TinytalesError | None = None
        self.on_change: Callable[[], Any] = lambda: None  # called in the waking thread
        self.open_teller = open_teller
        self._settings = settings
        self._next_seed = first_seed
        self._known = threading.Event()
        self._live: LiveTelling | None = None

    # -- waking ----------------------------------------------------------------------------------

    def wake(self, path: Path | None) -> None:
        """Open the voice at `path` in a thread; the one before is closed there."""
        self.path = path
        self._known.clear()
        old, self.teller, self.error = self.teller, None, None
        if self._live is not None:
            self._live.cancel()
        threading.Thread(target=self._wake, args=(path, old), daemon=True).start()

    def _wake(self, path: Path | None, old: Storyteller | None) -> None:
        if old is not None:
            if self._live is not None:
                self._live.join(2)
            old.close()
        teller, trouble = None, None
        try:
            teller = self.open_teller(path, self._settings())
        except TinytalesError as error:
            trouble = error
        except Exception as error:
            trouble = TinytalesError(
                f"the storyteller's voice does not open: {type(error).__name__}: {error}",
                hint="tinytales doctor looks for the reason",
            )
        if path != self.path:  # another one was chosen meanwhile
            if teller is not None:
                teller.close()
            return
        self.teller, self.error = teller, trouble
        self._known.set()
        self.on_change()

    def awake(self) -> Storyteller:
        """The voice, as soon as it is open (in a thread). Raises TinytalesError: there is none."""
        self._known.wait()
        if self.teller is None:
            raise self.error or TinytalesError("there is no voice")
        return self.teller

    def be_safe(self) -> None:
        """Take the safety level that the settings have now."""
        if self.teller is not None:
            from tinytales.safety import Safety

            self.teller.safety = Safety(self._settings().safety)

    def close(self) -> None:
        if self._live is not None:
            self._live.cancel()
            self._live.join(1)
        if self.teller is not None:
            self.teller.close()

    # -- who it is -------------------------------------------------------------------------------

    @property
    def line(self) -> str:
        """Who tells, in a few words."""
        if self.teller is not None:
            return f"{self.name} tells"
        return "no voice" if self.error is not None else "the voice is waking …"

    @property
    def name(self) -> str:
        return self.teller.bundle.name if self.teller is not None else ""

    @property
    def digest(self) -> str:
        return self.teller.bundle.digest if self.teller is not None else ""

    def about(self) -> str:
        """What is known of the voice, for grown-ups."""
        if self.teller is None:
            return self.line if self.error is None else f"{self.error.message}\n{self.error.hint}"
        manifest = self.teller.bundle.manifest
        lines = [f"Voice: {self.name}"]
        parameters = getattr(manifest, "parameters", {}).get("total", 0)
        if parameters:
            lines.append(f"{parameters / 1e6:.1f} million parameters, {manifest.quantization}")
        if licence := getattr(manifest, "licence", ""):
            lines.append(f"Licence: {licence}")
        for source in getattr(manifest, "sources", ()):
            lines.append(f"Trained on {source.get('name', '?')} ({source.get('licence', '?')})")
        lines.append(f"Digest: {self.digest[:16]}")
        return "\n".join(lines)

    # -- telling ---------------------------------------------------------------------------------

    def tell(self, prompt: StoryPrompt, sampling: Sampling) -> LiveTelling:
        """Begin to tell in a thread, which waits for the voice if it still wakes."""

        def begin() -> Telling:
            return self.awake().stream(prompt, sampling)

        self._live = LiveTelling(begin)
        return self._live

    def sampling(
        self, like: Sampling | None = None, *, seed: int | None = None, max_words: int = 0
    ) -> Sampling:
        """As the settings (or `like`) say, with a seed of its own."""
        from tinytales.sampling import draw_seed

        base = like or self._settings().sampling()
        if seed is None:
            seed = draw_seed() if self._next_seed is None else self._next_seed
            if self._next_seed is not None:
                self._next_seed += 1
        return replace(base, seed=seed, max_words=max_words or base.max_words)

    def fitting(self, prompt: StoryPrompt, room: int = 80) -> StoryPrompt:
        """`prompt` with as much of the end of its opening as leaves `room` tokens for a story."""
        teller = self.teller
        if teller is None:
            return prompt
        most = teller.bundle.manifest.context_length - room
        while len(teller.bundle.encode(prompt.render())) > most:
            sentences = split_sentences(prompt.opening)
            if len(sentences) < 2:
                break
            prompt = replace(prompt, opening=prompt.opening[sentences[1][0] :])
        return prompt

    def propose_words(self, text: str, draw: int) -> list[str]:
        """Words that may come next (in a thread)."""
        opening = self.fitting(StoryPrompt(opening=text)).opening
        return self.awake().next_words(opening, OFFERED, seed=draw)

    def propose_turns(self, text: str, draw: int) -> list[str]:
        """Sentences that may come next (in a thread)."""
        teller = self.awake()
        prompt = self.fitting(StoryPrompt(opening=text))
        turns: list[str] = []
        for number in range(2 * TURNS):
            telling = teller.stream(prompt, self.sampling(seed=draw * 100 + number))
            told = ""
            for piece in telling:
                told += piece
                if len(told) > len(prompt.opening):
                    telling.cancel()
            turn = told[len(prompt.opening) :]
            if turn.strip() and turn not in turns:
                turns.append(turn)
            if len(turns) == TURNS:
                break
        return turns

    def duel(self, voice: Voice, prompt: StoryPrompt, seed: int) -> str:
        """A short story by another voice (in a thread)."""
        teller = self.open_teller(voice.path, self._settings())
        try:
            return teller.tell(prompt, self.sampling(seed=seed, max_words=DUEL_WORDS)).text
        finally:
            teller.close()


def open_storyteller(path: Path | None, settings: Settings) -> Storyteller:
    """The real voice, with everything that is heavy to import."""
    from tinytales.safety import Safety
    from tinytales.storyteller import Storyteller

    return Storyteller.open(path, threads=settings.threads or None, safety=Safety(settings.safety))
