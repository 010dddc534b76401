"""Help for asked-for words: raise them gently while they are not told, hold the end back a little,
and lower them while they are told too often.

A tiny model forgets most of the words it was asked for. While a word is missing, the tokens that
would spell it are raised, more with every sentence; they stay the model's to place, since a raise
of a few nats decides between words that fit. `tinytales tell --no-word-help` turns it off;
`tinytales evaluate --stories 200` measures both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tinytales.lexicon import IRREGULAR, WORD, told

#: Nats added in the first sentence, added with every further one, and at most. A model that was
#: trained to obey needs none at first: pushed, it crams the words into its first sentences.
FIRST_RAISE, RAISE_PER_SENTENCE, MOST_RAISE = 0.0, 0.4, 6.0
#: Nats added to the next token of a word that is already half spelled.
SPELL_ON = 8.0
#: Nats taken from a word for each time it was told in the last sentence and this one. A model that
#: was trained to obey goes on obeying: "the knight was brave and brave".
TOO_OFTEN = 2.5
#: Once the story wants to end, it is held for so many sentences, and so many for each missing word.
#: Longer would be rambling, and a story that ends well is worth more than a word.
WAIT, WAIT_PER_WORD = 1, 2


def forms(word: str) -> list[str]:
    """The word and its inflections: kite, kites; climb, climbed, climbing; swim, swam, swum."""
    word = word.lower()
    if " " in word or len(word) < 3:
        return [word]
    irregular = [form for form, base in IRREGULAR.items() if base == word]
    if word.endswith("e"):
        regular = [word + "s", word + "d", word[:-1] + "ing"]
    elif re.search(r"[^aeiou]y$", word):
        regular = [word[:-1] + "ies", word[:-1] + "ied", word + "ing"]
    elif re.search(r"(s|x|z|ch|sh)$", word):
        regular = [word + "es", word + "ed", word + "ing"]
    else:
        doubled = word + word[-1] if re.search(r"[^aeiou][aeiou][bdgmnpt]$", word) else word
        regular = [word + "s", doubled + "ed", doubled + "ing", word + "ly"]
    return [word, *irregular, *regular]


def _words(text: str) -> list[str]:
    return [word.lower().replace("’", "'") for word in WORD.findall(text)]


def missing_words(words: Sequence[str], text: str) -> list[str]:
    """Those of `words` that `text` tells in none of their forms."""
    told_words = _words(text)
    return [word for word in words if not told(word, told_words)]


#: A long word twice in a row; short ones are the sounds that children love (ha ha, beep beep).
_TWICE = re.compile(r"\b(\w{6,})\s+\1\b", re.IGNORECASE)


def stammers(words: Sequence[str], text: str) -> bool:
    """Is a long word told twice in a row, or one of `words` in any form? "Brave and brave." """
    if _TWICE.search(text):
        return True
    for word in words:
        ways = "|".join(re.escape(way) for way in forms(word))
        if re.search(rf"\b(?:{ways}),?\s+(?:and\s+)?(?:{ways})\b", text, re.IGNORECASE):
            return True
    return False


class WordHelp:
    """The raises for one story. `told` is called with each sentence, `bias` before each token."""

    def __init__(self, words: Sequence[str], encode: Callable[[str], list[int]]) -> None:
        """`encode` gives the tokens of a text without special tokens."""
        self._encode = encode
        self._forms = {word: frozenset(forms(word)) for word in words}
        self._lately = dict.fromkeys(words, 0)  # times told in the last sentence
        self._looked_for: tuple[str, list[str]] | None = None
        self.missing = list(words)
        self.sentences = 0
        self._wanted_end_at: int | None = None
        self._spellings: dict[str, list[list[int]]] = {}

    def told(self, text: str) -> None:
        """A sentence was told: strike off its words, and raise the others a little more."""
        self.missing = missing_words(self.missing, text)
        self.sentences += 1
        self._looked_for = None
        heard = _words(text)
        self._lately = {word: self._times(word, heard) for word in self._forms}

    def holds_end(self, wants_end: bool, pending: str) -> bool:
        """Is the end held back? `wants_end`: the end is what the model would say next."""
        missing = self._still_missing(pending)
        if not missing:
            return False
        if wants_end and self._wanted_end_at is None:
            self._wanted_end_at = self.sentences
        since = self.sentences - self._wanted_end_at if self._wanted_end_at is not None else 0
        return since < WAIT + WAIT_PER_WORD * len(missing)

    def bias(self, pending: str, word_tokens: Sequence[int]) -> dict[int, float]:
        """Token -> nats to add. `word_tokens` spell the last word, `pending` is untold text."""
        raises: dict[int, float] = {}
        if not self._forms:
            return raises
        amount = min(MOST_RAISE, FIRST_RAISE + RAISE_PER_SENTENCE * self.sentences)
        if self._wanted_end_at is not None:
            amount = MOST_RAISE
        for word in self._still_missing(pending):
            for spelling in self._spell(word):
                raises[spelling[0]] = max(raises.get(spelling[0], 0.0), amount)
                done = len(word_tokens)
                if 0 < done < len(spelling) and list(word_tokens) == spelling[:done]:
                    raises[spelling[done]] = SPELL_ON
        heard = _words(pending)
        for word, before in self._lately.items():
            times = before + self._times(word, heard)
            for spelling in self._spell(word) if times else ():
                raises[spelling[0]] = raises.get(spelling[0], 0.0) - TOO_OFTEN * times
        return raises

    def _still_missing(self, pending: str) -> list[str]:
        """Those that neither the told text nor `pending` tells; both questions of a token ask."""
        if not self.missing:
            return []
        if self._looked_for is None or self._looked_for[0] != pending:
            self._looked_for = pending, missing_words(self.missing, pending)
        return self._looked_for[1]

    def _times(self, word: str, heard: Sequence[str]) -> int:
        return sum(one in self._forms[word] for one in heard)

    def _spell(self, word: str) -> list[list[int]]:
        """Token sequences of the word itself and, where one token says them, of its other forms."""
        if word not in self._spellings:
            own, *others = ([*self._encode(" " + form)] for form in forms(word))
            self._spellings[word] = [own, *(o for o in others if len(o) == 1)]
        return self._spellings[word]
