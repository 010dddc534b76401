"""What a story is asked to be, and the plain text in which a model is asked.

The text is the TinyStories-Instruct header (Eldan & Li 2023, section 2.2), so that every runtime
can use it: any subset of the lines, in any order, then `Story:` and the first words.

    Words: kite, climb, windy
    Features: Dialogue, Moral
    Summary: A boy learns to ask for help when his kite is stuck.
    Story:
    One day …

An opening without any wish is rendered bare; nothing at all is rendered as `Story:` alone, so that
the model begins a tale instead of a header.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tinytales.errors import PromptError, nearest

#: key -> the name in the header. Section 2.1 of the paper lists these six.
FEATURES: dict[str, str] = {
    "dialogue": "Dialogue",
    "twist": "Twist",
    "moral": "Moral",
    "foreshadowing": "Foreshadowing",
    "conflict": "Conflict",
    "sad-ending": "BadEnding",
}
STORY_LINE = "Story:\n"
HEADER_LINES = ("words", "sentence", "features", "summary")
MAX_WORDS_ASKED = 8


def clean(text: str, *, keep_newlines: bool = False) -> str:
    """Normalise to NFC, drop control characters, fold runs of white space.

    With `keep_newlines` single newlines survive: they separate the paragraphs of a story.
    """
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    text = text.replace("<|endoftext|>", " ")
    lines = []
    for line in text.split("\n"):
        kept = "".join(
            c if unicodedata.category(c) not in ("Cc", "Cs", "Cn") else " " for c in line
        )
        lines.append(" ".join(kept.split()))
    return "\n".join(line for line in lines if line) if keep_newlines else " ".join(lines).strip()


def feature_key(name: str) -> str:
    """The key of a feature in any of its spellings. Raises PromptError for an unknown one."""
    folded = name.strip().lower().replace("_", "-").replace(" ", "-")
    aliases = {header.lower(): key for key, header in FEATURES.items()}
    aliases |= {"plot-twist": "twist", "moral-value": "moral", "bad-ending": "sad-ending"}
    key = aliases.get(folded, folded)
    if key not in FEATURES:
        raise PromptError(f"unknown feature {name!r}", hint=nearest(folded, FEATURES))
    return key


@dataclass(frozen=True, slots=True)
class StoryPrompt:
    """Everything that may be asked of a story; each part is optional.

    Text is cleaned on the way in, so that every prompt can be rendered and read back.

    Raises:
        PromptError: an unknown feature, an empty or many-worded word, more than eight words.
    """

    words: Sequence[str] = ()
    sentence: str = ""
    features: Sequence[str] = ()
    summary: str = ""
    opening: str = ""

    def __post_init__(self) -> None:
        words = tuple(dict.fromkeys(w for w in (clean(w) for w in _listed(self.words)) if w))
        for word in words:
            if len(word.split()) > 3 or "," in word or len(word) > 40:
                raise PromptError(
                    f"{word!r} is not one word", hint="give single words: kite, climb"
                )
        if len(words) > MAX_WORDS_ASKED:
            raise PromptError(
                f"{len(words)} words are too many for one tiny story",
                hint=f"ask for at most {MAX_WORDS_ASKED}",
            )
        features = tuple(dict.fromkeys(feature_key(f) for f in _listed(self.features) if f.strip()))
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "features", tuple(f for f in FEATURES if f in features))
        object.__setattr__(self, "sentence", clean(self.sentence))
        object.__setattr__(self, "summary", clean(self.summary))
        # A trailing space in the opening asks for a new word; the tokenizer puts spaces before
        # words, so it is dropped there and the model supplies it.
        object.__setattr__(self, "opening", clean(self.opening, keep_newlines=True))

    def header(self, order: Iterable[str] = HEADER_LINES) -> str:
        """The wishes as header lines, each ended by a newline; empty if there are none."""
        lines = {
            "words": "Words: " + ", ".join(self.words) if self.words else "",
            "sentence": f"Sentence: {self.sentence}" if self.sentence else "",
            "features": "Features: " + ", ".join(FEATURES[f] for f in self.features)
            if self.features
            else "",
            "summary": f"Summary: {self.summary}" if self.summary else "",
        }
        return "".join(lines[name] + "\n" for name in order if lines[name])

    def render(self, order: Iterable[str] = HEADER_LINES) -> str:
        """The text that a model reads before it tells on."""
        header = self.header(order)
        if header or not self.opening:
            return header + STORY_LINE + self.opening
        return self.opening

    @classmethod
    def parse(cls, text: str) -> StoryPrompt:
        """Read a rendered prompt back; text without a header is all opening."""
        parts: dict[str, str] = {}
        rest = text
        while rest:
            line, newline, after = rest.partition("\n")
            name, colon, value = line.partition(":")
            if name.lower() == "story" and colon and not value.strip():
                return cls._from_parts(parts, after)
            if not newline or not colon or name.lower() not in HEADER_LINES:
                break
            parts[name.lower()] = value.strip()
            rest = after
        return cls(opening=text)

    @classmethod
    def _from_parts(cls, parts: Mapping[str, str], opening: str) -> StoryPrompt:
        return cls(
            words=parts.get("words", "").split(","),
            sentence=parts.get("sentence", ""),
            features=parts.get("features", "").split(","),
            summary=parts.get("summary", ""),
            opening=opening,
        )

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        data["words"], data["features"] = list(self.words), list(self.features)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StoryPrompt:
        known = {"words", "sentence", "features", "summary", "opening"}
        for name in data:
            if name not in known:
                raise PromptError(f"unknown part of a prompt: {name!r}", hint=nearest(name, known))
        return cls(**data)


def _listed(value: Sequence[str]) -> Sequence[str]:
    """A plain string is read as a comma-separated list."""
    return value.split(",") if isinstance(value, str) else value
