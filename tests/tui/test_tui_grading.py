"""Grading in the grown-ups' corner, against a real judge on this machine that lies down at will."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from textual.widgets import Input

from tinytales.grading import Desk, live, rubric
from tinytales.library import FILE, Library
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Story
from tinytales.tui.rehearsal import originals
from tinytales.tui.screens.grading import GradingPane
from tinytales.tui.screens.judge import JudgeDialog
from tinytales.tui.shelf import Shelf
from tinytales.tui.widgets.chips import Chip

sys.path.insert(0, str(Path(__file__).parents[1] / "grading"))

from judge_server import JudgeServer

KEY = "sk-test-9e1f7c3a5b8d2046"
NOBODY = "http://127.0.0.1:9/v1"

pytestmark = pytest.mark.allow_loopback


@pytest.fixture
def judge():
    with JudgeServer() as server:
        yield server


@pytest.fixture
def all_at_once(monkeypatch):
    """The judge on this machine is asked about six stories at a time."""
    monkeypatch.setattr(live, "UNPACED", 6)


@pytest.fixture
def shelf(tmp_path):
    """Opens the shelf: six originals, two of them favorites; the same one every time."""

    def open_it() -> Shelf:
        library = Library(tmp_path / "data" / FILE)
        if not library.count():
            for number in range(6):
                story = Story(
                    text=originals()[number],
                    prompt=StoryPrompt(opening=originals()[number][:40]),
                    sampling=Sampling(seed=number),
                    finish="end",
                    bundle="ember",
                    bundle_digest="ember-digest",
                    id=f"story{number}",
                    created=f"2026-11-2{number}T19:00:00+00:00",
                )
                library.add(story)
                library.favorite(story.id, number in (1, 4))
            library.rename("story5", "[bold]Not markup[/]")
        return Shelf(library)

    return open_it


@pytest.fixture
def corner(make_app, shelf, until):
    """The app with the grading pane open and the cursor in its table."""

    def make(url: str, **settings):
        app = make_app(shelf=shelf(), judge_base_url=url, judge_model="judge", **settings)
        app.grown_up = True
        return app

    return make


async def enter(app, pilot, until) -> GradingPane:
    await pilot.press("f5")
    await until(lambda: getattr(app.screen, "PLACE", "") == "grownups")
    app.screen.query_one("#sheets").active = "grading"
    pane = app.screen.query_one(GradingPane)
    await until(lambda: pane._rows)
    pane.table.focus()
    await pilot.pause()
    return pane


async def consent(app, pilot, until) -> str:
    """Ask, and wait until the dialog has said what that means."""
    await pilot.press("g")
    await until(lambda: isinstance(app.screen, JudgeDialog))
    await until(lambda: said(app, "#consent"))
    return said(app, "#consent")


async def agree(app, pilot, until, questions: str = "") -> None:
    """Agree, to the stories that wait if the dialog is open already."""
    before = app.judging
    if not isinstance(app.screen, JudgeDialog):
        await consent(app, pilot, until)
    await until(lambda: not app.screen.query_one("#agree").disabled)
    assert questions in said(app, "#consent")
    app.screen.query_one("#agree").focus()
    await pilot.press("enter")
    await until(lambda: app.judging is not before)


async def over(app, pilot, until) -> str:
    """Wait until the judge is done and the table is drawn; what is told then."""
    await until(lambda: app.judging.done, 20)
    await until(lambda: said(app, "#told") == app.judging.outcome)
    await app.workers.wait_for_complete()
    await pilot.pause()
    return said(app, "#told")


def said(app, name: str) -> str:
    return str(app.screen.query_one(name).content)


def column(pane: GradingPane) -> list[str]:
    """What the last column says, from the first row on."""
    return [str(pane.table.get_row_at(row)[-1]) for row in range(pane.table.row_count)]


def choose_list(pane: GradingPane, name: str):
    return next(chip for chip in pane.query(Chip) if chip.key == name)


def paid_twice(server: JudgeServer) -> int:
    return sum(n - 1 for n in Counter(e.key for e in server.ledger if e.paid).values())


async def test_stories_are_marked_counted_and_put_aside(corner, until):
    app = corner(NOBODY)
    async with app.run_test(size=(100, 40)) as pilot:
        pane = await enter(app, pilot, until)
        assert str(pane.table.get_row_at(0)[1]) == "[bold]Not markup[/]"
        assert app.screen.query_one("#asknow").display is False
        await pilot.press("down", "q")
        await until(lambda: column(pane)[1] == "waits")
        with Desk() as desk:
            assert [(rubric, s.id) for rubric, s in desk.waiting()] == [("gentle", "story4")]
        assert said(app, "#told") == "1 story waits for a judge."
        await pilot.click("#queue")
        await until(lambda: column(pane)[1] == "")
        await pilot.press("space", "space")
        assert [story.id for story in pane.chosen] == ["story4", "story3"]
        await pilot.press("a")
        assert len(pane.chosen) == 6
        await pilot.press("a")
        assert len(pane.chosen) == 1  # the one under the cursor
        for name, count in (("favorites", 2), ("graded", 0), ("waiting", 0), ("newest", 6)):
            choose_list(pane, name).focus()
            await pilot.press("space")
            await until(lambda count=count: pane.table.row_count == count)
            await pilot.pause()
            assert count or said(app, "#said").startswith(("No judge", "No story"))


async def test_the_stories_are_one_tab_from_the_lists(corner, until):
    app = corner(NOBODY)
    async with app.run_test(size=(80, 24)) as pilot:
        pane = await enter(app, pilot, until)
        app.screen.query_one("#sheets Tabs").focus()
        await pilot.press("tab")
        await pilot.pause()
        assert app.focused is choose_list(pane, "newest")
        await pilot.press("tab")
        await pilot.pause()
        assert app.focused is pane.table


async def test_favorites_are_graded_and_stay_graded_without_a_network(corner, judge, until):
    app = corner(judge.url)
    async with app.run_test(size=(80, 24)) as pilot:
        pane = await enter(app, pilot, until)
        choose_list(pane, "favorites").focus()
        await pilot.press("space")
        await until(lambda: pane.table.row_count == 2)
        pane.table.focus()
        await pilot.press("a")
        terms = await consent(app, pilot, until)
        assert "2 stories" in terms and "127.0.0.1" in terms and "It costs nothing" in terms
        assert not judge.headers  # nothing has left yet
        await pilot.press("right", "space")  # the paper's rubric
        await until(lambda: "rubric paper@1" in said(app, "#consent"))
        await pilot.press("escape")
        assert not judge.headers and app.judging is None
        await agree(app, pilot, until)
        assert await over(app, pilot, until) == "2 of 2 stories have a grade; it cost nothing."
        assert len(judge.ledger) == 2
        assert all(float(mean) > 0 for mean in column(pane))
        shown = said(app, "#said")
        assert all(name in shown for name in ("judge: safe", "warm", "simple", "ending"))
        app.shelf.settle()
        assert app.shelf.library.marks("story4")[0]["rubric"] == "gentle@1"
        # the same again costs nothing and sends nothing
        assert "nothing is sent" in await consent(app, pilot, until)
        await pilot.click("#no")
        means = column(pane)
    judge.__exit__()
    again = corner(NOBODY)
    async with again.run_test(size=(80, 24)) as pilot:
        pane = await enter(again, pilot, until)
        choose_list(pane, "graded").focus()
        await pilot.press("space")
        await until(lambda: pane.table.row_count == 2)
        assert sorted(column(pane)) == sorted(means)
        await pilot.click("#show")
        words = " ".join(str(part.content) for part in again.screen.query("Static"))
        assert "A fair little story." in words and "━" in words and "judge-2025-04-14" in words
        await pilot.click("#close")


async def test_the_papers_rubric_tells_the_age_group_in_words(corner, judge, until):
    app = corner(judge.url)
    app.memory.rubric = "paper"
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(app, pilot, until)
        await agree(app, pilot, until)
        assert "1 of 1 story has a grade" in await over(app, pilot, until)
        await pilot.press("enter")
        (grades,) = (str(part.content) for part in app.screen.query(".grades"))
        assert grades.splitlines()[-1].startswith("age group    ")
        assert grades.endswith(")") and grades.count("━") > 4
        await pilot.press("escape")


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [({"faults": {"refusal": 1.0}}, "the judge refused: I cannot judge this story."),
     ({"style": "obey"}, "unreadable verdict"),
     ({"faults": {"unreadable": 1.0}}, "unreadable verdict")],
    ids=["refusal", "obeys the story", "unreadable"],
)  # fmt: skip
async def test_a_judge_that_gives_no_grade_says_why(corner, judge, until, trouble, reason):
    for name, value in trouble.items():
        setattr(judge, name, value)
    app = corner(judge.url)
    async with app.run_test(size=(80, 24)) as pilot:
        pane = await enter(app, pilot, until)
        await pilot.press("space", "space")
        await agree(app, pilot, until)
        told = await over(app, pilot, until)
        assert told == "0 of 2 stories have a grade; it cost nothing. The others say why."
        assert column(pane)[:2] == ["no grade"] * 2
        await pilot.press("up", "up")
        assert f"no grade: {reason}" in said(app, "#said")
        with Desk() as desk:  # an answer is an answer: they do not wait
            assert desk.waiting() == []


async def test_a_judge_that_cannot_be_reached_and_the_next_time(corner, judge, until):
    app = corner(NOBODY)
    app.memory.rubric = "paper"
    async with app.run_test(size=(80, 24)) as pilot:
        pane = await enter(app, pilot, until)
        await pilot.press("space", "space", "space")
        await agree(app, pilot, until)
        told = await over(app, pilot, until)
        assert "cannot be reached" in told and "3 stories wait, and will be offered again" in told
        assert column(pane)[:3] == ["waits"] * 3
    again = corner(judge.url)
    async with again.run_test(size=(80, 24)) as pilot:
        pane = await enter(again, pilot, until)
        assert said(again, "#told") == "3 stories wait for a judge."
        await pilot.click("#asknow")
        await until(lambda: isinstance(again.screen, JudgeDialog))
        await agree(again, pilot, until, "rubric paper@1")  # as they were to be asked then
        assert "3 of 3" in await over(again, pilot, until)
        with Desk() as desk:
            assert desk.waiting() == []


@pytest.mark.usefixtures("all_at_once")
async def test_stopping_midway_keeps_what_was_answered(corner, judge, until):
    judge.delay = 1.2
    app = corner(judge.url)
    async with app.run_test(size=(80, 24)) as pilot:
        pane = await enter(app, pilot, until)
        await pilot.press("x")  # nothing to stop: nothing happens
        await pilot.press("a")
        app.memory.rubric = "paper"
        await agree(app, pilot, until)
        await until(lambda: len(judge.ledger) == 6)
        assert "Reading 6 stories" in said(app, "#told") and column(pane) == ["…"] * 6
        await pilot.press("g")
        assert not isinstance(app.screen, JudgeDialog)  # one grading at a time
        await pilot.click("#stop")
        assert "paid for" in said(app, "#told")
        assert "6 stories wait" in await over(app, pilot, until)
        assert sum(e.paid for e in judge.ledger) == 6  # the first turns were waited for
        judge.delay = 0
        await pilot.click("#asknow")
        await until(lambda: isinstance(app.screen, JudgeDialog))
        await agree(app, pilot, until, "6 questions")  # and not 12
        assert "6 of 6" in await over(app, pilot, until)
    assert len(judge.ledger) == 12 and paid_twice(judge) == 0


@pytest.mark.usefixtures("all_at_once")
async def test_quitting_midway_waits_for_paid_answers_and_goes_on_next_time(corner, judge, until):
    judge.delay = 1.2
    app = corner(judge.url)
    app.memory.rubric = "paper"
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(app, pilot, until)
        await pilot.press("a")
        await agree(app, pilot, until)
        await until(lambda: len(judge.ledger) == 6)
        await pilot.press("f2")  # elsewhere in the app
        await pilot.press("ctrl+q")
        assert app.is_running
        await until(lambda: not app.is_running, 10)
    assert app.judging.done and sum(e.paid for e in judge.ledger) == 6
    judge.delay = 0
    again = corner(judge.url)
    async with again.run_test(size=(80, 24)) as pilot:
        await enter(again, pilot, until)
        assert said(again, "#told") == "6 stories wait for a judge."
        await pilot.press("a")
        again.memory.rubric = "paper"
        await agree(again, pilot, until)
        await pilot.press("f2")
        await until(lambda: again.judging.done, 20)
        await pilot.press("f5")
        assert "6 of 6" in await over(again, pilot, until)
    assert len(judge.ledger) == 12 and paid_twice(judge) == 0


async def test_ctrl_q_twice_leaves_at_once(corner, judge, until):
    judge.delay = 5
    app = corner(judge.url)
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(app, pilot, until)
        await agree(app, pilot, until)
        await until(lambda: judge.ledger)
        await pilot.press("ctrl+q", "ctrl+q")
        await until(lambda: not app.is_running, 2)
    assert not app.judging.done
    with Desk() as desk:
        assert [story.id for _, story in desk.waiting()] == ["story5"]


async def test_without_a_key_stories_wait_and_a_key_is_never_taken(corner, until, tmp_path):
    app = corner("")
    async with app.run_test(size=(80, 24)) as pilot:
        pane = await enter(app, pilot, until)
        terms = await consent(app, pilot, until)
        assert "Nothing can be sent from here yet: there is no key" in terms and "wait" in terms
        assert app.screen.query_one("#agree").disabled
        await pilot.press("f1")
        assert "Asking a judge" in app.screen._text
        await pilot.press("escape")
        for field in ("#model", "#address"):
            app.screen.query_one(field, Input).value = KEY
            await until(lambda: "looks like a key" in said(app, "#consent"))
            app.screen.query_one(field, Input).value = "judge" if field == "#model" else ""
            await until(lambda: "no key" in said(app, "#consent"))
        app.screen.query_one("#address", Input).value = "nonsense"
        await until(lambda: "address is not one" in said(app, "#consent"))
        await pilot.press("tab", "enter", "enter")  # from line to line, without agreeing
        assert isinstance(app.screen, JudgeDialog)
        await pilot.click("#later")
        await until(lambda: column(pane)[0] == "waits")
        app.shelf.settle()
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()


async def test_a_key_is_never_on_the_screen_or_in_a_file(
    corner, judge, until, monkeypatch, tmp_path
):
    """Against a judge that puts it into every word it says."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    judge.key, judge.leak = KEY, True
    app = corner(judge.url)
    seen = []
    async with app.run_test(size=(120, 40)) as pilot:
        await enter(app, pilot, until)
        await consent(app, pilot, until)
        seen.append(app.export_screenshot())
        await pilot.press("escape")
        await pilot.press("space", "space")
        await agree(app, pilot, until)
        await over(app, pilot, until)
        await pilot.press("up", "enter")
        await pilot.pause()
        seen.append(app.export_screenshot())
        await pilot.press("escape", "ctrl+end")
        judge.key = "another"
        await agree(app, pilot, until)
        told = await over(app, pilot, until)
        assert "does not accept the key" in told and "1 story waits" in told
        seen.append(app.export_screenshot())
    assert judge.headers[0]["authorization"] == f"Bearer {KEY}"
    assert all(KEY not in picture for picture in seen)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 1 and all(KEY.encode() not in file.read_bytes() for file in files)


