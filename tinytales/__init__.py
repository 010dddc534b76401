"""tinytales: tiny language models that tell children's stories, offline.

    from tinytales import Storyteller, StoryPrompt, Sampling

    teller = Storyteller.open()
    for piece in teller.stream(StoryPrompt(words=("kite", "windy"))):
        print(piece, end="", flush=True)

Names are imported on first use, so that `import tinytales` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinytales.bundle import Bundle
    from tinytales.engine.base import Engine
    from tinytales.errors import TinytalesError
    from tinytales.prompt import StoryPrompt
    from tinytales.sampling import Sampling
    from tinytales.story import Story
    from tinytales.storyteller import Storyteller, Telling

__version__ = "0.1.0"

_HOMES = {
    "Bundle": "bundle",
    "Engine": "engine.base",
    "Sampling": "sampling",
    "Story": "story",
    "StoryPrompt": "prompt",
    "Storyteller": "storyteller",
    "Telling": "storyteller",
    "TinytalesError": "errors",
}
__all__ = [
    "Bundle",
    "Engine",
    "Sampling",
    "Story",
    "StoryPrompt",
    "Storyteller",
    "Telling",
    "TinytalesError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tinytales' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"tinytales.{_HOMES[name]}"), name)
