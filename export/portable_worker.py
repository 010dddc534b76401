"""The part of `--portable` that runs in optimum's Python: export, scale rows, quantize.

    portable-env/bin/python portable_worker.py CHECKPOINT TARGET

It is called by its path and imports nothing of tinytales, which that Python does not have.
TARGET then holds `model.onnx` in full precision and `int8/rows_quantized.onnx`.

Dynamic quantization takes one scale from all tokens that are read at once. So one loud token
coarsens the others, and each is rounded otherwise in a long text than alone. Here every token has a
scale of its own (as in ZeroQuant, Yao et al. 2022), by standard operators: its row is divided by
its largest value before a product and multiplied back after it; all rows then reach to 1, and the
scale that optimum's quantizer computes for them becomes the constant that belongs to 1.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

QUANTIZED = "int8/rows_quantized.onnx"
#: No row is divided by less: one of zeros stays one of zeros.
TINY = 1e-12


def main(source: str, target: str) -> None:
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantizationMode, QuantType
    from optimum.exporters.onnx import main_export
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import QuantizationConfig

    folder = Path(target)
    main_export(source, target, task="text-generation-with-past", dtype="fp32", do_validation=False)
    model = onnx.load(folder / "model.onnx")
    scale_rows(model)
    onnx.save(model, folder / "rows.onnx")
    stored = {tensor.name for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    ORTQuantizer.from_pretrained(folder, file_name="rows.onnx").quantize(
        save_dir=folder / "int8",
        quantization_config=QuantizationConfig(
            is_static=False,
            format=QuantFormat.QOperator,
            mode=QuantizationMode.IntegerOps,
            activations_dtype=QuantType.QUInt8,
            weights_dtype=QuantType.QInt8,
            per_channel=True,
            operators_to_quantize=["MatMul", "Gather"],
            nodes_to_exclude=[node.name for node in products if node.input[1] not in stored],
        ),
    )
    model = onnx.load(folder / QUANTIZED)
    fix_scales(model)
    onnx.checker.check_model(model)
    onnx.save(model, folder / QUANTIZED)


def scale_rows(model: onnx.ModelProto) -> None:
    """Let every product with stored weights read rows that reach to 1; the model computes the same.

    The graph must be of opset 18 or later (there the axes of ReduceMax are an input).
    """
    import numpy as np
    from onnx import helper, numpy_helper

    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([-1], np.int64), "row_axis"),
            numpy_helper.from_array(np.array(TINY, np.float32), "row_tiny"),
        ]
    )
    scaled: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in stored:
            nodes.append(node)
            continue
        x, y = node.input[0], node.output[0]
        if x not in scaled:  # queries, keys and values read the same
            scaled.add(x)
            nodes += [
                helper.make_node("Abs", [x], [f"{x}_abs"], f"{x}_abs"),
                helper.make_node("ReduceMax", [f"{x}_abs", "row_axis"], [f"{x}_max"], f"{x}_max"),
                helper.make_node("Max", [f"{x}_max", "row_tiny"], [f"{x}_reach"], f"{x}_reach"),
                helper.make_node("Div", [x, f"{x}_reach"], [f"{x}_row"], f"{x}_row"),
            ]
        node.input[0], node.output[0] = f"{x}_row", f"{y}_row"
        nodes += [node, helper.make_node("Mul", [f"{y}_row", f"{x}_reach"], [y], f"{y}_back")]
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]  # which ends the nodes that were its own
    graph.node.extend(copies)


def fix_scales(model: onnx.ModelProto) -> None:
    """Round rows that reach to 1 by the scale of 1, where `DynamicQuantizeLinear` looks for one."""
    import numpy as np
    from onnx import numpy_helper

    graph = model.graph
    for node in graph.node:
        if node.op_type == "DynamicQuantizeLinear":
            scale, zero = node.output[1:]
            del node.output[1:]
            node.op_type = "QuantizeLinear"
            node.input.extend([scale, zero])
            graph.initializer.extend(
                [
                    numpy_helper.from_array(np.array(1 / 127, np.float32), scale),
                    numpy_helper.from_array(np.array(128, np.uint8), zero),
                ]
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
