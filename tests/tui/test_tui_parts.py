"""The parts without a screen: pace, wrapping, ASCII, what is remembered, voices on the disk."""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App

from tinytales.tui.ascii import to_ascii
from tinytales.tui.cells import shorten
from tinytales.tui.memory import Memory
from tinytales.tui.reading import PACES, Reading, next_pace
from tinytales.tui.themes import THEMES
from tinytales.tui.voices import find_voices
from tinytales.tui.widgets.chips import Chip, Chips
from tinytales.tui.widgets.choices import with_word
from tinytales.tui.widgets.storyview import wrap


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def read_through(text: str, pace: int) -> float:
    clock = Clock()
    reading = Reading(pace, clock)
    reading.feed(text)
    while reading.waiting:
        clock.now += 0.04
        reading.tick()
    return clock.now


def test_the_pace_is_words_a_minute_on_average():
    from tinytales.tui.rehearsal import originals

    text = "\n".join(originals()[:5])
    minutes = read_through(text, 180) / 60
    assert len(text.split()) / minutes == pytest.approx(180, rel=0.06)


def test_words_come_one_by_one_and_one_is_lit():
    clock = Clock()
    reading = Reading(60, clock)
    reading.feed("The fox ran home.\nIt slept.")
    reading.tick()
    assert reading.text[: reading.shown] == "The" == reading.text[slice(*reading.lit)]
    clock.now = 1.0
    reading.tick()
    assert reading.text[slice(*reading.lit)] == "fox"
    reading.pause(True)
    clock.now = 100.0
    assert not reading.tick()
    reading.pause(False)
    reading.tick()
    assert reading.text[: reading.shown] == "The fox ran"  # no rush after the pause


def test_a_hiccup_is_not_caught_up_in_a_rush():
    clock = Clock()
    reading = Reading(600, clock)
    reading.feed("word " * 100)
    clock.now = 60.0
    reading.tick()
    assert len(reading.text[: reading.shown].split()) < 10


def test_a_limit_holds_the_words_back():
    reading = Reading(0)
    reading.feed("One two. Three four.")
    reading.tick(8)
    assert reading.text[: reading.shown] == "One two."
    reading.tick()
    assert not reading.waiting
    assert reading.cut() == "One two. Three four."


def test_paces_step_and_stop_at_the_ends():
    assert [next_pace(p, 1) for p in PACES] == [*PACES[1:], 0]
    assert [next_pace(p, -1) for p in PACES] == [60, *PACES[:-1]]
    assert next_pace(150, 1) == 160 and next_pace(150, -1) == 120


@given(st.text(max_size=200), st.integers(1, 30))
@settings(max_examples=300, deadline=None)
def test_wrapped_lines_hold_everything_and_fit(text, width):
    text = text.replace("\n", " ")
    lines = wrap(text, 0, len(text), width)
    assert lines[0][0] == 0 and lines[-1][1] == len(text)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(lines))
    for start, end in lines:
        line = text[start:end].rstrip()
        # A character that is wider than the page has a line to itself.
        assert cell_len(line) <= max(width, 2) or len(line.strip()) <= 1 or not line.strip()


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_ascii_is_ascii_and_as_wide(text):
    assert to_ascii(text).isascii()
    assert cell_len(to_ascii(text)) == sum(cell_len(c) for c in text) or any(
        ord(c) < 32 or ord(c) == 127 for c in text
    )


def test_ascii_knows_what_the_app_draws():
    assert to_ascii("“Hop,” she said … ♥ ● ○ ✦ → café") == '"Hop," she said . * * o * > cafe'


@pytest.mark.parametrize(
    ("text", "word", "after"),
    [
        ("", "once", "Once"),
        ("The fox", "ran", "The fox ran"),
        ("The fox ran.", "then", "The fox ran. Then"),
        ("The fox", ".", "The fox."),
        ("Home.\n", "there", "Home.\nThere"),
    ],
)
def test_a_picked_word_is_written_as_in_a_book(text, word, after):
    assert with_word(text, word) == after


@pytest.mark.parametrize("junk", ["", "[]", "{", '{"sort": 3, "speeds": []}', "\x00", "[" * 9000])
def test_a_broken_memory_is_no_memory(tmp_path, junk):
    path = tmp_path / "app.json"
    path.write_text(junk)
    assert Memory.load(path) == Memory(path=path)


def test_memory_comes_back(tmp_path):
    memory = Memory(
        sort="title", speeds={"d": {"memory": 1.0}}, path=tmp_path / "deep" / "app.json"
    )
    memory.save()
    assert Memory.load(memory.path) == memory
    Memory(path=tmp_path / "app.json" / "no" / "folder").save()


def test_voices_are_found_and_broken_ones_said(tmp_path):
    (tmp_path / "runs" / "broken").mkdir(parents=True)
    (tmp_path / "runs" / "broken" / "bundle.json").write_text(json.dumps({"format_version": 99}))
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "bundle.json").write_text("{}")
    voices = find_voices(cwd=tmp_path)
    assert [v.origin for v in voices] == ["came along", "exported"]
    assert "format version 99" in voices[1].trouble


@pytest.mark.parametrize("command", ["espeak-ng", "say", "spd-say"])
def test_a_speaker_gets_the_text_on_stdin_and_can_be_stopped(tmp_path, monkeypatch, command):
    from tinytales.tui.aloud import find_speaker

    script = tmp_path / command
    script.write_text(f"#!{sys.executable}\nimport sys,time\n"
                      f"open({str(tmp_path / 'heard')!r},'w').write(sys.stdin.read())\n"
                      "time.sleep(30)\n")  # fmt: skip
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    speaker = find_speaker(150)
    assert speaker is not None and speaker.command == command
    assert speaker.say("The fox; $(rm) slept.")
    assert speaker.speaking
    import time

    for _ in range(200):
        if (tmp_path / "heard").exists() and (tmp_path / "heard").read_text():
            break
        time.sleep(0.02)
    assert (tmp_path / "heard").read_text() == "The fox; $(rm) slept.\n"
    speaker.stop()
    assert not speaker.speaking


def test_without_a_speech_command_there_is_silence(monkeypatch, tmp_path):
    from tinytales.tui.aloud import Speaker, find_speaker

    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_speaker() is None
    assert not Speaker("say", str(tmp_path / "say")).say("Hello.")


@given(st.text(max_size=40), st.integers(1, 30))
def test_what_is_shortened_fits_and_says_so(text, cells):
    short = shorten(text, cells)
    assert short == text if cell_len(text) <= cells else short.endswith("…")
    assert cell_len(short) <= cells


@pytest.mark.parametrize(
    ("count", "width", "rows"),
    [
        (13, 79, [5, 5, 3]),
        (13, 40, [2, 2, 2, 2, 2, 2, 1]),
        (6, 65, [3, 3]),
        (5, 100, [5]),
        (3, 5, [1, 1, 1]),
    ],
)
async def test_chips_flow_by_width_whatever_their_number(count, width, rows):
    class OnlyChips(App[None]):
        def get_theme_variable_defaults(self):
            return THEMES["day"].variables

        def compose(self):
            yield Chips({f"{n}": f"choice {n}" for n in range(10, 10 + count)}, id="chips")

    app = OnlyChips()
    async with app.run_test(size=(width, 24)):
        found = Counter(chip.region.y for chip in app.query(Chip))
        assert [found[y] for y in sorted(found)] == rows
        whole = len(" ● choice 10 ")
        assert all(chip.region.width >= min(width, whole) for chip in app.query(Chip))
