"""`tinytales export`: a checkpoint becomes a bundle that runs anywhere, proven equal.

tinytales export                                   # the newest run, else the shipped checkpoint
tinytales export runs/first/final --int4 --out storyteller-int4
tinytales export --gguf q8_0
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def export(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(help="A checkpoint folder; default: the newest run, else the shipped one."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="ONNX in 8 bits (the default).")] = False,
    int4: Annotated[bool, typer.Option("--int4", help="ONNX in 4 bits.")] = False,
    fp32: Annotated[bool, typer.Option("--fp32", help="ONNX in full precision.")] = False,
    name: Annotated[str, typer.Option(help="The bundle's name.")] = "",
    replace: Annotated[bool, typer.Option(help="Replace an existing bundle.")] = False,
) -> None:
    """Turn a checkpoint into a small, checked bundle."""
    from tinytales.errors import UsageError
    from tinytales.export.exporter import export_bundle

    asked = [form for form, flag in (("int8", int8), ("int4", int4), ("fp32", fp32)) if flag]
    if len(asked) > 1:
        raise UsageError(f"--{asked[0]} and --{asked[1]} together", hint="ask for one form")
    form = asked[0] if asked else "int8"
    if checkpoint is None:
        raise UsageError("no checkpoint", hint="give a checkpoint folder")
    bundle = export_bundle(checkpoint, out or Path(f"{checkpoint.resolve().name}-{form}"), form,
                           name=name, replace=replace)
    print(bundle.path)
