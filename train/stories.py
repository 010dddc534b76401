"""What stories a bundle tells: asked-for words, endings, and how much of them was learned by heart.

    tinytales evaluate --stories 200                      # three random words asked for in each
    tinytales evaluate --stories 100 --against texts.jsonl.xz

Memorization as in the paper (section 4.6): the largest Rouge-2 precision of a story against any
single training story. Pooled overlap would say nothing: every pair of words occurs somewhere.
"""

from __future__ import annotations

import itertools
import random
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tinytales import wordlists
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Story
from tinytales.storyteller import Storyteller
from tinytales.wordhelp import missing_words

Bigrams = Counter[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Told:
    """Figures of some stories.

    Attributes:
        words: share of the asked-for words that were told, in any regular form.
        exact: the same, in the very form that was asked for.
        ended: share of stories that the model closed by itself.
        length: median words of a story.
    """

    stories: int
    words: float
    exact: float
    ended: float
    length: float

    def to_dict(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in self.__slots__}


def ask_and_tell(
    teller: Storyteller, count: int, *, seed: int = 0, help_words: bool = True
) -> list[Story]:
    """`count` stories, each asked for a random noun, verb and adjective (paper, section 2.1)."""
    dice = random.Random(seed)
    stories = []
    for number in range(count):
        words = wordlists.draw(dice)
        sampling = Sampling(temperature=0.8, seed=seed + number, word_help=help_words)
        stories.append(teller.tell(StoryPrompt(words=words), sampling))
    return stories


def count_told(stories: Sequence[Story]) -> Told:
    asked = told = exact = 0
    for story in stories:
        asked += len(story.prompt.words)
        told += len(story.prompt.words) - len(missing_words(story.prompt.words, story.text))
        text = story.text.lower()
        exact += sum(bool(re.search(rf"\b{re.escape(w)}\b", text)) for w in story.prompt.words)
    return Told(
        stories=len(stories),
        words=told / max(1, asked),
        exact=exact / max(1, asked),
        ended=sum(story.finish == "end" for story in stories) / len(stories),
        length=statistics.median(story.words for story in stories),
    )


def bigrams(text: str) -> Bigrams:
    words = re.findall(r"[a-z']+", text.lower())
    return Counter(itertools.pairwise(words))


def nearest_overlap(texts: Sequence[str], training: Iterable[str]) -> list[float]:
    """For each text the largest Rouge-2 precision against a single training story, from 0 to 1."""
    wanted = [bigrams(text) for text in texts]
    sizes = [max(1, sum(counts.values())) for counts in wanted]
    where: dict[tuple[str, str], list[int]] = {}
    for number, counts in enumerate(wanted):
        for pair in counts:
            where.setdefault(pair, []).append(number)
    best = [0] * len(texts)
    for story in training:
        shared = [0] * len(texts)
        for pair, there in bigrams(story).items():
            for number in where.get(pair, ()):
                shared[number] += min(there, wanted[number][pair])
        best = [max(a, b) for a, b in zip(best, shared, strict=True)]
    return [hits / size for hits, size in zip(best, sizes, strict=True)]
