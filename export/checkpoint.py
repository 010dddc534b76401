"""Reading a checkpoint without torch: `config.json`, `model.safetensors`, `tokenizer.json`.

    checkpoint = Checkpoint.open(Path("runs/first/final"))
    checkpoint.tensors["model.embed_tokens.weight"]       # float32, always

Everything is checked here, so that the exporters meet sound weights only. Pickle files are never
read, and their presence instead of safetensors is an error that says so.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinytales.bundle import END_OF_TEXT, TOKENIZER, Shape
from tinytales.errors import BundleError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WEIGHTS = "model.safetensors"
CORPUS = "corpus.json"
#: Suffixes of files that torch would unpickle, which can run any code.
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
#: Row lengths must fill whole quantization blocks.
MULTIPLE = 32
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


class CheckpointError(BundleError):
    """A checkpoint that is missing, damaged, or not a plain Llama."""


@dataclass(frozen=True)
class Checkpoint:
    """A plain Llama with tied embedding. `tensors` have the names of transformers, in float32."""

    path: Path
    config: dict[str, Any]
    shape: Shape
    context_length: int
    end_of_text: int
    tensors: dict[str, NDArray[np.float32]]

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """Read and check the checkpoint in folder `path`.

        Raises:
            CheckpointError: what is wrong with which file.
        """
        if not path.is_dir():
            raise CheckpointError(
                f"no checkpoint at {path}", hint="give a folder that tinytales train wrote"
            )
        config = _read_json(path / "config.json")
        shape, context_length = _read_shape(config, path / "config.json")
        tensors = _read_tensors(path)
        _check_tensors(tensors, shape, path / WEIGHTS)
        end_of_text = _check_tokenizer(path / TOKENIZER, shape.vocab_size)
        return cls(path, config, shape, context_length, end_of_text, tensors)

    @property
    def parameters(self) -> dict[str, int]:
        """The paper's models are named by the third number and weigh the first."""
        total = sum(tensor.size for tensor in self.tensors.values())
        embedding = self.shape.vocab_size * self.shape.hidden_size
        return {"total": total, "embedding": embedding, "non_embedding": total - embedding}

    @property
    def name(self) -> str:
        """The run's name: its folder, or that of the run that this is the `final` of."""
        folder = self.path.resolve()
        if folder.parent.name == "checkpoints":
            return folder.parent.parent.name
        return folder.parent.name if folder.name in ("final", "best") else folder.name

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The training texts, name and licence of each.

        From the `corpus.json` beside the weights, or that of the corpus which the recipe names.
        """
        for path in (self.path / CORPUS, self._corpus_folder() / CORPUS):
            if path.is_file():
                entries = _read_json(path).get("sources", [])
                keep = ("name", "licence", "documents")
                return [{k: e[k] for k in keep if k in e} for e in entries if isinstance(e, dict)]
        return []

    @property
    def licence(self) -> str:
        """The strictest of the sources' licences; nothing is said unless all are known."""
        return _strictest([str(source.get("licence", "")) for source in self.sources])

    def tokenizer(self) -> Tokenizer:
        return _open_tokenizer(self.path / TOKENIZER)

    def _corpus_folder(self) -> Path:
        path = self.path / "recipe.toml"
        try:
            recipe = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            return Path(recipe.get("data", {}).get("corpus", "") or self.path)
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error

    @property
    def matrices(self) -> dict[str, NDArray[np.float32]]:
        """The tensors that quantization changes; the norms stay as they are."""
        return {name: tensor for name, tensor in self.tensors.items() if tensor.ndim == 2}


def newest_checkpoint(runs: Path = Path("runs")) -> Path:
    """The newest run's checkpoint (final, else best, else the last step), else the shipped one.

    Raises:
        CheckpointError: there is neither.
    """
    metrics = sorted(runs.glob("*/metrics.jsonl"), key=lambda path: path.stat().st_mtime)
    for run in (path.parent for path in reversed(metrics)):
        steps = sorted(run.glob("checkpoints/step-*"), reverse=True)
        for folder in (run / "final", run / "best", *steps):
            if (folder / WEIGHTS).is_file():
                return folder
    import tinytales.assets

    shipped = Path(tinytales.assets.__path__[0]) / "checkpoint"
    if (shipped / WEIGHTS).is_file():
        return shipped
    raise CheckpointError(
        "no run here and no shipped checkpoint", hint="give a checkpoint folder, or train one"
    )


def _strictest(licences: list[str]) -> str:
    order = ("CC0-1.0", "MIT", "Apache-2.0", "CC-BY-4.0", "CDLA-Sharing-1.0", "CC-BY-SA-4.0")
    if not licences or any(licence not in order for licence in licences):
        return ""
    return max(licences, key=order.index)


