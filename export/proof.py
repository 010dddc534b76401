"""The proof that an export tells what its checkpoint tells, or the figures that show it does not.

`prove` measures a bundle against torch in full precision, and against the full-precision form of
the same runtime; `tinytales export` and `tinytales verify` print its table. Limits stand in LIMITS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytales.export import measure
from tinytales.sampling import Sampler, Sampling

if TYPE_CHECKING:
    from tinytales.bundle import Bundle
    from tinytales.engine import Engine
    from tinytales.export.reference import Reference


@dataclass(frozen=True, slots=True)
class Limits:
    """What a form may lose.

    Attributes:
        bits: share by which bits per byte may rise.
        words: factor by which invented words may rise (beyond chance).
        greedy: least share of a greedy story that must be torch's, token for token (mean).
        cache: least share of tokens that must be the same without the cache.
        gap: largest difference of any logit.
    """

    bits: float
    words: float = 1.1
    greedy: float = 0.0
    cache: float = 0.97
    gap: float = float("inf")


LIMITS = {
    "fp32": Limits(bits=0.0002, greedy=0.99, cache=1.0, gap=0.002),
    "f32": Limits(bits=0.0005, greedy=0.99, cache=1.0, gap=0.1),
    "f16": Limits(bits=0.001, greedy=0.95, cache=0.99),
    "int8": Limits(bits=0.003),
    "q8_0": Limits(bits=0.003),
    "portable-int8": Limits(bits=0.02, words=1.3),
    "q5_0": Limits(bits=0.01, words=1.3),
    "int4": Limits(bits=0.02, words=1.3),
    "q4_0": Limits(bits=0.02, words=1.3),
    "q4_k_m": Limits(bits=0.02, words=1.3),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the table. `passed` is None where the figure is only told."""

    name: str
    found: str
    limit: str = ""
    passed: bool | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """All rows, and the bare figures for the manifest."""

    checks: list[Check]
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> list[Check]:
        return [c for c in self.checks if c.passed is not None and not c.passed]

    def table(self) -> str:
        marks = {True: "ok", False: "FAILED", None: ""}
        rows = [(c.name, c.found, c.limit, marks[c.passed]) for c in self.checks]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        return "\n".join(
            "  ".join(
                [*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]
            ).rstrip()
            for row in rows
        )


@dataclass(frozen=True, slots=True)
class Subject:
    """A bundle and the engine that runs it, maybe on another model file than the bundle's."""

    bundle: Bundle
    engine: Engine
    model_path: Path | None = None

    @property
    def bytes(self) -> int:
        return (self.model_path or self.bundle.model_path).stat().st_size


def prove(
    subject: Subject,
    reference: Reference,
    full: Subject | None,
    texts: Sequence[str],
    *,
    text_name: str,
    say: Callable[[str], None] = lambda line: None,
) -> Proof:
    """Measure `subject` on `texts`.

    `full` is the full-precision form for the same runtime; None if `subject` is that form itself
    (then invented words, speed and size have nothing to be compared with).
    """
    bundle, engine = subject.bundle, subject.engine
    limits = LIMITS[bundle.manifest.quantization]
    checks: list[Check] = []
    figures: dict[str, Any] = {}

    say("logits")
    documents, size = measure.documents(bundle, texts)
    gap, divergence = measure.logit_gap(engine, reference, documents[:8])
    figures |= {"largest_logit_gap": round(gap, 6), "divergence_bits": round(divergence, 8)}
    checks.append(
        Check(
            "logits, torch fp32",
            f"largest gap {gap:.2g}, divergence {divergence:.2g} bits a token",
            f"gap ≤ {limits.gap:g}" if limits.gap < float("inf") else "",
            gap <= limits.gap if limits.gap < float("inf") else None,
        )
    )

    say("bits per byte")
    before = measure.reference_bits_per_byte(reference, documents, size)
    after = measure.bits_per_byte(engine, documents, size)
    loss = after / before - 1
    figures["bits_per_byte"] = {
        "text": text_name, "before": round(before, 5), "after": round(after, 5)
    }  # fmt: skip
    checks.append(
        Check(
            f"bits per byte, {text_name}",
            f"{before:.4f} → {after:.4f} ({loss:+.2%})",
            f"≤ +{limits.bits:.2%}",
            bool(loss <= limits.bits),
        )
    )

    say("greedy stories")
    checks += _greedy(subject, reference, texts, limits, figures)
    if full is not None:
        say("sampled stories")
        checks.append(_invented_words(subject, full, texts, limits, figures))
    say("tokenizer")
    checks.append(_tokenizer(subject, texts, figures))
    if full is not None:
        say("speed")
        checks += _speed_and_size(subject, full, figures)
    return Proof(checks, figures)


