"""The library, the voices, the grown-ups' corner and the dialogs: every key and button."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from textual.widgets import Button, Input, Static

import tinytales.tui
from tinytales.library import FILE, Library, salvage
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Story
from tinytales.tui.meanwhile import FOLDER
from tinytales.tui.rehearsal import Rehearsal, originals
from tinytales.tui.screens.duel import DuelScreen
from tinytales.tui.shelf import Shelf
from tinytales.tui.voices import Voice
from tinytales.tui.widgets.chips import Chip
from tinytales.tui.widgets.storylist import StoryList


@pytest.fixture
def shelf(tmp_path):
    """Five originals, told on five days."""
    library = Library(tmp_path / "data" / FILE)
    for number in range(5):
        story = Story(
            text=originals()[number],
            prompt=StoryPrompt(),
            sampling=Sampling(seed=number),
            finish="end",
            bundle="ember",
            bundle_digest="ember-digest",
            id=f"story{number}",
            created=f"2026-11-2{number}T19:00:00+00:00",
        )
        library.add(story)
    return Shelf(library)


def shown(app) -> list[str]:
    stories = app.screen.query_one(StoryList)
    return [stories.entry(row).id for row in range(stories.count)]


async def in_library(app, pilot, until):
    await pilot.press("f3")
    await until(lambda: app.screen.PLACE == "library" and app.screen.query_one(StoryList).count)
    await pilot.pause()


async def test_opening_a_story_and_where_one_was(make_app, until, shelf):
    app = make_app(shelf=shelf)
    async with app.run_test() as pilot:
        await in_library(app, pilot, until)
        assert shown(app) == [f"story{n}" for n in (4, 3, 2, 1, 0)]
        await pilot.press("down", "down", "enter")
        await until(lambda: app.page.is_mounted and app.page.story)
        assert app.page.story.id == "story2" and app.page.mode == "resting"
        await pilot.press("escape")
        await until(lambda: app.screen.PLACE == "library")
        await until(lambda: app.screen.query_one(StoryList).current.id == "story2")
    again = make_app()
    async with again.run_test() as pilot:
        await in_library(again, pilot, until)
        assert again.screen.query_one(StoryList).current.id == "story2"


async def test_moving_along_the_shelf(make_app, until, shelf):
    app = make_app(shelf=shelf)
    async with app.run_test() as pilot:
        await in_library(app, pilot, until)
        stories = app.screen.query_one(StoryList)
        for key, row in (
            ("end", 4),
            ("home", 0),
            ("j", 1),
            ("k", 0),
            ("pagedown", 4),
            ("pageup", 0),
        ):
            await pilot.press(key)
            assert stories.cursor == row, key
        await pilot.click("#stories", offset=(10, 3))
        assert stories.cursor == 3
        await pilot.click("#stories", offset=(10, 3))
        await until(lambda: app.page.is_mounted and app.page.story)
        assert app.page.story.id == "story1"


async def test_searching(make_app, until, shelf):
    app = make_app(shelf=shelf)
    async with app.run_test() as pilot:
        await in_library(app, pilot, until)
        await pilot.press("slash", *"turtle")
        await until(lambda: shown(app) == ["story3"])
        await pilot.press("enter")
        assert app.focused is app.screen.query_one(StoryList)
        await pilot.press("escape")
        await until(lambda: len(shown(app)) == 5)
        await pilot.press("slash", *"nowhere-to-be-found")
        await until(lambda: shown(app) == [])
        assert "0 stories" in str(app.screen.query_one("#count", Static).content)


async def test_favorites_sort_rename_put_away_and_bring_back(make_app, until, shelf):
    app = make_app(shelf=shelf)
    library = shelf.library
    async with app.run_test(size=(100, 30)) as pilot:
        await in_library(app, pilot, until)
        await pilot.press("f")
        await until(lambda: library.entry("story4").favorite)
        await pilot.press("v")
        await until(lambda: shown(app) == ["story4"])
        await pilot.click("#favorites")
        await until(lambda: len(shown(app)) == 5)
        await pilot.press("s", "s")
        await until(lambda: shown(app) == [e.id for e in library.list(sort="title")])
        await pilot.click("#sort")
        await until(lambda: shown(app) == [e.id for e in library.list(sort="longest")])
        await pilot.press("home")
        first = shown(app)[0]
        await pilot.press("i", *"!", "enter")
        await until(lambda: library.entry(first).title.endswith("!"))
        await until(lambda: app.screen.query_one(StoryList).current.title.endswith("!"))
        await pilot.press("d")
        await until(lambda: first not in shown(app))
        await pilot.press("u")
        await until(lambda: first in shown(app))
        await pilot.press("delete")
        await until(lambda: first not in shown(app))


async def test_marking_and_exporting_many(make_app, until, shelf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = make_app(shelf=shelf)
    async with app.run_test(size=(100, 30)) as pilot:
        await in_library(app, pilot, until)
        await pilot.press("space", "space")
        assert "2 marked" in str(app.screen.query_one("#count", Static).content)
        await pilot.press("e")
        await pilot.pause()
        await pilot.click(next(c for c in app.screen.query(Chip) if c.key == "booklet"))
        path = app.screen.query_one("#path", Input)
        assert path.value.endswith("tinytales.html")
        await pilot.click("#yes")
        await until(lambda: (tmp_path / "tinytales.html").exists())
        page = (tmp_path / "tinytales.html").read_text()
        assert shelf.library.entry("story4").title in page
        assert shelf.library.entry("story3").title in page
        await pilot.press("escape")
        assert not app.screen.query_one(StoryList).marked


@pytest.mark.parametrize("format", ["markdown", "text", "html", "booklet"])
async def test_exporting_one_from_its_page(make_app, until, shelf, tmp_path, format):
    app = make_app(shelf=shelf)
    async with app.run_test(size=(100, 30)) as pilot:
        await in_library(app, pilot, until)
        await pilot.press("enter")
        await until(lambda: app.page.is_mounted and app.page.story)
        await pilot.press("e")
        await pilot.pause()
        await pilot.click(next(c for c in app.screen.query(Chip) if c.key == format))
        target = tmp_path / f"story-{format}"
        app.screen.query_one("#path", Input).value = str(target)
        app.screen.query_one("#path", Input).focus()
        await pilot.press("enter")
        await until(target.exists)
        assert originals()[4].split()[0] in target.read_text()


async def test_enter_exports_and_does_nothing_else(make_app, until, shelf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = make_app(shelf=shelf)
    async with app.run_test() as pilot:
        await in_library(app, pilot, until)
        await pilot.press("e", "enter")
        await until(lambda: list(tmp_path.glob("*.txt")))
        await pilot.pause()
        assert app.screen.PLACE == "library"


async def test_an_export_that_fails_is_said(make_app, until, shelf, tmp_path):
    app = make_app(shelf=shelf)
    async with app.run_test(size=(100, 30)) as pilot:
        await in_library(app, pilot, until)
        await pilot.press("e")
        await pilot.pause()
        app.screen.query_one("#path", Input).value = str(tmp_path)
        await pilot.click("#yes")
        await until(lambda: any("is a folder" in n.title for n in app._notifications))
        await pilot.press("e")
        await pilot.pause()
        await pilot.click("#no")
        await pilot.press("e", "escape")
        assert app.screen.PLACE == "library"


async def test_replay_is_word_for_word(make_app, until, shelf):
    app = make_app(shelf=shelf)
    async with app.run_test() as pilot:
        await until(lambda: app.narrator.teller is not None)
        await in_library(app, pilot, until)
        await pilot.press("p")
        await until(lambda: app.page.is_mounted and app.page.mode == "resting" and app.page.story)
        assert any("Word for word" in n.message for n in app._notifications)
        app.shelf.settle()
        assert shelf.library.count() == 5  # nothing new is kept


async def test_replay_by_another_voice_says_so(make_app, until, shelf):
    class Other(Rehearsal):
        def stream(self, prompt=None, sampling=None):
            return super().stream(prompt, Sampling(seed=30))

    app = make_app(shelf=shelf, teller=Other())
    async with app.run_test() as pilot:
        await until(lambda: app.narrator.teller is not None)
        await in_library(app, pilot, until)
        await pilot.press("p")
        await until(lambda: any("Another voice" in n.message for n in app._notifications))


async def test_tellings_from_the_library(make_app, until, shelf):
    app = make_app(shelf=shelf)
    async with app.run_test() as pilot:
        await in_library(app, pilot, until)
        await pilot.press("t")
        await pilot.pause()
        await pilot.click("#yes")
        await until(lambda: app.page.is_mounted and app.page.story)
        assert app.page.story.id == "story4"


async def test_an_empty_library_invites(make_app, until):
    app = make_app()
    async with app.run_test(size=(40, 15)) as pilot:
        await pilot.press("f3")
        await until(lambda: app.screen.PLACE == "library")
        await pilot.pause()
        count = app.screen.query_one("#count", Static)
        assert "No story yet" in str(count.content)
        assert len(str(count.content)) <= count.size.width
        await pilot.press("enter", "f", "e", "d", "u", "i", "space", "p", "t", "s", "v")
        await pilot.press("m")
        assert app.screen.PLACE == "make"


async def test_two_apps_on_one_library(make_app, told, until, tmp_path):
    one = make_app()
    other = Library(tmp_path / "data" / FILE)
    async with one.run_test() as pilot:
        await told(pilot)
        other.add(Story(text="A cat sat.", prompt=StoryPrompt(), sampling=Sampling(seed=1),
                        finish="end", id="other"))  # fmt: skip
        await in_library(one, pilot, until)
        assert "other" in shown(one) and len(shown(one)) == 2
    other.close()


@pytest.fixture
def mending(shelf, tmp_path, monkeypatch):
    """A damaged library, and the event that its mending waits for."""
    mend, go_on = salvage.salvage, threading.Event()
    monkeypatch.setattr("tinytales.library.opening.PATIENCE", 0)
    monkeypatch.setattr(salvage, "salvage", lambda path: go_on.wait(20) and mend(path))
    shelf.close()
    path = tmp_path / "data" / FILE
    with path.open("r+b") as file:
        file.write(bytes(100))
    return path, go_on


async def test_stories_are_told_while_a_damaged_library_is_mended(make_app, until, mending):
    path, go_on = mending
    app = make_app(shelf=Shelf.open(path))
    async with app.run_test() as pilot:
        await until(lambda: any("being mended" in n.message for n in app._notifications))
        app.notify("The kettle is hot.", timeout=60)
        await pilot.press("enter")
        await until(lambda: app.page.is_mounted and app.page.mode == "resting" and app.page.story)
        story = app.page.story
        await pilot.press("f3")
        await until(lambda: app.screen.PLACE == "library")
        await pilot.pause()
        assert "being mended" in str(app.screen.query_one("#trouble", Static).content)
        assert app.screen.query_one(StoryList).count == 0
        await pilot.press("enter", "f", "e", "d", "u", "i", "p", "t", "s", "v", "v")
        go_on.set()
        await until(lambda: app.screen.query_one(StoryList).count == 6)
        await until(
            lambda: any("5 stories could be saved" in n.message for n in app._notifications)
        )
        said = [n.message for n in app._notifications]
        assert "The kettle is hot." in said  # news of the library takes only its own away
        assert not any("being mended" in message for message in said)
        assert not app.screen.query_one("#trouble", Static).display
        assert story.id in shown(app)
        assert app.shelf.works
    with Library(path) as library:
        assert library.get(story.id).text == story.text


async def test_who_leaves_during_the_mending_finds_everything_if_it_is_soon_done(
    make_app, until, mending
):
    path, go_on = mending
    app = make_app(shelf=Shelf.open(path))
    async with app.run_test() as pilot:
        await until(lambda: any("being mended" in n.message for n in app._notifications))
        await pilot.press("enter")
        await until(lambda: app.page.is_mounted and app.page.mode == "resting" and app.page.story)
        story = app.page.story
        await pilot.press("f")
        threading.Timer(0.5, go_on.set).start()  # leaving waits for the shelf
        await pilot.press("ctrl+q")
        await until(lambda: not app.is_running)
    with Library(path) as library:
        assert library.get(story.id).text == story.text
        assert library.entry(story.id).favorite
    assert not (path.parent / FOLDER).exists()


KILLED = """\
import sys, time
from pathlib import Path
from tinytales.library import opening, salvage
from tinytales.story import Story
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.tui.shelf import Shelf

