"""Runtimes behind one protocol; `open_engine` picks the one that a bundle asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytales.engine.base import Engine
from tinytales.errors import EngineError

if TYPE_CHECKING:
    from tinytales.bundle import Bundle

__all__ = ["Engine", "open_engine"]


def open_engine(bundle: Bundle, threads: int | None = None) -> Engine:
    """Open the bundle's model in its runtime.

    Raises:
        BundleError: the runtime refuses the model file.
        MissingExtra: the runtime is not installed (llama.cpp is an extra).
        EngineError: the bundle is made for a runtime outside tinytales.
    """
    if bundle.manifest.runtime not in ("onnxruntime", "llama.cpp"):
        raise EngineError(
            f"{bundle.path} is made for {bundle.manifest.runtime}, not for tinytales itself",
            hint="its README.md shows how to run it; here, open an ONNX or GGUF bundle",
        )
    if bundle.manifest.runtime == "llama.cpp":
        from tinytales.engine.llama_cpp import LlamaCppEngine

        return LlamaCppEngine(bundle, threads)
    from tinytales.engine.ort import OrtEngine

    return OrtEngine(bundle, threads)