async def test_own_grades_are_kept_for_agree(corner, until):
    app = corner(NOBODY)
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(app, pilot, until)
        await pilot.click("#own")
        await until(lambda: app.screen.query("#mark-safe"))
        await pilot.press(*"12", "enter")
        app.screen.query_one("#keep").focus()
        await pilot.press("enter")
        assert app.screen.query("#mark-safe")  # 12 is no grade
        app.screen.query_one("#mark-safe", Input).value = "9"
        await pilot.press("enter", *"7.5", "enter", "enter", "enter")
        await until(lambda: not app.screen.query("#mark-safe"))
        with Desk() as desk:
            await until(lambda: desk.cache.marks())
            assert desk.cache.marks() == [("story5", "me", {"safe": 9.0, "warm": 7.5})]
        await pilot.press("o")
        await until(lambda: app.screen.query("#mark-safe"))
        assert app.screen.query_one("#mark-warm", Input).value == "7.5"
        app.screen.query_one("#mark-warm", Input).value = "8"
        await pilot.click("#keep")
        with Desk() as desk:
            await until(lambda: desk.cache.marks()[0][2] == {"safe": 9.0, "warm": 8.0})


OWN = """
name = "kind"
version = 3
about = "Is it kind?"
assessment = "Read this: {fenced} What do you think?"
grades = "Grade it."
[criteria]
kindness = "are they kind to each other"
[choices.tone]
about = "how it sounds"
options = { A = "soft", B = "loud" }
"""


