"""Bits per byte: every token of a text is counted, and counted once."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytales.bits import Score, Window, batches, nats, score_texts, windows
from tinytales.bundle import Bundle
from tinytales.engine import open_engine


@given(st.integers(2, 400), st.integers(2, 64))
def test_every_token_is_counted_once(length: int, context: int) -> None:
    tokens = list(range(length))
    pieces = list(windows(tokens, context))
    assert [token for piece in pieces for token in piece.targets] == tokens[1:]
    assert all(len(piece.tokens) <= context + 1 for piece in pieces)


def test_a_batch_shares_its_first_token_and_leaves_nothing_out() -> None:
    pieces = [Window([token % 3, *range(token)], 1) for token in range(1, 60)]
    seen = []
    for group, padded in batches(pieces):
        assert len(set(padded[:, 0])) == 1
        for window, row in zip(group, padded, strict=True):
            assert row[: len(window.tokens)].tolist() == window.tokens
            assert not row[len(window.tokens) :].any()
        seen += group
    assert sorted(seen) == sorted(pieces)


def test_nats_are_those_of_the_softmax() -> None:
    logits = np.array([[0, 0, 0, 0], [1000, 0, 0, 0], [0, 0, 0, 1000]], np.float32)
    assert nats(logits, np.array([2, 0, 0])) == pytest.approx(math.log(4) + 1000)


def test_a_bundle_is_scored_over_all_texts(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    engine = open_engine(bundle, 1)
    texts = ["One day, a fox ran home.", "Tom had a ball. " * 60]
    together = score_texts(engine, bundle, texts)
    alone = sum((score_texts(engine, bundle, [text]) for text in texts), Score())
    assert together.tokens == sum(len(bundle.encode(text)) + 1 for text in texts)
    assert (together.bytes, together.documents) == (alone.bytes, 2)
    assert together.nats == pytest.approx(alone.nats, rel=1e-5)
    engine.close()
