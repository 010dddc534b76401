"""Checkpoints: a folder that `transformers.LlamaForCausalLM.from_pretrained` opens as it is.

    config.json  model.safetensors  tokenizer.json  generation_config.json  recipe.toml
    training_state.safetensors, training_state.json     for resuming only

A checkpoint is written beside and renamed, so that there is never half of one. No pickle.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from tinytales.bundle import END_OF_TEXT, TOKENIZER
from tinytales.errors import TinytalesError, UsageError
from tinytales.train.model import Llama, ModelShape

WEIGHTS = "model.safetensors"
STATE = "training_state.safetensors"
STATE_ABOUT = "training_state.json"


def save_checkpoint(
    folder: Path,
    model: Llama,
    tokenizer: Path,
    *,
    recipe: str = "",
    state: Mapping[str, Tensor] | None = None,
    about: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write `model` (and, for resuming, tensors and plain values) to `folder`.

    Raises:
        TinytalesError: it could not be written (a full disk); nothing half is left.
    """
    beside = folder.with_name(folder.name + ".tmp")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        weights = {
            name: value.detach().to("cpu", dtype).contiguous()
            for name, value in model.state_dict().items()
        }
        save_file(weights, beside / WEIGHTS, metadata={"format": "pt"})
        _write_json(beside / "config.json", llama_config(model.shape, dtype))
        _write_json(
            beside / "generation_config.json",
            {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "do_sample": True,
             "temperature": 0.8, "top_p": 0.95},
        )  # fmt: skip
        _write_json(
            beside / "tokenizer_config.json",
            {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": END_OF_TEXT,
             "eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT,
             "model_max_length": model.shape.context, "clean_up_tokenization_spaces": False},
        )  # fmt: skip
        shutil.copyfile(tokenizer, beside / TOKENIZER)
        if recipe:
            (beside / "recipe.toml").write_text(recipe, encoding="utf-8")
        if state is not None:
            save_file({k: v.detach().cpu().contiguous() for k, v in state.items()}, beside / STATE)
            _write_json(beside / STATE_ABOUT, about or {})
        for file in beside.glob("*.safetensors"):  # safetensors writes for this user alone
            file.chmod((beside / "config.json").stat().st_mode)
        if folder.exists():  # a checkpoint of the same step, or `final`: the new one replaces it
            old = folder.with_name(folder.name + ".old")
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
            beside.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            beside.rename(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise TinytalesError(
            f"the checkpoint {folder} could not be written: {error}",
            hint="free some space or choose another --out; earlier checkpoints are intact",
        ) from error
    return folder


def load_model(folder: Path) -> Llama:
    """The model of a checkpoint, float32.

    Raises:
        TinytalesError: no checkpoint, a damaged one, or one of another architecture.
    """
    shape = read_shape(folder)
    model = Llama(shape)
    try:
        weights = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise TinytalesError(
            f"{folder / WEIGHTS} cannot be read: {error}", hint="take another checkpoint"
        ) from error
    weights.pop("lm_head.weight", None)  # tied; some writers store it twice
    try:
        model.load_state_dict({k: v.float() for k, v in weights.items()})
    except RuntimeError as error:
        raise TinytalesError(
            f"{folder / WEIGHTS} does not fit config.json: {str(error).splitlines()[-1].strip()}"
        ) from error
    return model


def average_checkpoints(
    checkpoints: Sequence[Path], out: Path, shares: Sequence[float] = ()
) -> Path:
    """Write the mean of the weights of `checkpoints` (by `shares`, if they are not alike) to `out`.

    Runs that went on from one and the same model lie in one valley, and their mean lies deeper in
    it than any of them (Wortsman et al. 2022, model soups).

    Raises:
        UsageError: fewer than two, other shapes or vocabularies, or an `out` that exists.
    """
    if len(checkpoints) < 2 or len(shares or checkpoints) != len(checkpoints):
        raise UsageError(
            f"{len(checkpoints)} checkpoints and {len(shares)} shares",
            hint="give two checkpoints or more, and no share or one for each",
        )
    if shares and (min(shares) < 0 or not sum(shares)):
        raise UsageError(f"shares of {list(shares)}", hint="give shares of 0 and more, not all 0")
    if out.exists():
        raise UsageError(f"{out} exists", hint="choose another --out")
    models = [load_model(folder) for folder in checkpoints]
    first = models[0]
    vocabulary = (checkpoints[0] / TOKENIZER).read_bytes()
    for model, folder in zip(models, checkpoints, strict=True):
        alike = dataclasses.replace(model.shape, dropout=first.shape.dropout) == first.shape
        if not alike or (folder / TOKENIZER).read_bytes() != vocabulary:
            raise UsageError(
                f"{folder} has another shape or vocabulary than {checkpoints[0]}",
                hint="average runs that began with the same model",
            )
    total = sum(shares) if shares else len(models)
    parts = [share / total for share in shares or [1.0] * len(models)]
    states = [model.state_dict() for model in models]
    mean = {
        name: sum(part * state[name] for part, state in zip(parts, states, strict=True))
        for name in states[0]
    }
    first.load_state_dict(mean)
    recipe = checkpoints[0] / "recipe.toml"
    return save_checkpoint(
        out,
        first,
        checkpoints[0] / TOKENIZER,
        recipe=recipe.read_text(encoding="utf-8") if recipe.is_file() else "",
    )


def read_shape(folder: Path) -> ModelShape:
    """The shape that `config.json` tells."""
    path = folder / "config.json"
    try:
        c = json.loads(path.read_text(encoding="utf-8"))
        theta = c.get("rope_theta") or (c.get("rope_parameters") or {}).get("rope_theta", 10000.0)
        if c["model_type"] != "llama" or not c.get("tie_word_embeddings"):
            raise TinytalesError(f"{path}: not a Llama with tied embeddings")
        return ModelShape(
            vocab_size=c["vocab_size"],
            hidden_size=c["hidden_size"],
            layers=c["num_hidden_layers"],
            heads=c["num_attention_heads"],
            kv_heads=c.get("num_key_value_heads", c["num_attention_heads"]),
            ffn_size=c["intermediate_size"],
            context=c["max_position_embeddings"],
            rope_theta=float(theta),
            rms_norm_eps=c["rms_norm_eps"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TinytalesError(
            f"{folder} is not a checkpoint: {path.name}: {error}",
            hint="give a folder that tinytales train wrote, such as runs/NAME/final",
        ) from error


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What a run needs to go on: tensors and plain values."""
    try:
        with safe_open(folder / STATE, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads((folder / STATE_ABOUT).read_text(encoding="utf-8"))
    except (OSError, SafetensorError, ValueError) as error:
        raise TinytalesError(
            f"{folder} cannot be resumed: {error}",
            hint="resume from an earlier checkpoint, or begin anew in another folder",
        ) from error


def llama_config(shape: ModelShape, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """`config.json` for transformers."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.ffn_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": shape.context,
        "rope_theta": shape.rope_theta,
        "rms_norm_eps": shape.rms_norm_eps,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "torch_dtype": str(dtype).removeprefix("torch."),
    }


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
