"""The library: found again, put in order, shared, and safe from crashes, damage and the future."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinytales.errors import LibraryError, UsageError
from tinytales.library import Library, library_path, opening, schema
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Story


def story(text: str = "Once a fox named Tom saw a red ball. He ran.", **values: Any) -> Story:
    return Story(
        text=text,
        prompt=values.pop("prompt", StoryPrompt(words=["fox"])),
        sampling=Sampling(seed=3),
        finish=values.pop("finish", "end"),
        **values,
    )


@pytest.fixture
def library(tmp_path: Path) -> Any:
    with Library(tmp_path / "library.sqlite") as opened:
        yield opened


def ids(entries: Any) -> list[str]:
    return [entry.id for entry in entries]


# -- kept and found ------------------------------------------------------------------------------


def test_the_record_comes_back_whole(library: Library) -> None:
    kept = story("A 🦊 said: “Grüße,\n\nمرحبا”.", parent="p", branch_at=4, tokens=9, seconds=0.5)
    assert library.add(kept) == kept.id
    assert library.get(kept.id) == kept


def test_it_lives_where_paths_say() -> None:
    with Library() as library:
        kept = library.add(story())
    with Library(library_path()) as again:
        assert again.get(kept).words == 11


def test_half_characters_do_not_stop_anyone(library: Library) -> None:
    kept = library.add(story("A fox \ud83e said \x00 hello."))
    assert library.get(kept).text == "A fox ? said \x00 hello."
    assert library.search("\ud83e\x00") == library.search("") != []


def test_search_finds_words_by_how_they_begin(library: Library) -> None:
    fox = library.add(story("Tom the fox had a kite. The wind took it."))
    bear = library.add(story("A bear found honey. Die Bärin fand Grün 🍯."))
    assert ids(library.search("ki wind")) == [fox]
    assert ids(library.search("HON")) == [bear]
    assert ids(library.search("barin grun")) == [bear]
    assert ids(library.search("🍯")) == [bear]
    assert library.search("kite honey") == []
    assert "kite" in library.search("kite")[0].found


ODD = """ " ' ( fox) fox* ^fox -fox {fox} don't \\ % _ -- fox,AND "fox" """.split()


@pytest.mark.parametrize("odd", [*ODD, "fox AND", "fox -"])
def test_any_query_is_words(library: Library, odd: str) -> None:
    kept = library.add(story("A fox, and don't % _ \\ \" ' ( { ^ --"))
    assert ids(library.search(odd)) == [kept]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text() | st.sampled_from(["NEAR(fox", "title:fox", "a AND OR b", '"', "\x00", "*"]))
def test_no_query_is_an_error(library: Library, query: str) -> None:
    library.search(query)


def test_search_follows_every_change(library: Library) -> None:
    kept = library.begin(story("A fox."))
    library.append(kept, " Then it rained.")
    assert ids(library.search("rained")) == [kept]
    library.finish(kept, story("A fox slept."))
    assert library.search("rained") == []
    assert ids(library.search("slept")) == [kept]
    library.rename(kept, "Moonlight")
    assert ids(library.search("moonl")) == [kept]
    library.favorite(kept)
    assert ids(library.search("slept", favorites=True)) == [kept]
    library.delete(kept)
    assert library.search("slept") == []
    library.undelete(kept)
    assert ids(library.search("slept")) == [kept]
    library.delete(kept)
    assert library.empty_trash() == 1
    with pytest.raises(LibraryError, match="there is no story"):
        library.undelete(kept)


