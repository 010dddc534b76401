"""ONNX with standard operators only, through optimum: for runtimes without onnxruntime's own ones.

    tinytales export --portable --python portable-env/bin/python

optimum-onnx pins an old transformers, so it lives in an environment of its own:

    python -m venv portable-env
    portable-env/bin/pip install 'optimum-onnx==0.1.0' onnxruntime accelerate

The graph is exported and quantized (dynamic int8, weights by channel) in a subprocess of that
Python (portable_worker.py); the proof runs here, by an engine for optimum's inputs.

The worker does two things that optimum leaves undone, so that what is told does not hang on how
many tokens are read at once (docs/results.md, Export): every token has a scale of its own, and
products of two computed matrices stay as they are, with them the angles of the rotary embedding.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinytales.bundle import RUNTIMES, TOKENIZER, Bundle, write_bundle_manifest
from tinytales.engine.base import Engine, Logits
from tinytales.errors import BundleError, EngineError, MissingExtra
from tinytales.export.checkpoint import Checkpoint
from tinytales.export.exporter import (
    ExportError,
    ProofRequest,
    check_target,
    new_folder,
    new_manifest,
    prove_subject,
    write_card,
)
from tinytales.export.hf_folder import export_hf
from tinytales.export.portable_worker import QUANTIZED
from tinytales.export.proof import Subject

FORM = "portable-int8"
SETUP = (
    "python -m venv portable-env && portable-env/bin/pip install 'optimum-onnx==0.1.0' onnxruntime"
    " accelerate, then --python portable-env/bin/python"
)

#: Runs in the other Python.
_WORKER = Path(__file__).with_name("portable_worker.py")


def export_portable(
    checkpoint: Path,
    out: Path | None = None,
    *,
    name: str = "",
    replace_existing: bool = False,
    proof: ProofRequest | None = None,
    say: Callable[[str], None] = lambda line: None,
    python: Path | None = None,
) -> Bundle:
    """Export by the optimum of `python` (default: this one).

    Raises:
        MissingExtra: that Python has no optimum.
        CheckpointError, ExportError: as `export_bundle`.
    """
    model = Checkpoint.open(checkpoint)
    name = name or model.name
    out = out or Path(f"{name}-portable")
    check_target(out, replace_existing)
    interpreter = str(python or sys.executable)
    _need_optimum(interpreter)
    with tempfile.TemporaryDirectory(prefix="tinytales-") as spare, new_folder(out) as folder:
        source, made = Path(spare) / "hf", Path(spare) / "onnx"
        export_hf(checkpoint, source)
        say("optimum exports and quantizes")
        _run(interpreter, source, made)
        full = made / "model.onnx"
        quantized = made / QUANTIZED
        shutil.copyfile(quantized, folder / RUNTIMES["portable"])
        shutil.copyfile(checkpoint / TOKENIZER, folder / TOKENIZER)
        manifest = new_manifest(model, "portable", FORM, name)
        write_bundle_manifest(folder, manifest)
        if proof is not None:
            bundle = Bundle.open(folder)
            outcome = prove_subject(
                model,
                Subject(bundle, PortableEngine(bundle)),
                Subject(bundle, PortableEngine(bundle, model_path=full), full),
                proof,
                say,
            )
            bits = outcome.figures["bits_per_byte"]
            manifest = replace(manifest, bits_per_byte=bits, checks=outcome.figures)
            write_bundle_manifest(folder, manifest)
        write_card(folder)
        Bundle.open(folder)
    return Bundle.open(out)


def _need_optimum(interpreter: str) -> None:
    command = [interpreter, "-I", "-c", "import optimum.exporters.onnx, optimum.onnxruntime"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ExportError(f"{interpreter} cannot be run: {error.strerror}", hint=SETUP) from error
    if done.returncode:
        raise MissingExtra(f"{interpreter} has no optimum for ONNX", hint=SETUP)


def _run(interpreter: str, source: Path, target: Path) -> None:
    command = [interpreter, "-I", str(_WORKER), str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not (target / QUANTIZED).is_file():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ExportError(f"optimum failed: {last}", hint=SETUP)


class PortableEngine:
    """Runs optimum's graphs. Caches go in and come out whole: for proofs, not for speed."""

    def __init__(self, bundle: Bundle, threads: int = 1, model_path: Path | None = None) -> None:
        import onnxruntime as ort

        shape = bundle.manifest.shape
        self.name = f"onnxruntime {ort.__version__}, portable graph"
        self.vocab_size, self.context_length = shape.vocab_size, bundle.manifest.context_length
        self.threads = threads
        self.model_path = model_path or bundle.model_path
        self._empty = (shape.kv_heads, 0, shape.head_dim)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        try:
            self._session: Any = ort.InferenceSession(str(self.model_path), options)
        except Exception as error:  # onnxruntime raises its own kinds
            raise BundleError(f"onnxruntime refuses {self.model_path}: {error}") from error
        self._inputs = {value.name for value in self._session.get_inputs()}
        self._outputs = [value.name for value in self._session.get_outputs()]
        self._caches: dict[str, Any] = {}
        self._position = 0

    @property
    def position(self) -> int:
        return self._position

    def prefill(self, tokens: Sequence[int], batch: int = 1) -> Logits:
        empty = np.zeros((batch, *self._empty), np.float32)
        self._caches = {n: empty for n in self._inputs if n.startswith("past_key_values")}
        self._position = 0
        return self._step(np.tile(np.array(tokens, np.int64), (batch, 1)))

    def decode(self, tokens: Sequence[int]) -> Logits:
        if self._position >= self.context_length:
            raise EngineError(f"the context of {self.context_length} tokens is full")
        return self._step(np.array(tokens, np.int64)[:, None])

    def rewind(self, position: int) -> None:
        self._caches = {name: cache[:, :, :position] for name, cache in self._caches.items()}
        self._position = position

    def crew(self) -> list[Engine]:
        return [self]

    def keep(self, rows: Sequence[int]) -> None:
        self._caches = {name: cache[[*rows]] for name, cache in self._caches.items()}

    def close(self) -> None:
        self._session, self._caches = None, {}

    def _step(self, ids: Any) -> Logits:
        batch, length = ids.shape
        end = self._position + length
        feeds = {
            "input_ids": ids,
            "attention_mask": np.ones((batch, end), np.int64),
            "position_ids": np.tile(np.arange(self._position, end), (batch, 1)),
            **self._caches,
        }
        feeds = {name: value for name, value in feeds.items() if name in self._inputs}
        results = dict(zip(self._outputs, self._session.run(None, feeds), strict=True))
        self._caches = {
            name.replace("present", "past_key_values"): value
            for name, value in results.items()
            if name.startswith("present")
        }
        self._position = end
        logits: Logits = results["logits"][:, -1]
        return logits
