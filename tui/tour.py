"""A walk through the app in a real terminal: tmux presses the keys, and what stands there is kept.

    python -m tinytales.tui.tour docs/tour.md        with the shipped voice; needs tmux

Make, stop, retell, tell on, branch, pick words, keep, search, export, replay, quit: each step waits
until the screen shows what it must, and fails otherwise. The transcript is the pictures in text.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SIZE = (92, 26)
PATIENCE = 30


@dataclass(frozen=True)
class Step:
    """Press `keys`, wait until the screen shows `until` (or no longer does, after a `!`)."""

    says: str
    keys: tuple[str, ...]
    until: str
    typed: str = ""


STEPS = (
    Step("The form stands, and the voice is awake.", (), "tells"),
    Step("Who is it about, and where?", ("Tab", "Tab"), "a little fox", typed="a little fox"),
    Step("Enter: a story is told, word by word.", ("Enter",), "words a minute"),
    Step("Some words later.", (), "There was|Once upon a time, there was a little fox."),
    Step("Space: it pauses.", ("Space",), "paused"),
    Step("Space: it goes on.", ("Space",), "telling"),
    Step("Esc: it stops, and what was told is kept.", ("Escape",), "stopped here"),
    Step("c: it is told on from there.", ("c",), "telling"),
    Step("+: quicker, and at last as it comes.", ("+", "+", "+"), "as it comes"),
    Step("The end.", (), "kept in the library"),
    Step("r: the same wishes, another story.", ("r",), "kept in the library"),
    Step("f: it is a favorite now.", ("f",), "♥ kept"),
    Step("b: a sentence is chosen …", ("b", "Up", "Up"), "From which sentence"),
    Step("Enter: … and told differently from there.", ("Enter",), "kept in the library"),
    Step("n: the child picks the next words.", ("n",), "Which word comes next"),
    Step("1: the first of them.", ("1",), "Which word comes next"),
    Step("Esc: the story stays as it is.", ("Escape",), "kept in the library"),
    Step("t: all tellings of this story.", ("t",), "All tellings"),
    Step("Esc, F3: the library.", ("Escape", "F3"), "stories"),
    Step("/: search.", ("/",), "with “fox”", typed="fox"),
    Step("Enter, e: export.", ("Enter", "e"), "Export this story as"),
    Step("The file is written.", ("Enter",), "Exported"),
    Step("p: the same story again, word for word.", ("p",), "Word for word"),
    Step("F5: the grown-ups' corner asks a sum.", ("F5",), "How much is"),
)


class Tmux:
    """A private tmux server with one window."""

    def __init__(self, command: str, folder: Path) -> None:
        self._socket = str(folder / "tmux")
        width, height = SIZE
        self._run("new-session", "-d", "-x", str(width), "-y", str(height), command)
        self._run("set-option", "-g", "escape-time", "0")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, "-f", "/dev/null", *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout

    def press(self, *keys: str) -> None:
        for key in keys:
            self._run("send-keys", key)
            time.sleep(0.15)

    def type(self, text: str) -> None:
        self._run("send-keys", "-l", text)

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def wait(self, until: str) -> str:
        """The screen, once it shows `until`."""
        absent, wanted = until.startswith("!"), until.lstrip("!").split("|")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            screen = self.screen()
            flat = " ".join(screen.split())
            if absent is not any(text in flat for text in wanted):
                return screen
            time.sleep(0.05)
        raise SystemExit(f"the screen never showed {until!r}:\n{self.screen()}")

    def alive(self) -> bool:
        return bool(self._run("list-sessions"))

    def close(self) -> None:
        self._run("kill-server")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tinytales.tui.tour")
    parser.add_argument("transcript", type=Path)
    parser.add_argument("--model", type=Path, default=None)
    options = parser.parse_args(arguments)
    os.environ.setdefault("LANG", "C.UTF-8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told = walk(folder, options.model)
    options.transcript.write_text(told, encoding="utf-8")
    print(options.transcript)


def walk(folder: Path, model: Path | None) -> str:
    """Go all steps; the transcript as Markdown."""
    app = [sys.executable, "-m", "tinytales", "app", "--seed", "7", "--data-dir", str(folder)]
    if model is not None:
        app += ["--model", str(model.absolute())]
    tmux = Tmux(f"cd {shlex.quote(str(folder))} && {shlex.join(app)}", folder)
    parts = [HEAD]
    try:
        for step in STEPS:
            tmux.press(*step.keys)
            if step.typed:
                tmux.type(step.typed)
            screen = tmux.wait(step.until)
            parts.append(f"**{step.says}**\n\n```text\n{tidy(screen, folder)}\n```\n")
        tmux.press("Escape", "C-q")
        end = time.monotonic() + PATIENCE
        while tmux.alive() and time.monotonic() < end:
            time.sleep(0.1)
        if tmux.alive():
            raise SystemExit("the app did not leave after Ctrl+Q")
        files = sorted(p.name for p in folder.iterdir() if p.suffix in (".txt", ".sqlite"))
        parts.append(f"**Ctrl+Q: good night.** In the folder: {', '.join(files)}.\n")
        if len(files) < 2:
            raise SystemExit(f"a file is missing: {files}")
    finally:
        tmux.close()
    return "\n".join(parts)


def tidy(screen: str, folder: Path) -> str:
    """Without the temporary folder's name and without empty space at the end of lines."""
    lines = [line.rstrip() for line in screen.replace(str(folder), "~").rstrip().split("\n")]
    return "\n".join(lines)


HEAD = """# A walk through the app

Made by `python -m tinytales.tui.tour docs/tour.md`: tmux presses the keys in a real terminal, and
each step waits until the screen shows what it must.
"""

if __name__ == "__main__":
    main()
