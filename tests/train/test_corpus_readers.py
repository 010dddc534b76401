"""Every format gives the same stories, and every broken file a clear error."""

from __future__ import annotations

import csv
import gzip
import json
import lzma
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytales.train.corpus import CorpusError, readers
from tinytales.train.corpus.readers import END, read_documents

STORIES = ["A fox sat.\nHe was red.", 'Bea said, "Hi, owl!"', "Ünïcode ☃ fell.\nThe end came."]


def texts(path: Path, **options: str) -> list[str]:
    return [document["text"] for document in read_documents(path, **options)]


def jsonl(stories: list[str]) -> bytes:
    return "".join(json.dumps({"text": story}) + "\n" for story in stories).encode()


@pytest.mark.parametrize("suffix", ["", ".xz", ".gz", ".zst"])
@pytest.mark.parametrize("kind", [".jsonl", ".txt"])
def test_lines_plain_and_compressed(tmp_path: Path, kind: str, suffix: str) -> None:
    data = jsonl(STORIES) if kind == ".jsonl" else f"\n{END}\n".join(STORIES).encode()
    if suffix == ".xz":
        data = lzma.compress(data)
    elif suffix == ".gz":
        data = gzip.compress(data)
    elif suffix == ".zst":
        data = pytest.importorskip("zstandard").compress(data)
    path = tmp_path / f"stories{kind}{suffix}"
    path.write_bytes(data)
    assert texts(path) == STORIES


@pytest.mark.parametrize("kind", [".csv", ".tsv"])
def test_tables(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"stories{kind}"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if kind == ".tsv" else ",")
        writer.writerows([["id", "tale"], *([str(i), story] for i, story in enumerate(STORIES))])
    assert texts(path, text="tale") == STORIES


def test_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "stories.parquet"
    parquet.write_table(arrow.table({"text": STORIES, "words": [["fox"], ["owl"], []]}), path)
    assert texts(path) == STORIES
    assert next(read_documents(path))["words"] == ["fox"]


def test_json_strings_are_stories(tmp_path: Path) -> None:
    path = tmp_path / "stories.jsonl"
    path.write_text("\n".join(json.dumps(story) for story in STORIES))
    assert texts(path) == STORIES


def test_a_text_without_marks_is_one_story(tmp_path: Path) -> None:
    path = tmp_path / "story.txt"
    path.write_bytes(b"One.\r\n\r\nTwo.\n")
    assert texts(path) == ["One.\r\n\r\nTwo."]


def test_other_encodings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "story.txt"
    path.write_bytes("Zoë said “hi”.".encode("cp1252"))
    assert texts(path, encoding="cp1252") == ["Zoë said “hi”."]
    with pytest.raises(CorpusError, match="not utf-8") as caught:
        texts(path)
    assert "encoding" in caught.value.hint


CUT_XZ = lzma.compress(jsonl(STORIES * 50))[:-30]
CUT_GZ = gzip.compress(jsonl(STORIES * 50))[:-9]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.jsonl", b"", "is empty"),
        ("blank.txt", b" \n\n ", "is empty"),
        ("binary.txt", b"ab\0cd", "NUL"),
        ("binary.jsonl", bytes(range(128, 256)), "not utf-8"),
        ("cut.jsonl.xz", CUT_XZ, "damaged or cut"),
        ("cut.jsonl.gz", CUT_GZ, "damaged or cut"),
        ("no.jsonl.xz", b"these are no xz bytes", "damaged or cut"),
        ("no.jsonl.gz", b"these are no gz bytes", "damaged or cut"),
        ("bad.jsonl", b'{"text": "a"}\n{"text": ', "line 2 is not JSON"),
        ("list.jsonl", b"[1]", "line 1 is no JSON object"),
        ("field.jsonl", b'{"text": "a"}\n{"tale": "b"}', "line 2: no text in field 'text'"),
        ("number.jsonl", b'{"text": 5}', "no text in field"),
        ("deep.jsonl", b"[" * 100_000, "is not JSON"),
        ("story.docx", b"x", "unknown kind of file"),
        ("story", b"x", "unknown kind of file"),
        ("no.parquet", b"PAR1 and nothing", "no readable Parquet"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=message) as caught:
        texts(path)
    assert str(path) in caught.value.message


def test_a_cut_zst_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl.zst"
    path.write_bytes(pytest.importorskip("zstandard").compress(jsonl(STORIES * 50))[:-8])
    with pytest.raises(CorpusError, match="cut"):
        texts(path)


@pytest.mark.parametrize("name", ["long.jsonl", "long.txt", "long.csv"])
def test_a_huge_line_is_an_error(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MAX_CHARS", 1000)
    path = tmp_path / name
    path.write_text("text\n" + "a" * 1001)
    if name == "long.jsonl":
        path.write_text('{"text": "' + "a" * 1001 + '"}')
    with pytest.raises(CorpusError, match="longer than 1,000"):
        texts(path)


def test_a_huge_story_without_marks_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MAX_CHARS", 1000)
    path = tmp_path / "book.txt"
    path.write_text("a line\n" * 200)
    with pytest.raises(CorpusError, match="story of more than 1,000"):
        texts(path)


def test_reading_takes_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "many.txt.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        for number in range(30_000):
            file.write(f"Story {number}. " + "The fox ran home. " * 15 + f"\n{END}\n")
    tracemalloc.start()
    count = sum(1 for _ in read_documents(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 30_000
    assert peak < 2_000_000  # the text has 8 MB


@given(st.lists(st.text(st.characters(exclude_characters="\0<|>\r", codec="utf-8"))))
def test_marks_anywhere_separate_stories(stories: list[str]) -> None:
    wanted = [story.strip() for story in stories if story.strip()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stories.txt"
        path.write_bytes(END.join(stories).encode())
        if wanted:
            assert texts(path) == wanted
        else:
            with pytest.raises(CorpusError, match="empty"):
                texts(path)
