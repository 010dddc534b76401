"""Opening a bundle: every fault is one clear error that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tinytales.bundle import Bundle
from tinytales.errors import BundleError


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def test_opens_what_was_exported(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    assert opened.size == sum(
        p.stat().st_size for p in bundle.iterdir() if p.name not in ("bundle.json", "README.md")
    )
    assert opened.tokenizer.get_vocab_size() == opened.manifest.shape.vocab_size
    assert Bundle.open(bundle / "bundle.json").digest == opened.digest
    assert Bundle.open(bundle / "model.onnx").digest == opened.digest


def edit(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = folder / "bundle.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def flip_a_byte(folder: Path) -> None:
    path = folder / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(folder: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:-100])


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "one flipped byte": (flip_a_byte, "altered"),
    "truncated": (cut_short, "cut short"),
    "model missing": (lambda f: (f / "model.onnx").unlink(), "missing"),
    "tokenizer missing": (lambda f: (f / "tokenizer.json").unlink(), "missing"),
    "manifest missing": (lambda f: (f / "bundle.json").unlink(), "not a tinytales bundle"),
    "manifest garbled": (lambda f: (f / "bundle.json").write_bytes(b"\xff\x00{"), "cannot be read"),
    "manifest is a list": (lambda f: (f / "bundle.json").write_text("[]"), "not a tinytales"),
    "manifest nested": (lambda f: (f / "bundle.json").write_text("[" * 10**5), "cannot be read"),
    "newer version": (lambda f: edit(f, lambda d: d.update(format_version=99)), "version 99"),
    "odd version": (lambda f: edit(f, lambda d: d.update(format_version="x")), "version 'x'"),
    "no shape": (lambda f: edit(f, lambda d: d.pop("shape")), "incomplete"),
    "zero layers": (lambda f: edit(f, lambda d: d["shape"].update(layers=0)), "impossible"),
    "foreign runtime": (lambda f: edit(f, lambda d: d.update(runtime="vllm")), "incomplete"),
    "escaping path": (lambda f: edit(f, lambda d: d.update(model="../x.onnx")), "impossible"),
    "context of a word": (lambda f: edit(f, lambda d: d.update(context_length="x")), "impossible"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_clear_error(bundle: Path, fault: str) -> None:
    damage, said = FAULTS[fault]
    damage(bundle)
    with pytest.raises(BundleError) as caught:
        Bundle.open(bundle)
    assert said in caught.value.message
    assert str(bundle) in caught.value.message
    assert caught.value.hint


def test_a_tokenizer_of_another_model_is_refused(bundle: Path) -> None:
    import tinytales.bundle as module

    path = bundle / "tokenizer.json"
    path.write_text(path.read_text().replace("<|endoftext|>", "<|end|>"))
    edit(bundle, lambda d: d["files"].update({"tokenizer.json": module.file_digest(path)}))
    with pytest.raises(BundleError, match="does not belong"):
        _ = Bundle.open(bundle).tokenizer


def test_a_missing_path_and_a_checkpoint_say_what_to_do(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    with pytest.raises(BundleError, match="no bundle at"):
        Bundle.open(tmp_path / "nowhere")
    with pytest.raises(BundleError) as caught:
        Bundle.open(tiny_checkpoint)
    assert "tinytales export" in caught.value.hint


def test_the_shipped_bundle_is_whole_and_small() -> None:
    bundle = Bundle.open()
    assert bundle.size <= 16_000_000
    assert bundle.manifest.quantization == "int8"
