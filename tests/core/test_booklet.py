"""Stories in files: every word of them, in a form that cannot be mistaken for markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytales.errors import LibraryError, UsageError
from tinytales.library import Library
from tinytales.library.exports import (
    FORMATS,
    Tale,
    export,
    file_name,
    format_of,
    from_jsonl,
    render,
)
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Story

PROMPT = StoryPrompt(words=["kite", "wind"], features=["moral"], opening="One day")


def tale(text: str = 'One day, a fox ran.\n\nHe said, "It\'s late."', title: str = "Tom") -> Tale:
    story = Story(
        text=text, prompt=PROMPT, sampling=Sampling(seed=77), finish="end", bundle="storyteller",
        bundle_digest="ab12" * 16, id="abc123", created="2026-11-28T08:00:00+00:00",
    )  # fmt: skip
    return Tale(title, story)


class Reader(HTMLParser):
    """What stands on the page, and every tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags, self.links = "", [], []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("href", "src", "style", "onload")]

    def handle_data(self, data: str) -> None:
        self.text += data


NASTY = '<script>alert("x")</script> </style> &lt; <!-- # *bold* _it_ [a](b) `c` \x1b[2J'


def test_plain_text() -> None:
    assert render([tale()], "text") == (
        'Tom\n===\n\nOne day, a fox ran.\n\nHe said, "It\'s late."\n\n'
        "Told by storyteller, seed 77, 28 November 2026.\n"
    )


def test_plain_text_is_wrapped() -> None:
    lines = render([tale("word " * 100)], "text").splitlines()
    assert max(map(len, lines)) <= 78
    assert sum(line.count("word") for line in lines) == 100


def test_markdown_is_taken_by_the_letter() -> None:
    text = render([tale("# not a heading\n- nor a list\n1. nor *this*\n<b>", "A_b")], "markdown")
    assert text.startswith("# A\\_b\n\n\\# not a heading\n\n\\- nor a list\n\n1\\. nor \\*this\\*")
    assert "\\<b\\>" in text


@pytest.mark.parametrize("format", ["html", "booklet"])
def test_pages_hold_every_word_and_nothing_foreign(format: str) -> None:
    page = render([tale(NASTY, NASTY[:-4]), tale("Second story.", "Two")], format)
    read = Reader(page)
    assert "alert(“x”)" in read.text
    assert "Second story." in read.text
    assert "script" not in read.tags
    assert not {"img", "link", "iframe"} & set(read.tags)
    assert all(link.startswith("#") for link in read.links)
    assert "http" not in re.sub(r"http-equiv", "", page)
    assert "\x1b" not in page
    assert "default-src 'none'" in page
    assert page.count("</style>") == 1


def test_the_booklet_says_how_to_tell_it_again() -> None:
    text = Reader(render([tale()], "booklet")).text
    for said in ("Tom", "This book belongs to", "28 November 2026", "The End", "kite, wind",
                 "Moral", "storyteller", "ab12ab12", "77", "tinytales replay abc123"):  # fmt: skip
        assert said in text
    assert "It’s late.”" in text


def test_a_stopped_story_has_no_end() -> None:
    from dataclasses import replace

    stopped = replace(tale().story, finish="cancelled")
    assert "The End" not in render([Tale("Tom", stopped)], "booklet")


def test_each_book_has_its_own_cover_and_keeps_it() -> None:
    one, two = tale(), tale("Another story.")
    assert render([one], "booklet") == render([one], "booklet")
    covers = [re.search(r"<svg.*?</svg>", render([t], "booklet"), re.S) for t in (one, two)]
    assert covers[0] and covers[1]
    assert covers[0].group() != covers[1].group()


def test_many_stories_have_contents() -> None:
    text = Reader(render([tale(title=f"Story {n}") for n in range(3)], "booklet")).text
    assert "3 tiny tales" in text
    assert text.count("Story 2") == 3  # contents, heading, colophon


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_records_come_back(texts: list[str]) -> None:
    tales = [tale("." + text, "T") for text in texts]
    lines = render(tales, "jsonl").removesuffix("\n").split("\n")
    assert list(from_jsonl(lines)) == tales


BAD_LINES = [
    '{"tex', "[1]", "null", "{}", '{"text": 5}', '{"text": " "}', '{"text": "a", "id": "../x"}',
    '{"text": "a", "finish": "x"}', '{"text": "a", "prompt": {"wrds": []}}',
    '{"text": "a", "prompt": [1]}', '{"text": "a", "sampling": {"temperature": "hot"}}',
    '{"text": "a", "created": 7}', '{"text": "a", "seconds": "x"}', '{"text": "a", "title": 1}',
    "[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda line: line[:30])
def test_a_wrong_line_is_named(line: str) -> None:
    with pytest.raises(UsageError, match="line 3 is no story record"):
        list(from_jsonl(['{"text": "Fine."}', "", line]))


def test_files_are_named_by_title_and_formats_by_file() -> None:
    assert file_name("Tom & the Red Ball!") == "tom-the-red-ball"
    assert file_name("../..") == "story"
    assert format_of("a.MD") == "markdown"
    assert format_of("a.html") == "booklet"
    with pytest.raises(UsageError, match="no format writes"):
        format_of("a.pdf")


@pytest.mark.parametrize("format", FORMATS)
def test_the_library_exports_every_format(format: str, tmp_path: Path) -> None:
    with Library(tmp_path / "library.sqlite") as library:
        ids = [library.add(tale(f"Story {n}.").story) for n in range(1)]
        library.rename(ids[0], "Kept Title")
        path = library.export(ids, format, tmp_path / "out")
    text = path.read_text(encoding="utf-8")
    assert "Kept Title" in text
    assert "Story 0." in text
    if format == "jsonl":
        assert json.loads(text)["id"] == ids[0]


def test_what_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "old.txt"
    old.write_text("old")
    with pytest.raises(LibraryError, match="is a folder"):
        export([tale()], "text", tmp_path)
    with pytest.raises(LibraryError, match="cannot be written"):
        export([tale()], "text", tmp_path / "none" / "x.txt")
    with pytest.raises(UsageError, match="unknown format 'txt'"):
        export([tale()], "txt", old)
    with pytest.raises(UsageError, match="no story"):
        export([], "text", old)

    def full(self: Path, *_: object, **__: object) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(LibraryError, match="No space left"):
        export([tale()], "text", old)
    assert [p.name for p in tmp_path.iterdir()] == ["old.txt"]
    assert old.read_bytes() == b"old"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    export([tale()], "text", link)
    assert link.is_symlink()
    assert target.read_text().startswith("Tom")
