"""`tinytales verify`: prove again that a bundle tells what its checkpoint tells.

tinytales verify storyteller-int8 --checkpoint runs/first/final
tinytales verify                      # the shipped bundle against the shipped checkpoint
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def verify(
    bundle: Annotated[
        Path | None,
        typer.Argument(help="A bundle folder; default: the shipped one.", show_default=False),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="What it was exported from; default: the shipped checkpoint."),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="Stories to prove it on (.txt, .jsonl, .xz); default: originals."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Prove a bundle against its checkpoint; exit code 1 if a check fails."""
    from tinytales.bundle import Bundle, default_bundle_path
    from tinytales.export.checkpoint import Checkpoint
    from tinytales.export.exporter import ExportError, proof_request, prove_folder

    opened = Bundle.open(bundle)
    shipped = default_bundle_path().with_name("checkpoint")
    model = Checkpoint.open(checkpoint or shipped)
    if model.shape != opened.manifest.shape:
        raise ExportError(
            f"{opened.path} was not exported from {model.path}: their shapes differ",
            hint="name its checkpoint with --checkpoint",
        )
    narrate(f"{opened.path} ({opened.manifest.quantization}) against {model.path}")
    outcome = prove_folder(model, opened.path, proof_request(text, force=False), narrate)
    if as_json:
        print(json.dumps(outcome.figures, ensure_ascii=False))


def narrate(line: str) -> None:
    """Progress and the table, on stderr."""
    print(line, file=sys.stderr, flush=True)
