"""A terminal played by a program: it presses keys and reads what is drawn. For the bench."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


class Terminal:
    """A child process in a pseudo-terminal of 100 x 32; `wait` reads what it draws into `drawn`."""

    def __init__(self, command: list[str], log: Path) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self.log = log
        self.drawn = b""  # since the last key
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 32, 100, 0, 0))
        environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        environment |= {"TINYTALES_DATA_DIR": str(log.parent), "LANG": "C.UTF-8"}
        environment.pop("NO_COLOR", None)
        self.started = time.monotonic()
        self._child = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment,
            start_new_session=True, close_fds=True,
        )  # fmt: skip
        os.close(slave)

    def wait(self, until: Callable[[], bool], seconds: float) -> bool:
        """Read until `until` says so."""
        end = time.monotonic() + seconds
        while not until():
            left = end - time.monotonic()
            if left <= 0 or self._child.poll() is not None:
                return until()
            if select.select([self._master], [], [], min(left, 0.01))[0]:
                with contextlib.suppress(OSError):
                    self.drawn += os.read(self._master, 65536)
        return True

    def draws(self, text: str, seconds: float = 20) -> bool:
        """Read until `text` was drawn in one piece."""
        return self.wait(lambda: text.encode() in self.drawn, seconds)

    def press(self, keys: bytes) -> float:
        self.drawn = b""
        now = time.monotonic()
        os.write(self._master, keys)
        return now

    def times(self, name: str) -> list[float]:
        """What the child has logged under `name`."""
        try:
            lines = self.log.read_text().splitlines()
        except OSError:
            return []
        return [float(value) for key, _, value in (x.partition(" ") for x in lines) if key == name]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        os.close(self._master)
