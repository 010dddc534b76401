"""Bad checkpoints and targets: one clear error, and nothing half-written."""

# ruff: noqa: E402 — what may be missing is looked for first

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

safetensors = pytest.importorskip("safetensors.numpy")
pytest.importorskip("onnx")

from tinytales.errors import TinytalesError, UsageError
from tinytales.export import export_bundle
from tinytales.export.checkpoint import Checkpoint, CheckpointError, newest_checkpoint

Spoil = Callable[[Path], object]


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


def _config(**changes: object) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def _tensors(change: Callable[[dict[str, np.ndarray]], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / "model.safetensors"
        tensors = {k: v.copy() for k, v in safetensors.load_file(path).items()}
        change(tensors)
        safetensors.save_file(tensors, path)

    return spoil


def _nan(tensors: dict[str, np.ndarray]) -> None:
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = np.nan


def _narrow(tensors: dict[str, np.ndarray]) -> None:
    tensors["model.layers.0.mlp.down_proj.weight"] = np.zeros((64, 96), np.float32)


def _bias(tensors: dict[str, np.ndarray]) -> None:
    tensors["model.layers.0.mlp.down_proj.bias"] = np.zeros(64, np.float32)


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_pickled, "pickle"),
        (_cut, "cannot be read"),
        (lambda f: (f / "model.safetensors").unlink(), "is missing"),
        (lambda f: (f / "config.json").unlink(), "not a checkpoint"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "config.json").write_text("[]"), "no table"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "not a tokenizer"),
        (_config(model_type="gpt2"), "only plain Llama"),
        (_config(attention_bias=True), "biases"),
        (_config(tie_word_embeddings=False), "not tied"),
        (_config(hidden_act="gelu"), "gelu"),
        (_config(num_hidden_layers="two"), "wrong one"),
        (_config(num_hidden_layers=0), "too small"),
        (_config(num_hidden_layers=3), "lacks model.layers.2"),
        (_config(num_attention_heads=3, num_key_value_heads=2), "do not fit together"),
        (_config(intermediate_size=100), "multiples? of 32|blocks of 32"),
        (_config(vocab_size=100), "says"),
        (_config(rope_scaling={"rope_type": "yarn", "factor": 2}), "yarn"),
        (_tensors(_nan), "NaN"),
        (_tensors(_narrow), r"is \[64, 96\]"),
        (_tensors(_bias), "no part of a plain Llama"),
        (_tensors(lambda t: t.pop("model.norm.weight")), "lacks model.norm.weight"),
    ],
)
def test_bad_checkpoint(checkpoint: Path, tmp_path: Path, spoil: Spoil, message: str) -> None:
    spoil(checkpoint)
    with pytest.raises(CheckpointError, match=message):
        export_bundle(checkpoint, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint"]


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        export_bundle(tmp_path / "nowhere", tmp_path / "out")


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_precisions_are_read(checkpoint: Path, kind: type) -> None:
    before = Checkpoint.open(checkpoint).tensors["model.norm.weight"]
    _tensors(lambda t: t.update({k: v.astype(kind) for k, v in t.items()}))(checkpoint)
    after = Checkpoint.open(checkpoint).tensors["model.norm.weight"]
    assert after.dtype == np.float32
    np.testing.assert_allclose(after, before, rtol=1e-3)


def test_bfloat16_is_read(checkpoint: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    path = checkpoint / "model.safetensors"
    halves = {k: v.to(torch.bfloat16) for k, v in load_file(path).items()}
    save_file(halves, path)
    tensors = Checkpoint.open(checkpoint).tensors
    for name, half in halves.items():
        np.testing.assert_array_equal(tensors[name], half.float().numpy())


@pytest.mark.parametrize("what", ["bundle", "file", "folder"])
def test_an_existing_target_stays(tiny_checkpoint: Path, tmp_path: Path, what: str) -> None:
    out = tmp_path / "out"
    if what == "bundle":
        export_bundle(tiny_checkpoint, out)
    elif what == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "diary.txt").write_text("mine")
    with pytest.raises(TinytalesError, match="exists"):
        export_bundle(tiny_checkpoint, out)
    replace = what != "bundle"  # what is no bundle is never replaced
    if replace:
        with pytest.raises(TinytalesError, match="is no bundle"):
            export_bundle(tiny_checkpoint, out, replace_existing=True)
    else:
        export_bundle(tiny_checkpoint, out, "fp32", replace_existing=True)
        assert json.loads((out / "bundle.json").read_text())["quantization"] == "fp32"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_a_target_that_cannot_be_written(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TinytalesError, match="cannot write"):
        export_bundle(tiny_checkpoint, tmp_path / "file" / "out")


def test_an_interrupted_export_leaves_nothing(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinytales.export import exporter

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(exporter, "write_card", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_bundle(tiny_checkpoint, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_unknown_form(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        export_bundle(tiny_checkpoint, tmp_path / "out", "int9")
    assert "int8" in caught.value.hint


def test_k_quants_say_what_they_need(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="multiples of 256"):
        export_bundle(tiny_checkpoint, tmp_path / "out", "q4_k_m")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from tinytales.errors import MissingExtra

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra) as caught:
        export_bundle(tiny_checkpoint, tmp_path / "out")
    assert "tinytales[export]" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_portable_export_says_how_to_set_up(tiny_checkpoint: Path, tmp_path: Path) -> None:
    from tinytales.export.portable import export_portable

    with pytest.raises(TinytalesError) as caught:
        export_portable(tiny_checkpoint, tmp_path / "out", python=tmp_path / "no-python")
    assert "optimum-onnx" in caught.value.hint


def test_newest_checkpoint(tmp_path: Path, tiny_checkpoint: Path) -> None:
    import os

    for age, name in enumerate(("new", "old")):
        run = tmp_path / "runs" / name
        shutil.copytree(tiny_checkpoint, run / "checkpoints" / "step-000010")
        shutil.copytree(tiny_checkpoint, run / "checkpoints" / "step-000020")
        (run / "metrics.jsonl").write_text("")
        os.utime(run / "metrics.jsonl", (1000 - age, 1000 - age))
    assert newest_checkpoint(tmp_path / "runs") == (
        tmp_path / "runs" / "new" / "checkpoints" / "step-000020"
    )
    shutil.copytree(tiny_checkpoint, tmp_path / "runs" / "new" / "final")
    assert newest_checkpoint(tmp_path / "runs").name == "final"
