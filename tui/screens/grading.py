"""Grading of saved stories, as far as it is done on this machine."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static


class GradingPane(VerticalScroll):
    """Says how saved stories are graded."""

    def __init__(self) -> None:
        super().__init__(classes="corner")

    def compose(self) -> ComposeResult:
        yield Static("tinytales grade asks a judge how good the saved stories are.")
