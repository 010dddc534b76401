"""The fused ONNX graph: ten operators a layer, one table for embedding and head.

    graph = build_graph(checkpoint, weights)      # weights: name -> float32 or Quantized
    onnx.save(graph, path)

Opset 21, and from `com.microsoft` (opset 1; made and tested with onnxruntime 1.32):

    MatMulNBits                    x · Wᵀ with W in 8 or 4 bits, block by block
    GatherBlockQuantized           rows of the same quantized table as embeddings
    GroupQueryAttention            packed q, k, v; rotary; the cache, in place
    SkipSimplifiedLayerNormalization   residual sum and RMSNorm in one
    QuickGelu (alpha 1)            x · sigmoid(x), which is SiLU

Fewer and larger operators are the point: at this size a token is bound by the number of dispatches,
not by memory. Only the last position meets the head, so that reading a prompt costs no logits.
Inputs and outputs are described in tinytales/engine/ort.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinytales.errors import require
from tinytales.export.checkpoint import Checkpoint
from tinytales.export.quantize import Quantized

if TYPE_CHECKING:
    import onnx

Weight = NDArray[np.float32] | Quantized

OPSET = 21
IR_VERSION = 10
MICROSOFT = "com.microsoft"
#: MatMulNBits may round the inputs of a block to 8 bits too, which the VNNI instructions want.
ACCURACY_INT8 = 4


class _Graph:
    """Collects nodes and initializers; every method returns the name of its output."""

    def __init__(self) -> None:
        self.onnx = require("onnx", "export")
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def constant(self, name: str, array: NDArray[Any]) -> str:
        array = np.ascontiguousarray(array) if array.ndim else array
        self.constants[name] = self.onnx.numpy_helper.from_array(array, name)
        return name

    def node(
        self, op: str, inputs: list[str], *outputs: str, domain: str = "", **options: Any
    ) -> str:
        self.nodes.append(
            self.onnx.helper.make_node(
                op, inputs, list(outputs), name=f"{outputs[0]}/{op}", domain=domain, **options
            )
        )
        return outputs[0]

    def linear(self, x: str, name: str, *weights: Weight) -> str:
        """x [..., columns] · Wᵀ, with the rows of several matrices packed into one."""
        first = weights[0]
        if not isinstance(first, Quantized):
            packed = np.concatenate([w for w in weights if not isinstance(w, Quantized)])
            return self.node("MatMul", [x, self.constant(f"{name}.weight", packed.T)], name)
        rows = [w for w in weights if isinstance(w, Quantized)]
        codes = self.constant(f"{name}.codes", np.concatenate([w.packed() for w in rows]))
        scales = self.constant(f"{name}.scales", np.concatenate([w.scales for w in rows]))
        return self.matmul_nbits(x, codes, scales, name, first, sum(w.shape[0] for w in rows))

    def matmul_nbits(
        self, x: str, codes: str, scales: str, name: str, like: Quantized, rows: int
    ) -> str:
        return self.node(
            "MatMulNBits",
            [x, codes, scales],
            name,
            domain=MICROSOFT,
            K=like.shape[1],
            N=rows,
            bits=like.bits,
            block_size=like.block,
            accuracy_level=ACCURACY_INT8,
        )


def build_graph(checkpoint: Checkpoint, weights: Mapping[str, Weight]) -> onnx.ModelProto:
    """The whole decoder. `weights` holds every matrix of the checkpoint, quantized or not."""
    graph = _Graph()
    shape = checkpoint.shape
    context = checkpoint.context_length
    norms = checkpoint.tensors

    angles = np.outer(
        np.arange(context),
        shape.rope_theta ** (-np.arange(0, shape.head_dim, 2, dtype=np.float64) / shape.head_dim),
    )
    graph.constant("cos", np.cos(angles).astype(np.float32))
    graph.constant("sin", np.sin(angles).astype(np.float32))

    table = weights["model.embed_tokens.weight"]
    residual = _embedding(graph, table)
    scale = graph.constant("norm.0", norms["model.layers.0.input_layernorm.weight"])
    x = graph.node(
        "SimplifiedLayerNormalization",
        [residual, scale],
        "normed.0",
        axis=-1,
        epsilon=shape.rms_norm_eps,
        stash_type=1,
    )
    for layer in range(shape.layers):
        x, residual = _layer(graph, checkpoint, weights, layer, x, residual)
    last = graph.node("Gather", [x, graph.constant("minus_one", np.array(-1))], "last", axis=1)
    _head(graph, last, table)

    helper, types = graph.onnx.helper, graph.onnx.TensorProto
    cache = ["batch", shape.kv_heads, context, shape.head_dim]
    inputs = [
        helper.make_tensor_value_info("input_ids", types.INT64, ["batch", "sequence"]),
        helper.make_tensor_value_info("seqlens_k", types.INT32, ["batch"]),
        helper.make_tensor_value_info("total_sequence_length", types.INT32, []),
    ]
    outputs = [helper.make_tensor_value_info("logits", types.FLOAT, ["batch", shape.vocab_size])]
    for layer in range(shape.layers):
        for part in ("key", "value"):
            past, present = f"past_{part}.{layer}", f"present_{part}.{layer}"
            inputs.append(helper.make_tensor_value_info(past, types.FLOAT, cache))
            outputs.append(helper.make_tensor_value_info(present, types.FLOAT, cache))
    return helper.make_model(
        helper.make_graph(
            graph.nodes, "tinytales", inputs, outputs, list(graph.constants.values())
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
        ir_version=IR_VERSION,
        producer_name="tinytales",
    )


def _embedding(graph: _Graph, table: Weight) -> str:
    if not isinstance(table, Quantized):
        return graph.node("Gather", [graph.constant("table", table), "input_ids"], "residual.0")
    rows, columns = table.shape
    graph.constant("table.codes", table.packed())
    graph.constant("table.scales", table.scales)
    # Free: the same bytes under the two-dimensional shape that this operator wants.
    flat = graph.constant("table.flat", np.array([rows, columns * table.bits // 8]))
    graph.node("Reshape", ["table.codes", flat], "table.rows")
    return graph.node(
        "GatherBlockQuantized",
        ["table.rows", "input_ids", "table.scales"],
        "residual.0",
        domain=MICROSOFT,
        bits=table.bits,
        block_size=table.block,
        gather_axis=0,
        quantize_axis=1,
    )


def _head(graph: _Graph, x: str, table: Weight) -> str:
    if isinstance(table, Quantized):
        rows = table.shape[0]
        return graph.matmul_nbits(x, "table.codes", "table.scales", "logits", table, rows)
    # Gemm reads the table as it lies; Transpose + MatMul would keep a second copy.
    return graph.node("Gemm", [x, "table"], "logits", transB=1)


def _scaled(weight: Weight, factor: float) -> Weight:
    """`weight` times `factor`: attention's 1/sqrt(head_dim) goes into the queries beforehand.

    Without a factor of its own, the operator may use matrix-vector kernels (a third of its time).
    """
    if isinstance(weight, Quantized):
        return replace(weight, scales=weight.scales * np.float32(factor))
    return weight * np.float32(factor)


def _layer(
    graph: _Graph,
    checkpoint: Checkpoint,
    weights: Mapping[str, Weight],
    layer: int,
    x: str,
    residual: str,
) -> tuple[str, str]:
    """One block; returns the normed input of the next and the residual stream (if it goes on)."""
    shape, norms = checkpoint.shape, checkpoint.tensors
    source, here = f"model.layers.{layer}", f"layer.{layer}"

    def weight(name: str) -> Weight:
        return weights[f"{source}.{name}.weight"]

    qkv = graph.linear(
        x,
        f"{here}.qkv",
        _scaled(weight("self_attn.q_proj"), shape.head_dim**-0.5),
        weight("self_attn.k_proj"),
        weight("self_attn.v_proj"),
    )
    attention = graph.node(
        "GroupQueryAttention",
        [
            qkv,
            "",
            "",
            f"past_key.{layer}",
            f"past_value.{layer}",
            "seqlens_k",
            "total_sequence_length",
            "cos",
            "sin",
        ],
        f"{here}.attention",
        f"present_key.{layer}",
        f"present_value.{layer}",
        domain=MICROSOFT,
        num_heads=shape.heads,
        kv_num_heads=shape.kv_heads,
        do_rotary=1,
        rotary_interleaved=0,
        scale=1.0,
    )
    out = graph.linear(attention, f"{here}.out", weight("self_attn.o_proj"))
    middle = f"{here}.residual"
    x = graph.node(
        "SkipSimplifiedLayerNormalization",
        [
            residual,
            out,
            graph.constant(f"{here}.norm", norms[f"{source}.post_attention_layernorm.weight"]),
        ],
        f"{here}.normed",
        "",
        "",
        middle,
        domain=MICROSOFT,
        epsilon=shape.rms_norm_eps,
    )
    both = graph.linear(x, f"{here}.gate_up", weight("mlp.gate_proj"), weight("mlp.up_proj"))
    graph.node("Split", [both], f"{here}.gate", f"{here}.up", axis=-1, num_outputs=2)
    silu = graph.node("QuickGelu", [f"{here}.gate"], f"{here}.silu", domain=MICROSOFT, alpha=1.0)
    gated = graph.node("Mul", [silu, f"{here}.up"], f"{here}.gated")
    down = graph.linear(gated, f"{here}.down", weight("mlp.down_proj"))

    following = layer + 1
    last = following == shape.layers
    name = "model.norm.weight" if last else f"model.layers.{following}.input_layernorm.weight"
    residual = f"residual.{following}"
    x = graph.node(
        "SkipSimplifiedLayerNormalization",
        [middle, down, graph.constant(f"norm.{following}", norms[name])],
        f"normed.{following}",
        *(() if last else ("", "", residual)),
        domain=MICROSOFT,
        epsilon=shape.rms_norm_eps,
    )
    return x, residual
