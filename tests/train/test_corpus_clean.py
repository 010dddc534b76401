"""What is mended, what is dropped, and what is known of a story that stays."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytales.prompt import StoryPrompt
from tinytales.train.corpus.clean import FAULTS, Cleaner, fault, mend
from tinytales.train.corpus.duplicates import Duplicates, HeldOut, words_of
from tinytales.train.corpus.labels import (
    Document,
    Renderer,
    content_words,
    find_features,
    label,
    occurs,
    summarize_elements,
)
from tinytales.train.corpus.recipe import CorpusRecipe, Source
from tinytales.train.corpus.rename import BOYS, GIRLS, find_names, rename

SOURCE = Source("tales", ("tales.jsonl",), min_words=5, max_words=60)
STORY = (
    "Mia the mouse found a kite on the hill, and the kite was torn.\n"
    '"Can you mend it?" she asked Tom the owl. "I can," said Tom, and he took a ribbon.\n'
    "The kite was up again before supper, and it flew over the pond in the wind."
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("â€œHelloâ€\x9d, itâ€™s me.", '"Hello", it\'s me.'),
        ("“Curly” ‘quotes’ … and – more", "\"Curly\" 'quotes' ... and - more"),
        ("too   many\t spaces \n\n\n and  lines\r\n", "too many spaces\nand lines"),
        ("Tom &amp; Bea", "Tom & Bea"),
        ("ZoÃ«", "Zoë"),
        ("Zoe\u0308", "Zoë"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("one<|endoftext|>two", "one\ntwo"),
        ("", ""),
    ],
)
def test_mend(before: str, after: str) -> None:
    assert mend(before) == after


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_mended_text_has_single_lines_and_spaces(text: str) -> None:
    mended = mend(text)
    assert "  " not in mended
    assert "\n\n" not in mended
    assert mended == mended.strip()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (STORY, ""),
        ("", "empty"),
        ("The fox \ufffd\ufffd ran to the old mill.", "mojibake"),
        ("The fox ran.", "too short"),
        ("The fox ran. " * 40, "too long"),
        ("Der Fuchs lief durch den dunklen Wald und fand einen Stein.", "not English"),
        ("Лиса побежала домой и легла спать под деревом у реки.", "not English"),
        ("The fox ran home.\nThe end.\nThe owl sat in a tree.", "several stories"),
        (STORY[:230] + "\nOnce upon a time there was a cat.", "several stories"),
        ("The Cat\nOnce upon a time there was a cat, and it was fat.", ""),
        ("The fox ran to the old mill and then he", "cut ending"),
        ('The fox said to the owl, "Go away from the mill!"', ""),
    ],
)
def test_fault(text: str, why: str) -> None:
    assert fault(text, SOURCE) == why
    assert why in FAULTS or not why


def test_the_cleaner_knows_what_came_by() -> None:
    other = "Then the snail took a pistol out of the bag and it was sad."
    cleaner = Cleaner(
        CorpusRecipe((SOURCE,)), ["The owl sat in the tree and it was a very dark night."]
    )
    only = replace(SOURCE, where={"age": "4"})
    assert cleaner({"text": STORY, "age": 5}, only)[1] == "filtered"
    assert cleaner({"text": STORY, "age": 4}, only) == (STORY, "")
    assert cleaner({"text": STORY}, SOURCE)[1] == "exact duplicate"
    assert cleaner({"text": other}, SOURCE)[1] == "unsafe"
    held = "The owl sat in the tree and it was a very dark night. So it slept."
    assert cleaner({"text": held}, SOURCE)[1] == "held out"


def test_counts_are_in_the_order_of_the_checks() -> None:
    assert list(FAULTS)[-4:] == ["unsafe", "held out", "exact duplicate", "near duplicate"]


def test_exact_and_near_duplicates() -> None:
    seen = Duplicates(0.8).seen
    words = words_of(STORY)
    assert seen(words) == ""
    assert seen(words_of(STORY.upper().replace(",", " -"))) == "exact duplicate"
    assert seen([*words, "yes"]) == "near duplicate"
    assert seen(words_of("A snail went to the market, and it came home with one red boot.")) == ""


def test_near_duplicates_may_stay() -> None:
    seen = Duplicates(0).seen
    assert [seen(words_of(STORY)), seen([*words_of(STORY), "yes"])] == ["", ""]


def test_held_out_text_is_measured_by_runs() -> None:
    held = HeldOut([STORY])
    words = words_of(STORY)
    assert held.share(words) == 1
    assert held.share(words[:12]) == 0  # shorter than a run: nothing is proven
    assert held.share(words[:13] + ["x"] * 13) == 0.5
    assert held.share(words[:20] + ["x"] * 20) == 0.5  # runs overlap, words count once
    assert HeldOut().share(words) == 0


def test_content_words_are_whole_and_lower_case() -> None:
    words = content_words(STORY)
    assert {"kite", "hill", "ribbon", "supper", "pond"} <= set(words)
    assert not {"Mia", "Tom", "the", "and", "was", "said", "can"} & set(words)
    assert all(occurs(word, STORY) for word in words)
    assert not occurs("kit", STORY)


@pytest.mark.parametrize(
    ("text", "given", "found"),
    [
        (STORY, None, ("dialogue",)),
        ("He slept. He learned a good lesson.", None, ("moral",)),
        ("He had a lesson at school. Then he went home, ate, sang and slept all night.", None, ()),
        (
            "He slept.",
            ["moral value", "bad ending", "plot twist"],
            ("twist", "moral", "sad-ending"),
        ),
        ("He slept.", ["a feature of others"], ()),
    ],
)
def test_features(text: str, given: list[str] | None, found: tuple[str, ...]) -> None:
    assert find_features(text, given) == found


def test_the_elements_of_a_fable_make_a_summary() -> None:
    elements = {
        "Main Character": "a old owl",
        "Setting": "a barn where our story unfolds",
        "Teaching": "patience pays.",
    }
    assert summarize_elements(elements) == "An old owl in a barn learns that patience pays."
    assert summarize_elements({"Setting": "a barn"}) == ""
    assert summarize_elements({"Main Character": 5, "Teaching": None}) == ""


DOCUMENT = label(
    STORY,
    {"words": ["kite", "ribbon", "torn", "absent"], "summary": "A mouse  and\nan owl mend a kite."},
    SOURCE,
)


def rendered(recipe: CorpusRecipe, count: int = 2000) -> list[str]:
    renderer = Renderer(recipe, Counter(DOCUMENT.content))
    return [renderer(DOCUMENT, Random(number)) for number in range(count)]


def test_given_words_that_do_not_occur_are_forgotten() -> None:
    assert DOCUMENT.words == ("kite", "ribbon", "torn")
    assert Document.from_dict(DOCUMENT.to_dict()) == DOCUMENT


def test_renderings_are_prompts_that_can_be_read_back() -> None:
    parts: Counter[str] = Counter()
    orders = set()
    for text in rendered(CorpusRecipe((SOURCE,))):
        prompt = StoryPrompt.parse(text)
        assert prompt.opening == STORY
        assert all(occurs(word, STORY) for word in prompt.words)
        assert prompt.sentence in STORY
        assert len(prompt.words) <= 5
        header = text[: text.index(STORY)]
        lines = [line.split(":")[0] for line in header.splitlines()]
        if len(lines) > 2:
            orders.add(tuple(lines))
        parts.update(lines or ["bare"])
        parts["header"] += len(lines) > 1
    assert parts["bare"] / 2000 == pytest.approx(0.35, abs=0.04)
    assert parts["header"] / 2000 == pytest.approx(0.5, abs=0.04)
    assert all(parts[name] > 100 for name in ("Words", "Features", "Summary", "Sentence"))
    assert len(orders) > 10


def test_one_combination_can_be_held_out() -> None:
    held_out = rendered(CorpusRecipe((SOURCE,), ood=("words", "summary")))
    assert not any("Words:" in text and "Summary:" in text for text in held_out)
    assert any("Words:" in text for text in held_out)
    assert any("Summary:" in text for text in held_out)


def test_a_line_may_always_be_given() -> None:
    renderer = Renderer(CorpusRecipe((SOURCE,)), Counter(DOCUMENT.content))
    texts = [renderer(DOCUMENT, Random(number), ("summary",)) for number in range(300)]
    assert all(StoryPrompt.parse(text).summary == DOCUMENT.summary for text in texts)
    assert len(set(texts)) > 100


def test_rarer_words_are_asked_for_more_often() -> None:
    renderer = Renderer(CorpusRecipe((SOURCE,), bare=0, story_only=0), {"kite": 10_000, "hill": 1})
    document = Document(STORY, content=("kite", "hill", "pond", "wind", "supper"))
    asked: Counter[str] = Counter()
    for number in range(1000):
        asked.update(StoryPrompt.parse(renderer(document, Random(number))).words)
    assert asked["hill"] > 1.5 * asked["kite"] > 0


def test_renaming_is_consistent() -> None:
    renamed = rename(label(STORY, {"summary": "Mia and Tom mend a kite."}, SOURCE), Random(1))
    girl, boy = renamed.text.split()[0], renamed.summary.split()[2]
    assert girl in GIRLS and girl != "Mia"
    assert boy in BOYS and boy != "Tom"
    assert renamed.text == STORY.replace("Mia", girl).replace("Tom", boy)
    assert renamed.summary == f"{girl} and {boy} mend a kite."
    assert renamed.content == DOCUMENT.content


@pytest.mark.parametrize(
    "text",
    [
        "The fox and the owl slept.",
        "Tom wrote a letter.",  # letters: of the alphabet, perhaps
        "Tim, called Timmy by all, slept.",
        '"TOM!" called the owl. Tom slept.',
        "Tom-Tom was a drum. Tom slept.",
    ],
)
def test_names_that_are_played_with_stay(text: str) -> None:
    assert find_names(text) == []
    assert rename(Document(text), Random(1)).text == text


def test_two_characters_never_become_one() -> None:
    text = " ".join(f"{name} ran." for name in BOYS[:12]) + " Then Tom slept."
    for seed in range(20):
        renamed = rename(Document(text), Random(seed)).text
        assert len(set(renamed.split())) == len(set(text.split()))


def test_no_name_is_in_both_lists() -> None:
    assert not set(GIRLS) & set(BOYS)
