"""Reading aloud with the page: one sentence at a time, its words shown while they are spoken."""

from __future__ import annotations

from tinytales.sentences import ends_sentence, split_sentences
from tinytales.speech import Speaker
from tinytales.tui.reading import Reading


class ReadAloud:
    """Walks through a story with a speaker. The page asks `limit` before it shows more words."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._from = 0
        self._to = 0

    def begin_at(self, reading: Reading) -> None:
        """Begin with the sentence that is being shown."""
        self._from = self._to = 0
        for start, end in split_sentences(reading.text):
            if end >= reading.shown:
                self._from = self._to = start
                break
        else:
            self._from = self._to = reading.shown

    @property
    def speaking(self) -> bool:
        return self._speaker.speaking

    def limit(self, reading: Reading) -> int:
        """How far the page may be shown: the end of the sentence that is spoken."""
        if reading.paused:
            return reading.shown
        if not self._speaker.speaking and reading.shown >= self._to:
            self._speak_next(reading)
        return self._to

    def _speak_next(self, reading: Reading) -> None:
        for start, end in split_sentences(reading.text[self._to :]):
            sentence = reading.text[self._to + start : self._to + end]
            whole = ends_sentence(sentence) or self._to + end < len(reading.text)
            if whole:
                self._from, self._to = self._to + start, self._to + end
                self._speaker.say(sentence)
            return
        self._to = len(reading.text)

    def pause(self) -> None:
        """Silence; the sentence is said again from its beginning."""
        self._speaker.stop()
        self._to = self._from

    def stop(self) -> None:
        self._speaker.stop()