def test_orders_pages_and_favorites(library: Library) -> None:
    kept = [
        library.add(story(text, created=f"2026-01-0{day}T00:00:00+00:00"))
        for day, text in [(2, "b"), (1, "A long one here"), (3, "c d")]
    ]
    two, one, three = kept
    assert ids(library.list()) == [three, two, one]
    assert ids(library.list(sort="oldest")) == [one, two, three]
    assert ids(library.list(sort="title")) == [one, two, three]
    assert ids(library.list(sort="longest")) == [one, three, two]
    assert ids(library.list(limit=1, offset=1)) == [two]
    library.favorite(two)
    assert ids(library.list(favorites=True)) == [two]
    assert library.count(favorites=True) == 1
    library.favorite(two, False)
    assert library.count(favorites=True) == 0
    assert library.count() == 3
    assert next(s.text for s in library) == "A long one here"
    with pytest.raises(UsageError, match="unknown order 'titel'"):
        library.list(sort="titel")


def test_a_title_by_hand_stays_until_it_is_emptied(library: Library) -> None:
    kept = library.add(story())
    derived = library.entry(kept).title
    library.rename(kept, "  My\nTale ")
    library.append(kept, " The end.")
    assert library.entry(kept).title == "My Tale"
    library.rename(kept, " ")
    assert library.entry(kept).title == derived


def test_one_left_off_here(library: Library) -> None:
    assert library.left_off() is None
    first, second = library.add(story()), library.add(story("Another."))
    library.leave(second, 3)
    library.leave(first, 12)
    left = library.left_off()
    assert left is not None
    assert (left.id, left.position) == (first, 12)
    assert ids(library.list(sort="read")) == [first, second]


def test_marks_and_duels(library: Library) -> None:
    kept = library.add(story())
    library.add_mark(kept, {"grammar": 8, "says": "schön"})
    library.add_mark(kept, {"grammar": 9})
    assert library.marks(kept) == [{"grammar": 8, "says": "schön"}, {"grammar": 9}]
    assert library.marks("nobody") == []
    library.add_duel("a", "b")
    library.add_duel("b", "a")
    library.add_duel("a", "b", drawn=True)
    library.add_duel("a", "c")
    assert library.duels() == {"a": (2, 1, 1), "b": (1, 1, 1), "c": (0, 1, 0)}


@pytest.mark.parametrize(
    "call",
    [
        lambda lib: lib.get("x"),
        lambda lib: lib.entry("x"),
        lambda lib: lib.append("x", "y"),
        lambda lib: lib.rename("x", "y"),
        lambda lib: lib.favorite("x"),
        lambda lib: lib.delete(["x"]),
        lambda lib: lib.leave("x", 1),
        lambda lib: lib.tellings("x"),
        lambda lib: lib.add_mark("x", {}),
        lambda lib: lib.resolve("x"),
        lambda lib: lib.resolve("last"),
    ],
)
def test_a_story_that_is_not_there(library: Library, call: Any) -> None:
    with pytest.raises(LibraryError, match="no story"):
        call(library)


def test_ids_can_be_shortened(library: Library) -> None:
    for id in ("abc1", "abd2", "abc"):
        library.add(story(id=id))
    assert library.resolve("abd") == "abd2"
    assert library.resolve("abc") == "abc"
    assert library.resolve("last") == "abc"
    with pytest.raises(LibraryError, match="beginning of 3 ids"):
        library.resolve("ab")
    with pytest.raises(LibraryError, match="no story"):
        library.resolve("%")


def test_all_or_none_are_added(library: Library) -> None:
    kept = story()
    assert library.add_all([kept, story("Two."), kept]) == 2
    bad = replace(story(), text=None)  # type: ignore[arg-type]
    with pytest.raises((LibraryError, TypeError, AttributeError)):
        library.add_all([story("Three."), bad])
    assert library.count() == 2


# -- tellings ------------------------------------------------------------------------------------


