"""What is told while the library is being mended: a small file for each story, beside the library.

It is written at once, so that nothing told is lost however the app ends. Who opens the library next
hands the stories over to it: this app when the mending is done, or another one some other evening.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from tinytales.errors import TinytalesError
from tinytales.library import Library
from tinytales.paths import replace_text
from tinytales.story import Story

FOLDER = "told-meanwhile"


class Meanwhile:
    """Stories that wait for the library at `path`."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent / FOLDER

    def keep(self, story: Story) -> None:
        """Write a story as far as it is told; the same file again with every sentence."""
        with contextlib.suppress(OSError):  # it waits in the memory of the app all the same
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_text(self._folder / f"{story.id}.json", json.dumps(story.to_dict()))

    def hand_over(self, library: Library) -> None:
        """Give the library what it does not know yet. Files that cannot be read stay.

        Raises LibraryError: the library takes nothing, and all files stay.
        """
        told: dict[Path, Story] = {}
        for file in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, RecursionError, TinytalesError):
                data = json.loads(file.read_text(encoding="utf-8"))
                if isinstance(data, dict) and data.get("id") == file.stem:
                    story = Story.from_dict(data)
                    if isinstance(story.text, str):
                        told[file] = story
        if told:
            library.add_all(told.values())
            with contextlib.suppress(OSError):
                for file in told:
                    file.unlink()
                self._folder.rmdir()
