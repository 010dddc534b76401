"""What screens may ask of the app, so that screens need not know it and it may know them all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from textual.signal import Signal

    from tinytales.errors import TinytalesError
    from tinytales.prompt import StoryPrompt
    from tinytales.settings import Settings
    from tinytales.tui.aloud import ReadAloud
    from tinytales.tui.judging import Judging
    from tinytales.tui.memory import Memory
    from tinytales.tui.narrator import Narrator
    from tinytales.tui.shelf import Shelf
    from tinytales.tui.voices import Voice
    from tinytales.tui.wishes import Dealer


class Tales(Protocol):
    """`TinytalesApp`, as its screens see it."""

    settings: Settings
    shelf: Shelf
    memory: Memory
    dealer: Dealer
    narrator: Narrator
    judging: Judging | None
    voice_changed: Signal[None]

    @property
    def page_is_empty(self) -> bool: ...
    @property
    def pace(self) -> int: ...

    def say(self, error: TinytalesError) -> None: ...
    def tell(self, prompt: StoryPrompt, *, max_words: int = 0) -> None: ...
    def open_story(self, story_id: str) -> None: ...
    def replay(self, story_id: str) -> None: ...
    def read_aloud(self) -> ReadAloud | None: ...

    def find_voices(self) -> list[Voice]: ...
    def open_voice(self, path: Path | None) -> None: ...

    def change(self, **values: Any) -> None: ...
    def set_pace(self, pace: int) -> None: ...
    def use_theme(self, name: str) -> None: ...

    def action_go(self, place: str) -> None: ...
    def action_explain(self) -> None: ...
    async def action_quit(self) -> None: ...
    def go_back(self) -> None: ...
