"""Make a story: every key and button, and what children and cats type."""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from textual.widgets import Button, Input

from tinytales.errors import BundleError
from tinytales.tui.screens.make import Line
from tinytales.tui.widgets.chips import Chip, Chips
from tinytales.tui.wishes import FEATURE_NAMES, Dealer, Wishes, first_sentence


def value(app, line: str) -> str:
    return app.screen.query_one(f"#{line}", Input).value


async def test_the_dealing_keys_and_buttons_do_the_same(make_app):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        for key, button, lines in (
            ("ctrl+d", "deal", ["opening"]),
            ("ctrl+g", "friends", ["hero", "place"]),
            ("ctrl+w", "draw", ["word1", "word2", "word3"]),
        ):
            await pilot.press(key)
            dealt = [value(app, line) for line in lines]
            assert all(dealt)
            await pilot.click(f"#{button}")
            again = [value(app, line) for line in lines]
            assert all(again) and again != dealt
        await pilot.press("ctrl+l")
        assert not any(line.value for line in app.screen.query(Line))


async def test_everything_that_is_wished_for_reaches_the_prompt(make_app, until):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: app.narrator.teller is not None)
        await pilot.press(*"The fox ran.", "tab", "tab", *"an owl", "tab", *"barn", "tab", "tab")
        await pilot.press(*"kite", "tab", *"run", "tab", *"red", "tab", "tab")
        await pilot.press("space", "right", "right", "space")  # talking, a lesson
        chips = app.screen.query_one("#length", Chips)
        await pilot.click(next(c for c in chips.query(Chip) if c.key == "short"))
        await pilot.press("enter")
        await until(lambda: app.page.is_mounted and app.page.story)
        prompt, sampling = app.page.story.prompt, app.page.story.sampling
        assert prompt.opening == "The fox ran."
        assert prompt.words == ("kite", "run", "red")
        assert prompt.features == ("dialogue", "moral")
        assert prompt.summary == "A story about an owl in the barn."
        assert sampling.max_words == 60 and sampling.seed == 3


async def test_the_button_tells_and_the_form_keeps_what_was_written(make_app, until):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"A mouse sang.")
        await pilot.click("#tell")
        await until(lambda: app.page.is_mounted and app.page.story)
        await pilot.press("escape")
        assert app.screen.PLACE == "make" and value(app, "opening") == "A mouse sang."


async def test_one_length_is_chosen_always(make_app):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        chips = app.screen.query_one("#length", Chips)
        await pilot.click(chips.query(Chip).first())
        await pilot.click(chips.query(Chip).first())
        assert chips.chosen == ("short",)


async def test_wishes_are_one_stop_with_arrows_inside(make_app):
    app = make_app()
    async with app.run_test(size=(40, 24)) as pilot:

        async def press(*keys: str) -> str:
            await pilot.press(*keys)
            await pilot.pause()
            return getattr(app.focused, "key", app.focused.id)

        wishes, lengths = app.screen.query_one("#features", Chips), app.screen.query_one("#length")
        rows = {chip.region.y for chip in wishes.query(Chip)}
        assert len(rows) > 1
        wishes.query(Chip).first().focus()
        assert await press("right") == "twist"
        assert await press("left", "left") == list(FEATURE_NAMES)[-1]
        assert await press("right") == "dialogue"
        columns = sum(chip.region.y == min(rows) for chip in wishes.query(Chip))
        assert await press("down") == list(FEATURE_NAMES)[columns]
        assert await press("space", "up") == "dialogue"
        assert await press("right", "tab") == "free"  # the length that is chosen
        assert await press("right", "shift+tab") == "twist"  # where one was before
        assert await press("tab") == "free"  # not the one that was only visited
        assert await press("left", "space", "tab") == "tell"
        assert lengths.chosen != ("free",)
        assert await press("shift+tab") == lengths.chosen[0]
        assert await press("down", "down") == "tell"
        assert wishes.chosen == (list(FEATURE_NAMES)[columns],)


