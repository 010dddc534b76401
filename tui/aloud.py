"""Reading aloud with what the machine already has: espeak-ng, say, spd-say or espeak.

    speaker = find_speaker()        # None where nothing is installed
    speaker.say("One day, a fox ...")
    aloud = ReadAloud(speaker)      # walks through a story, its words shown while they are spoken

The text goes to the command's standard input, never through a shell.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

from tinytales.sentences import ends_sentence, split_sentences
from tinytales.tui.reading import Reading

#: command -> its arguments for a speed in words a minute; text comes on stdin
COMMANDS: dict[str, Callable[[int], list[str]]] = {
    "espeak-ng": lambda wpm: ["-s", str(wpm), "--stdin"],
    "say": lambda wpm: ["-r", str(wpm), "-f", "-"],
    # spd-say's scale is -100 … 100 around some 170 words a minute; -e reads stdin, -w waits.
    "spd-say": lambda wpm: ["-w", "-e", "-r", str(max(-100, min(100, (wpm - 170) // 2)))],
    "espeak": lambda wpm: ["-s", str(wpm), "--stdin"],
}


class Speaker:
    """One local speech command. `say` returns at once; a second `say` replaces the first."""

    def __init__(self, command: str, path: str, *, words_a_minute: int = 140) -> None:
        self.command = command
        self.words_a_minute = words_a_minute
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None

    def say(self, text: str) -> bool:
        """Begin to say `text`. False if the command cannot be started."""
        self.stop()
        arguments = [self._path, *COMMANDS[self.command](self.words_a_minute)]
        try:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C of the app is not the speaker's
            )
            assert self._process.stdin is not None
            # A sentence fits the pipe's buffer: this never waits for the speaker.
            self._process.stdin.write(text[:4000].encode("utf-8", "replace") + b"\n")
            self._process.stdin.close()
        except OSError:
            self.stop()
            return False
        return True

    @property
    def speaking(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Be silent now."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def find_speaker(words_a_minute: int = 140) -> Speaker | None:
    """The first speech command on PATH, or None."""
    for command in COMMANDS:
        path = shutil.which(command)
        if path is not None:
            return Speaker(command, path, words_a_minute=words_a_minute)
    return None


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
