"""What a child should not meet, in typed wishes and in told sentences.

    Safety().check("The fox took a gun.")        # Finding(word='gun', start=15, end=18, …)
    Safety("careful").check_prompt(prompt)       # typed words, unmasked: g u n, k1ll, gυn

The rules are data: `assets/safety.toml`, to be read and changed without reading this file. Each
word of a text is looked up in one index; a pattern is compiled only when one of its words comes up,
so that a kind sentence costs some twenty microseconds. `docs/safety.md` tells how well it works,
and `python -m tinytales.safety_measure` measures it.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from tinytales.errors import UsageError, nearest

if TYPE_CHECKING:
    from tinytales.prompt import StoryPrompt

#: level -> what it is for. Each level keeps the rules of those before it.
LEVELS: dict[str, str] = {
    "off": "nothing is checked",
    "gentle": "no violence, weapons, cruelty, drugs, insults, private data, dangerous acts",
    "careful": "for the very young: no fright, no death, no quarrel that hurts",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: `text[start:end]`, the rule's `word` or phrase, and why it is not told."""

    word: str
    start: int
    end: int
    reason: str


class Safety:
    """The rules of one level. Cheap to make, safe to share between threads.

    Raises:
        UsageError: there is no such level.
    """

    def __init__(self, level: str = "gentle") -> None:
        if level not in LEVELS:
            raise UsageError(f"unknown safety level {level!r}", hint=nearest(str(level), LEVELS))
        self.level = level

    def __repr__(self) -> str:
        return f"Safety({self.level!r})"

    def check(self, text: str) -> Finding | None:
        """The first thing in `text` that is not told at this level."""
        return self._check(text, masked=False)

    def check_prompt(self, prompt: StoryPrompt) -> Finding | None:
        """The first thing in the typed parts of `prompt`; start and end count within that part.

        Typed words may be masked on purpose or by accident: letters apart, digits for letters,
        look-alikes from other alphabets. They are read unmasked.
        """
        parts = (prompt.opening, prompt.sentence, prompt.summary, *prompt.words)
        for part in parts:
            finding = self._check(part, masked=True)
            if finding is not None:
                return finding
        return None

    def _check(self, text: str, masked: bool) -> Finding | None:
        if self.level == "off" or not text:
            return None
        book = _rule_book(self.level)
        for folded, origin in readings(text) if masked else (fold(text),):
            found = book.search(folded)
            if found is not None:
                start, end, reason = found
                if origin:  # back to the text as it was given
                    start, end = origin[start], origin[end - 1] + 1
                return Finding(" ".join(text[start:end].split()), start, end, reason)
        return None


# ---------------------------------------------------------------- reading what was written

#: A folded text and, unless they are equal, the place in the text of each of its characters.
Reading = tuple[str, Sequence[int]]

#: Letter -> letters of other alphabets that look like it, and signs that NFKD leaves alone.
_LOOK_ALIKES = {
    ord(alike): letter
    for letter, alikes in {
        "a": "аαΑɑΛ", "b": "ЬВвΒß", "c": "сϲС", "d": "ԁɗđ", "e": "еЕΕεє", "f": "ƒ", "g": "ɡց",
        "h": "нНһΗħ", "i": "іІΙιıɪ", "j": "јЈ", "k": "кКκΚ", "l": "ӏłⅼ", "m": "мМΜ", "n": "ηΝпո",
        "o": "оОοΟσøօ", "p": "рРρΡ", "q": "ԛ", "r": "гᴦ", "s": "ѕЅʃ", "t": "тТτΤ", "u": "υцսᴜ",
        "v": "νѵ", "w": "ԝωшѡ", "x": "хХχΧ", "y": "уУүΥγ", "z": "ᴢΖ", "'": "‘’‛′`´", "-": "–—",
        '"': "“”„",
    }.items()
    for alike in alikes
}  # fmt: skip
#: Digits and signs written for letters; 1, ! and | stand for i or for l.
_LEET = str.maketrans("4@3105$7!|", "aaeiosstii")
_LEET_L = str.maketrans("4@3105$7!|", "aaelosstll")


def fold(text: str) -> Reading:
    """`text` in small Latin letters without accents and invisible characters."""
    if text.isascii():
        return text.lower(), ()
    folded: list[str] = []
    origin: list[int] = []
    for place, char in enumerate(text):
        for part in unicodedata.normalize("NFKD", char.translate(_LOOK_ALIKES)):
            if unicodedata.category(part) in ("Mn", "Me", "Cf", "Cc") and part != "\n":
                continue  # accents; zero-width characters
            small = part.translate(_LOOK_ALIKES).lower()
            folded.append(small)
            origin += [place] * len(small)
    return "".join(folded), origin


