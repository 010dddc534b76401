"""Tokens as bytes: no half characters, whatever the text."""

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tinytales.pieces import Pieces, TextStream


def make_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        ["One day a fox ran to the fox house."],
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer


TOKENIZER = make_tokenizer()
PIECES = Pieces(TOKENIZER, TOKENIZER.get_vocab_size() + 4)


@given(st.text(max_size=80).filter(lambda t: "<|endoftext|>" not in t))
def test_tokens_read_back_are_the_text(text: str) -> None:
    tokens = TOKENIZER.encode(text, add_special_tokens=False).ids
    assert PIECES.text(tokens) == text
    stream = TextStream()
    shown = ""
    for token in tokens:
        shown += stream.feed(PIECES.bytes[token])
        assert "\ufffd" not in shown or "\ufffd" in text
        assert text.startswith(shown)
    assert shown == text


def test_special_and_missing_tokens_are_silent() -> None:
    assert 0 in PIECES.silent
    assert TOKENIZER.get_vocab_size() in PIECES.silent
    assert PIECES.bytes[0] == b""


def test_a_taken_back_half_character_leaves_nothing() -> None:
    stream = TextStream()
    half = "é".encode()[:1]
    assert stream.feed(half) == ""
    stream.forget()
    assert stream.feed(b"a") == "a"
