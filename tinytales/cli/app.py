"""`tinytales app`: the storyteller in the terminal; what bare `tinytales` opens.

tinytales
tinytales --theme bedtime --seed 7
tinytales app --plain            line by line, for screen readers
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def open_app(
    model: Annotated[
        Path | None, typer.Option(help="A bundle folder; default: the shipped one.")
    ] = None,
    theme: Annotated[
        str | None, typer.Option(help="day, bedtime, contrast or ansi; kept where it was set.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The first story's seed; the next counts on.", min=0)
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where stories are kept; default: tinytales doctor says.")
    ] = None,
    animation: Annotated[bool, typer.Option(help="Let things glide.")] = True,
    ascii_only: Annotated[
        bool, typer.Option("--ascii", help="Draw with ASCII only (found out by itself, mostly).")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Line by line, without boxes: for screen readers.")
    ] = False,
) -> None:
    """Open the storyteller."""
    run_app(
        model=model,
        theme=theme,
        seed=seed,
        data_dir=data_dir,
        animation=animation,
        ascii_only=ascii_only,
        plain=plain,
    )


def run_app(
    *,
    model: Path | None = None,
    theme: str | None = None,
    seed: int | None = None,
    data_dir: Path | None = None,
    animation: bool = True,
    ascii_only: bool = False,
    plain: bool = False,
) -> None:
    """Open the app, or the plain mode where there is no terminal that could draw it."""
    if data_dir is not None:
        from tinytales.paths import override

        override(data_dir)
    if plain or not draws():
        from tinytales.tui.plain import run_plain

        run_plain(model=model, seed=seed)
        return
    from tinytales.errors import UsageError, nearest
    from tinytales.tui.app import Launch, TinytalesApp
    from tinytales.tui.themes import THEMES

    if theme is not None and theme not in THEMES:
        raise UsageError(f"there is no theme {theme!r}", hint=nearest(theme, THEMES))
    launch = Launch(
        model=model,
        theme=theme,
        seed=seed,
        animation=animation,
        ascii=ascii_only or not speaks_unicode(),
    )
    TinytalesApp(launch).run()


def draws() -> bool:
    """Is there a terminal on both sides that can move its cursor (or a browser)?"""
    return "TEXTUAL_DRIVER" in os.environ or (
        sys.stdin.isatty()
        and sys.stdout.isatty()
        and os.environ.get("TERM", "") not in ("dumb", "unknown")
    )


def speaks_unicode() -> bool:
    """Does the locale promise UTF-8? (Python itself may write UTF-8 where the terminal cannot.)"""
    if sys.platform == "win32":
        return True
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if value := os.environ.get(name):
            return "utf" in value.lower()
    # Nothing is said: containers and many services leave it out, on terminals that can.
    return os.environ.get("TERM") != "linux"
