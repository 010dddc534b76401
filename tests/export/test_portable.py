"""The portable form: every token is rounded by a scale of its own, whatever is read beside it."""

# ruff: noqa: E402 — what may be missing is looked for first

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import onnxruntime as ort
from onnxruntime.quantization import QuantType, quantize_dynamic

from tinytales.export.portable_worker import fix_scales, scale_rows


def _two_products_and_one_of_computed(random: np.random.Generator) -> onnx.ModelProto:
    """x·A and x·B share what they read; (x·A)·(x·B)ᵀ has no stored weights."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    weights = {name: random.standard_normal((64, 32)).astype(np.float32) for name in "AB"}
    floats = onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("MatMul", ["x", "A"], ["a"], "to_a"),
        helper.make_node("MatMul", ["x", "B"], ["b"], "to_b"),
        helper.make_node("Transpose", ["b"], ["bt"], "turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["a", "bt"], ["c"], "both"),
    ]
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", floats, [1, "rows", 64])],
        [
            helper.make_tensor_value_info(name, floats, [1, "rows", None])
            for name in ("a", "b", "c")
        ],
        [numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


def _run(model: onnx.ModelProto | Path, x: np.ndarray) -> list[np.ndarray]:
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(source).run(["a", "b", "c"], {"x": x})


def test_scaled_rows_compute_the_same() -> None:
    random = np.random.default_rng(0)
    model = _two_products_and_one_of_computed(random)
    x = random.standard_normal((1, 5, 64)).astype(np.float32)
    x[0, 1] *= 1000
    x[0, 2] = 0  # as padding's row of an embedding may be
    before = _run(model, x)
    scale_rows(model)
    onnx.checker.check_model(model, full_check=True)
    for found, expected in zip(_run(model, x), before, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Div") == 1 and kinds.count("Mul") == 2  # rows once, each product back
    assert kinds.count("MatMul") == 3


def test_a_row_is_rounded_as_if_it_stood_alone(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((1, 6, 64)).astype(np.float32)
    x[0, 0] *= 50  # a loud one, which takes the scale from the others
    model = _two_products_and_one_of_computed(np.random.default_rng(1))
    exact = _run(model, x)[0][0]
    full, rows = tmp_path / "full.onnx", tmp_path / "rows.onnx"
    onnx.save(model, full)
    scale_rows(model)
    onnx.save(model, rows)

    def quantized(source: Path) -> onnx.ModelProto:
        small = source.with_suffix(".int8")
        quantize_dynamic(source, small, weight_type=QuantType.QInt8, nodes_to_exclude=["both"])
        return onnx.load(small)

    def loss_and_change(model: onnx.ModelProto) -> tuple[float, float]:
        """Error of the quiet rows, and how far they move when each is read alone."""
        together = _run(model, x)[0][0]
        alone = np.concatenate([_run(model, x[:, row : row + 1])[0][0] for row in range(6)])
        error = np.abs(together - exact)[1:].max()
        return float(error), float(np.abs(together - alone)[1:].max())

    by_rows = quantized(rows)
    fix_scales(by_rows)
    onnx.checker.check_model(by_rows)
    assert not {"DynamicQuantizeLinear"} & {node.op_type for node in by_rows.graph.node}
    assert {node.domain for node in by_rows.graph.node} == {""}  # standard operators only
    plain_loss, plain_change = loss_and_change(quantized(full))
    loss, change = loss_and_change(by_rows)
    assert change == 0 < plain_change
    assert loss < 0.1 * plain_loss
