"""What stories a bundle tells: are the asked-for words told, does it end by itself?

tinytales evaluate --stories 200                      # three random words asked for in each
"""

from __future__ import annotations

import random
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tinytales import wordlists
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Story
from tinytales.storyteller import Storyteller
from tinytales.wordhelp import missing_words, stammers


@dataclass(frozen=True, slots=True)
class Told:
    """Figures of some stories.

    Attributes:
        words: share of the asked-for words that were told, in any regular form.
        exact: the same, in the very form that was asked for.
        ended: share of stories that the model closed by itself.
        stammered: share of stories with a word twice in a row (`wordhelp.stammers`).
        length: median words of a story.
    """

    stories: int
    words: float
    exact: float
    ended: float
    stammered: float
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
        sampling = Sampling(
            temperature=0.8, seed=seed + number, word_help=help_words, name_help=help_words
        )
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
        stammered=sum(stammers(s.prompt.words, s.text) for s in stories) / len(stories),
        length=statistics.median(story.words for story in stories),
    )
