"""The onnxruntime engine: its cache, its batches, its refusals."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tinytales.bundle import Bundle, Manifest, Shape, file_digest, write_bundle_manifest
from tinytales.engine import open_engine
from tinytales.engine.ort import PREFILL_CHUNK, OrtEngine
from tinytales.errors import BundleError, EngineError


@pytest.fixture
def engine(tiny_bundle: Path) -> OrtEngine:
    return OrtEngine(Bundle.open(tiny_bundle), 1)


def _tokens(count: int, seed: int = 0) -> list[int]:
    return [0, *np.random.default_rng(seed).integers(1, 500, count - 1).tolist()]


@pytest.mark.parametrize("count", [1, 2, PREFILL_CHUNK, PREFILL_CHUNK + 1, 200, 256])
def test_prefill_is_decode_token_by_token(engine: OrtEngine, count: int) -> None:
    tokens = _tokens(count)
    at_once = engine.prefill(tokens)[0].copy()
    one_by_one = engine.prefill(tokens[:1])
    for token in tokens[1:]:
        one_by_one = engine.decode([token])
    # 8-bit inputs may round otherwise by a hair, never by much
    np.testing.assert_allclose(one_by_one[0], at_once, atol=0.25)
    assert engine.position == count


def test_a_batch_is_many_singles(engine: OrtEngine) -> None:
    prompt, rows = _tokens(40), [_tokens(21, seed)[1:] for seed in range(1, 4)]
    expected = []
    for row in rows:
        engine.prefill(prompt)
        for token in row:
            logits = engine.decode([token])
        expected.append(logits[0].copy())
    logits = engine.prefill(prompt, batch=3)
    assert np.array_equal(logits[0], logits[2])
    for step in zip(*rows, strict=True):
        logits = engine.decode(list(step))
    np.testing.assert_allclose(logits, expected, atol=0.25)


def test_who_leaves_a_batch_leaves_the_others_alone(engine: OrtEngine) -> None:
    prompt, steps = _tokens(40), np.array([_tokens(31, seed)[1:] for seed in range(5)]).T.tolist()
    engine.prefill(prompt, batch=5)
    expected = [engine.decode(step).copy() for step in steps]
    engine.prefill(prompt, batch=5)
    rows = [0, 1, 2, 3, 4]
    for at, step in enumerate(steps):
        if at in (10, 20):
            kept = [1, 2, 4] if at == 10 else [0, 2]
            engine.keep(kept)
            rows = [rows[row] for row in kept]
        found = engine.decode([step[row] for row in rows])
        np.testing.assert_allclose(found, expected[at][rows], atol=0.25)
    assert rows == [1, 4]
    for wrong in ([], [1, 0], [0, 0], [2], [-1]):
        with pytest.raises(EngineError, match="cannot keep"):
            engine.keep(wrong)
    assert engine.prefill(prompt, batch=5).shape[0] == 5  # a new batch is whole again


def test_rewind_forgets(engine: OrtEngine) -> None:
    tokens = _tokens(30)
    engine.prefill(tokens)
    expected = engine.decode([7]).copy()
    for token in _tokens(20, seed=9):
        engine.decode([token])
    engine.rewind(30)
    assert engine.position == 30
    assert np.array_equal(engine.decode([7]), expected)


def test_the_same_twice(tiny_bundle: Path) -> None:
    first, second = (OrtEngine(Bundle.open(tiny_bundle), 1) for _ in range(2))
    assert np.array_equal(first.prefill(_tokens(50)), second.prefill(_tokens(50)))


def test_nothing_is_allocated_for_a_token(engine: OrtEngine) -> None:
    first = engine.prefill(_tokens(10))
    for _ in range(5):
        assert engine.decode([3]) is first  # the same rows, rewritten


def test_the_context_ends(engine: OrtEngine) -> None:
    engine.prefill(_tokens(engine.context_length))
    with pytest.raises(EngineError, match="is full"):
        engine.decode([1])
    engine.rewind(engine.context_length - 1)
    engine.decode([1])


def test_misuse_is_told(engine: OrtEngine) -> None:
    with pytest.raises(EngineError, match="prefill comes first"):
        engine.decode([1])
    for tokens in ([], _tokens(engine.context_length + 1)):
        with pytest.raises(EngineError, match="to begin with"):
            engine.prefill(tokens)
    for token in (-1, engine.vocab_size):
        with pytest.raises(EngineError, match="vocabulary"):
            engine.prefill([0, token])
    with pytest.raises(EngineError, match="batch of 0"):
        engine.prefill([0], batch=0)
    engine.prefill([0], batch=2)
    with pytest.raises(EngineError, match="1 tokens for 2"):
        engine.decode([1])
    with pytest.raises(EngineError, match="vocabulary"):
        engine.decode([1, -5])
    for position in (-1, 2):
        with pytest.raises(EngineError, match="rewind"):
            engine.rewind(position)
    engine.close()
    with pytest.raises(EngineError):
        engine.prefill([0])


def test_the_switch_for_attention_is_put_back(tiny_bundle: Path) -> None:
    name = "ORT_GQA_DISABLE_FLASH_ATTENTION"
    assert name not in os.environ
    OrtEngine(Bundle.open(tiny_bundle), 1)
    assert name not in os.environ


def _altered(folder: Path, out: Path, **changes: object) -> Bundle:
    """The bundle with another manifest, digests fitting."""
    out.mkdir()
    for file in folder.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    data = json.loads((out / "bundle.json").read_text())
    (out / "bundle.json").unlink()
    data["shape"] = Shape(**(data["shape"] | changes))
    del data["format_version"]
    write_bundle_manifest(out, Manifest(**data))
    return Bundle.open(out)


@pytest.mark.parametrize("changes", [{"layers": 3}, {"kv_heads": 2}, {"vocab_size": 600}])
def test_a_graph_of_another_shape(
    tiny_bundle: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    with pytest.raises(BundleError, match="not the graph"):
        open_engine(_altered(tiny_bundle, tmp_path / "bundle", **changes))


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x0a" * 50])
def test_a_file_that_is_no_graph(tiny_bundle: Path, tmp_path: Path, content: bytes) -> None:
    bundle = _altered(tiny_bundle, tmp_path / "bundle")
    bundle.model_path.write_bytes(content)
    assert file_digest(bundle.model_path)["bytes"] == len(content)
    with pytest.raises(BundleError) as caught:
        open_engine(bundle)
    assert "\n" not in caught.value.message
