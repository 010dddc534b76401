"""GGUF files for llama.cpp, Ollama and LM Studio, written with the `gguf` package alone.

    write_gguf(checkpoint, Path("model.gguf"), "q8_0")

llama.cpp wants the rows of Q and K in another order (its rotary turns neighbors, transformers'
turns halves), and the tokenizer inside the file: `gpt2` with the pre-tokenizer `gpt-2`, which is
what a byte-level BPE with the GPT-2 pattern is. Mixed K-quants are made by llama.cpp itself.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinytales.bundle import TOKENIZER
from tinytales.errors import TinytalesError, require
from tinytales.export.checkpoint import Checkpoint, CheckpointError

#: Forms and the type of their matrices. The embedding, which is the head too, keeps 8 bits at
#: least: it touches every token twice.
GGUF_FORMS = {
    "f32": "F32",
    "f16": "F16",
    "q8_0": "Q8_0",
    "q5_0": "Q5_0",
    "q4_0": "Q4_0",
    "q4_k_m": "Q4_K",
}
_EMBEDDING = {"F32": "F32", "F16": "F16"}
#: K-quants take blocks of 256 weights.
K_BLOCK = 256

#: What Ollama and LM Studio put around what is typed: the header that the model was trained on.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "Summary: {{ message['content'] }}\nStory:\n{% endif %}{% endfor %}"
)
MODELFILE = '''# ollama create {name} -f Modelfile && ollama run {name} "A fox finds a kite."
FROM ./model.gguf
TEMPLATE """Summary: {{{{ .Prompt }}}}
Story:
"""
PARAMETER stop "<|endoftext|>"
PARAMETER temperature 0.8
PARAMETER top_p 0.95
PARAMETER min_p 0.02
PARAMETER num_ctx {context}
'''


def write_gguf(checkpoint: Checkpoint, path: Path, form: str, name: str = "tinytales") -> None:
    """Write the checkpoint in `form`, a key of GGUF_FORMS.

    Raises:
        MissingExtra: gguf (or, for K-quants, llama-cpp-python) is not installed.
        CheckpointError: sizes that the form cannot take.
    """
    kind = GGUF_FORMS[form]
    if kind != "Q4_K":
        _write(checkpoint, path, kind, name)
        return
    for key, size in {
        "hidden_size": checkpoint.shape.hidden_size,
        "intermediate_size": checkpoint.shape.ffn_size,
        "heads × head_dim": checkpoint.shape.heads * checkpoint.shape.head_dim,
    }.items():
        if size % K_BLOCK:
            raise CheckpointError(
                f"{checkpoint.path}: {key} is {size}; K-quants take multiples of {K_BLOCK}",
                hint="q8_0, q5_0 and q4_0 take multiples of 32",
            )
    llama = require("llama_cpp", "gguf")
    full = path.with_name(f"{path.name}.f32")
    try:
        _write(checkpoint, full, "F32", name)
        _quantize_by_llama(llama, full, path)
    finally:
        full.unlink(missing_ok=True)


def types_used(path: Path) -> dict[str, int]:
    """Which types the tensors of a file really have: type -> number of tensors."""
    gguf = require("gguf", "export")
    return dict(Counter(t.tensor_type.name for t in gguf.GGUFReader(path).tensors).most_common())


def _quantize_by_llama(llama: Any, source: Path, target: Path) -> None:
    from tinytales.engine.llama_cpp import _be_quiet

    _be_quiet(llama)
    params = llama.llama_model_quantize_default_params()
    params.ftype = llama.LLAMA_FTYPE_MOSTLY_Q4_K_M
    params.nthread = 1
    params.token_embedding_type = 8  # GGML_TYPE_Q8_0
    import ctypes

    code = llama.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(params)
    )
    if code:
        raise TinytalesError(f"llama.cpp could not quantize: code {code}")


def _write(checkpoint: Checkpoint, path: Path, kind: str, name: str) -> None:
    gguf = require("gguf", "export")
    shape = checkpoint.shape
    writer = gguf.GGUFWriter(str(path), "llama")
    file_types = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "Q5_0": 8}
    writer.add_name(name)
    writer.add_file_type(file_types[kind])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_context_length(checkpoint.context_length)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn_size)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    _add_tokenizer(writer, gguf, checkpoint)
    for theirs, tensor in _tensors(checkpoint):
        wanted = _EMBEDDING.get(kind, "Q8_0") if theirs == "token_embd.weight" else kind
        if tensor.ndim == 1 or wanted == "F32":
            writer.add_tensor(theirs, np.ascontiguousarray(tensor, dtype=np.float32))
        elif wanted == "F16":
            writer.add_tensor(theirs, tensor.astype(np.float16))
        else:
            quantization = gguf.GGMLQuantizationType[wanted]
            blocks = gguf.quants.quantize(np.ascontiguousarray(tensor), quantization)
            writer.add_tensor(theirs, blocks, raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(checkpoint: Checkpoint) -> list[tuple[str, NDArray[np.float32]]]:
    """All tensors under llama.cpp's names, with Q and K in its order."""
    shape, ours = checkpoint.shape, checkpoint.tensors
    tensors = [
        ("token_embd.weight", ours["model.embed_tokens.weight"]),
        ("output_norm.weight", ours["model.norm.weight"]),
    ]
    names = {
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    heads = {"attn_q": shape.heads, "attn_k": shape.kv_heads}
    for layer in range(shape.layers):
        for theirs, name in names.items():
            tensor = ours[f"model.layers.{layer}.{name}.weight"]
            if theirs in heads:
                tensor = interleave(tensor, heads[theirs])
            tensors.append((f"blk.{layer}.{theirs}.weight", tensor))
    return tensors


def interleave(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of each head from (first halves, second halves) to (pair, pair, …)."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, 2, rows // heads // 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def _add_tokenizer(writer: Any, gguf: Any, checkpoint: Checkpoint) -> None:
    data = json.loads((checkpoint.path / TOKENIZER).read_text(encoding="utf-8"))
    model = data["model"]
    if model.get("type") != "BPE" or "ByteLevel" not in json.dumps(data.get("pre_tokenizer")):
        raise CheckpointError(
            f"{checkpoint.path / TOKENIZER} is no byte-level BPE, the one kind that is written"
        )
    size = checkpoint.shape.vocab_size
    tokens = [f"[UNUSED{i}]" for i in range(size)]
    types = [gguf.TokenType.UNUSED] * size
    for token, i in model["vocab"].items():
        tokens[i], types[i] = token, gguf.TokenType.NORMAL
    for added in data["added_tokens"]:
        special = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], special
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id):
        add(checkpoint.end_of_text)
    writer.add_add_bos_token(True)  # every document begins with it, in training too
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)