async def test_a_paste_of_100_kilobytes_is_cut_and_said(make_app, until):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        from textual.events import Paste

        app.screen.query_one("#opening").post_message(Paste("The fox\nran home. " * 6000))
        await until(lambda: value(app, "opening"))
        opening = value(app, "opening")
        assert 1000 < len(opening) <= 2000 and "\n" not in opening
        assert app._notifications
        await pilot.press("enter")
        await until(lambda: app.page.is_mounted and app.page.story)


@pytest.mark.parametrize(
    "text", ["🦊🏡 fox", "ילד הלך הביתה", "x" * 60, "a\u0000b", "\u200d\u200d"]
)
async def test_odd_text_is_taken_and_drawn(make_app, until, text):
    app = make_app()
    async with app.run_test(size=(50, 18)) as pilot:
        app.screen.query_one("#opening", Input).value = text
        app.screen.query_one("#hero", Input).value = text
        app.screen.query_one("#word1", Input).value = text[:20]
        await pilot.press("enter")
        await pilot.pause(0.2)
        assert app.export_screenshot()


async def test_a_word_that_is_none_is_explained(make_app):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.screen.query_one("#word1", Input).value = "four words are many"
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen.PLACE == "make"
        (note,) = app._notifications
        assert "is not one word" in note.title and note.message


async def test_without_a_voice_the_app_opens_and_explains(make_app, until):
    app = make_app()

    def broken(_path, _settings):
        raise BundleError("model.onnx is cut short: 3 of 8 bytes", hint="export it again")

    app.narrator.open_teller = broken
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: app.narrator.error is not None)
        await pilot.pause()
        trouble = app.screen.query_one("#trouble")
        assert trouble.display and "cut short" in str(trouble.content)
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen.PLACE == "make" and app._notifications
        await pilot.press("f3")
        await until(lambda: app.screen.PLACE == "library")


async def test_every_button_of_the_form_is_known(make_app):
    app = make_app()
    async with app.run_test(size=(80, 24)):
        ids = {button.id for button in app.screen.query(Button)}
        assert ids == {"deal", "friends", "draw", "tell"}


@pytest.mark.parametrize(
    ("hero", "place", "sentence"),
    [
        ("fox", "forest", "Once upon a time, a fox was in the forest."),
        ("an owl", "", "Once upon a time, there was an owl."),
        ("Mia", "at the beach", "Once upon a time, Mia was at the beach."),
        ("The bear", "a cave", "Once upon a time, the bear was in a cave."),
        ("", "On a farm", "One day, on a farm,"),
        ("elephant.", "", "Once upon a time, there was an elephant."),
        ("", "", ""),
    ],
)
def test_hero_and_place_become_a_sentence(hero, place, sentence):
    assert first_sentence(hero, place) == sentence
    assert Wishes(hero=hero, place=place).prompt().opening == sentence


def test_each_feature_has_a_name_for_children():
    from tinytales.prompt import FEATURES

    assert FEATURE_NAMES.keys() == FEATURES.keys()


def test_the_dealer_deals_the_same_for_the_same_seed_and_never_twice_in_a_row():
    one, other = Dealer(5), Dealer(5)
    dealt = [one.opening() for _ in range(50)]
    assert dealt == [other.opening() for _ in range(50)]
    assert all(a != b for a, b in itertools.pairwise(dealt))


def test_a_voice_may_wake_in_the_moment_the_app_ends(make_app):
    app = make_app()

    async def evening() -> None:
        async with app.run_test():
            pass

    asyncio.run(evening())

    def wake() -> None:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(app._voice_woke).result(5)

    wake()
    app._closing = app._closed = False  # what a thread saw just before
    wake()
    app._running = True  # not an end: it must not be hidden
    with pytest.raises(RuntimeError, match="closed"):
        wake()
