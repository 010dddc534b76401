"""Every error that a user may meet: what happened, where, and what to do next.

The command line prints `error: <message>` and `hint: <hint>` on stderr and leaves with `exit_code`;
a program that embeds tinytales catches `TinytalesError`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class TinytalesError(Exception):
    """Something went wrong that the user can understand. `hint` says what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(TinytalesError):
    """The call itself is wrong: an unknown word for a flag, a value out of range."""

    exit_code = 2


class PromptError(UsageError):
    """A prompt that cannot be told: too long, empty words, an unknown feature."""


class SettingsError(UsageError):
    """A settings file or value that cannot be understood."""


class BundleError(TinytalesError):
    """A bundle that is missing, damaged, foreign or of another version."""


class EngineError(TinytalesError):
    """The runtime refused the model or failed while telling."""


class LibraryError(TinytalesError):
    """The saved stories cannot be opened or written."""


class MissingExtra(TinytalesError):
    """A part of tinytales that is installed on request is not there."""


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or say how to install the extra that brings it.

    Raises MissingExtra with the pip line.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and not module.startswith(error.name.split(".")[0]):
            raise  # a fault inside that module, not its absence
        raise MissingExtra(
            f"this needs the package {error.name or module!r}, which is not installed",
            hint=f"pip install 'tinytales[{extra}]'",
        ) from error


def nearest(name: str, known: Iterable[str]) -> str:
    """A half-sentence that names the closest known word, or all of them: for error hints."""
    words = list(known)
    close = difflib.get_close_matches(name, words, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(words)
