"""`tinytales export`: a checkpoint becomes a bundle that runs anywhere, proven equal.

tinytales export                                   # the newest run, else the shipped checkpoint
tinytales export runs/first/final --int4 --out storyteller-int4
tinytales export --gguf q8_0
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False)


@app.command()
def export(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(
            help="A checkpoint folder; default: the newest run, else the shipped one.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to write; default: NAME-FORM here.", show_default=False),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="ONNX in 8 bits (the default).")] = False,
    int4: Annotated[bool, typer.Option("--int4", help="ONNX in 4 bits.")] = False,
    fp32: Annotated[bool, typer.Option("--fp32", help="ONNX in full precision.")] = False,
    gguf: Annotated[
        str, typer.Option(help="GGUF: f32, f16, q8_0, q5_0, q4_0 or q4_k_m.", show_default=False)
    ] = "",
    portable: Annotated[
        bool, typer.Option("--portable", help="ONNX with standard operators, by optimum.")
    ] = False,
    hf: Annotated[bool, typer.Option("--hf", help="A folder for transformers.")] = False,
    name: Annotated[str, typer.Option(help="The bundle's name; default: the recipe's.")] = "",
    text: Annotated[
        Path | None,
        typer.Option(help="Stories to prove it on (.txt, .jsonl, .xz); default: originals."),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(help="A Python that has the extra export-portable, for --portable."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an existing bundle.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write it even if the proof fails.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Turn a checkpoint into a small, checked bundle."""
    from tinytales.errors import UsageError
    from tinytales.export.checkpoint import newest_checkpoint
    from tinytales.export.exporter import FORMS, export_bundle, figures_of, proof_request

    flags = {"int8": int8, "int4": int4, "fp32": fp32, "portable": portable, "hf": hf}
    asked = [form for form, flag in flags.items() if flag]
    if gguf:
        asked.append(gguf.lower())
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} at once", hint="ask for one form at a time")
    form = asked[0] if asked else "int8"
    if gguf and (form not in FORMS or form in flags):
        raise UsageError(
            f"--gguf {gguf!r} is unknown", hint="choose f32, f16, q8_0, q5_0, q4_0 or q4_k_m"
        )
    source = newest_checkpoint() if checkpoint is None else checkpoint
    say(f"checkpoint {source}, form {form}")
    request = proof_request(text, force)
    if form == "portable":
        from tinytales.export.portable import export_portable as write
    elif form == "hf":
        from tinytales.export.hf_folder import export_hf as write
    else:
        write = export_bundle
    options: dict[str, Any] = {"python": python} if form == "portable" else {}
    if form not in ("portable", "hf"):
        options = {"quantization": form}
    bundle = write(
        source, out, name=name, replace_existing=replace, proof=request, say=say, **options
    )
    print(json.dumps(figures_of(bundle), ensure_ascii=False) if as_json else bundle.path)


def say(line: str) -> None:
    """Narration, on stderr."""
    print(line, file=sys.stderr, flush=True)