async def test_ones_own_rubric_stands_beside_the_others(corner, judge, until):
    own = rubric.folder()
    own.mkdir(parents=True)
    (own / "kind.toml").write_text(OWN)
    (own / "[b]roken.toml").write_text(OWN.replace("version", "versoin"))
    app = corner(judge.url)
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(app, pilot, until)
        await consent(app, pilot, until)
        chips = {chip.key: chip for chip in app.screen.query(Chip)}
        assert [chips[key].label for key in chips] == [
            "gentle", "paper", "wishes", "?b?roken", "kind",
        ]  # fmt: skip
        chips["[b]roken"].focus()
        await pilot.press("space")
        await until(lambda: "unknown key 'versoin'" in said(app, "#consent"))
        assert app.screen.query_one("#agree").disabled
        chips["kind"].focus()
        await pilot.press("space")
        await until(lambda: "rubric kind@3" in said(app, "#consent"))
        await agree(app, pilot, until)
        assert "1 of 1 story has a grade" in await over(app, pilot, until)
        await pilot.press("enter")
        (grades,) = (str(part.content) for part in app.screen.query(".grades"))
        assert grades.startswith("kindness") and grades.endswith(("(soft)", "(loud)"))
        await pilot.press("escape", "o")
        await until(lambda: app.screen.query("#mark-kindness"))
        await pilot.press("escape")
        (own / "kind.toml").unlink()  # what was said stays, only what A and B mean is gone
        await pilot.press("enter")
        assert str(app.screen.query_one(".grades").content).endswith(("A", "B"))