def _greedy(
    subject: Subject,
    reference: Reference,
    texts: Sequence[str],
    limits: Limits,
    figures: dict[str, Any],
) -> list[Check]:
    bundle, engine = subject.bundle, subject.engine
    end = bundle.manifest.end_of_text
    count = min(100, bundle.manifest.context_length - 32)
    shares, agreed, same, tried = [], [], 0, 0
    openings = measure.openings(texts)
    for opening in openings:
        prompt = [end, *bundle.encode(opening)][:32]
        told = measure.greedy(engine, prompt, count)
        agrees = measure.torch_agrees(reference, prompt, told)
        agreed.append(float(agrees.mean()))
        shares.append(1.0 if agrees.all() else int(agrees.argmin()) / len(told))
        found = measure.without_cache(engine, prompt, told)
        same, tried = same + found[0], tried + found[1]
    share, whole = sum(shares) / len(shares), sum(s == 1 for s in shares)
    agreement = sum(agreed) / len(agreed)
    figures |= {
        "greedy_share": round(share, 4),
        "greedy_agreement": round(agreement, 4),
        "cache_share": round(same / tried, 4),
    }
    return [
        Check(
            f"greedy stories, {len(openings)} × {count} tokens",
            f"{share:.1%} before they part from torch's, {whole} whole",
            f"≥ {limits.greedy:.0%}" if limits.greedy else "",
            share >= limits.greedy if limits.greedy else None,
        ),
        Check("tokens in them that torch would tell", f"{agreement:.2%}"),
        Check(
            "greedy with cache = without",
            f"{same} of {tried} tokens ({same / tried:.1%})",
            f"≥ {limits.cache:.0%}",
            same >= limits.cache * tried,
        ),
    ]


def _invented_words(
    subject: Subject,
    full: Subject,
    texts: Sequence[str],
    limits: Limits,
    figures: dict[str, Any],
) -> Check:
    """300 stories each, from the same openings and seeds: 100 differ too much by chance."""
    known = measure.dictionary([*training_texts(), *texts])
    rates, words, counts = [], [], []
    for which in (full, subject):
        stories = sampled_stories(which, measure.openings(texts, count=20, words=5))
        invented, total = measure.invented_words(stories, known)
        rates.append(invented / max(total, 1))
        counts.append(invented)
        words.append(total)
    figures["invented_words"] = {"before": round(rates[0], 6), "after": round(rates[1], 6)}
    # Two counts of rare events differ by chance; two standard errors are forgiven.
    chance = 2 * sqrt(limits.words * counts[0] + counts[1]) / max(words[1], 1)
    ratio = f"{rates[1] / rates[0]:.2f}×" if rates[0] else "from none"
    return Check(
        "invented words, 300 sampled stories",
        f"{rates[0]:.3%} → {rates[1]:.3%} ({ratio})",
        f"≤ {limits.words:g}× ± chance",
        rates[1] <= limits.words * rates[0] + chance,
    )


def training_texts() -> list[str]:
    """The originals that ship with tinytales: known words, and calibration."""
    import tinytales.assets

    return measure.read_texts(Path(tinytales.assets.__path__[0]) / "originals.jsonl.xz")


def sampled_stories(subject: Subject, openings: Sequence[str], each: int = 15) -> list[str]:
    """Stories as sampled at temperature 1, `each` from every opening, of at most 200 tokens."""
    bundle, engine = subject.bundle, subject.engine
    end = bundle.manifest.end_of_text
    stories = []
    for number, opening in enumerate(openings):
        prompt = [end, *bundle.encode(opening)]
        samplers = [
            Sampler(Sampling(temperature=1.0, seed=number * each + row)) for row in range(each)
        ]
        logits = engine.prefill(prompt, batch=each)
        for _ in range(min(200, engine.context_length - len(prompt))):
            tokens = [s.pick(row) for s, row in zip(samplers, logits, strict=True)]
            logits = engine.decode(tokens)
        for sampler in samplers:
            told = sampler.told
            told = told[: told.index(end)] if end in told else told
            story = bundle.tokenizer.decode(told, skip_special_tokens=False)
            stories.append(story.rpartition(" ")[0])  # the last word may be cut
    return stories


def _tokenizer(subject: Subject, texts: Sequence[str], figures: dict[str, Any]) -> Check:
    """The runtime's own tokenizer, where it has one, against the checkpoint's; and the way back."""
    bundle = subject.bundle
    strings = measure.odd_strings(texts)
    encode = getattr(subject.engine, "tokenize", None)
    same = 0
    for string in strings:
        tokens = bundle.encode(string)
        if encode is not None:
            same += encode(string) == tokens
        else:
            same += bundle.tokenizer.decode(tokens, skip_special_tokens=False) == string
    figures["tokenizer"] = f"{same}/{len(strings)}"
    return Check(
        "tokenizer" + (", runtime's own" if encode else ", there and back"),
        f"{same} of {len(strings)} strings",
        "all",
        same == len(strings),
    )


def _speed_and_size(subject: Subject, full: Subject, figures: dict[str, Any]) -> list[Check]:
    fast = slow = 0.0
    for _ in range(3):  # turn by turn, so that a busy machine hits both
        fast = max(fast, measure.tokens_per_second(subject.engine, rounds=1))
        slow = max(slow, measure.tokens_per_second(full.engine, rounds=1))
    small, large = subject.bytes, full.bytes
    figures |= {
        "tokens_per_second": round(fast),
        "full_precision_tokens_per_second": round(slow),
        "bytes": small,
        "full_precision_bytes": large,
    }
    return [
        Check(
            "decode, tokens/s, beside full precision",
            f"{fast:,.0f} : {slow:,.0f} ({fast / slow:.2f}×)",
            "not slower",
            fast >= slow,
        ),
        Check(
            "size, MB, beside full precision",
            f"{small / 1e6:.2f} : {large / 1e6:.2f} ({small / large:.2f}×)",
            "smaller",
            small < large,
        ),
    ]
