"""The prompt and its plain text, in which every model is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytales.errors import PromptError
from tinytales.prompt import FEATURES, HEADER_LINES, StoryPrompt, clean, feature_key


def test_renders_the_header_in_plain_words() -> None:
    prompt = StoryPrompt(
        words=("kite", "climb", "windy"),
        features=("moral", "dialogue"),
        summary="A boy learns to ask for help.",
    )
    assert prompt.render() == (
        "Words: kite, climb, windy\n"
        "Features: Dialogue, Moral\n"
        "Summary: A boy learns to ask for help.\n"
        "Story:\n"
    )


def test_an_opening_alone_is_bare_and_nothing_begins_a_story() -> None:
    assert StoryPrompt(opening="One day,").render() == "One day,"
    assert StoryPrompt().render() == "Story:\n"
    assert StoryPrompt(words=("kite",), opening="One day,").render() == (
        "Words: kite\nStory:\nOne day,"
    )


@pytest.mark.parametrize(
    "name", ["Dialogue", "plot twist", "Moral Value", "BAD_ENDING", "BadEnding"]
)
def test_features_have_many_spellings(name: str) -> None:
    assert feature_key(name) in FEATURES


def test_an_unknown_feature_names_the_nearest() -> None:
    with pytest.raises(PromptError) as caught:
        StoryPrompt(features=("dialog",))
    assert "dialogue" in caught.value.hint


@pytest.mark.parametrize("words", [("a b c d",), ("x" * 41,), tuple("abcdefghi")])
def test_words_that_are_no_words_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(PromptError):
        StoryPrompt(words=words)


def test_control_characters_and_special_tokens_do_not_pass() -> None:
    dirty = "One\x00 day\x1b[31m,<|endoftext|> a\u200d fox\ud800 ran"
    opening = StoryPrompt(opening=dirty).opening
    assert "<|endoftext|>" not in opening
    assert all(ord(c) >= 32 for c in opening)
    opening.encode("utf-8")


def test_a_special_token_cannot_be_smuggled_in_two_halves() -> None:
    assert "<|endoftext|>" not in clean("<|endof<|endoftext|>text|>")
    assert "<|endoftext|>" not in clean(
        "<|endof\x00text|>".replace("\x00", "\x7f") + "<|endoftext|>"
    )


texts = st.text(max_size=60)
prompts = st.builds(
    StoryPrompt,
    words=st.lists(st.from_regex(r"[a-zé]{1,12}", fullmatch=True), max_size=5),
    sentence=texts,
    features=st.lists(st.sampled_from(list(FEATURES)), max_size=6),
    summary=texts,
    opening=st.from_regex(r"[A-Z][a-z ,.]{0,40}", fullmatch=True),
)


@given(prompts, st.permutations(HEADER_LINES))
def test_what_is_rendered_can_be_read_back(prompt: StoryPrompt, order: list[str]) -> None:
    assert StoryPrompt.parse(prompt.render(order)) == prompt


@given(texts)
def test_any_text_can_be_parsed(text: str) -> None:
    assert isinstance(StoryPrompt.parse(text).render(), str)


@given(prompts)
def test_dictionaries_keep_everything(prompt: StoryPrompt) -> None:
    assert StoryPrompt.from_dict(prompt.to_dict()) == prompt
