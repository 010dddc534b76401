"""The model equals transformers' Llama, whatever its shape."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tinytales.errors import TinytalesError, UsageError  # noqa: E402
from tinytales.train.checkpoint import load_model, read_shape, save_checkpoint  # noqa: E402
from tinytales.train.model import BLOCK, Llama, ModelShape, attend  # noqa: E402


def random_model(**sizes: int) -> Llama:
    torch.manual_seed(0)
    defaults = dict(
        vocab_size=96, hidden_size=64, layers=3, heads=2, kv_heads=1, ffn_size=96, context=64
    )
    model = Llama(ModelShape(**(defaults | sizes)))
    for parameter in model.parameters():  # the zeroed projections would hide a fault
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture
def saved(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    return save_checkpoint(tmp_path / "saved", random_model(), tiny_checkpoint / "tokenizer.json")


def test_transformers_opens_it_with_equal_logits(saved: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.LlamaForCausalLM.from_pretrained(saved).eval()
    ours = load_model(saved)
    tokens = torch.randint(0, 96, (2, 64))
    with torch.no_grad():
        expected = theirs(tokens).logits
        torch.testing.assert_close(ours(tokens), expected, atol=2e-5, rtol=1e-4)
    assert sum(p.numel() for p in theirs.parameters()) == ours.shape.parameters()["total"]


def test_nothing_is_seen_before_its_time() -> None:
    model = random_model()
    tokens = torch.randint(0, 96, (1, 20))
    changed = tokens.clone()
    changed[0, 12:] = (changed[0, 12:] + 1) % 96
    with torch.no_grad():
        torch.testing.assert_close(model(tokens)[:, :12], model(changed)[:, :12])


@pytest.mark.parametrize("sequence", [1, 7, BLOCK, BLOCK + 1, 3 * BLOCK - 5])
def test_blocks_attend_as_torch_does(sequence: int) -> None:
    generator = torch.Generator().manual_seed(sequence)
    ours = [torch.randn(2, 3, sequence, 8, generator=generator).requires_grad_() for _ in range(3)]
    theirs = [x.detach().clone().requires_grad_() for x in ours]
    found = attend(*ours)
    expected = torch.nn.functional.scaled_dot_product_attention(*theirs, is_causal=True)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    weight = torch.randn(found.shape, generator=generator)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-4)


def test_counts_are_counted() -> None:
    for sizes in ({}, {"heads": 4, "kv_heads": 2, "layers": 1}, {"ffn_size": 256}):
        model = random_model(**sizes)
        counted = sum(p.numel() for p in model.parameters())
        told = model.shape.parameters()
        assert told["total"] == counted == told["embedding"] + told["non_embedding"]


@pytest.mark.parametrize(
    "sizes", [{"hidden_size": 100}, {"heads": 3}, {"kv_heads": 3, "heads": 2}, {"layers": 0},
              {"ffn_size": 100}, {"dropout": 1.5}],
)  # fmt: skip
def test_sizes_that_do_not_divide_say_what_would(sizes: dict[str, int]) -> None:
    with pytest.raises(UsageError) as caught:
        ModelShape(**sizes)
    assert caught.value.hint


def test_a_damaged_checkpoint_is_told_apart(saved: Path) -> None:
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(TinytalesError, match="cannot be read"):
        load_model(saved)
    weights.unlink()
    with pytest.raises(TinytalesError):
        load_model(saved)


def test_a_checkpoint_of_another_shape_is_refused(saved: Path) -> None:
    config = saved / "config.json"
    text = config.read_text()
    config.write_text(text.replace('"hidden_size": 64', '"hidden_size": 128'))
    with pytest.raises(TinytalesError, match="does not fit"):
        load_model(saved)
    config.write_text(text.replace('"llama"', '"gpt2"'))
    with pytest.raises(TinytalesError, match="not a Llama"):
        read_shape(saved)
    config.write_text("{")
    with pytest.raises(TinytalesError, match="not a checkpoint"):
        read_shape(saved)
