"""`tinytales corpus`: get texts, build a corpus from them, see what is in it.

tinytales corpus build --recipe corpus-originals --out runs/corpus
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Texts to train on.")


@app.callback()
def corpus() -> None:
    """Get, clean and measure texts to train on."""


@app.command()
def build(
    recipe: Annotated[
        str, typer.Option(help="A corpus recipe (TOML), or the name of one that ships.")
    ] = "corpus-originals",
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("runs/corpus"),
    root: Annotated[
        Path | None, typer.Option(help="Where the texts lie; default: beside the recipe.")
    ] = None,
    replace: Annotated[bool, typer.Option(help="Replace a corpus that is there.")] = False,
) -> None:
    """Read, clean, label and pack the texts of a recipe for the trainer."""
    from tinytales.train.corpus.build import build as build_corpus
    from tinytales.train.corpus.recipe import load_recipe

    loaded, base = load_recipe(recipe)
    build_corpus(loaded, root or base, out, overwrite=replace, report=_say)
    print(out)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