def tensor_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors of a plain tied Llama."""
    hidden, ffn = shape.hidden_size, shape.ffn_size
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (shape.vocab_size, hidden),
        "model.norm.weight": (hidden,),
    }
    for layer in range(shape.layers):
        shapes |= {
            f"model.layers.{layer}.{name}.weight": size
            for name, size in {
                "input_layernorm": (hidden,),
                "self_attn.q_proj": (queries, hidden),
                "self_attn.k_proj": (keys, hidden),
                "self_attn.v_proj": (keys, hidden),
                "self_attn.o_proj": (hidden, queries),
                "post_attention_layernorm": (hidden,),
                "mlp.gate_proj": (ffn, hidden),
                "mlp.up_proj": (ffn, hidden),
                "mlp.down_proj": (hidden, ffn),
            }.items()
        }
    return shapes


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} is missing: this is not a checkpoint",
            hint="give a folder that tinytales train wrote",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} is no table of settings")
    return data


def _read_shape(config: dict[str, Any], path: Path) -> tuple[Shape, int]:
    if config.get("model_type", "llama") != "llama":
        raise CheckpointError(
            f"{path} describes a {config['model_type']!r} model; only plain Llama graphs are known"
        )
    for key in ("attention_bias", "mlp_bias"):
        if config.get(key):
            raise CheckpointError(f"{path} has {key}; only graphs without biases are known")
    if not config.get("tie_word_embeddings", False):
        raise CheckpointError(f"{path}: embedding and head are not tied (tie_word_embeddings)")
    if config.get("hidden_act", "silu") != "silu":
        raise CheckpointError(f"{path}: hidden_act is {config['hidden_act']!r}, not 'silu'")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", "default") != "default":
        raise CheckpointError(f"{path}: rotary scaling {rope['rope_type']!r} is not supported")
    try:
        heads = int(config["num_attention_heads"])
        hidden = int(config["hidden_size"])
        shape = Shape(
            vocab_size=int(config["vocab_size"]),
            hidden_size=hidden,
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or hidden // heads),
            ffn_size=int(config["intermediate_size"]),
            rope_theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0),
            rms_norm_eps=float(config.get("rms_norm_eps", 1e-6)),
        )
        context_length = int(config["max_position_embeddings"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(f"{path} lacks a size or has a wrong one: {error!r}") from error
    sizes = {
        "vocab_size": shape.vocab_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": context_length - 1,
    }
    for key, size in sizes.items():
        if size < 1:
            raise CheckpointError(f"{path}: {key} is too small")
    if shape.heads % shape.kv_heads or shape.head_dim % 8:
        raise CheckpointError(
            f"{path}: {shape.heads} heads over {shape.kv_heads} key-value heads of"
            f" {shape.head_dim} do not fit together (head_dim a multiple of 8)"
        )
    for key, size in {
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.ffn_size,
        "heads × head_dim": shape.heads * shape.head_dim,
    }.items():
        if size < MULTIPLE or size % MULTIPLE:
            raise CheckpointError(
                f"{path}: {key} is {size}, which no quantizer can cut into blocks of {MULTIPLE}",
                hint=f"train a model whose sizes are multiples of {MULTIPLE}",
            )
    return shape, context_length


def _read_tensors(folder: Path) -> dict[str, NDArray[np.float32]]:
    from tinytales.errors import require

    safetensors = require("safetensors", "export")
    path = folder / WEIGHTS
    if not path.is_file():
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES)
        if pickles:
            raise CheckpointError(
                f"{folder} has its weights as a pickle ({pickles[0]}), which can run any code"
                " and is never opened",
                hint=f"save it again as {WEIGHTS} (save_pretrained does)",
            )
        raise CheckpointError(f"{path} is missing")
    try:
        raw = safetensors.deserialize(path.read_bytes())
    except Exception as error:  # safetensors raises its own kind
        raise CheckpointError(f"{path} cannot be read: {error}", hint="copy it again") from error
    return {name: _to_float32(entry, f"{name} in {path}") for name, entry in raw}


def _to_float32(entry: dict[str, Any], where: str) -> NDArray[np.float32]:
    kind, data, size = entry["dtype"], entry["data"], entry["shape"]
    if kind == "BF16":  # numpy has no such type: it is the upper half of a float32
        wide = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(size)
    if kind not in _TYPES:
        raise CheckpointError(f"{where} has type {kind}, not a float")
    return np.frombuffer(data, _TYPES[kind]).astype(np.float32).reshape(size)


def _check_tensors(tensors: dict[str, NDArray[np.float32]], shape: Shape, path: Path) -> None:
    tied = tensors.pop("lm_head.weight", None)  # some writers store the tied head again
    table = tensors.get("model.embed_tokens.weight", 0)
    if tied is not None and not np.array_equal(tied, table):
        raise CheckpointError(f"{path}: lm_head differs from the embedding that it is tied to")
    expected = tensor_shapes(shape)
    for name, size in expected.items():
        if name not in tensors:
            raise CheckpointError(f"{path} lacks {name}")
        if tensors[name].shape != size:
            raise CheckpointError(
                f"{path}: {name} is {list(tensors[name].shape)}, but config.json says {list(size)}"
            )
        if not np.isfinite(tensors[name]).all():
            raise CheckpointError(
                f"{path}: {name} holds NaN or infinite weights: this training run went astray",
                hint="export an earlier checkpoint of the run",
            )
    strange = sorted(tensors.keys() - expected.keys())
    if strange:
        raise CheckpointError(f"{path} holds {strange[0]}, which is no part of a plain Llama")


def _open_tokenizer(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    if not path.is_file():
        raise CheckpointError(f"{path} is missing")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise CheckpointError(f"{path} is not a tokenizer: {error}") from error


def _check_tokenizer(path: Path, vocab_size: int) -> int:
    """The id of the end-of-text token."""
    tokenizer = _open_tokenizer(path)
    end_of_text = tokenizer.token_to_id(END_OF_TEXT)
    if end_of_text is None:
        raise CheckpointError(f"{path} has no token {END_OF_TEXT}")
    tokens = tokenizer.get_vocab_size()
    if tokens > vocab_size:
        raise CheckpointError(f"{path} has {tokens} tokens, but the model knows {vocab_size}")
    return int(end_of_text)