def test_tellings_are_a_tree(library: Library) -> None:
    root = library.add(story("root"))
    late = library.add(story("late", parent=root, branch_at=9))
    early = library.add(story("early", parent=root, branch_at=2))
    leaf = library.add(story("leaf", parent=early, branch_at=3))
    library.add(story("a stranger"))
    for member in (root, late, early, leaf):
        tree = [(entry.id, entry.depth) for entry in library.tellings(member)]
        assert tree == [(root, 0), (early, 1), (leaf, 2), (late, 1)]
    assert ids(library.children(root)) == [early, late]
    library.delete(early)
    assert [(e.id, e.depth) for e in library.tellings(leaf)] == [(root, 0), (leaf, 1), (late, 1)]
    library.empty_trash()  # its parent is gone for good: the leaf is a tree of its own
    assert ids(library.tellings(leaf)) == [leaf]


def test_a_circle_of_tellings_ends(library: Library) -> None:
    library.add(story("a", id="a", parent="b", branch_at=0))
    library.add(story("b", id="b", parent="a", branch_at=0))
    library.tellings("a")
    library.add(story("c", id="c", parent="c", branch_at=0))
    library.tellings("c")


# -- crashes and crowds --------------------------------------------------------------------------

TELL_UNTIL_KILLED = """
import sys
from tinytales.library import Library
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Story
library = Library(sys.argv[1])
story = Story(text="Begin.", prompt=StoryPrompt(), sampling=Sampling(seed=1), finish="cancelled")
id = library.begin(story)
print(id, flush=True)
for n in range(10_000):
    library.append(id, f" Sentence {n}.")
    print(n, flush=True)
"""


def test_kill_9_loses_at_most_the_sentence_being_told(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-c", TELL_UNTIL_KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    kept = process.stdout.readline().strip()
    said = [process.stdout.readline().strip() for _ in range(25)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.read().split()
    process.wait()
    with Library(path) as library:
        assert library.note == ""
        told = library.get(kept).text
        last = int(said[-1])
        assert told in ("".join(["Begin.", *(f" Sentence {n}." for n in range(end))])
                        for end in (last + 1, last + 2))  # fmt: skip
        assert ids(library.search("sentence 7")) == [kept]


TELL_ON_TOGETHER = """
import sys
from tinytales.library import Library
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Story
with Library(sys.argv[1]) as library:
    for n in range(15):
        text = f"{sys.argv[2]} {n}"
        library.add(Story(text=text, prompt=StoryPrompt(), sampling=Sampling(seed=1), finish="end"))
        if library.search("shared"):
            library.append("shared", f" {sys.argv[2]}{n}.")
"""


def test_apps_share_a_library_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    crowd = [  # they begin together: all of them create the file
        subprocess.Popen([sys.executable, "-c", TELL_ON_TOGETHER, str(path), name])
        for name in ("ann", "bob", "cem")
    ]
    assert [process.wait(60) for process in crowd] == [0, 0, 0]
    with Library(path) as library:
        assert library.count() == 45
        library.add(story("Shared.", id="shared"))
    crowd = [
        subprocess.Popen([sys.executable, "-c", TELL_ON_TOGETHER, str(path), name])
        for name in ("ann", "bob")
    ]
    assert [process.wait(60) for process in crowd] == [0, 0]
    with Library(path) as library:
        told = library.get("shared").text
        assert all(f" {name}{n}." in told for name in ("ann", "bob") for n in range(15))


def test_threads_share_a_library(library: Library) -> None:
    from concurrent.futures import ThreadPoolExecutor

    kept = library.begin(story("Begin."))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: library.append(kept, f" s{n}."), range(20)))
    assert all(f" s{n}." in library.get(kept).text for n in range(20))


def test_a_closed_library_says_so(tmp_path: Path) -> None:
    library = Library(tmp_path / "library.sqlite")
    library.add(story())
    library.close()
    library.close()
    with pytest.raises(LibraryError):
        library.count()
    assert [p.name for p in tmp_path.iterdir()] == ["library.sqlite"]


# -- places that do not take it ------------------------------------------------------------------


