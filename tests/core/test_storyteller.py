"""Telling: on a scripted engine, so that every turn of the way is chosen by the test."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tinytales.engine import ort
from tinytales.errors import EngineError, PromptError
from tinytales.prompt import StoryPrompt
from tinytales.safety import Safety
from tinytales.sampling import Sampling
from tinytales.sentences import ends_sentence
from tinytales.storyteller import Storyteller

END = 0
WORDS = "One day a fox ran home . and slept gun kite é lartern".split()


class ScriptedEngine:
    """Tells `script(tokens so far) -> the next word`; counts what it was asked to do."""

    name = "scripted"
    threads = 1

    def __init__(self, bundle: ScriptedBundle, script: Callable[[list[int]], int]) -> None:
        self.vocab_size = bundle.manifest.shape.vocab_size
        self.context_length = bundle.manifest.context_length
        self.script = script
        self.tokens: list[int] = []
        self.batch = 1

    @property
    def position(self) -> int:
        return len(self.tokens)

    def _logits(self) -> np.ndarray:
        logits = np.full((self.batch, self.vocab_size), -4.0, np.float32)
        logits[:, END] = -8.0  # the end comes only when the script says so
        logits[:, self.script(self.tokens)] = 4.0
        return logits

    def prefill(self, tokens: Sequence[int], batch: int = 1) -> np.ndarray:
        self.tokens, self.batch = list(tokens), batch
        return self._logits()

    def decode(self, tokens: Sequence[int]) -> np.ndarray:
        assert self.position < self.context_length
        self.tokens.append(tokens[0])
        return self._logits()

    def rewind(self, position: int) -> None:
        assert position <= self.position
        del self.tokens[position:]

    def crew(self) -> list[ScriptedEngine]:
        return [self]

    def keep(self, rows: Sequence[int]) -> None:
        assert len(rows) < self.batch
        self.batch = len(rows)

    def close(self) -> None:
        self.tokens = []


class ScriptedBundle:
    digest = "0" * 64
    name = "scripted"

    def __init__(self, context_length: int = 512) -> None:
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        names = ["<|endoftext|>", *alphabet]
        names += [n for n in ("Ġ" + w.replace("é", "Ã©") for w in WORDS) if n not in names]
        vocab = {name: i for i, name in enumerate(names)}
        tokenizer = Tokenizer(models.BPE(vocab, [], ignore_merges=True))  # whole words are tokens
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens(["<|endoftext|>"])
        self.tokenizer = tokenizer
        self.manifest = SimpleNamespace(
            name="scripted",
            end_of_text=END,
            context_length=context_length,
            shape=SimpleNamespace(vocab_size=len(names)),
        )

    def id(self, word: str) -> int:
        name = {".": ".", "\n": "Ċ"}.get(word, "Ġ" + word.replace("é", "Ã©"))
        token = self.tokenizer.token_to_id(name)
        assert token is not None
        return int(token)

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)


def teller(
    script: Callable[[list[int]], int], bundle: ScriptedBundle, safety: str = "gentle"
) -> Storyteller:
    return Storyteller(bundle, ScriptedEngine(bundle, script), Safety(safety))  # type: ignore[arg-type]


def recite(bundle: ScriptedBundle, text: str, start: int) -> Callable[[list[int]], int]:
    """A script that tells `text` word by word after `start` prompt tokens, then ends."""
    tokens = [bundle.id(word) for word in re.findall(r"\w+|[.\n]", text)] + [END]

    def script(told: list[int]) -> int:
        return tokens[min(len(told) - start, len(tokens) - 1)]

    return script


GREEDY = Sampling(temperature=0, seed=1)


def test_sentences_come_one_by_one_and_the_end_is_told() -> None:
    bundle = ScriptedBundle()
    start = 1 + len(bundle.encode("Story:\n"))
    telling = teller(recite(bundle, "One fox ran . a fox slept .", start), bundle).stream(
        sampling=GREEDY
    )
    assert list(telling) == ["One fox ran.", " a fox slept."]
    story = telling.story
    assert (story.text, story.finish, story.tokens) == ("One fox ran. a fox slept.", "end", 8)


def test_the_opening_comes_first_and_belongs_to_the_story() -> None:
    bundle = ScriptedBundle()
    start = 1 + len(bundle.encode("One day"))
    story = teller(recite(bundle, "a fox ran .", start), bundle).tell(
        StoryPrompt(opening="One day"), GREEDY
    )
    assert story.text == "One day a fox ran."


def test_an_unkind_sentence_is_taken_back_and_told_differently() -> None:
    bundle = ScriptedBundle()
    start = 1 + len(bundle.encode("Story:\n"))
    kind = recite(bundle, "One fox ran . home ran home .", start)
    unkind = recite(bundle, "One fox ran . and a gun ran .", start)

    class TwoMinds(ScriptedEngine):
        """The unkind sentence is likeliest as long as its first word may be told."""

        def _logits(self) -> np.ndarray:
            logits = super()._logits()
            if len(self.tokens) == start + 4 or bundle.id("and") in self.tokens[start:]:
                logits[:, unkind(self.tokens)] = 5.0
            return logits

    minds = Storyteller(bundle, TwoMinds(bundle, kind), Safety())  # type: ignore[arg-type]
    assert list(minds.stream(sampling=GREEDY)) == ["One fox ran.", " home ran home."]


def test_where_no_kind_way_is_found_the_story_stops_before_it() -> None:
    bundle = ScriptedBundle()
    start = 1 + len(bundle.encode("Story:\n"))
    fox, gun = recite(bundle, "One fox ran .", start), bundle.id("gun")

    def script(told: list[int]) -> int:
        return fox(told) if len(told) < start + 4 else (gun if told[-1] != gun else bundle.id("."))

    always = teller(lambda told: script(told), bundle).tell(sampling=GREEDY)
    assert "gun" not in always.text
    assert always.text.startswith("One fox ran.")


def test_safety_off_tells_it_all() -> None:
    bundle = ScriptedBundle()
    start = 1 + len(bundle.encode("Story:\n"))
    story = teller(recite(bundle, "a gun ran .", start), bundle, "off").tell(sampling=GREEDY)
    assert story.text == "a gun ran."


def test_unkind_wishes_are_answered_before_anything_is_told() -> None:
    bundle = ScriptedBundle()
    with pytest.raises(PromptError) as caught:
        teller(lambda told: END, bundle).stream(StoryPrompt(opening="He took a gun"))
    assert caught.value.hint


def test_a_story_ends_with_a_whole_sentence_when_memory_is_full() -> None:
    bundle = ScriptedBundle(context_length=100)
    words = [bundle.id(w) for w in ("fox", "ran", "home", ".")]
    story = teller(lambda told: words[len(told) % 4], bundle).tell(
        sampling=Sampling(temperature=0, seed=1, loop_guard=False)
    )
    assert story.finish == "context"
    assert story.text.endswith(".")


def test_a_sentence_without_end_cannot_fill_the_memory() -> None:
    bundle = ScriptedBundle()
    start = 1 + len(bundle.encode("Story:\n"))
    fox = recite(bundle, "One fox ran .", start)
    words = [bundle.id(w) for w in WORDS if w not in (".", "gun", "lartern")]

    def script(told: list[int]) -> int:
        return fox(told) if len(told) < start + 4 else words[len(told) ** 2 % len(words)]

    story = teller(script, bundle).tell(sampling=GREEDY)
    assert story.text.startswith("One fox ran.")
    assert ends_sentence(story.text)


def test_max_words_ends_after_the_sentence() -> None:
    bundle = ScriptedBundle()
    words = [bundle.id(w) for w in ("fox", "ran", "home", ".")]
    story = teller(lambda told: words[len(told) % 4], bundle).tell(
        sampling=Sampling(temperature=0, seed=1, max_words=8, loop_guard=False)
    )
    assert story.finish == "length"
    assert 8 <= len(story.text.split()) <= 12
    assert story.text.endswith(".")


def test_cancel_keeps_what_was_told() -> None:
    bundle = ScriptedBundle()
    words = [bundle.id(w) for w in ("fox", "ran", "home", ".")]
    telling = teller(lambda told: words[len(told) % 4], bundle).stream(
        sampling=Sampling(temperature=0, seed=1, loop_guard=False)
    )
    shown = [next(telling), next(telling)]
    telling.cancel()
    shown += list(telling)
    assert telling.story.finish == "cancelled"
    assert telling.story.text == "".join(shown)


def test_a_batch_tells_each_story_with_its_own_dice() -> None:
    bundle = ScriptedBundle()

    class Even(ScriptedEngine):
        def _logits(self) -> np.ndarray:
            logits = np.full((self.batch, self.vocab_size), -9.0, np.float32)
            for word in ("fox", "ran", "home", "."):
                logits[:, bundle.id(word)] = 1.0
            logits[:, END] = 0.0
            return logits

    batch = Storyteller(bundle, Even(bundle, lambda told: END), Safety())  # type: ignore[arg-type]
    stories = batch.tell_many(sampling=Sampling(seed=5), count=4)
    assert len({story.text for story in stories}) == 4
    again = batch.tell_many(sampling=Sampling(seed=5), count=4)
    assert [s.text for s in stories] == [s.text for s in again]
    alone = [batch.tell(sampling=story.sampling) for story in stories]
    assert [s.text for s in stories] == [s.text for s in alone]


@pytest.mark.parametrize("cores", [1, 3])
def test_a_real_batch_tells_what_each_seed_tells_alone(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    """On one core and on several; also after the first stories have ended and left the batch."""
    monkeypatch.setattr(ort, "usable_cores", lambda: cores)
    monkeypatch.setattr(ort, "best_threads", lambda bundle, open_with: 1)
    kept: list[int] = []
    keep = ort.OrtEngine.keep
    monkeypatch.setattr(
        ort.OrtEngine, "keep", lambda self, rows: (kept.append(len(rows)), keep(self, rows))
    )
    sampling = Sampling(temperature=1.2, seed=3, max_words=60)
    with Storyteller.open(tiny_bundle) as real:
        assert len(real.engine.crew()) == cores
        stories = real.tell_many(sampling=sampling, count=20)
        assert kept
        assert len({story.text for story in stories}) == 20
        alone = [real.tell(sampling=story.sampling) for story in stories]
        assert [story.text for story in stories] == [story.text for story in alone]


def test_a_batch_that_fails_on_one_core_ends_on_all(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "usable_cores", lambda: 2)
    monkeypatch.setattr(ort, "best_threads", lambda bundle, open_with: 1)
    with Storyteller.open(tiny_bundle) as real:
        decode, prefill, begun = ort.OrtEngine.decode, ort.OrtEngine.prefill, []

        def beginning(self: ort.OrtEngine, tokens: Sequence[int], batch: int = 1) -> np.ndarray:
            begun.append(batch)
            return prefill(self, tokens, batch)

        def failing(self: ort.OrtEngine, tokens: Sequence[int]) -> np.ndarray:
            if self is real.engine and self.position > 20:
                raise EngineError("out of memory")
            return decode(self, tokens)

        monkeypatch.setattr(ort.OrtEngine, "prefill", beginning)
        monkeypatch.setattr(ort.OrtEngine, "decode", failing)
        with pytest.raises(EngineError, match="out of memory"):
            real.tell_many(sampling=Sampling(seed=1), count=200)
        assert set(begun) == {4} and len(begun) < 50  # the other batches were never begun
        monkeypatch.setattr(ort.OrtEngine, "decode", decode)
        assert real.tell(sampling=Sampling(seed=1)).text  # and it can go on


def test_an_opening_longer_than_the_memory_is_refused() -> None:
    bundle = ScriptedBundle(context_length=64)
    with pytest.raises(PromptError, match="too long"):
        teller(lambda told: END, bundle).stream(StoryPrompt(opening="One fox ran home. " * 30))


def test_asked_words_are_raised_until_they_are_told() -> None:
    bundle = ScriptedBundle()

    class Lazy(ScriptedEngine):
        def _logits(self) -> np.ndarray:
            logits = np.full((self.batch, self.vocab_size), -9.0, np.float32)
            for word in ("fox", "ran", "home", "."):
                logits[:, bundle.id(word)] = 2.0
            logits[:, bundle.id("kite")] = -1.0
            logits[:, END] = 0.0
            return logits

    def told(help_: bool) -> int:
        lazy = Storyteller(bundle, Lazy(bundle, lambda told: END), Safety())  # type: ignore[arg-type]
        asked = StoryPrompt(words=("kite",))
        return sum(
            "kite" in lazy.tell(asked, Sampling(seed=seed, word_help=help_, min_p=0.01)).text
            for seed in range(20)
        )

    assert told(True) >= 19
    assert told(False) < 15


def test_next_words_are_different_words() -> None:
    bundle = ScriptedBundle()

    class Choice(ScriptedEngine):
        def _logits(self) -> np.ndarray:
            logits = np.full((self.batch, self.vocab_size), -9.0, np.float32)
            for rank, word in enumerate(("fox", "kite", "gun", "home", "day")):
                logits[:, bundle.id(word)] = 5.0 - rank
            return logits

    choice = Storyteller(bundle, Choice(bundle, lambda told: END), Safety())  # type: ignore[arg-type]
    assert choice.next_words("One day a", 3) == ["fox", "kite", "home"]


def test_a_sentence_with_an_invented_word_is_told_again_unless_it_was_asked_for() -> None:
    bundle = ScriptedBundle()
    start = 1 + len(bundle.encode("Story:\n"))
    odd, plain = recite(bundle, "fox ran lartern .", start), recite(bundle, "a fox ran .", start)
    first = bundle.id("fox")

    def script(told: list[int]) -> int:
        return odd(told) if len(told) == start or told[start] == first else plain(told)

    told_again = teller(script, bundle).tell(sampling=GREEDY).text
    assert "lartern" not in told_again
    assert told_again.endswith("fox ran.")
    pure = Sampling(temperature=0, seed=1, word_help=False)
    assert teller(script, bundle).tell(sampling=pure).text == "fox ran lartern."


def test_a_word_that_was_asked_for_is_not_stammered() -> None:
    bundle = ScriptedBundle()
    asked = StoryPrompt(words=("fox",))
    start = 1 + len(bundle.encode(asked.render()))
    odd, plain = recite(bundle, "fox fox ran .", start), recite(bundle, "a fox ran .", start)
    first = bundle.id("fox")

    def script(told: list[int]) -> int:
        return odd(told) if len(told) == start or told[start] == first else plain(told)

    told_again = teller(script, bundle).tell(asked, GREEDY).text
    assert told_again.endswith(" fox ran.") and "fox fox" not in told_again
    pure = Sampling(temperature=0, seed=1, word_help=False)
    assert teller(script, bundle).tell(asked, pure).text == "fox fox ran."
