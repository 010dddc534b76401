"""The vocabulary: byte-level BPE, learned from the cleaned stories.

GPT-2's splitting, no added prefix space, and one special token, `<|endoftext|>` with id 0. Saved as
`tokenizer.json`, which ONNX bundles, transformers and llama.cpp (pre = "gpt-2") read alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinytales.errors import require
from tinytales.train.corpus import CorpusError

END_TOKEN = "<|endoftext|>"
END_ID = 0


def train_tokenizer(texts: Iterator[str], vocab_size: int) -> Any:
    """Learn `vocab_size` tokens. Returns a `tokenizers.Tokenizer`.

    Raises:
        CorpusError: the text is too small for so many tokens.
    """
    tokenizers = require("tokenizers", "train")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_TOKEN],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    size = tokenizer.get_vocab_size()
    if size < vocab_size:
        raise CorpusError(
            f"the text supports {size} tokens, not {vocab_size}",
            hint=f"add text, or set vocab_size to {max(size // 32 * 32, 257)} or less",
        )
    assert tokenizer.token_to_id(END_TOKEN) == END_ID
    return tokenizer


def load_tokenizer(path: Path) -> Any:
    """A vocabulary learned before: new texts for a model that already speaks it.

    Raises:
        CorpusError: no such file, no tokenizer, or not one of ours.
    """
    tokenizers = require("tokenizers", "train")
    try:
        tokenizer = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"{path} cannot be read: {error}", hint="give a tokenizer.json"
        ) from error
    except Exception as error:  # what `tokenizers` raises has no narrower type
        raise CorpusError(
            f"{path} is no tokenizer: {error}", hint="give a tokenizer.json"
        ) from error
    if tokenizer.token_to_id(END_TOKEN) != END_ID:
        raise CorpusError(
            f"{path}: {END_TOKEN} is not token {END_ID}",
            hint="use a tokenizer.json that tinytales made",
        )
    if tokenizer.get_vocab_size() > 65536:
        raise CorpusError(f"{path} has more than 65536 tokens: they are stored as uint16")
    return tokenizer
