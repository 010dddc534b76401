"""From a checkpoint to a bundle: quantize, build, prove, and only then give it its name.

    export_bundle(Path("runs/first/final"), Path("storyteller"), "int8")

Everything is written into a folder beside the target that is renamed at the end, so that an
interrupted or refused export leaves nothing behind.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinytales.bundle import MANIFEST, RUNTIMES, TOKENIZER, Bundle, Manifest, write_bundle_manifest
from tinytales.engine import open_engine
from tinytales.errors import TinytalesError, UsageError, nearest, require
from tinytales.export.checkpoint import Checkpoint
from tinytales.export.gguf_file import GGUF_FORMS, MODELFILE, write_gguf
from tinytales.export.gptq import CALIBRATION_TEXTS, calibration_tokens, quantize_with_feedback
from tinytales.export.onnx_graph import Weight, build_graph
from tinytales.export.proof import Proof, Subject, prove, training_texts
from tinytales.export.quantize import best_block, quantize
from tinytales.export.reference import Reference

ONNX_FORMS = ("int8", "int4", "fp32")
FORMS = (*ONNX_FORMS, *GGUF_FORMS)
#: The form without loss of each runtime.
FULL_PRECISION = {"onnxruntime": "fp32", "llama.cpp": "f32"}
CARD = "README.md"

Say = Callable[[str], None]


class ExportError(TinytalesError):
    """An export that cannot be written, or that failed its proof."""


@dataclass(frozen=True, slots=True)
class ProofRequest:
    """On what an export is proven, and what happens if it fails.

    Attributes:
        texts: stories that the model was not trained on.
        text_name: what reports call them.
        force: write the bundle even if a check fails.
    """

    texts: Sequence[str]
    text_name: str
    force: bool = False


def export_bundle(
    checkpoint: Path,
    out: Path | None = None,
    quantization: str = "int8",
    *,
    name: str = "",
    replace_existing: bool = False,
    proof: ProofRequest | None = None,
    say: Say = lambda line: None,
) -> Bundle:
    """Export the checkpoint in folder `checkpoint` to the bundle folder `out`.

    Args:
        out: by default `NAME-FORM` in the working folder.
        quantization: one of FORMS.
        name: of the bundle; by default the checkpoint's.
        replace_existing: a bundle in `out` may be replaced (anything else never is).
        proof: what to prove it on; None writes without proof (the command always proves).
        say: gets lines of narration and the table of the proof.

    Raises:
        CheckpointError: the checkpoint is damaged or not a plain Llama.
        ExportError: `out` exists or cannot be written, or a check failed.
        MissingExtra: a package is not installed.
    """
    if quantization not in FORMS:
        raise UsageError(f"unknown form {quantization!r}", hint=nearest(quantization, FORMS))
    model = Checkpoint.open(checkpoint)
    name = name or model.name
    out = out or Path(f"{name}-{quantization}")
    check_target(out, replace_existing)
    with new_folder(out) as folder:
        manifest = write_form(model, folder, quantization, name, say)
        if proof is not None:
            outcome = prove_folder(model, folder, proof, say)
            manifest = replace(
                manifest,
                bits_per_byte=outcome.figures["bits_per_byte"],
                checks=outcome.figures,
            )
            write_bundle_manifest(folder, manifest)
        write_card(folder)
        Bundle.open(folder)
    return Bundle.open(out)


def proof_request(text: Path | None, force: bool) -> ProofRequest:
    """What the commands prove on: the stories in file `text`, or originals held out of training."""
    from tinytales.export.measure import read_texts, shipped_texts

    if text is None:
        return ProofRequest(shipped_texts(), "originals held out", force)
    return ProofRequest(read_texts(text), text.name, force)


def write_form(
    model: Checkpoint, folder: Path, form: str, name: str, say: Say = lambda line: None
) -> Manifest:
    """Model, tokenizer and manifest of one form, into an existing folder."""
    runtime = "onnxruntime" if form in ONNX_FORMS else "llama.cpp"
    target = folder / RUNTIMES[runtime]
    if runtime == "onnxruntime":
        onnx = require("onnx", "export")
        onnx.save(build_graph(model, quantize_weights(model, form, say)), target)
    else:
        write_gguf(model, target, form, name)
        modelfile = MODELFILE.format(name=name, context=model.context_length)
        (folder / "Modelfile").write_text(modelfile, encoding="utf-8")
    shutil.copyfile(model.path / TOKENIZER, folder / TOKENIZER)
    manifest = new_manifest(model, runtime, form, name)
    write_bundle_manifest(folder, manifest)
    return manifest


def new_manifest(model: Checkpoint, runtime: str, form: str, name: str) -> Manifest:
    return Manifest(
        name=name,
        runtime=runtime,
        model=RUNTIMES[runtime],
        shape=model.shape,
        parameters=model.parameters,
        quantization=form,
        context_length=model.context_length,
        end_of_text=model.end_of_text,
        files={},  # filled by the writer
        licence=model.licence,
        sources=model.sources,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def quantize_weights(
    model: Checkpoint, form: str, say: Say = lambda line: None
) -> dict[str, Weight]:
    """Every matrix in the asked-for form. The embedding, which is the head too, keeps 8 bits."""
    if form == "fp32":
        return dict(model.matrices)
    block = best_block(matrix.shape[1] for matrix in model.matrices.values())
    if form == "int8":
        return {name: quantize(matrix, 8, block) for name, matrix in model.matrices.items()}
    say("int4: reading calibration texts")
    tokens = calibration(model)
    layers = quantize_with_feedback(model, Reference(model), tokens, 4, block, say)
    return {
        name: layers[name] if name in layers else quantize(matrix, 8, block)
        for name, matrix in model.matrices.items()
    }


def calibration(model: Checkpoint) -> NDArray[np.int64]:
    """Originals as tokens [documents, length], for forms that look at what the matrices read."""
    tokenizer = model.tokenizer()
    texts = training_texts()[: 12 * CALIBRATION_TEXTS]  # most are too short
    documents = [
        [model.end_of_text, *encoding.ids]
        for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)
    ]
    return calibration_tokens(documents, CALIBRATION_TEXTS, min(192, model.context_length))


def prove_folder(model: Checkpoint, folder: Path, request: ProofRequest, say: Say) -> Proof:
    """Prove the bundle in `folder` against its checkpoint; tell the table.

    Raises:
        ExportError: a check failed, and the request does not force; or it is no form to prove.
    """
    bundle = Bundle.open(folder)
    runtime = bundle.manifest.runtime
    if runtime == "transformers":
        raise ExportError(
            f"{folder} holds the checkpoint's own weights: there is nothing to prove",
            hint="verify a bundle of another form",
        )
    if runtime == "portable":
        from tinytales.export.portable import PortableEngine

        say("speed and invented words stay as exported: only optimum makes what they are held to")
        return prove_subject(model, Subject(bundle, PortableEngine(bundle)), None, request, say)
    full_form = FULL_PRECISION[runtime]
    with tempfile.TemporaryDirectory(prefix="tinytales-") as spare:
        full = None
        if bundle.manifest.quantization != full_form:
            write_form(model, Path(spare), full_form, model.name)
            full = _subject(Bundle.open(Path(spare)))
        return prove_subject(model, _subject(bundle), full, request, say)


def prove_subject(
    model: Checkpoint, subject: Subject, full: Subject | None, request: ProofRequest, say: Say
) -> Proof:
    """`proof.prove`, its table told, its failure an error. Closes the engines."""
    try:
        outcome = prove(
            subject, Reference(model), full, request.texts, text_name=request.text_name, say=say
        )
    finally:
        subject.engine.close()
        if full is not None:
            full.engine.close()
    say(outcome.table())
    if outcome.failed and not request.force:
        failed = "; ".join(f"{c.name}: {c.found}, limit {c.limit}" for c in outcome.failed)
        raise ExportError(
            f"the {subject.bundle.manifest.quantization} form of {model.path} failed its proof:"
            f" {failed}",
            hint="choose a form with more bits, or go on all the same with --force",
        )
    return outcome


def _subject(bundle: Bundle) -> Subject:
    return Subject(bundle, open_engine(bundle, threads=1))


def write_card(folder: Path) -> None:
    from tinytales.export.model_card import model_card

    card = model_card(Bundle.open(folder).manifest)
    (folder / CARD).write_text(card, encoding="utf-8")


def check_target(out: Path, replace_existing: bool) -> None:
    """Refuse a target that is taken, before any work is done.

    Raises ExportError.
    """
    if not out.exists():
        return
    if out.is_dir() and not any(out.iterdir()):
        return
    if not out.is_dir() or not (out / MANIFEST).is_file():
        raise ExportError(f"{out} exists and is no bundle", hint="choose another folder with --out")
    if not replace_existing:
        raise ExportError(f"{out} exists", hint="choose another with --out, or add --replace")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes `out` if the body ends well, and vanishes if not."""
    out = out.absolute()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise ExportError(f"cannot write into {out.parent}: {error.strerror}") from error
    try:
        yield beside
        beside.chmod(0o755)
        _swap(beside, out)
    except OSError as error:
        reason = error.strerror or f"{error} (is the disk full?)"  # numpy counts bytes
        raise ExportError(f"cannot write {out}: {reason}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _swap(beside: Path, out: Path) -> None:
    """Put `beside` in the place of `out`; the old one goes only when the new one stands."""
    old = beside.with_name(f"{beside.name}.old")
    if out.exists():
        out.replace(old)
    try:
        beside.replace(out)
    except OSError:
        if old.exists():
            old.replace(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def figures_of(bundle: Bundle) -> dict[str, Any]:
    """The figures that the manifest remembers, for --json."""
    manifest = bundle.manifest
    return {
        "path": str(bundle.path),
        "name": manifest.name,
        "quantization": manifest.quantization,
        "digest": bundle.digest,
        "bytes": bundle.size,
        "bits_per_byte": dict(manifest.bits_per_byte),
        "checks": dict(manifest.checks),
    }
