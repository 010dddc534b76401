"""The page: every key of it, with stories that take no time or all the time one wants."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace

import pytest
from textual.widgets import Static

from tinytales.prompt import StoryPrompt
from tinytales.tui.app import TinytalesApp
from tinytales.tui.rehearsal import Rehearsal, RehearsalTelling, originals


def state(app: TinytalesApp) -> str:
    return str(app.page.query_one("#state", Static).content)


async def slow_story(app, pilot, until) -> None:
    """A story of which some words stand on the page and many are still to come."""
    await until(lambda: app.narrator.teller is not None)
    await pilot.press("enter")
    await until(lambda: app.page.is_mounted and app.page.reading.shown > 40)


async def resting(app, until) -> None:
    await until(lambda: app.page.mode == "resting")
    app.shelf.settle()


async def test_enter_tells_a_story_and_it_is_kept(make_app, told):
    app = make_app()
    async with app.run_test() as pilot:
        story = await told(pilot)
        assert story.text == originals()[3]
        assert app.shelf.library.get(story.id) == story
        assert app.page.view.ending == "✦  The End  ✦"
        assert app.page.view.title


async def test_space_pauses_and_goes_on(make_app, until):
    app = make_app(teller=Rehearsal(tokens_per_second=400, tokens=4000))
    async with app.run_test() as pilot:
        await slow_story(app, pilot, until)
        await pilot.press("space")
        shown = app.page.reading.shown
        await pilot.pause(0.2)
        assert app.page.reading.shown == shown and state(app) == "‖ paused"
        await pilot.press("space")
        await until(lambda: app.page.reading.shown > shown)


async def test_escape_stops_and_keeps_what_was_told(make_app, until):
    app = make_app(teller=Rehearsal(tokens_per_second=400, tokens=4000))
    async with app.run_test() as pilot:
        await slow_story(app, pilot, until)
        await pilot.press("escape")
        assert app.page.mode == "resting"
        story = app.page.story
        app.shelf.settle()
        assert story.finish == "cancelled"
        assert app.shelf.library.get(story.id).text == story.text == app.page.reading.text
        await until(lambda: app.narrator._live.done)
        await pilot.press("escape")
        assert app.screen.PLACE == "make"


async def test_escape_before_the_first_word_says_that_it_was_stopped(make_app, until):
    class Thinking(RehearsalTelling):
        def __iter__(self):
            while not self._cancelled:
                time.sleep(0.01)
            yield from ()

    class Thinker(Rehearsal):
        def stream(self, prompt=None, sampling=None):
            return Thinking(self, prompt, sampling)

    app = make_app(teller=Thinker())
    async with app.run_test() as pilot:
        await until(lambda: app.narrator.teller is not None)
        await pilot.press("enter")
        await until(lambda: app.page.is_mounted and app.page.mode == "telling")
        await pilot.press("escape")
        assert app.page.mode == "resting" and app.page.story is None
        assert app.page.view.ending == "· stopped here ·"
        app.shelf.settle()
        assert app.shelf.library.count() == 0


async def test_who_picks_no_word_finds_the_end_where_it_was(make_app, told, until):
    app = make_app()
    async with app.run_test() as pilot:
        await told(pilot)
        await pilot.press("n")
        assert app.page.view.ending == ""
        await pilot.press("escape")
        assert app.page.mode == "resting" and app.page.view.ending == "✦  The End  ✦"


async def test_ctrl_c_says_once_how_one_stops(make_app, told, until):
    app = make_app()
    async with app.run_test() as pilot:
        await told(pilot)
        await pilot.press("ctrl+c", "ctrl+c")
        await pilot.pause()
        assert app.is_running
        assert ["Ctrl+Q" in notice.message for notice in app._notifications] == [True]


async def test_r_tells_another_under_the_first(make_app, told, until):
    app = make_app()
    async with app.run_test() as pilot:
        first = await told(pilot)
        for number in (1, 2):
            await pilot.press("r")
            await resting(app, until)
            assert app.page.story.text == originals()[3 + number]
        tree = app.shelf.library.tellings(first.id)
        assert [entry.depth for entry in tree] == [0, 1, 1]
        assert app.page.story.sampling.seed == 5


async def test_r_while_telling_keeps_the_first_part(make_app, until):
    app = make_app(teller=Rehearsal(tokens_per_second=400, tokens=4000))
    async with app.run_test() as pilot:
        await slow_story(app, pilot, until)
        first = app.page.reading.text[: app.page.reading.shown]
        await pilot.press("r")
        app.shelf.settle()
        kept = app.shelf.library.list(sort="oldest")[0]
        assert app.shelf.library.get(kept.id).text.startswith(first.rstrip())
        assert app.page.mode == "telling" and app.page.story is None


async def test_c_tells_a_next_chapter(make_app, told, until):
    app = make_app()
    async with app.run_test() as pilot:
        first = await told(pilot)
        await pilot.press("c")
        await resting(app, until)
        story = app.page.story
        assert story.parent == first.id and story.branch_at == len(first.text)
        assert story.text.startswith(first.text + "\n") and len(story.text) > len(first.text) + 50


async def test_c_after_a_stop_goes_on_where_it_stopped(make_app, until):
    app = make_app(teller=Rehearsal(tokens_per_second=150, tokens=100))
    async with app.run_test() as pilot:
        await slow_story(app, pilot, until)
        await pilot.press("escape")
        stopped = app.page.story
        await pilot.press("c")
        await resting(app, until)
        assert app.page.story.text.startswith(stopped.text)
        assert app.page.story.prompt.opening == stopped.text


async def test_a_long_story_goes_on_from_its_last_sentences(make_app, told, until):
    app = make_app()
    async with app.run_test() as pilot:
        first = await told(pilot)
        long = replace(first, id="long", text="A fox ran home. " * 200 + "Then it slept.")
        app.shelf.keep(long)
        app.shelf.settle()
        app.open_story("long")
        await until(lambda: app.page.story == long)
        await pilot.press("c")
        await resting(app, until)
        opening = app.page.story.prompt.opening
        assert len(app.narrator.teller.bundle.encode(opening)) <= 312
        assert "Then it slept." in opening and opening.startswith("A fox ran home.")


async def test_f_keeps_and_lets_go(make_app, told):
    app = make_app()
    async with app.run_test() as pilot:
        story = await told(pilot)
        await pilot.press("f")
        app.shelf.settle()
        assert app.shelf.library.entry(story.id).favorite and state(app).startswith("♥")
        await pilot.press("f")
        app.shelf.settle()
        assert not app.shelf.library.entry(story.id).favorite


async def test_b_branches_from_a_chosen_sentence(make_app, told, until):
    app = make_app()
    async with app.run_test() as pilot:
        first = await told(pilot)
        await pilot.press("b")
        sentences = app.page.view.sentences()
        await pilot.press("up", "left", "k", "down", "right", "j", "up")
        start = sentences[len(sentences) - 2][0]
        assert app.page.view._chosen == sentences[len(sentences) - 2]
        await pilot.press("enter")
        await resting(app, until)
        story = app.page.story
        assert (story.parent, story.branch_at) == (first.id, start)
        assert story.text.startswith(first.text[:start].rstrip())
        assert story.text != first.text


async def test_the_first_sentence_told_differently_is_a_retelling(make_app, told, until):
    app = make_app()
    async with app.run_test() as pilot:
        await told(pilot)
        await pilot.press("b")
        app.page.action_choose(-99)
        await pilot.press("enter")
        await resting(app, until)
        assert app.page.story.branch_at == 0 and app.page.story.text == originals()[4]


async def test_escape_leaves_branching(make_app, told):
    app = make_app()
    async with app.run_test() as pilot:
        story = await told(pilot)
        await pilot.press("b", "escape")
        assert app.page.mode == "resting" and app.page.story is story
        assert app.page.view._chosen is None


async def test_a_clicked_sentence_is_chosen_and_clicked_again_told(make_app, told, until):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await told(pilot)
        await pilot.press("home")
        app.page.view.scroll_to(y=0, animate=False)
        await pilot.pause()
        await pilot.click("#story", offset=(20, 3))
        assert app.page.mode == "branching" and app.page._chosen == 0
        await pilot.click("#story", offset=(20, 4))
        assert app.page._chosen == 1
        await pilot.click("#story", offset=(20, 4))
        await resting(app, until)
        assert app.page.story.branch_at == app.page.view.sentences()[1][0]


async def test_n_picks_words_turns_and_tells_on(make_app, told, until):
    app = make_app()
    async with app.run_test(size=(100, 32)) as pilot:
        first = await told(pilot)
        await pilot.press("n")
        choices = app.page.query_one("#choices")
        await until(lambda: choices._offers)
        await pilot.press("1")
        assert app.page.reading.text == first.text + " Fox"
        await until(lambda: choices._offers)
        await pilot.click("Choices Button")
        assert app.page.reading.text == first.text + " Fox fox"
        await until(lambda: choices._offers)
        await pilot.press("0")
        await until(lambda: choices._offers == ["river", "because", "garden", "laughed"])
        await pilot.press("full_stop")
        assert app.page.reading.text.endswith(" Fox fox.")
        await pilot.press("s")
        await until(lambda: choices._offers and choices._offers[0].strip() in originals()[0])
        await pilot.press("1")
        assert app.page.reading.text.endswith(originals()[0].split(".")[0] + ".")
        await until(lambda: choices._offers)
        picked = app.page.reading.text
        await pilot.press("enter")
        await until(lambda: app.page.mode == "telling" or app.page.story)
        await resting(app, until)
        assert picked.endswith(app.page.story.prompt.opening)  # as much of it as fits
        assert len(app.shelf.library.tellings(first.id)) == 3


async def test_what_was_picked_is_kept_when_one_leaves(make_app, told, until):
    app = make_app()
    async with app.run_test() as pilot:
        first = await told(pilot)
        await pilot.press("n")
        choices = app.page.query_one("#choices")
        await until(lambda: choices._offers)
        await pilot.press("2", "escape")
        app.shelf.settle()
        assert app.page.mode == "resting"
        assert app.page.story.text == first.text + " Lantern"
        assert app.page.story.parent == first.id


async def test_the_pace_changes_and_is_kept(make_app, until):
    app = make_app(teller=Rehearsal(tokens_per_second=300, tokens=3000), pace=160)
    async with app.run_test() as pilot:
        await slow_story(app, pilot, until)
        await pilot.press("plus", "plus", "minus")
        assert app.settings.pace == 220 and app.page.reading.pace == 220
        app.shelf.settle()
        from tinytales.settings import load

        assert load().pace == 220


async def test_bedtime_is_slower(make_app):
    assert make_app(theme="bedtime", pace=180).pace == 135
    assert make_app(theme="day", pace=180).pace == 180


async def test_space_reads_again_at_a_pace(make_app, told, until):
    app = make_app(pace=0)
    async with app.run_test() as pilot:
        story = await told(pilot)
        app.set_pace(2000)
        await pilot.press("space")
        assert app.page.mode == "telling" and app.page.reading.shown < len(story.text)
        await pilot.press("escape")
        assert app.page.mode == "resting" and app.page.story is story


async def test_scrolling_back_while_it_streams(make_app, until):
    app = make_app(teller=Rehearsal(tokens_per_second=2000, tokens=6000))
    async with app.run_test(size=(60, 15)) as pilot:
        await slow_story(app, pilot, until)
        await until(lambda: app.page.view.max_scroll_y > 15)
        await pilot.press("pageup")
        place = app.page.view.scroll_offset.y
        await pilot.pause(0.3)
        assert app.page.view.scroll_offset.y == place < app.page.view.max_scroll_y - 2
        await pilot.press("end")
        await pilot.pause(0.2)
        assert app.page.view.at_end


async def test_asked_for_words_glow(make_app, until):
    app = make_app()
    async with app.run_test():
        await until(lambda: app.narrator.teller is not None)
        app.tell(StoryPrompt(words=("turtle", "blanket")))
        await until(lambda: app.page.is_mounted and app.page.mode == "resting")
        glowing = {app.page.view.text[a:b].lower() for a, b in app.page.view._glows}
        assert glowing == {"turtle", "blanket"}


async def test_t_shows_the_tree_and_opens_a_telling(make_app, told, until):
    app = make_app()
    async with app.run_test() as pilot:
        first = await told(pilot)
        await pilot.press("r")
        await resting(app, until)
        await pilot.press("t", "up", "enter")
        await until(lambda: app.page.story.id == first.id)


async def test_a_story_that_is_left_goes_on_when_one_comes_back(make_app, until):
    app = make_app(teller=Rehearsal(tokens_per_second=300, tokens=4000))
    async with app.run_test() as pilot:
        await slow_story(app, pilot, until)
        for way_back in ("f6", "click"):
            await pilot.press("f3")
            await until(lambda: app.screen.PLACE == "library")
            shown = app.page.reading.shown
            await pilot.pause(0.2)
            assert app.page.reading.shown == shown
            await (pilot.press("f6") if way_back == "f6" else pilot.click("#to-page"))
            await until(lambda: app.screen is app.page)
            await until(lambda seen=shown: app.page.reading.shown > seen)


async def test_quitting_in_the_middle_keeps_what_was_told(make_app, until, tmp_path):
    from tinytales.library import Library

    app = make_app(teller=Rehearsal(tokens_per_second=400, tokens=4000))
    async with app.run_test() as pilot:
        await slow_story(app, pilot, until)
        await pilot.press("ctrl+q")
        await asyncio.sleep(0)
    with Library() as library:
        (entry,) = library.list()
        assert entry.words > 5 and entry.finish == "cancelled"


async def test_a_wish_that_is_not_told_is_explained(make_app, until):
    from tinytales.errors import PromptError

    class Strict(Rehearsal):
        def stream(self, prompt=None, sampling=None):
            raise PromptError("there is no gentle story about 'gun'", hint="try other words")

    app = make_app(teller=Strict())
    async with app.run_test() as pilot:
        await until(lambda: app.narrator.teller is not None)
        await pilot.press("enter")
        await until(lambda: app.page.is_mounted and app.page.mode == "resting")
        assert "no gentle story" in app.page.view.ending and app.page.story is None
        await pilot.press("r", "c", "b", "e", "t", "f")  # nothing to do it with: no harm
        await pilot.press("escape")


async def test_a_voice_that_breaks_in_the_middle_keeps_the_story(make_app, until):
    class Torn(RehearsalTelling):
        def __iter__(self):
            for number, piece in enumerate(super().__iter__()):
                if number == 3:
                    raise RuntimeError("the tape is torn")
                yield piece

    class Breaking(Rehearsal):
        def stream(self, prompt=None, sampling=None):
            return Torn(self, prompt, sampling)

    app = make_app(teller=Breaking())
    async with app.run_test() as pilot:
        await until(lambda: app.narrator.teller is not None)
        await pilot.press("enter")
        await until(lambda: app.page.is_mounted and app.page.mode == "resting")
        app.shelf.settle()
        assert app.shelf.library.count() == 1
        assert app.page.story.text.strip()


@pytest.fixture
def speech(tmp_path, monkeypatch):
    """A speech command that writes down what it says, in 0.05 seconds a sentence."""
    folder = tmp_path / "bin"
    folder.mkdir()
    heard = tmp_path / "heard"
    script = folder / "espeak-ng"
    script.write_text(
        f"#!{sys.executable} -S\nimport sys, time\n"
        f"open({str(heard)!r}, 'a').write(sys.stdin.read())\ntime.sleep(0.05)\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return lambda: heard.read_text().splitlines() if heard.exists() else []


async def test_a_reads_aloud_sentence_by_sentence(make_app, told, until, speech):
    app = make_app()
    async with app.run_test() as pilot:
        story = await told(pilot)
        await pilot.press("a")
        await until(lambda: len(speech()) >= 3)
        assert app.page.mode == "telling"
        assert story.text.startswith(speech()[0] + " " + speech()[1])
        # The page never runs ahead of the voice.
        assert app.page.reading.shown <= len(" ".join(speech())) + 120
        await pilot.press("space")
        assert not app.page.aloud.speaking
        said = len(speech())
        await pilot.pause(0.3)
        assert len(speech()) == said
        await pilot.press("space")
        await until(lambda: len(speech()) > said)
        await pilot.press("a")
        assert app.page.aloud is None


async def test_reading_aloud_can_be_the_habit(make_app, until, speech):
    app = make_app(read_aloud=True)
    async with app.run_test() as pilot:
        await until(lambda: app.narrator.teller is not None)
        await pilot.press("enter")
        await until(lambda: len(speech()) >= 2)
        await pilot.press("escape")
        assert app.page.mode == "resting" and app.page.aloud is None


async def test_without_a_speech_command_one_is_told_which(make_app, told, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    app = make_app()
    async with app.run_test() as pilot:
        await told(pilot)
        await pilot.press("a")
        assert any("espeak-ng" in note.message for note in app._notifications)
        assert app.page.mode == "resting"
