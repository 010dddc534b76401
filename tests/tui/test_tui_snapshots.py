"""How every screen looks: 80x24 and 120x40 in two themes, and 40x15 for the smallest.

A new look on purpose: pytest tests/tui --snapshot-update, then look at the pictures.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, Static

from tinytales.library import FILE, Library
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Story
from tinytales.tui.rehearsal import Rehearsal, originals
from tinytales.tui.screens import dialogs
from tinytales.tui.screens.duel import DuelScreen
from tinytales.tui.shelf import Shelf
from tinytales.tui.voices import Voice

pytest.importorskip("pytest_textual_snapshot")
VOICES = [
    Voice(
        Path("/voices/ember"), "came along", "ember", "ember-digest", 9_400_000, "int8", 7_100_000
    ),
    Voice(Path("/voices/spark"), "exported", "spark", "spark-digest", 5_200_000, "int4", 7_100_000),
    Voice(Path("/voices/ash"), "exported", "ash", trouble="/voices/ash/model.onnx is missing"),
]


@pytest.fixture
def family(tmp_path, make_app):
    """Makes an app with twelve stories on the shelf, three of them tellings of one."""
    from datetime import UTC, datetime, timedelta

    evening = datetime(2026, 11, 28, 19, 0, tzinfo=UTC)
    library = Library(tmp_path / "data" / FILE)
    for number in range(12):
        library.add(
            Story(
                text=originals()[number],
                prompt=StoryPrompt(words=("turtle", "blanket") if number == 3 else ()),
                sampling=Sampling(seed=number),
                finish="cancelled" if number == 5 else "end",
                bundle="ember",
                bundle_digest="ember-digest",
                id=f"story{number}",
                parent={8: "story3", 9: "story8"}.get(number),
                branch_at={8: 0, 9: 40}.get(number),
                created=(evening - timedelta(days=number)).isoformat(),
            )
        )
        library.favorite(f"story{number}", number in (2, 7))
    library.add_duel("ember-digest", "spark-digest")

    def make(theme: str) -> Any:
        app = make_app(theme=theme, shelf=Shelf(library, now=lambda: evening))
        app.memory.speeds = {"ember-digest": {"tokens_per_second": 3120.0, "memory": 1.04e8}}
        app.find_voices = lambda: VOICES
        return app

    return make


async def make_story(pilot, until):
    pilot.app.screen.query_one("#hero", Input).value = "a little fox"
    pilot.app.screen.query_one("#word1", Input).value = "lantern"
    await pilot.press("tab", "tab")


async def telling(pilot, until):
    app = pilot.app
    app.open_story("story3")
    await until(lambda: app.page.is_mounted and app.page.story)
    page = app.page
    page.reading.restart()
    end = page.reading.text.index(" ", 420)
    page.reading.shown = end
    page.reading.lit = (page.reading.text.rindex(" ", 0, end) + 1, end)
    page.view.end("")
    page.view.follows = True
    page._enter("telling")
    page._timer.pause()
    page._show()


async def told(pilot, until):
    pilot.app.open_story("story3")
    await until(lambda: pilot.app.page.is_mounted and pilot.app.page.story)


async def branching(pilot, until):
    await told(pilot, until)
    await pilot.press("b", "up", "up")


async def picking(pilot, until):
    await told(pilot, until)
    await pilot.press("n")
    await until(lambda: pilot.app.page.query_one("#choices")._offers)
    await pilot.pause(0.2)
    pilot.app.page.view.scroll_end(animate=False, immediate=True)
    await pilot.pause(0.1)


async def tellings(pilot, until):
    await told(pilot, until)
    await pilot.press("t")


async def exporting(pilot, until):
    await told(pilot, until)
    await pilot.press("e")
    await pilot.pause()
    pilot.app.screen.query_one("#path", Input).value = "/home/family/kemi.md"


async def explaining(pilot, until):
    await told(pilot, until)
    await pilot.press("f1")


async def library(pilot, until):
    await pilot.press("f3")
    await until(
        lambda: getattr(pilot.app.screen, "stories", None) and pilot.app.screen.stories.count
    )
    await pilot.press("down", "down")


async def renaming(pilot, until):
    await library(pilot, until)
    await pilot.press("i")


async def voices(pilot, until):
    await pilot.press("f4")
    await until(lambda: getattr(pilot.app.screen, "voices", None))


async def duel(pilot, until):
    app = pilot.app
    app.narrator.open_teller = lambda path, _: Rehearsal(path.name)
    app.push_screen(DuelScreen(VOICES[0], VOICES[1], random.Random(3)))
    await until(lambda: getattr(app.screen, "ready", False))
    await pilot.press("1")


async def sum_of(pilot, until):
    pilot.app.push_screen(dialogs.SumDialog(random.Random(1)))


async def grownups(pilot, until):
    pilot.app.grown_up = True
    await pilot.press("f5")
    await until(lambda: getattr(pilot.app.screen, "PLACE", "") == "grownups")


async def grading(pilot, until):
    """Two stories graded (one of them refused), one waiting, two marked."""
    from tinytales.grading import Desk
    from tinytales.grading.cache import Score

    app = pilot.app
    kind = {"safe": 9.0, "warm": 8.5, "simple": 8.0, "ending": 7.0}
    with Desk() as desk:
        good = Score("story1", "gentle@1", "judge", grades=kind, assessment="Warm, and it ends.")
        desk.cache.add_score(good)
        desk.cache.add_score(Score("story3", "gentle@1", "judge", reason="the judge refused"))
        desk.wait([app.shelf.get("story4")], "gentle")
    await grownups(pilot, until)
    app.screen.query_one("#sheets").active = "grading"
    pane = app.screen.query_one("GradingPane")
    await until(lambda: pane._rows)
    pane.table.focus()
    await pilot.press("down", "down", "space", "down", "down", "space")
    await pilot.press("ctrl+home", "down")


async def consent(pilot, until):
    from dataclasses import replace

    app = pilot.app
    app.settings = replace(app.settings, judge_base_url="http://localhost:8080/v1")
    await grading(pilot, until)
    await pilot.press("g")
    await until(lambda: app.screen.query("#agree") and not app.screen.query_one("#agree").disabled)


async def what_was_said(pilot, until):
    await grading(pilot, until)
    await pilot.press("enter")


SCREENS = [
    make_story, telling, told, branching, picking, tellings, exporting, explaining, library,
    renaming, voices, duel, sum_of, grownups, grading, consent, what_was_said,
]  # fmt: skip
LOOKS = [
    *((size, theme) for size in ((80, 24), (120, 40)) for theme in ("day", "bedtime")),
    ((40, 15), "contrast"),
]


async def stand_still(scene: Any, until: Any, pilot: Any) -> None:
    """Go to the scene, and let nothing move any more."""
    await until(lambda: pilot.app.narrator.teller is not None)
    await until(lambda: "tells" in str(pilot.app.screen.query_one(".voice", Static).content))
    await pilot.pause()
    await scene(pilot, until)
    await pilot.pause()
    for field in pilot.app.screen.query(Input):
        field.cursor_blink = False
        field._cursor_visible = True
    pilot.app.clear_notifications()
    seen: list[str] = []
    while len(seen) < 3 or len(set(seen[-3:])) > 1:  # what scrolls or loads has come to rest
        await pilot.pause(0.05)
        seen.append(pilot.app.export_screenshot())
        assert len(seen) < 200, "the screen never stands still"


@pytest.mark.parametrize(
    ("size", "theme"), LOOKS, ids=lambda x: x if isinstance(x, str) else f"{x[0]}x{x[1]}"
)
@pytest.mark.parametrize("scene", SCREENS, ids=lambda scene: scene.__name__)
def test_look(snap_compare, family, until, scene, size, theme):
    assert snap_compare(
        family(theme), terminal_size=size, run_before=partial(stand_still, scene, until)
    )
