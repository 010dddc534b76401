"""The proof: its figures are right, and what fails it is not written."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from typer.testing import CliRunner

from tinytales.bundle import Bundle
from tinytales.cli import export as export_command
from tinytales.cli import verify as verify_command
from tinytales.engine import open_engine
from tinytales.errors import TinytalesError, UsageError
from tinytales.export import export_bundle, exporter, measure
from tinytales.export.checkpoint import Checkpoint
from tinytales.export.exporter import ExportError, ProofRequest
from tinytales.export.gptq import round_with_feedback
from tinytales.export.quantize import encode, quantize, search_scales
from tinytales.export.reference import Reference

TEXTS = measure.shipped_texts()[:6]


@pytest.fixture(scope="module")
def fp32(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export_bundle(tiny_checkpoint, tmp_path_factory.mktemp("fp32") / "bundle", "fp32")


def test_bits_per_byte_is_that_of_torch_and_of_evaluate(
    fp32: Bundle, tiny_checkpoint: Path
) -> None:
    from tinytales.train.checkpoint import load_model
    from tinytales.train.evaluate import score_documents

    texts = [*TEXTS, " ".join(TEXTS)]  # the last one is longer than the context
    documents, size = measure.documents(fp32, texts)
    assert max(len(d.tokens) for d in documents) == fp32.manifest.context_length + 1
    engine = measure.bits_per_byte(open_engine(fp32, 1), documents, size)
    torch = measure.reference_bits_per_byte(
        Reference(Checkpoint.open(tiny_checkpoint)), documents, size
    )
    trainer = score_documents(load_model(tiny_checkpoint), fp32.tokenizer, {"all": texts})["all"]
    assert engine == pytest.approx(torch, rel=1e-5)
    assert engine == pytest.approx(trainer.bits_per_byte, rel=1e-5)


def test_a_good_export_keeps_its_figures(tiny_checkpoint: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    bundle = export_bundle(
        tiny_checkpoint,
        tmp_path / "out",
        "int8",
        proof=ProofRequest(TEXTS, "six originals", force=True),  # a tiny model may be slower
        say=lines.append,
    )
    bits = bundle.manifest.bits_per_byte
    assert bits["text"] == "six originals"
    assert bits["after"] == pytest.approx(bits["before"], rel=0.01)
    assert bundle.manifest.checks["tokenizer"] == "500/500"
    assert "bits per byte, six originals" in lines[-1]
    assert f"{bits['after']:.4f} in this form" in (bundle.path / "README.md").read_text()


def test_where_a_story_parts_from_torch(fp32: Bundle, tiny_checkpoint: Path) -> None:
    reference = Reference(Checkpoint.open(tiny_checkpoint))
    told = measure.greedy(open_engine(fp32, 1), [0, 5, 9], 40)
    assert measure.torch_agrees(reference, [0, 5, 9], told).all()
    assert measure.tokens_before_parting(reference, [0, 5, 9], told) == 40
    told[25] = (told[25] + 1) % 512
    agrees = measure.torch_agrees(reference, [0, 5, 9], told)
    assert agrees[:25].all() and not agrees[25]
    assert measure.tokens_before_parting(reference, [0, 5, 9], told) == 25


def test_what_fails_is_not_written(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = exporter.quantize_weights

    def hurt(model: Checkpoint, form: str, say: exporter.Say) -> dict[str, object]:
        upside_down = {n: -w for n, w in model.matrices.items() if "down_proj" in n}
        return sound(model, form, say) | {n: quantize(w, 8) for n, w in upside_down.items()}

    monkeypatch.setattr(exporter, "quantize_weights", hurt)
    with pytest.raises(ExportError, match="bits per byte") as caught:
        export_bundle(tiny_checkpoint, tmp_path / "out", proof=ProofRequest(TEXTS, "six"))
    assert "--force" in caught.value.hint and "→" in caught.value.message
    assert list(tmp_path.iterdir()) == []
    forced = ProofRequest(TEXTS, "six", force=True)
    bundle = export_bundle(tiny_checkpoint, tmp_path / "out", proof=forced)
    assert bundle.manifest.bits_per_byte["after"] > bundle.manifest.bits_per_byte["before"]


def test_commands(tiny_checkpoint: Path, tmp_path: Path) -> None:
    text = tmp_path / "mine.txt"
    text.write_text("<|endoftext|>".join(TEXTS))
    run = CliRunner()
    arguments = [str(tiny_checkpoint), "--fp32", "--text", str(text)]
    done = run.invoke(export_command.app, [*arguments, "--out", str(tmp_path / "a"), "--json"])
    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["bits_per_byte"]["text"] == "mine.txt"
    again = ["--checkpoint", str(tiny_checkpoint), "--text", str(text), "--json"]
    done = run.invoke(verify_command.app, [str(tmp_path / "a"), *again])
    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["greedy_share"] == 1
    assert "greedy stories" in done.stderr
    for wrong in (["--int8", "--int4"], ["--gguf", "q9"], ["--gguf", "int8"]):
        done = run.invoke(export_command.app, [str(tiny_checkpoint), *wrong])
        assert isinstance(done.exception, UsageError)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.txt", None),
        ("empty.txt", b"  \n"),
        ("bad.jsonl", b'{"story": 1}'),
        ("bad.jsonl.xz", b"not xz"),
        ("latin.txt", b"\xff\xfe\xe9"),
    ],
)
def test_a_text_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TinytalesError):
        measure.read_texts(tmp_path / name)


def test_texts_are_read_in_every_wrapping(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": text}) + "\n" for text in ("One.", "Twø."))
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "b.jsonl.xz").write_bytes(lzma.compress(lines.encode()))
    (tmp_path / "c.txt").write_text("One.<|endoftext|>Twø.\n")
    for name in ("a.jsonl", "b.jsonl.xz", "c.txt"):
        assert measure.read_texts(tmp_path / name) == ["One.", "Twø."]


def test_invented_words() -> None:
    known = measure.dictionary(["The fox didn't run."])
    assert measure.invented_words(["THE fox flumped, didn't he?"], known) == (2, 5)
    twice = ["The fox flumped. The fox flumped.", "fox flumped"]
    assert measure.invented_words(twice, known) == (2, 5)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("block", [32, 64])
def test_quantizing_keeps_the_weights(bits: int, block: int) -> None:
    weight = np.random.default_rng(0).standard_normal((48, 128)).astype(np.float32)
    weight[3] = 0
    weight[5, 7] = 40
    found = quantize(weight, bits, block)
    assert found.packed().nbytes == weight.size * bits // 8
    # half a step of the block at most, in 8 bits; in 4 the ends of the range may be cut
    step = np.repeat(np.abs(found.scales), block, axis=1)
    assert (np.abs(found.dequantized() - weight) <= step * (0.501 if bits == 8 else 3.2)).all()
    assert not found.dequantized()[3].any()


def test_rows_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="blocks of 32"):
        quantize(np.zeros((4, 40), np.float32), 8)


def test_searching_and_feedback_help() -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((64, 128)).astype(np.float32)
    mixing = random.standard_normal((128, 128))
    inputs = (random.standard_normal((600, 128)) @ mixing).astype(np.float32)
    blocks = weight.reshape(64, 4, 32)
    ends = np.take_along_axis(blocks, np.abs(blocks).argmax(-1, keepdims=True), -1)

    def loss(values: np.ndarray) -> float:
        return float(np.square(inputs @ (values.reshape(64, 128) - weight).T).mean())

    plain_scales = ends / -8
    plain = (encode(blocks, plain_scales, 4).astype(np.float32) - 8) * plain_scales
    scales = search_scales(blocks, 4)[..., None]
    searched = (encode(blocks, scales, 4).astype(np.float32) - 8) * scales
    assert np.square(searched - blocks).sum() < 0.95 * np.square(plain - blocks).sum()
    fed_back = round_with_feedback(weight, inputs, 4).dequantized()
    assert loss(fed_back) < 0.6 * loss(searched)
