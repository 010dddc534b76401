"""From a checkpoint to small, checked bundles that run anywhere: ONNX and GGUF.

    from tinytales.export import export_bundle
    export_bundle(Path("runs/first/final"), Path("storyteller"), "int8")

checkpoint.py reads and checks weights; quantize.py and gptq.py shrink them; onnx_graph.py,
gguf_file.py, portable.py and hf_folder.py write the forms; reference.py, measure.py and proof.py
show that a form tells what its checkpoint tells; exporter.py puts it all together.
"""

from __future__ import annotations

from typing import Any

__all__ = ["export_bundle"]


def __getattr__(name: str) -> Any:
    if name == "export_bundle":
        from tinytales.export.exporter import export_bundle

        return export_bundle
    raise AttributeError(f"module 'tinytales.export' has no attribute {name!r}")