def readings(text: str) -> Iterator[Reading]:
    """`text` folded, and then in every way in which a masked word may be meant."""
    plain, origin = fold(text)
    yield plain, origin
    places = origin or range(len(plain))
    leet = re.sub(r"(?=\S*[a-z$@*])\S{2,}", lambda m: m.group().translate(_LEET), plain)
    leet_l = re.sub(r"(?=\S*[a-z$@*])\S{2,}", lambda m: m.group().translate(_LEET_L), plain)
    for spelled in dict.fromkeys((plain, leet, leet_l)):
        if spelled != plain:
            yield spelled, places
        for joined in _joined(spelled):
            yield joined[0], [places[i] for i in joined[1]]


_APART = re.compile(r"(?<![a-z])[a-z](?:[\s.,\-_*~|+/\\]{1,3}[a-z](?![a-z])){2,}")
_APART_AFTER_ARTICLE = re.compile(r"(?<=\ba\s)" + _APART.pattern.replace("(?<![a-z])", "", 1))
_DOTTED = re.compile(r"[a-z]+(?:[.\-_~|+/\\]+[a-z]+)+")
_LONG = re.compile(r"([a-z])\1{2,}")
_STARRED = re.compile(r"(?<=[a-z])\*(?=[a-z])")


def _joined(text: str) -> Iterator[tuple[str, list[int]]]:
    """`text` with letters that stand apart joined, long letters shortened, stars read as vowels."""
    for pattern in (_APART, _APART_AFTER_ARTICLE, _DOTTED):
        if pattern.search(text):
            yield _keep(text, pattern, str.isalpha)
    if _LONG.search(text):
        for most in (1, 2):
            drop: set[int] = set()
            for match in _LONG.finditer(text):
                drop.update(range(match.start() + most, match.end()))
            kept_places = [i for i in range(len(text)) if i not in drop]
            yield "".join(text[i] for i in kept_places), kept_places
    if _STARRED.search(text):
        for vowel in "aeiou":
            yield _STARRED.sub(vowel, text), list(range(len(text)))


def _keep(text: str, pattern: re.Pattern[str], kept: Any) -> tuple[str, list[int]]:
    """`text` where each match of `pattern` keeps only the characters that `kept` accepts."""
    inside: set[int] = set()
    for match in pattern.finditer(text):
        inside.update(range(*match.span()))
    places = [i for i, char in enumerate(text) if i not in inside or kept(char)]
    return "".join(text[i] for i in places), places


# ---------------------------------------------------------------- the rules

_WORD = re.compile(r"[a-z]+")
#: Between two words of a pattern: nothing that parts a sentence; at `..` a comma may.
_GAP = r"[^a-z.,;:!?\n]+"
_WIDE_GAP = r"[^a-z.!?\n]+"
#: Addresses and numbers by which a stranger could find a child.
_PRIVATE = re.compile(
    r"https?:|\bwww\.[a-z]|[\w.+-]@[\w-]+\.[a-z]|[a-z0-9]\.(?:com|org|net|info|io|gov|edu)\b"
    r"|(?:\+|\b)\d(?:[\s().-]{0,2}\d){8,}|\b\d{3}[\s.-]\d{4}\b|\blive at \d"
)


