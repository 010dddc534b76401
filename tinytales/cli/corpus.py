"""`tinytales corpus`: get texts, build a corpus from them, see what is in it.

tinytales corpus build --recipe corpus-originals --out runs/corpus
tinytales corpus stats runs/corpus --picture corpus.png
tinytales corpus get tinystories --out texts
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True)


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
        Path | None,
        typer.Option(help="Where the texts lie; default: beside the recipe, or here."),
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="A tokenizer.json to keep; default: learn a vocabulary.")
    ] = None,
    replace: Annotated[bool, typer.Option(help="Replace a corpus that is there.")] = False,
) -> None:
    """Read, clean, label and pack the texts of a recipe for the trainer."""
    from tinytales.train.corpus.build import build as build_corpus
    from tinytales.train.corpus.recipe import load_recipe

    loaded, base = load_recipe(recipe)
    build_corpus(loaded, root or base, out, tokenizer=tokenizer, overwrite=replace, report=_narrate)
    print(out)


@app.command()
def stats(
    folder: Annotated[Path, typer.Argument(help="A prepared corpus.")] = Path("runs/corpus"),
    picture: Annotated[Path | None, typer.Option(help="Draw it too: a PNG file to write.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print corpus.json instead.")] = False,
) -> None:
    """Show what a corpus holds and what was dropped, and check that its files are whole."""
    from tinytales.train.corpus import stats as statistics

    manifest = statistics.read_manifest(folder)
    print(json.dumps(manifest) if as_json else statistics.table(manifest))
    if picture:
        statistics.picture(folder, manifest, picture)
        _narrate(f"drawn: {picture}")


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="Which text: tinystories.")],
    out: Annotated[Path, typer.Option(help="The folder to put it in.")] = Path("texts"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Download without asking.")] = False,
    revision: Annotated[str, typer.Option(help="A branch or commit of the data set.")] = "main",
) -> None:
    """Download a large public text from the Hugging Face hub; goes on where it was cut off."""
    from tinytales.errors import UsageError
    from tinytales.train.corpus import download

    dataset = download.find_dataset(name)
    what = f"about {dataset.size} from huggingface.co/datasets/{dataset.repository}"
    _narrate(f"{name}: {what}, licence {dataset.licence}")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("this downloads from the network", hint="add --yes to agree")
        typer.confirm(f"Download it into {out}?", abort=True, err=True)
    for path in download.get(dataset, out, revision=revision, progress=_progress):
        print(path)
    _narrate(f"now: tinytales corpus build --recipe {dataset.recipe} --root {out}")


def _narrate(line: str) -> None:
    print(line, file=sys.stderr)


def _progress(name: str, done: int, size: int) -> None:
    """One line that is written over, on a terminal only."""
    if sys.stderr.isatty():
        end = "\n" if done == size else ""
        line = f"\r{name}  {done / 1e6:,.0f} of {size / 1e6:,.0f} MB  {100 * done / size:.0f}%"
        print(line, file=sys.stderr, end=end, flush=True)
