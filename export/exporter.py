"""From a checkpoint to a bundle: quantize, build, prove, and only then give it its name.

    export_bundle(Path("runs/first/final"), Path("storyteller"), "int8")

Everything is written into a folder beside the target that is renamed at the end, so that an
interrupted or refused export leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tinytales.bundle import RUNTIMES, TOKENIZER, Bundle, Manifest, write_bundle_manifest
from tinytales.errors import TinytalesError, UsageError, nearest, require
from tinytales.export.checkpoint import Checkpoint
from tinytales.export.onnx_graph import Weight, build_graph
from tinytales.export.quantize import quantize

ONNX_FORMS = ("int8", "int4", "fp32")


class ExportError(TinytalesError):
    """An export that cannot be written, or that failed its proof."""


def export_bundle(
    checkpoint: Path,
    out: Path,
    quantization: str = "int8",
    *,
    name: str = "",
    replace: bool = False,
) -> Bundle:
    """Export the checkpoint in folder `checkpoint` to the bundle folder `out`.

    `replace` allows an existing bundle in `out` to be replaced.

    Raises:
        CheckpointError: the checkpoint is damaged or not a plain Llama.
        ExportError: `out` exists or cannot be written.
        MissingExtra: onnx is not installed.
    """
    if quantization not in ONNX_FORMS:
        raise UsageError(
            f"unknown form {quantization!r}", hint=nearest(quantization, ONNX_FORMS)
        )
    model = Checkpoint.open(checkpoint)
    with new_folder(out, replace) as folder:
        weights = quantize_weights(model, quantization)
        onnx = require("onnx", "export")
        onnx.save(build_graph(model, weights), folder / RUNTIMES["onnxruntime"])
        shutil.copyfile(checkpoint / TOKENIZER, folder / TOKENIZER)
        manifest = Manifest(
            name=name or checkpoint.resolve().name,
            runtime="onnxruntime",
            model=RUNTIMES["onnxruntime"],
            shape=model.shape,
            parameters=model.parameters,
            quantization=quantization,
            context_length=model.context_length,
            end_of_text=model.end_of_text,
            files={},
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_bundle_manifest(folder, manifest)
        Bundle.open(folder)
    return Bundle.open(out)


def quantize_weights(model: Checkpoint, quantization: str) -> dict[str, Weight]:
    """Every matrix in the asked-for form. The embedding, which is the head too, keeps 8 bits."""
    if quantization == "fp32":
        return dict(model.matrices)
    bits = {"int8": 8, "int4": 4}[quantization]
    return {
        name: quantize(matrix, 8 if "embed" in name else bits)
        for name, matrix in model.matrices.items()
    }


@contextmanager
def new_folder(out: Path, replace: bool) -> Iterator[Path]:
    """A folder beside `out` that becomes `out` if the body ends well, and vanishes if not."""
    if out.exists():
        if not replace:
            raise ExportError(f"{out} exists", hint="choose another folder, or add --replace")
        if not out.is_dir() or (any(out.iterdir()) and not (out / "bundle.json").is_file()):
            raise ExportError(f"{out} is no bundle, so it is not replaced")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise ExportError(f"cannot write beside {out}: {error.strerror}") from error
    try:
        yield beside
        beside.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        os.replace(beside, out)
    except OSError as error:
        raise ExportError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
