"""What could have been asked of a story: words, a sentence, features, a summary.

Training text must look like the prompts of `tinytales.prompt`, so the wishes are derived from the
stories themselves (TinyStories-Instruct, Eldan & Li 2023, section 2.2): about a third of the
documents are bare, some begin with `Story:`, the rest with a random part of the header in random
order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tinytales.errors import PromptError
from tinytales.prompt import FEATURES, STORY_LINE, StoryPrompt, feature_key
from tinytales.sentences import ends_sentence, split_sentences
from tinytales.train.corpus.recipe import CorpusRecipe, Source

#: Words that nobody asks for: function words, and the verbs and adverbs that carry every story.
COMMON = frozenset(
    """
    a able about above across after again against all almost along already also although
    always am among an and another any anyone anything are around as ask asked asks at away
    back be became because become been before began begin behind being below beneath beside
    best better between both bring brought but by call called calls came can cannot come
    comes coming could day days did do does doing done down during each either else end
    ended enough even ever every everyone everything everywhere far felt few finally find
    first for found from gave get gets getting give given go goes going gone good got had
    has have having he heard her here hers herself him himself his how however i if in
    inside instead into is it its itself just keep kept knew know known last later least
    left less let lets like liked likes little live lived long look looked looking looks lot
    lots made make makes making many may maybe me mean means might mine more most much must
    my myself name named names near nearby need needed never new next no nobody none nor not
    nothing now of off often oh okay on once one ones only onto or other others our ours
    ourselves out outside over own part past perhaps put quite rather ready really right
    said same sat saw say saying says see seem seemed seen she should since so some someone
    something sometimes soon stay stayed still stood such suddenly sure take taken takes
    tell tells than thank that the their theirs them themselves then there these they thing
    things think this those though thought through time times to today together told
    tomorrow too took toward towards tried try trying turn turned two under until up upon us
    use used very want wanted wants was way we well went were what whatever when where
    whether which while who whole whom whose why will with within without wo would yes yet
    you your yours yourself
    """.split()
)
_WORD = re.compile(r"[A-Za-z]+(?:[-'][A-Za-z]+)*")
_QUOTED = re.compile(r'"[^"\n]{2,}"')
_MORAL = re.compile(r"\b(?:moral|lesson)s?\b", re.IGNORECASE)
_STORY_FOLLOWS = re.compile(r" where (?:our|the|this) story (?:unfolds|begins|takes place).*$")
#: "a owl": the elements were put together by a program.
_AN = re.compile(r"\b([Aa]) (?=[aeio]|u(?!ni|s|ti)|[AEIO])(?!one\b|eu)")


@dataclass(frozen=True, slots=True)
class Document:
    """A clean story and what is known of it."""

    text: str
    words: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    summary: str = ""
    content: tuple[str, ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Document:
        many = {name: tuple(data[name]) for name in ("words", "features", "content")}
        return cls(text=data["text"], summary=data["summary"], **many)


def label(text: str, fields: Mapping[str, Any], source: Source) -> Document:
    """Derive the labels of a clean story from its text and the fields beside it."""
    words = fields.get("words")
    given = tuple(w for w in words if isinstance(w, str)) if isinstance(words, list) else ()
    summary = fields.get("summary")
    if not isinstance(summary, str):
        elements = fields.get("elements")
        summary = summarize_elements(elements) if isinstance(elements, dict) else ""
    return Document(
        text=text,
        words=tuple(word for word in given if occurs(word, text)),
        features=find_features(text, fields.get("features"), source.features),
        summary=" ".join(summary.split()),
        content=content_words(text),
    )


def occurs(word: str, text: str) -> bool:
    """Does the word stand in the text, whole, in this very form?"""
    return re.search(rf"(?<![\w'-]){re.escape(word)}(?![\w'-])", text) is not None


def content_words(text: str) -> tuple[str, ...]:
    """The words a child might ask for: in lower case in the story, in order, each once."""
    found = dict.fromkeys(match.group() for match in _WORD.finditer(text))
    return tuple(
        w for w in found if w.islower() and len(w) > 2 and w not in COMMON and "'" not in w
    )


def find_features(text: str, given: Any, always: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Features by their keys: those the source names, dialogue and moral by rule.

    Dialogue: somebody says two things or more. Moral: the last third speaks of a lesson.
    """
    found = set(always)
    for name in given if isinstance(given, list) else ():
        try:
            found.add(feature_key(str(name)))
        except PromptError:
            continue  # a label of another vocabulary: no wish that a prompt could make
    if len(_QUOTED.findall(text)) >= 2:
        found.add("dialogue")
    if not isinstance(given, list) and _MORAL.search(text, len(text) * 2 // 3):
        found.add("moral")
    return tuple(name for name in FEATURES if name in found)


def summarize_elements(elements: Mapping[str, Any]) -> str:
    """One sentence from the elements of a fable: who, where, and what is learned."""

    def part(name: str) -> str:
        value = elements.get(name, "")
        return value.strip(" .") if isinstance(value, str) else ""

    who, lesson = part("Main Character"), part("Teaching")
    where = _STORY_FOLLOWS.sub("", part("Setting"))
    if not who or not lesson:
        return ""
    place = f" in {where}" if where else ""
    summary = f"{who[0].upper()}{who[1:]}{place} learns that {lesson}."
    return _AN.sub(r"\1n ", summary)


class Renderer:
    """Renders documents as training text; what it draws depends on `rng` alone."""

    def __init__(self, recipe: CorpusRecipe, frequency: Mapping[str, int]) -> None:
        """`frequency` tells in how many stories of the corpus each content word occurs."""
        self.recipe = recipe
        self._frequency = frequency

    def __call__(self, document: Document, rng: Random, always: Sequence[str] = ()) -> str:
        """The story under a random header (or none), without end tokens.

        With `always` (header lines) it is never bare: a style that is to be told on request only.
        """
        form = rng.random()
        if not always and form < self.recipe.bare:
            return document.text
        if not always and form < self.recipe.bare + self.recipe.story_only:
            return STORY_LINE + document.text
        wishes = self._wishes(document, rng, always)
        ood = set(self.recipe.ood)
        if ood and ood <= wishes.keys():
            del wishes[rng.choice(sorted(ood))]
        order = rng.sample(sorted(wishes), len(wishes))
        return StoryPrompt(**wishes).header(order) + STORY_LINE + document.text

    def _wishes(self, document: Document, rng: Random, always: Sequence[str]) -> dict[str, Any]:
        def asks(line: str, share: float) -> bool:
            return rng.random() < share or line in always

        wishes: dict[str, Any] = {}
        if asks("words", 0.85):
            wishes["words"] = self._words(document, rng)
        if document.summary and asks("summary", 0.35):
            wishes["summary"] = document.summary
        if document.features and asks("features", 0.35):
            some = rng.randint(1, len(document.features))
            wishes["features"] = rng.sample(document.features, some)
        if asks("sentence", 0.15):
            wishes["sentence"] = self._sentence(document, rng)
        if not any(wishes.values()):
            wishes["words"] = self._words(document, rng)
        return {name: value for name, value in wishes.items() if value}

    def _words(self, document: Document, rng: Random) -> list[str]:
        """The words the story was written for, half the time; else some that it uses."""
        if document.words and rng.random() < 0.5:
            return rng.sample(document.words, len(document.words))
        wanted = rng.choice((1, 2, 3, 3, 3, 3, 4, 5))
        # Rarer words first, but not always (Efraimidis & Spirakis 2006: the largest u^(1/weight),
        # with weight 1/sqrt(frequency)): people ask for kites, hardly for fun.
        keys = {w: rng.random() ** self._frequency.get(w, 1) ** 0.5 for w in document.content}
        return sorted(keys, key=keys.__getitem__, reverse=True)[:wanted]

    def _sentence(self, document: Document, rng: Random) -> str:
        sentences = [document.text[start:end] for start, end in split_sentences(document.text)]
        fit = [
            s
            for s in sentences
            if 4 <= len(s.split()) <= 20 and ends_sentence(s) and s.count('"') % 2 == 0
        ]
        return rng.choice(fit) if fit else ""