opening.PATIENCE = 0
salvage.salvage = lambda path: time.sleep(60)
shelf = Shelf.open(Path(sys.argv[1]))
for text in ("A fox came.", "A fox came. It slept."):
    shelf.keep(Story(text, StoryPrompt(), Sampling(seed=1), "cancelled", id="told"))
print("kept", flush=True)
time.sleep(60)
"""


def test_who_is_killed_during_the_mending_loses_nothing_that_was_told(shelf, tmp_path):
    path = tmp_path / "data" / FILE
    shelf.close()
    with path.open("r+b") as file:
        file.write(bytes(100))
    with subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE) as app:
        assert app.stdout.readline() == b"kept\n"
        app.kill()
    (path.parent / FOLDER / "odd.json").write_text("[1, 2")
    for _evening in (1, 2):  # the second finds nothing new
        again = Shelf.open(path)
        again.settle()
        assert again.works
        assert again.get("told").text == "A fox came. It slept."
        assert again.count() == 6
        again.close()
    assert [file.name for file in (path.parent / FOLDER).iterdir()] == ["odd.json"]


async def test_a_newer_library_is_left_alone_and_said(make_app, told, until, tmp_path):
    path = tmp_path / "data" / FILE
    Library(path).close()
    db = sqlite3.connect(path)
    db.execute("INSERT INTO migration VALUES ('from the future', '2030')")
    db.commit()
    db.close()
    before = path.read_bytes()
    app = make_app(shelf=Shelf.open(path))
    async with app.run_test() as pilot:
        await until(lambda: any("newer tinytales" in n.message for n in app._notifications))
        await told(pilot)
        await in_library(app, pilot, until)
        assert len(shown(app)) == 1  # kept for the evening
        evening = app.shelf.evening
        assert evening.exists()
    assert path.read_bytes() == before and not evening.exists()


async def test_a_library_that_can_no_longer_be_written_is_said_and_stories_go_on(
    make_app, told, until
):
    from tinytales.errors import LibraryError

    app = make_app()

    def full(_story):
        raise LibraryError("the disk is full", hint="free some space")

    async with app.run_test() as pilot:
        app.shelf.library.add = full
        await until(lambda: app.narrator.teller is not None)
        await pilot.press("enter")
        await until(lambda: app.page.is_mounted and app.page.story)
        await until(lambda: any("disk is full" in n.message for n in app._notifications))
        assert app.page.story.text == originals()[3]
        assert str(app.page.query_one("#state", Static).content).startswith("not kept: The disk")


# -- voices ----------------------------------------------------------------------------------------


async def in_voices(app, pilot, until, monkeypatch):
    from tinytales.tui.voices import Voice

    voices = [
        Voice(Path("a"), "came along", "ember", "ember-digest", 9_000_000, "int8", 7_000_000),
        Voice(Path("b"), "exported", "spark", "spark-digest", 4_000_000, "int4", 7_000_000),
        Voice(Path("c"), "exported", "ash", trouble="c/model.onnx is missing"),
    ]
    monkeypatch.setattr(app, "find_voices", lambda: voices)
    await pilot.press("f4")
    await until(lambda: app.screen.PLACE == "voices" and app.screen.voices)
    await pilot.pause()


async def test_switching_and_measuring_voices(make_app, until, monkeypatch):
    from tinytales.tui.screens import voices as module

    monkeypatch.setattr(module, "measure", lambda _: {"tokens_per_second": 812.0, "memory": 9e7})
    app = make_app()
    app.narrator.open_teller = lambda path, _: Rehearsal("spark" if path == Path("b") else "ember")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(lambda: app.narrator.teller is not None)
        await in_voices(app, pilot, until, monkeypatch)
        await pilot.press("down", "enter")
        await until(lambda: app.narrator.name == "spark")
        await pilot.press("x")
        await until(lambda: app.memory.speeds.get("spark-digest"))
        await until(lambda: "812" in str(app.screen.query_one("#voices").get_row_at(1)))
        await pilot.press("down", "enter")
        await until(lambda: any("is missing" in n.message for n in app._notifications))
        await pilot.press("up", "up")
        await pilot.click("#speak")
        await until(lambda: app.narrator.name == "ember")
        await pilot.click("#measure")
        await until(lambda: app.memory.speeds.get("ember-digest"))
        await pilot.press("escape")
        assert app.screen.PLACE == "make"


async def test_voices_fit_into_the_smallest_terminal_and_none_at_all_is_said(
    make_app, until, monkeypatch
):
    odd = Voice(Path("/v"), "exported", "狐の声" * 9, "fox-digest", 4_200_000, "int8", 7_100_000)
    app = make_app()
    app.memory.speeds = {"fox-digest": {"tokens_per_second": 812.0}}
    monkeypatch.setattr(app, "find_voices", lambda: [odd])
    async with app.run_test(size=(40, 15)) as pilot:
        await pilot.press("f4")
        await until(lambda: getattr(app.screen, "voices", None))
        await pilot.pause()
        table, about = app.screen.query_one("#voices"), app.screen.query_one("#about", Static)
        assert "…" in str(table.get_row_at(0)[1])
        assert table.size.height == 2  # a header, a row, and no bar below
        for fact in ("7.1 million", "4.2 MB", "812 tokens/s"):  # the table has no room for them
            assert fact in str(about.content)
        monkeypatch.setattr(app, "find_voices", lambda: [])
        await pilot.press("f2", "f4")
        await until(lambda: "No voice was found" in str(about.content))


async def test_a_duel_is_blind_counted_and_revealed(make_app, until, monkeypatch):
    app = make_app()
    app.narrator.open_teller = lambda path, _: Rehearsal("spark" if path == Path("b") else "ember")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(lambda: app.narrator.teller is not None)
        await in_voices(app, pilot, until, monkeypatch)
        await pilot.press("down")
        await pilot.click("#duel")
        await until(lambda: getattr(app.screen, "ready", False))
        duel = app.screen
        names = [str(duel.query_one(f"#name{n}", Static).content) for n in (0, 1)]
        assert names == ["the first", "the second"]
        await pilot.press("1")
        winner = duel.sides[0]
        assert winner.name in str(duel.query_one("#name0", Static).content)
        buttons = {button.id: not button.disabled for button in duel.query(Button)}
        assert buttons == {"pick0": False, "pick1": False, "even": False, "again": True}
        await until(lambda: app.shelf.duels().get(winner.digest) == (1, 0, 0))
        await pilot.press("2")  # decided is decided
        await pilot.click("#again")
        await until(lambda: duel.ready and not duel.decided)
        await pilot.press("equals_sign")
        await until(lambda: app.shelf.duels()[winner.digest] == (1, 0, 1))
        await pilot.press("n")
        await until(lambda: duel.ready and not duel.decided)
        await pilot.click("#pick1")
        await until(lambda: sum(app.shelf.duels()[winner.digest]) == 3)
        await pilot.press("n")
        await until(lambda: duel.ready and not duel.decided)
        await pilot.click("#pick0")
        await until(lambda: sum(app.shelf.duels()[winner.digest]) == 4)
        await pilot.press("n")
        await until(lambda: duel.ready and not duel.decided)
        await pilot.click("#even")
        await until(lambda: sum(app.shelf.duels()[winner.digest]) == 5)
        await pilot.press("escape")
        assert app.screen.PLACE == "voices"
        await until(lambda: " of 5" in str(app.screen.query_one("#voices").get_row_at(0)))


async def test_a_duel_in_the_smallest_terminal_shows_one_story_at_a_time(make_app, until):
    app = make_app()
    app.narrator.open_teller = lambda path, _: Rehearsal(path.name)
    voices = [Voice(Path(name), "came along", name, f"{name}-digest") for name in ("a", "b")]
    async with app.run_test(size=(40, 15)) as pilot:
        app.push_screen(DuelScreen(*voices))
        await until(lambda: getattr(app.screen, "ready", False))
        await pilot.pause()
        duel = app.screen

        def shown() -> list[bool]:
            return [duel.query_one(f"#side{n}").size.height > 8 for n in (0, 1)]

        assert shown() == [True, False]
        await pilot.press("tab")
        await pilot.pause()
        assert shown() == [False, True]
        assert duel.focused is duel.query_one("#side1")
        await pilot.press("1")  # who wins comes to the front
        await pilot.pause()
        assert shown() == [True, False]
        await pilot.resize_terminal(100, 30)
        await until(lambda: all(shown()))


# -- the grown-ups' corner -------------------------------------------------------------------------


async def solved(app, pilot, until):
    await pilot.press("f5")
    await until(lambda: hasattr(app.screen, "a"))
    dialog = app.screen
    await pilot.press(*str(dialog.a + dialog.b), "enter")
    await until(lambda: getattr(app.screen, "PLACE", "") == "grownups")
    await pilot.pause()


async def test_the_sum_keeps_children_out(make_app, until):
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press("f5", "1", "enter")
        await pilot.pause()
        assert "Not quite" in str(app.screen.query_one("#sum").content)
        await pilot.click("#no")
        assert app.screen.PLACE == "make"
        await pilot.press("f5", "escape")
        assert app.screen.PLACE == "make"
        await solved(app, pilot, until)
        await pilot.press("escape", "f5")
        assert app.screen.PLACE == "grownups"  # once an evening is enough


async def test_settings_are_changed_checked_and_kept(make_app, until):
    from tinytales.settings import load

    app = make_app()
    async with app.run_test(size=(100, 40)) as pilot:
        await solved(app, pilot, until)
        field = app.screen.query_one("#set-temperature", Input)
        field.focus()
        field.value = "1.1"
        await pilot.press("enter")
        assert app.settings.temperature == 1.1
        for bad in ("hot", "99", ""):
            field.value = bad
            await pilot.press("enter")
            assert app.settings.temperature == 1.1 and field.value == "1.1"
        field.value = "0.7"
        await pilot.press("tab")
        await until(lambda: app.settings.temperature == 0.7)
        await pilot.press("ctrl+n")
        chips = app.screen.query_one("#choose-safety")
        await pilot.click(next(c for c in chips.query(Chip) if c.key == "careful"))
        await until(lambda: app.settings.safety == "careful")
        assert app.narrator.teller.safety.level == "careful"
        chips = app.screen.query_one("#choose-theme")
        await pilot.click(next(c for c in chips.query(Chip) if c.key == "bedtime"))
        assert app.theme == "bedtime"
        await pilot.press("ctrl+b")
        app.shelf.settle()
        assert (load().temperature, load().safety, load().theme) == (0.7, "careful", "bedtime")


async def test_every_setting_row_exists(make_app, until):
    from dataclasses import fields

    from tinytales.settings import Settings
    from tinytales.tui.screens.grownups import ROWS

    rows = {key for sheet in ROWS.values() for key in sheet}
    known = {field.name for field in fields(Settings)}
    assert rows <= known
    assert known - rows == {"model", "judge_model", "judge_base_url"}


# -- what is everywhere ----------------------------------------------------------------------------


async def test_f1_explains_what_has_the_focus(make_app, until):
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press("f1")
        await pilot.pause()
        text = app.screen._text
        assert text.index("How the story begins") < text.index("## Make a story")
        assert "## Everywhere" in text
        await pilot.click("#close")
        await pilot.press("f1", "escape")
        assert app.screen.PLACE == "make"


async def test_places_by_mouse_key_and_palette(make_app, until):
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.click("#to-library")
        await until(lambda: app.screen.PLACE == "library")
        await pilot.press("f2")
        await until(lambda: app.screen.PLACE == "make")
        await pilot.press("ctrl+p")
        await pilot.pause()
        await pilot.press(*"Library", "enter")
        await until(lambda: getattr(app.screen, "PLACE", "") == "library")


async def test_looks_change_and_stay(make_app, until):
    from tinytales.settings import load

    app = make_app()
    async with app.run_test() as pilot:
        for name in ("bedtime", "contrast", "ansi", "day", "bedtime"):
            await pilot.press("ctrl+t")
            assert app.theme == name
        app.shelf.settle()
        assert load().theme == "bedtime"


async def test_the_footer_can_be_clicked(make_app, told, until):
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await told(pilot)
        bar = app.screen.query_one("KeyBar")
        start, _, _ = next(p for p in bar._places if p[2].action == "favorite")
        await pilot.click("KeyBar", offset=(start + 2, 0))
        assert app.page.narration.favorite


async def test_resize_to_nothing_and_back(make_app, told, until):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await told(pilot)
        for place in ("f6", "f2", "f3", "f4", "f5"):
            await pilot.press(place)
            for size in ((1, 1), (7, 3), (220, 60), (80, 24)):
                await pilot.resize_terminal(*size)
                assert app.screen.size == size


async def test_a_page_of_emoji_and_right_to_left_at_any_width(make_app, until, shelf):
    text = "🦊🏡👩‍👩‍👧 " * 20 + "\n" + "ילד הלך הביתה. " * 20 + "\n" + "宮" * 120
    shelf.library.add(Story(text=text, prompt=StoryPrompt(), sampling=Sampling(seed=1),
                            finish="end", id="odd"))  # fmt: skip
    app = make_app(shelf=shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_story("odd")
        await until(lambda: app.page.is_mounted and app.page.story)
        for size in ((80, 24), (41, 15), (13, 5)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            for line in app.screen._compositor.render_strips():
                assert line.cell_length == size[0]


async def test_no_color_draws_without_color(make_app, told, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(theme="bedtime")
    async with app.run_test(size=(80, 24)) as pilot:
        await told(pilot)
        assert app.theme == "ansi"
        filters = app.get_line_filters()
        for strip in app.screen._compositor.render_strips():
            for segment in strip.apply_filter(filters[-1], app.screen.background_colors[0]):
                colors = (segment.style.color, segment.style.bgcolor) if segment.style else ()
                assert all(color is None or color.is_default for color in colors)


async def test_ascii_mode_draws_ascii_only(make_app, told, until):
    from textual.color import Color

    app = make_app(ascii=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await told(pilot)
        await pilot.press("e")
        await pilot.pause()
        ascii_filter = app.get_line_filters()[-1]
        for strip in app.screen._compositor.render_strips():
            assert strip.apply_filter(ascii_filter, Color(0, 0, 0)).text.isascii()


async def test_every_button_in_the_app_is_pressed_by_a_test(make_app, until):
    """A new button without a test fails here."""
    names = ("test_tui_library.py", "test_tui_make.py", "test_tui_grading.py")
    pressed = "".join(Path(__file__).with_name(name).read_text() for name in names)
    rooms = Path(tinytales.tui.__path__[0])
    for source in rooms.rglob("*.py"):
        for name in re.findall(r'Button\([^)]*id="([\w]+)"', source.read_text()):
            assert f"#{name}" in pressed or f'"{name}"' in pressed, (source.name, name)
