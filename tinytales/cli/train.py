"""`tinytales train`: from a recipe to a checkpoint.

tinytales train --recipe smoke
tinytales train --recipe storyteller --set data.corpus=prepared --out runs/mine
tinytales train --resume runs/mine
tinytales train --recipe finetune --from assets/checkpoint --set data.corpus=prepared
tinytales train plot runs/mine runs/other --out curves.png
tinytales train average runs/mine/final runs/other/final --out runs/mean
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, invoke_without_command=True)


@app.callback()
def train(
    ctx: typer.Context,
    recipe: Annotated[
        str, typer.Option(help="A recipe's name (see --recipes) or a .toml file.")
    ] = "smoke",
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; default: runs/RECIPE.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value; again for more.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    start_from: Annotated[
        Path | None,
        typer.Option("--from", help="Begin with the weights of this checkpoint or run."),
    ] = None,
    recipes: Annotated[bool, typer.Option("--recipes", help="List the recipes.")] = False,
) -> None:
    """Train a tiny model; Ctrl-C saves and leaves, --resume goes on."""
    if ctx.invoked_subcommand is not None:
        return
    from tinytales.errors import UsageError, require

    require("torch", "train")
    from tinytales.train import run
    from tinytales.train.recipe import load_recipe, shipped_recipes

    if recipes:
        for name in shipped_recipes():
            shape = load_recipe(name).model
            count = shape.parameters()
            print(
                f"{name:<16} {shape.hidden_size:>5} x {shape.layers:<2} "
                f"{count['total']:>11,} parameters, {count['embedding']:,} of them embedding"
            )
        return
    if resume is not None:
        if start_from is not None:
            raise UsageError(
                "--from begins a run, --resume goes on with one", hint="give one of them"
            )
        if not (resume / "recipe.toml").is_file():
            raise UsageError(f"{resume} is no run", hint="give its folder, such as runs/smoke")
        chosen = load_recipe(str(resume / "recipe.toml"), changes or ())
        folder, stopped = run.resume(chosen, resume)
    else:
        chosen = load_recipe(recipe, changes or ())
        folder, stopped = run.begin(chosen, out or run.RUNS / Path(recipe).stem, start_from)
    print(folder)
    if stopped is not None:
        print(f"stopped by {signal.Signals(stopped).name}", file=sys.stderr)
        raise typer.Exit(128 + stopped)


@app.command()
def plot(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    out: Annotated[Path, typer.Option(help="The picture: .png, .svg or .pdf.")] = Path(
        "curves.png"
    ),
) -> None:
    """Draw loss curves side by side, and print where they ended."""
    from tinytales.errors import require

    require("matplotlib", "train")
    from tinytales.train.plot import draw, table

    print(table(draw(runs, out)))
    print(out, file=sys.stderr)


@app.command()
def average(
    checkpoints: Annotated[list[Path], typer.Argument(help="Checkpoints of one shape.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("runs/average"),
    share: Annotated[
        list[float] | None, typer.Option(help="What each counts, in order; else all alike.")
    ] = None,
) -> None:
    """Average the weights of runs that went on from one model: better than any of them."""
    from tinytales.errors import require

    require("torch", "train")
    from tinytales.train.checkpoint import average_checkpoints

    print(average_checkpoints(checkpoints, out, share or ()))