def test_a_full_disk_loses_nothing(library: Library) -> None:
    kept = library.add(story())
    pages = library._file.db.execute("PRAGMA page_count").fetchone()[0]
    library._file.db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LibraryError, match="the disk is full"):
        library.append(kept, " And on." * 4000)
    assert library.get(kept) == story(id=kept, created=library.get(kept).created)
    library._file.db.execute(f"PRAGMA max_page_count = {pages + 1000}")
    library.append(kept, " And on." * 4000)


def test_what_may_only_be_read_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "library.sqlite"
    writer = Library(path)
    kept = writer.add(story())  # stands in the write-ahead log as yet
    monkeypatch.setattr(opening, "_writable", lambda _: False)
    for _ in ("with a log", "without"):
        with Library(path) as library:
            assert "may only be read" in library.note
            assert library.get(kept).words == 11
            assert ids(library.search("fox")) == [kept]
            with pytest.raises(LibraryError, match="may only be read"):
                library.favorite(kept)
        writer.close()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(LibraryError):
        Library(tmp_path / "library.sqlite")


def test_odd_places(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for path in (tmp_path, file / "library.sqlite", tmp_path / "a\0b" / "library.sqlite"):
        with pytest.raises(LibraryError):
            Library(path)


# -- the future, strangers and damage ------------------------------------------------------------


def filled(path: Path, count: int = 60) -> list[str]:
    """A library of some stories over several pages."""
    draw = random.Random(4)
    words = "fox bear kite moon river apple stone cloud boat tree honey wind".split()
    with Library(path) as library:
        library.add_all(
            story(" ".join(draw.choices(words, k=220)) + f" number {n}.", id=f"s{n}")
            for n in range(count)
        )
        library.rename("s7", "Seven")
        library.favorite("s7")
        library.add_mark("s7", {"grammar": 7})
        library.delete("s9")
        return [f"s{n}" for n in range(count)]


def test_a_newer_library_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    filled(path, 10)
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO migration VALUES ('pictures', '2031')")
    db.close()
    before = path.read_bytes()
    with pytest.raises(LibraryError, match=r"newer tinytales \(it has pictures\)") as caught:
        Library(path)
    assert "upgrade" in caught.value.hint
    assert path.read_bytes() == before


def test_an_older_library_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "library.sqlite"
    filled(path, 10)
    newer = {**schema.MIGRATIONS, "stars": "ALTER TABLE story ADD COLUMN stars INTEGER;"}
    monkeypatch.setattr(schema, "MIGRATIONS", newer)
    with Library(path) as library:
        assert library.count() == 9
        assert library._file.db.execute("SELECT stars FROM story").fetchone() == (None,)
    broken = {**newer, "worse": "CREATE TABLE one (a);\nCREATE TABLE one (a);"}
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    with pytest.raises(LibraryError, match="table one already exists"):
        Library(path)
    monkeypatch.setattr(schema, "MIGRATIONS", newer)  # half a migration is none
    with Library(path) as library:
        assert library.count() == 9


def test_another_programs_files_are_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "other.sqlite"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE recipes (soup)")
    db.close()
    text = tmp_path / "notes.sqlite"
    text.write_text("buy milk\n" * 500)
    for path, said in ((foreign, "another program"), (text, "not a tinytales library")):
        before = path.read_bytes()
        with pytest.raises(LibraryError, match=said):
            Library(path)
        assert path.read_bytes() == before
    assert sorted(p.name for p in visible(tmp_path)) == ["notes.sqlite", "other.sqlite"]


def visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


DAMAGES: dict[str, tuple[Any, int]] = {  # what happens to the file -> how many stories at least
    "no header": (lambda p: overwrite(p, 0, bytes(100)), 60),
    "no first page": (lambda p: overwrite(p, 0, bytes(8192)), 60),
    "cut short": (lambda p: os.truncate(p, p.stat().st_size * 2 // 3), 15),
    "a page of noise": (lambda p: overwrite(p, 8192 * 20, random.Random(1).randbytes(8192)), 50),
    "zeros within": (lambda p: overwrite(p, p.stat().st_size // 2, bytes(30_000)), 35),
    "no story table": (lambda p: overwrite(p, 8192 * 2, bytes(8192)), 50),
    "a broken record": (lambda p: overwrite(p, p.read_bytes().index(b'"prompt":{'), b"#####"), 58),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_library_opens_what_it_can(tmp_path: Path, case: str) -> None:
    path = tmp_path / "library.sqlite"
    whole = filled(path)
    damage, least = DAMAGES[case]
    damage(path)
    before = path.read_bytes()
    with Library(path) as library:
        saved = ids(library.list()) + ids(library.list(deleted=True))
        assert f"{len(saved)} stories could be saved" in library.note
        assert least <= len(saved) <= 60
        assert set(saved) <= set(whole)
        assert all(library.get(id).text.endswith(f"number {id[1:]}.") for id in saved)
        assert library.search("number") != []
        library.add(story())
    kept = [p for p in tmp_path.iterdir() if ".damaged-" in p.name and p.suffix == ".sqlite"]
    assert [p.read_bytes() for p in kept] == [before]
    assert kept[0].name in library.note
    with Library(path) as library:
        assert library.note == ""
        assert library.count(deleted=True) + library.count() == len(saved) + 1


def test_titles_hearts_and_marks_are_saved_with_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    filled(path)
    overwrite(path, path.stat().st_size - 8192, random.Random(1).randbytes(8192))
    with Library(path) as library:
        assert "was damaged" in library.note
        seven = library.entry("s7")
        assert (seven.title, seven.favorite) == ("Seven", True)
        assert library.marks("s7") == [{"grammar": 7}]
        assert ids(library.list(deleted=True)) == ["s9"]


def test_who_waits_for_the_mending_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from tinytales.library import salvage

    told = threading.Event()
    mend = salvage.salvage

    def slow(path: Path) -> str:
        assert told.wait(10)
        return mend(path)

    def log(path: Path) -> None:
        opening.log_mending(path)
        told.set()

    path = tmp_path / "library.sqlite"
    filled(path)
    overwrite(path, 0, bytes(100))
    monkeypatch.setattr(opening, "PATIENCE", 0)
    monkeypatch.setattr(salvage, "salvage", slow)
    with Library(path, on_mending=log) as opened:
        assert "60 stories could be saved" in opened.note
        assert opened.writable
    assert f"{path} is damaged: what can be read is being saved" in caplog.text


def test_a_quick_mending_is_not_announced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinytales.library.opening.PATIENCE", 60)
    path = tmp_path / "library.sqlite"
    filled(path)
    overwrite(path, 0, bytes(100))
    Library(path).close()
    assert caplog.text == ""


def test_apps_that_meet_a_damaged_library_mend_it_once(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    filled(path)
    overwrite(path, 0, bytes(100))
    (tmp_path / ".mending-left").mkdir()  # from one that was killed
    code = "import sys; from tinytales.library import Library; print(Library(sys.argv[1]).note)"
    crowd = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    notes = [process.communicate(timeout=60)[0].strip() for process in crowd]
    assert [process.returncode for process in crowd] == [0, 0, 0]
    assert sorted(map(bool, notes)) == [False, False, True]
    assert len(list(tmp_path.glob("*.sqlite"))) == 2
    assert not (tmp_path / ".mending-left").exists()


def test_mending_on_a_full_disk_leaves_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinytales.library import salvage

    path = tmp_path / "library.sqlite"
    filled(path)
    overwrite(path, 0, bytes(100))
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(salvage.shutil, "copyfile", full)
    with pytest.raises(LibraryError, match="No space left"):
        Library(path)
    assert path.read_bytes() == before
    assert [p.name for p in visible(tmp_path)] == ["library.sqlite"]


def test_an_empty_file_is_a_new_library(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    path.touch()
    with Library(path) as library:
        assert library.count() == 0