async def test_grades_that_cannot_be_read_take_no_story_away(corner, until, tmp_path):
    with Desk() as desk:
        desk.cache._write("INSERT INTO scores (key, story, score) VALUES ('k', 'story5', '{')", ())
    app = corner(NOBODY)
    async with app.run_test(size=(80, 24)) as pilot:
        pane = await enter(app, pilot, until)
        assert pane.table.row_count == 6 and "cannot be read" in said(app, "#told")
        for file in (tmp_path / "data").glob("grades.sqlite*"):
            file.unlink()
        (tmp_path / "data" / "grades.sqlite").write_bytes(b"this is no database at all" * 50)
        await pilot.press("q")
        await until(lambda: "cannot be opened" in said(app, "#told"))
        assert pane.table.row_count == 6
        assert "cannot be opened" in await consent(app, pilot, until)
        assert app.screen.query_one("#agree").disabled


@pytest.mark.parametrize("size", [(80, 24), (40, 15)])
async def test_everything_fits(corner, judge, until, size):
    """No button and no line reaches over the edge of a small terminal."""

    def inside() -> None:
        for part in app.screen.query("Button, Input, Chip, #said, #told, DataTable"):
            region = part.region
            if part.display and region.area:
                assert region.right <= size[0] and region.bottom < size[1], part
                assert region.right <= part.parent.region.right, part

    own = rubric.folder()
    own.mkdir(parents=True)
    for number in range(9):
        (own / f"kind{number}.toml").write_text(OWN.replace("kind", f"kind{number}"))
    app = corner(judge.url)
    async with app.run_test(size=size) as pilot:
        pane = await enter(app, pilot, until)
        inside()
        assert pane.table.region.height >= 3
        await consent(app, pilot, until)
        inside()
        await pilot.press("escape")
        await pilot.press("o")
        await until(lambda: app.screen.query("#mark-safe"))
        inside()
        await pilot.press("escape")
        await agree(app, pilot, until)
        await over(app, pilot, until)
        inside()
        await pilot.press("enter")
        await pilot.pause()
        inside()
