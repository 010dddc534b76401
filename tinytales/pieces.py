"""Tokens as bytes: streaming text that never shows half a character, and where words begin.

A byte-level BPE writes every byte as one printable character (Radford et al. 2019, GPT-2); read
back, each token is a few bytes, and a story is their concatenation.
"""

from __future__ import annotations

import codecs
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@cache
def _byte_of() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte -> the byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(byte): byte for byte in plain}
    hidden = (byte for byte in range(256) if byte not in plain)
    table.update({chr(256 + i): byte for i, byte in enumerate(hidden)})
    return table


class Pieces:
    """The bytes of every token of a byte-level tokenizer."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        """`vocab_size` rows of logits; tokens that the tokenizer lacks are empty."""
        byte_of = _byte_of()
        added = tokenizer.get_added_tokens_decoder()
        self.bytes: list[bytes] = []
        for token in range(vocab_size):
            name = tokenizer.id_to_token(token)
            if name is None or token in added:
                self.bytes.append(b"")
            else:
                self.bytes.append(bytes(byte_of[c] for c in name if c in byte_of))
        #: Tokens that no story may contain: special ones and empty rows.
        self.silent = frozenset(i for i, piece in enumerate(self.bytes) if not piece)

    def starts_word(self, token: int) -> bool:
        return self.bytes[token][:1] in (b" ", b"\n")

    def text(self, tokens: list[int]) -> str:
        return b"".join(self.bytes[t] for t in tokens).decode("utf-8", "replace")


class TextStream:
    """Bytes in, whole characters out; an incomplete character is held back."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, piece: bytes) -> str:
        return self._decoder.decode(piece)

    def forget(self) -> None:
        """Drop a half character: the tokens that began it were taken back."""
        self._decoder.reset()
