"""A told story and everything that is needed to tell the same one again."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from tinytales.errors import UsageError
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling

#: end: the model closed the story. length: `max_words` reached. context: the model's memory was
#: full. cancelled: someone stopped it. unsafe: no gentle way on was found.
Finish = Literal["end", "length", "context", "cancelled", "unsafe"]


def new_id() -> str:
    return uuid.uuid4().hex[:12]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Story:
    """One telling. `text` is the whole story with its opening; `sampling.seed` is always set."""

    text: str
    prompt: StoryPrompt
    sampling: Sampling
    finish: Finish
    tokens: int = 0
    seconds: float = 0.0
    bundle: str = ""
    bundle_digest: str = ""
    safety: str = "gentle"
    parent: str | None = None
    branch_at: int | None = None
    id: str = field(default_factory=new_id)
    created: str = field(default_factory=now)

    @property
    def title(self) -> str:
        return title_of(self.text)

    @property
    def words(self) -> int:
        return len(self.text.split())

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        data["prompt"], data["sampling"] = self.prompt.to_dict(), self.sampling.to_dict()
        return {"id": data.pop("id"), "created": data.pop("created"), "title": self.title, **data}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Story:
        known = {f.name for f in fields(cls)}
        values = {k: v for k, v in data.items() if k in known}
        try:
            values["prompt"] = StoryPrompt.from_dict(values.get("prompt") or {})
            values["sampling"] = Sampling.from_dict(values.get("sampling") or {})
            values.setdefault("finish", "end")
            if values["finish"] not in get_args(Finish):
                raise UsageError(f"unknown finish {values['finish']!r} in a story record")
            return cls(**values)
        except TypeError as error:
            raise UsageError(f"not a story record: {error}") from error


_FORMS_OF_ADDRESS = {"Mr", "Mrs", "Ms", "Dr"}
_NAMED = re.compile(r"\b(?:named|called)\s+([A-Z][\w'-]*)")
_THING = re.compile(
    r"\b(?:a|an|the|his|her|their)\s+((?:(?:little|big|old|tiny|small|new|red|blue|green|yellow|"
    r"pink|brown|white|black|shiny|pretty|magic|special|lost|brave|kind|happy|sad|wise|soft)\s+)*"
    r"[a-z]{3,}(?:\s+(?:tree|bear|house|boat|ball|car|box|bird|flower))?)\b"
)
_DULL = {
    "day", "time", "was", "girl", "boy", "lot", "few", "very", "one", "end", "next", "same", "way",
    "other", "little", "big", "thing", "things", "mom", "dad", "top", "bit", "something", "while",
}  # fmt: skip


def title_of(text: str, limit: int = 48) -> str:
    """A short title found in the story itself: its hero, and the thing it turns around."""
    names = [n for n in _NAMED.findall(text[:600]) if n not in _FORMS_OF_ADDRESS]
    hero = names[0] if names else ""
    counts: dict[str, int] = {}
    words = Counter(re.findall(r"\w+", text.lower()))
    for match in _THING.finditer(text):
        thing = match.group(1)
        noun = thing.split()[-1]
        if noun in _DULL or noun == hero.lower():
            continue
        counts.setdefault(thing, words[noun])
    thing = max(counts, key=lambda t: (counts[t], len(t)), default="")
    if hero and thing:
        title = f"{hero} and the {thing}"
    elif thing:
        title = f"The {thing}"
    else:
        first = re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0]
        title = hero or first or "A story"
    title = " ".join(
        w if w in ("and", "the") and i else w.capitalize() for i, w in enumerate(title.split())
    )
    return title if len(title) <= limit else title[: limit - 1].rsplit(" ", 1)[0] + "…"
