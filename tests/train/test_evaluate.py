"""Bits per byte, counted once and the same by every way."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tokenizers import Tokenizer  # noqa: E402

from tinytales.cli.main import run as tinytales  # noqa: E402
from tinytales.train.checkpoint import load_model  # noqa: E402
from tinytales.train.evaluate import score_documents  # noqa: E402


def test_a_model_that_knows_nothing_pays_for_every_token(tiny_checkpoint: Path) -> None:
    model = load_model(tiny_checkpoint)
    with torch.no_grad():
        model.model.norm.weight.zero_()
    tokenizer = Tokenizer.from_file(str(tiny_checkpoint / "tokenizer.json"))
    text = "One day a fox ran home."
    score = score_documents(model, tokenizer, {"a": [text]})["a"]
    tokens = len(tokenizer.encode(text).ids) + 1
    assert score.tokens == tokens
    assert score.perplexity == pytest.approx(512, rel=1e-4)
    assert score.bits_per_byte == pytest.approx(tokens * math.log2(512) / len(text), rel=1e-4)


def test_batches_do_not_change_the_score(tiny_checkpoint: Path) -> None:
    model = load_model(tiny_checkpoint)
    tokenizer = Tokenizer.from_file(str(tiny_checkpoint / "tokenizer.json"))
    texts = ["One day a fox ran.", "A cat sat. " * 90, "Tom had a red ball and a hat."]
    alone = score_documents(model, tokenizer, {"a": texts}, batch=1)["a"]
    together = score_documents(model, tokenizer, {"a": texts}, batch=8)["a"]
    assert together.nats == pytest.approx(alone.nats, rel=1e-4)
    assert together.tokens == alone.tokens


def test_checkpoint_and_bundle_agree(
    tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.jsonl"
    stories = ["One day a fox ran home. He was happy.", "Tom had a ball."]
    text.write_text("".join(json.dumps({"text": s, "source": "mine"}) + "\n" for s in stories))
    found = []
    for model in (tiny_checkpoint, tiny_bundle):
        assert tinytales(["evaluate", str(model), "--text", str(text), "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out)["mine"])
    assert found[0]["tokens"] == found[1]["tokens"]
    assert found[1]["bits_per_byte"] == pytest.approx(found[0]["bits_per_byte"], rel=0.01)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{}\n", b"[1]\n", b"not json"])
def test_bad_texts_are_one_clear_error(
    tiny_checkpoint: Path, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.jsonl"
    text.write_bytes(content)
    assert tinytales(["evaluate", str(tiny_checkpoint), "--text", str(text)]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert tinytales(["evaluate", str(tiny_checkpoint)]) == 2
    missing = str(tmp_path / "no.txt")
    assert tinytales(["evaluate", str(tiny_checkpoint), "--text", missing]) == 1