#: Words of nearly every sentence: no pattern is looked for because of them, if it has others.
_COMMON = frozenset(
    """
    a all an and at be by for from has had he her him his i in into is it its like make made
    me my not of off on one or out over put said see she so some take that the their them
    then there they this to too took up very was we went were what when who with you your
    """.split()
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line of the rule book, and why it stands there; `reason` is empty for what is fine."""

    line: str
    reason: str


class RuleBook:
    """All patterns of a level, found by the words that they need."""

    def __init__(self, rules: Iterable[Mapping[str, Any]], sets: Mapping[str, str]) -> None:
        self._sets = {name: words.split() for name, words in sets.items()}
        self._by_word: dict[str, list[Pattern]] = {}
        for rule in rules:
            for word in rule.get("words", "").split():
                self._add(Pattern(word, rule["reason"]))
            for line in _lines(rule.get("phrases", "")):
                self._add(Pattern(line, rule["reason"]))
            for line in _lines(rule.get("fine", "")):
                self._add(Pattern(line, ""))

    def _add(self, pattern: Pattern) -> None:
        """File the pattern under the words of its most telling place: few and rare ones."""
        needed = [
            self._words(place)
            for place in pattern.line.split()
            if not place.startswith(("(", ".."))
        ]
        for word in min(needed, key=lambda words: sum(20 if w in _COMMON else 1 for w in words)):
            self._by_word.setdefault(word, []).append(pattern)

    def search(self, text: str) -> tuple[int, int, str] | None:
        """The first finding in a folded text: start, end, reason."""
        hits: list[tuple[int, int, str]] = []
        patterns: dict[Pattern, None] = {}
        for word in set(_WORD.findall(text)).intersection(self._by_word):
            patterns |= dict.fromkeys(self._by_word[word])
        if patterns:
            fine = [span for p in patterns if not p.reason for span in self._spans(p, text)]
            hits = [
                (*span, p.reason)
                for p in patterns
                if p.reason
                for span in self._spans(p, text)
                if not any(a <= span[0] and span[1] <= b for a, b in fine)
            ]
        private = _PRIVATE.search(text)
        if private:
            hits.append((*private.span(), "private data and addresses"))
        return min(hits, default=None)

    def _spans(self, pattern: Pattern, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in self._compiled(pattern.line).finditer(text)]

    @functools.cache  # noqa: B019  (a rule book lives as long as the process)
    def _compiled(self, line: str) -> re.Pattern[str]:
        expression, gap = "", ""
        for place in line.split():
            if place == "..":
                expression += rf"{_WIDE_GAP}(?:[a-z]+{_WIDE_GAP}){{0,3}}"
                gap = ""
            elif place.startswith("("):
                expression += rf"(?:{gap}{self._either(place.strip('()'))})?"
            else:
                expression += gap + self._either(place)
                gap = _GAP
        return re.compile(rf"(?<![a-z]){expression}(?![a-z])")

    def _either(self, place: str) -> str:
        words = "|".join(sorted(self._words(place), key=lambda w: (-len(w), w)))
        if place.startswith("$"):  # someone: the someone, my little someone
            whose = "|".join(self._sets["whose"])
            return rf"(?:(?:{whose}){_GAP}(?:[a-z]+{_GAP})?)?(?:{words})"
        return f"(?:{words})"

    def _words(self, place: str) -> list[str]:
        """Every word that may stand at a place of a pattern."""
        words: list[str] = []
        for word in place.strip("()").split("|"):
            if word.startswith("$"):
                words += self._sets[word[1:]]
            elif word.endswith("~"):
                words += forms(word[:-1])
            else:
                words.append(word)
        return words


#: Forms that follow no rule.
_IRREGULAR = {
    "beat": "beaten beating",
    "bleed": "bled",
    "bite": "bit bitten",
    "blow": "blew blown",
    "break": "broke broken",
    "choose": "chose",
    "die": "died dies dying",
    "drink": "drank drunk",
    "eat": "ate eaten",
    "fight": "fought",
    "freeze": "froze frozen",
    "hang": "hung",
    "knife": "knives",
    "lie": "lying",
    "shoot": "shot",
    "slay": "slew slain",
    "steal": "stole stolen",
    "swallow": "swallowed",
    "swear": "swore sworn",
    "take": "took taken",
    "tear": "tore torn",
    "thief": "thieves",
    "throw": "threw thrown",
}


@functools.cache
def forms(word: str) -> list[str]:
    """The forms of a verb or noun by the rules of spelling: stab, stabs, stabbed, stabbing."""
    stem = word
    if word.endswith("e"):
        stem = word[:-1]
    elif re.search(r"[^aeiou][aeiou][bdgklmnprt]$", word) and len(word) < 6:
        stem = word + word[-1]
    past = f"{word[:-1]}ied" if re.search(r"[^aeiou]y$", word) else stem + "ed"
    plural = (
        f"{word[:-1]}ies"
        if re.search(r"[^aeiou]y$", word)
        else word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")
    )
    made = [word, plural, past, stem + "ing"]
    return list(dict.fromkeys(made + _IRREGULAR.get(word, "").split()))


def _lines(text: str) -> list[str]:
    """The patterns of a block, one a line, `#` begins a remark; apostrophes part words."""
    lines = (line.partition("#")[0].strip() for line in text.replace("'", " ").split("\n"))
    return [line for line in lines if line]


@functools.cache
def _rule_book(level: str) -> RuleBook:
    data, order = rules(), list(LEVELS)
    known = [rule for rule in data["rule"] if order.index(rule["level"]) <= order.index(level)]
    return RuleBook(known, data["sets"])


@functools.cache
def rules() -> dict[str, Any]:
    """What `assets/safety.toml` says."""
    import tomllib

    text = resources.files("tinytales.assets").joinpath("safety.toml").read_text("utf-8")
    return tomllib.loads(text)
