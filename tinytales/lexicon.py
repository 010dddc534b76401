"""Words of children's stories: which exist, and which are forms of one another.

The dictionary is data (`assets/dictionary.txt` and the word lists); endings are taken off by rule,
so that it holds `climb` and knows `climbed`. Used by the storyteller, which tells a sentence with
an invented word again, by the help for asked-for words, and by the marks without a judge.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from importlib import resources

from tinytales import wordlists

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
#: mmm, shh, whooosh, haha: sounds, which anyone may make up.
_SOUND = re.compile(r"(\w)\1+|(\w)\2*(\w)\3*h*|.*(\w)\4\4.*|(\w{1,4})\5+h?")


@functools.lru_cache(16384)
def stems(word: str) -> frozenset[str]:
    """The word and what may stand under it without its ending: climbed -> climb, babies -> baby."""
    word = word.lower().replace("’", "'")
    found = {word}
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            stem = word[: len(word) - len(ending)]
            found.add(stem + instead)
            if len(stem) > 2 and stem[-1] == stem[-2]:
                found.add(stem[:-1])  # hopped, bigger
    return frozenset(found)


@functools.lru_cache(16384)
def roots(word: str) -> frozenset[str]:
    """Its stems, and the base of an irregular form: swam -> swim."""
    return stems(word) | {IRREGULAR.get(word, word)}


_ENDINGS = (
    ("'s", ""), ("s'", "s"), ("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe"),
    ("ed", ""), ("ed", "e"), ("ied", "y"), ("ing", ""), ("ing", "e"), ("ly", ""), ("ily", "y"),
    ("er", ""), ("er", "e"), ("ier", "y"), ("est", ""), ("est", "e"), ("iest", "y"), ("ful", ""),
    ("less", ""), ("ness", ""), ("iness", "y"), ("y", ""), ("n't", ""), ("'ll", ""), ("'d", ""),
    ("'re", ""), ("'ve", ""), ("'m", ""), ("able", ""), ("ish", ""), ("like", ""),
)  # fmt: skip

#: Verbs whose past cannot be found by taking an ending away; both ways round.
IRREGULAR = {
    form: base
    for base, forms in {
        "be": "am is are was were been", "begin": "began begun", "bite": "bit bitten",
        "blow": "blew blown", "break": "broke broken", "bring": "brought", "build": "built",
        "buy": "bought", "catch": "caught", "choose": "chose chosen", "come": "came",
        "dig": "dug", "do": "did done", "draw": "drew drawn", "drink": "drank drunk",
        "drive": "drove driven", "eat": "ate eaten", "fall": "fell fallen", "feed": "fed",
        "feel": "felt", "fight": "fought", "find": "found", "fly": "flew flown",
        "forget": "forgot forgotten", "get": "got", "give": "gave given", "go": "went gone",
        "grow": "grew grown", "hang": "hung", "have": "has had", "hear": "heard",
        "hide": "hid hidden", "hold": "held", "keep": "kept", "know": "knew known",
        "lay": "laid", "lead": "led", "leave": "left", "lie": "lay lain", "lose": "lost",
        "make": "made", "meet": "met", "pay": "paid", "ride": "rode ridden", "ring": "rang rung",
        "run": "ran", "say": "said", "see": "saw seen", "sell": "sold", "send": "sent",
        "shake": "shook", "shine": "shone", "sing": "sang sung", "sit": "sat", "sleep": "slept",
        "slide": "slid", "speak": "spoke spoken", "spin": "spun", "stand": "stood",
        "steal": "stole", "stick": "stuck", "swim": "swam swum", "swing": "swung",
        "take": "took taken", "teach": "taught", "tell": "told", "think": "thought",
        "throw": "threw thrown", "wake": "woke woken", "wear": "wore worn", "win": "won",
        "write": "wrote written", "child": "children", "foot": "feet", "tooth": "teeth",
        "mouse": "mice", "goose": "geese", "man": "men", "woman": "women", "good": "better best",
        "bad": "worse worst",
    }.items()
    for form in forms.split()
}  # fmt: skip


def told(wish: str, words: Sequence[str]) -> bool:
    """Is the asked-for word among the story's words, in any form?"""
    parts = [w.lower() for w in WORD.findall(wish)]
    if not parts:
        return True
    forms = [roots(part) for part in parts]
    return any(
        all(not roots(words[i + k]).isdisjoint(form) for k, form in enumerate(forms))
        for i in range(len(words) - len(parts) + 1)
    )


@functools.cache
def dictionary() -> frozenset[str]:
    """The words of children's stories (assets/dictionary.txt) and of our word lists."""
    text = resources.files("tinytales.assets").joinpath("dictionary.txt").read_text("utf-8")
    words = {line for line in text.split("\n") if line and not line.startswith("#")}
    return frozenset(words | simple_words() | set(IRREGULAR) | set(IRREGULAR.values()))


@functools.cache
def simple_words() -> frozenset[str]:
    """What a small child knows: the word lists, and the little words between them."""
    lists = (wordlists.nouns(), wordlists.verbs(), wordlists.adjectives(), wordlists.heroes(),
             wordlists.places(), tuple(n.lower() for n in wordlists.names()))  # fmt: skip
    return frozenset(w.lower() for block in lists for e in block for w in e.split()) | _LITTLE


_LITTLE = frozenset(
    """a about after again all along also always an and another any around as at away back because
    before behind but by can can't could couldn't day did didn't do does doesn't don't down each
    even every everyone everything far few first for from hello her here hers herself hi him
    himself his how i if i'm in inside into it it's its itself just last later let let's like little
    lot lots many maybe me more most much mom dad mommy daddy my near never new next no not now of
    off oh ok okay on once one only onto or other our out outside over please she he should so some
    someone something soon still suddenly than thank thanks that that's the their them then there
    they thing things this those through time to today together tomorrow tonight too two three four
    five six seven eight nine ten under until up upon us very was wasn't way we well what when where
    which while who why will with without won't would yes yesterday you your be been being were is
    are am had has have ever day days morning night end own same these such""".split()
)


def known(word: str, among: frozenset[str]) -> bool:
    """Is `word` or something under its endings one of `among`?"""
    if word in among or IRREGULAR.get(word) in among:
        return True
    under = stems(word)
    under |= {deeper for stem in under for deeper in stems(stem)}  # feel-er-s
    return any(s in among or IRREGULAR.get(s, "") in among for s in under)


def invented_words(text: str, names: Iterable[str] = ()) -> tuple[str, ...]:
    """Lower-case words without any known form; a name in lower case is none."""
    among, named = dictionary(), {n.lower() for n in names}
    found: dict[str, None] = {}
    for word in WORD.findall(text):
        plain = word.lower().replace("’", "'")
        if word[0].isupper() or plain in named or len(plain) < 2:
            continue
        if _SOUND.fullmatch(plain):
            continue
        if not known(plain, among) and not _compound(plain, among):
            found[plain] = None
    return tuple(found)


def _compound(word: str, among: frozenset[str]) -> bool:
    """Two known words in one, like moonlight: children's authors make them all the time."""
    cuts = range(3, len(word) - 2)
    return any(word[:i] in among and known(word[i:], among) for i in cuts)
