"""Every form opens, tells what torch tells, and is as small as it should be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from tinytales.bundle import Bundle
from tinytales.engine import open_engine
from tinytales.errors import EngineError
from tinytales.export import export_bundle
from tinytales.export.checkpoint import Checkpoint
from tinytales.export.exporter import ExportError, ProofRequest, prove_folder
from tinytales.export.hf_folder import export_hf
from tinytales.export.measure import greedy, tokens_before_parting
from tinytales.export.reference import Reference

OPENINGS = ("One day, a fox", "The moon was", "Mia had a red kite.", "", "Why")


@pytest.fixture(scope="module")
def fp32(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export_bundle(tiny_checkpoint, tmp_path_factory.mktemp("fp32") / "bundle", "fp32")


@pytest.fixture(scope="module")
def reference(tiny_checkpoint: Path) -> Reference:
    return Reference(Checkpoint.open(tiny_checkpoint))


def test_the_reference_is_transformers(tiny_checkpoint: Path, reference: Reference) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    model = transformers.LlamaForCausalLM.from_pretrained(tiny_checkpoint).float().eval()
    tokens = np.random.default_rng(0).integers(0, 512, (2, 100))
    with torch.no_grad():
        expected = model(torch.from_numpy(tokens)).logits.numpy()
    np.testing.assert_allclose(reference.logits(tokens), expected, atol=1e-4)


@pytest.mark.parametrize("opening", OPENINGS)
def test_golden_story_fp32(fp32: Bundle, reference: Reference, opening: str) -> None:
    prompt = [0, *fp32.encode(opening)]
    told = greedy(open_engine(fp32, 1), prompt, 200)
    assert len(told) == 200
    assert tokens_before_parting(reference, prompt, told) == 200


def test_golden_story_llama_cpp(
    fp32: Bundle, tiny_checkpoint: Path, tmp_path: Path, reference: Reference
) -> None:
    pytest.importorskip("llama_cpp")
    pytest.importorskip("gguf")
    gguf = export_bundle(tiny_checkpoint, tmp_path / "f32", "f32")
    prompt = [0, *fp32.encode(OPENINGS[0])]
    told = greedy(open_engine(gguf), prompt, 200)
    assert told == greedy(open_engine(fp32, 1), prompt, 200)
    assert tokens_before_parting(reference, prompt, told) == 200


@pytest.mark.parametrize(
    ("form", "largest", "gap"),
    [("int8", 0.4, 0.6), ("int4", 0.3, 6.0)],
)
def test_quantized_graphs(
    tiny_checkpoint: Path, tmp_path: Path, fp32: Bundle, form: str, largest: float, gap: float
) -> None:
    bundle = export_bundle(tiny_checkpoint, tmp_path / form, form)
    assert bundle.model_path.stat().st_size < largest * fp32.model_path.stat().st_size
    prompt = [0, *bundle.encode("One day, a fox")]
    exact = open_engine(fp32, 1).prefill(prompt)
    found = open_engine(bundle, 1).prefill(prompt)
    assert 0 < np.abs(found - exact).max() < gap


@pytest.mark.parametrize(
    ("form", "types"),
    [
        ("f16", {"F16"}),
        ("q8_0", {"Q8_0"}),
        ("q5_0", {"Q5_0", "Q8_0"}),
        ("q4_0", {"Q4_0", "Q8_0"}),
    ],
)
def test_gguf_forms(tiny_checkpoint: Path, tmp_path: Path, form: str, types: set[str]) -> None:
    pytest.importorskip("gguf")
    from tinytales.export.gguf_file import types_used

    bundle = export_bundle(tiny_checkpoint, tmp_path / form, form)
    assert set(types_used(bundle.model_path)) == types | {"F32"}  # the norms stay exact
    modelfile = (bundle.path / "Modelfile").read_text()
    assert "FROM ./model.gguf" in modelfile and 'stop "<|endoftext|>"' in modelfile


def test_llama_cpp_tokenizes_alike(tiny_checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    pytest.importorskip("gguf")
    from tinytales.export.measure import odd_strings, shipped_texts

    bundle = export_bundle(tiny_checkpoint, tmp_path / "q8_0", "q8_0")
    engine = open_engine(bundle)
    strings = odd_strings(shipped_texts())
    assert len(strings) == 500
    assert [s for s in strings if engine.tokenize(s) != bundle.encode(s)] == []  # type: ignore[attr-defined]


def test_folder_for_transformers(tiny_checkpoint: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    bundle = export_hf(tiny_checkpoint, tmp_path / "hf", name="mine")
    tokenizer = transformers.AutoTokenizer.from_pretrained(bundle.path)
    assert tokenizer("A fox", add_special_tokens=False)["input_ids"] == bundle.encode("A fox")
    assert tokenizer.eos_token_id == 0
    transformers.AutoModelForCausalLM.from_pretrained(bundle.path)
    assert not list(bundle.path.glob("training_state*"))
    with pytest.raises(EngineError, match="made for transformers"):
        open_engine(bundle)
    with pytest.raises(ExportError, match="nothing to prove"):
        prove_folder(Checkpoint.open(tiny_checkpoint), bundle.path, ProofRequest([], ""), print)


def test_the_card_tells(tiny_bundle: Path) -> None:
    card = (tiny_bundle / "README.md").read_text()
    manifest = json.loads((tiny_bundle / "bundle.json").read_text())
    assert f"{manifest['parameters']['total']:,}" in card
    assert "Storyteller.open" in card
    assert "README.md" not in manifest["files"]  # it may be edited


def test_the_same_export_twice_has_one_digest(tiny_checkpoint: Path, tmp_path: Path) -> None:
    first = export_bundle(tiny_checkpoint, tmp_path / "a", "int8")
    assert export_bundle(tiny_checkpoint, tmp_path / "b", "int8").digest == first.digest
