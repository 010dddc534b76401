"""What can be measured of a model, whatever runs it: everything here takes an Engine.

Figures: bits per byte of a text, greedy stories, agreement with and without cache, invented words
in sampled stories, tokenizers that agree, tokens a second.
"""

from __future__ import annotations

import json
import lzma
import random
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tinytales.bits import Score, Window, batches, document_windows, engine_nats, nats
from tinytales.errors import TinytalesError

if TYPE_CHECKING:
    from tinytales.bundle import Bundle
    from tinytales.engine import Engine
    from tinytales.export.reference import Reference

_WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)*")


def read_texts(path: Path) -> list[str]:
    """Stories of a `.jsonl` (key `text`) or `.txt` file, either of them maybe `.xz`.

    Raises:
        TinytalesError: the file is missing, empty or something else.
    """
    try:
        raw = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        content = raw.decode("utf-8")
        if ".jsonl" in path.suffixes:
            texts = [str(json.loads(line)["text"]) for line in content.splitlines() if line]
        else:
            texts = content.split("<|endoftext|>")
    except (OSError, lzma.LZMAError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise TinytalesError(
            f"{path} cannot be read as stories: {error}",
            hint='give a .txt, or a .jsonl whose lines have a "text", plain or .xz',
        ) from error
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        raise TinytalesError(f"{path} holds no story")
    return texts


def shipped_texts() -> list[str]:
    """Originals that no training run may see: what exports are proven on by default."""
    import tinytales.assets

    return read_texts(Path(tinytales.assets.__path__[0]) / "proof.jsonl.xz")


def documents(bundle: Bundle, texts: Sequence[str]) -> tuple[list[Window], int]:
    """The windows in which `texts` are read, and their bytes."""
    return document_windows(bundle, texts), sum(len(text.encode()) for text in texts)


def bits_per_byte(engine: Engine, documents: Sequence[Window], size: int) -> float:
    """Bits that `engine` needs for `documents`, token by token through its cache, per byte."""
    return Score(nats=engine_nats(engine, documents), bytes=size).bits_per_byte


def reference_bits_per_byte(reference: Reference, documents: Sequence[Window], size: int) -> float:
    """The same figure from torch, whole documents at once."""
    spent = 0.0
    for group, padded in batches(documents):
        logits = reference.logits(padded[:, :-1])
        for row, window in zip(logits, group, strict=True):
            counted = row[window.first - 1 : len(window.tokens) - 1]
            spent += nats(counted, np.array(window.targets))
    return Score(nats=spent, bytes=size).bits_per_byte


def greedy(engine: Engine, prompt: Sequence[int], count: int) -> list[int]:
    """The `count` likeliest tokens after `prompt`, one after the other, through the cache."""
    told: list[int] = []
    logits = engine.prefill(prompt)
    for _ in range(min(count, engine.context_length - len(prompt))):
        told.append(int(logits[0].argmax()))
        if len(told) < count and engine.position < engine.context_length:
            logits = engine.decode([told[-1]])
    return told


def torch_agrees(
    reference: Reference, prompt: Sequence[int], told: Sequence[int]
) -> NDArray[np.bool_]:
    """Of each token told: would torch have told it too, after the same beginning?"""
    tokens = np.array([[*prompt, *told]], np.int64)
    logits = reference.logits(tokens[:, :-1])[0, len(prompt) - 1 :]
    agrees: NDArray[np.bool_] = logits.argmax(-1) == np.array(told)
    return agrees


def tokens_before_parting(reference: Reference, prompt: Sequence[int], told: Sequence[int]) -> int:
    """How many tokens of a greedy story are torch's too, before the two part.

    One pass is enough: up to the first difference both have read the same.
    """
    agrees = torch_agrees(reference, prompt, told)
    return len(told) if agrees.all() else int(agrees.argmin())


def without_cache(
    engine: Engine, prompt: Sequence[int], told: Sequence[int], every: int = 5
) -> tuple[int, int]:
    """Where reading everything anew gives the token that the cache gave: (same, tried)."""
    same = tried = 0
    for at in range(0, len(told), every):
        logits = engine.prefill([*prompt, *told[:at]])
        same += int(logits[0].argmax()) == told[at]
        tried += 1
    return same, tried


def logit_gap(
    engine: Engine, reference: Reference, documents: Sequence[Window], length: int = 64
) -> tuple[float, float]:
    """Largest difference of logits from torch's, and their mean divergence in bits."""
    largest, divergences = 0.0, []
    for document in documents:
        tokens = document.tokens[:length]
        expected = reference.logits(np.array([tokens], np.int64))[0].astype(np.float64)
        logits = engine.prefill(tokens[:1])
        for at in range(len(tokens)):
            found = logits[0].astype(np.float64)
            largest = max(largest, float(np.abs(found - expected[at]).max()))
            p, q = _log_softmax(expected[at]), _log_softmax(found)
            divergences.append(float((np.exp(p) * (p - q)).sum()))
            if at + 1 < len(tokens):
                logits = engine.decode([tokens[at + 1]])
    return largest, float(np.mean(divergences) / np.log(2))


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def dictionary(texts: Iterable[str]) -> set[str]:
    """Every word of `texts`, in small letters."""
    return {word.lower() for text in texts for word in _WORD.findall(text)}


def invented_words(stories: Iterable[str], known: set[str]) -> tuple[int, int]:
    """Words that no training text has: (how many, of how many). A hurt model invents them.

    A word counts once a story: a made-up name told ten times is one invention, and only inventions
    come by chance independently of each other.
    """
    words = [word for story in stories for word in set(_WORD.findall(story.lower()))]
    return sum(word not in known for word in words), len(words)


def openings(texts: Sequence[str], count: int = 40, words: int = 8) -> list[str]:
    """The first words of `count` stories, for a model to go on from."""
    return [" ".join(text.split(maxsplit=words)[:words]) for text in texts[:count]]


def odd_strings(texts: Sequence[str], count: int = 500) -> list[str]:
    """Strings that tokenizers quarrel about: pieces of stories, and odd Unicode."""
    rng = random.Random(500)
    odd = (
        "é", "e\u0301", "ñ", "ß", "İ", "ı", "Ω", "ж", "א", "ب", "你好", "한국", "🙂", "👩‍👩‍👧",
        "🇸🇪",
        "\u200b", "\u200d", "\ufeff", "\u00a0", "\u2009", "\u3000", "\t", "\n", "\n\n", "\r\n", " ",
        "  ", "   ", "'s", "'LL", "’s", "don't", "...", "…", "—", "--", "“Oh!”", '"', "1", "2026",
        "3.14", "½", "²", "٣", "A", "ABC", "aB", "\x01", "\x7f", "\ufffd", "𝒳", "ﬁ", "Ǆ", "<|",
        "|>",
        "<|endoftext", "#", "_", "@", "\\n", "{}", "</s>",
    )  # fmt: skip
    strings = [*odd]
    while len(strings) < count:
        kind = rng.random()
        if kind < 0.4:
            text = rng.choice(texts)
            start = rng.randrange(len(text))
            strings.append(text[start : start + rng.randrange(1, 120)])
        elif kind < 0.8:
            strings.append("".join(rng.choice(odd) for _ in range(rng.randrange(1, 12))))
        else:
            points = (rng.choice((0x80, 0x500, 0x3000, 0x11000, 0x1FAFF)) for _ in range(8))
            letters = (chr(rng.randrange(32, high)) for high in points)
            strings.append("".join(c for c in letters if not 0xD800 <= ord(c) < 0xE000) or "x")
    return strings[:count]


def tokens_per_second(engine: Engine, batch: int = 1, count: int = 100, rounds: int = 3) -> float:
    """Decoding alone, after a short prompt; the best of `rounds`.

    In CPU seconds, so that a busy machine does not decide: for engines with one thread.
    """
    count = min(count, engine.context_length - 4)
    best = 0.0
    for _ in range(rounds):
        engine.prefill([0, 1, 2], batch=batch)
        start = time.process_time()
        for i in range(count):
            engine.decode([(7 * i) % engine.vocab_size] * batch)
        best = max(best, batch * count / (time.process_time() - start))
    return best
