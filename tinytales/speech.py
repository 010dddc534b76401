"""Reading aloud with what the machine already has: espeak-ng, say, spd-say or espeak.

    voice = find_speaker()          # None where nothing is installed
    voice.say("One day, a fox ...")
    while voice.speaking: ...
    voice.stop()

The text goes to the command's standard input, never through a shell.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

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
