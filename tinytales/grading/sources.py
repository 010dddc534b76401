"""Where stories to be graded come from, and, for saved ones, where their grades go back to.

    read(["library"])                 everything saved;  library:last:20, library:favorites too
    read(["queue"])                   put aside by `tinytales grade later` or in the app
    read(["a1b2c3"])                  one saved story by its id
    read(["stories.jsonl", "texts/", "-"])

A line of JSONL is a story record (`tinytales tell --json`) or at least {"text": …}; `opening` or
`prompt` says what was given. In a text file a line `***` parts the given beginning from the rest.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytales.errors import LibraryError, TinytalesError, UsageError
from tinytales.grading.cache import Score, key_of
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Story

if TYPE_CHECKING:
    from tinytales.library import Library

#: A larger file is not a tiny story.
MOST_TEXT = 200_000


def read(sources: Iterable[str]) -> list[Story]:
    """All stories of all sources, in order.

    Raises:
        UsageError: a source that is none, or a line that is no story, with its number.
    """
    stories = [story for source in sources for story in _read(source)]
    if not stories:
        raise UsageError("there are no stories to grade", hint="tinytales tell --save makes some")
    return stories


def awaited(sources: Iterable[str]) -> str:
    """By which rubric the stories wait, if they come from the queue alone; else the paper's.

    Raises:
        UsageError: by several.
    """
    if list(sources) != ["queue"]:
        return "paper"
    from tinytales.grading.cache import Cache

    with Cache() as cache:
        rubrics = sorted({rubric for rubric, _ in cache.waiting()})
    if len(rubrics) > 1:
        raise UsageError(
            f"stories wait for {' and '.join(rubrics)}", hint="choose one with --rubric"
        )
    return rubrics[0] if rubrics else "paper"


def remember(library: Library, scores: Iterable[Score]) -> None:
    """Let saved stories keep their grades in the library; each grade once."""
    for score in scores:
        try:
            library.entry(score.story)
        except LibraryError:  # it came from elsewhere
            continue
        if not score.scored:
            continue
        mark = {
            "judge": score.judge,
            "rubric": score.rubric,
            "repeat": score.repeat,
            "grades": dict(score.grades),
            "mean": score.mean,
            "assessment": score.assessment,
        }
        if mark not in [{k: m.get(k) for k in mark} for m in library.marks(score.story)]:
            library.add_mark(score.story, mark)


def _read(source: str) -> Iterator[Story]:
    path = Path(source)
    if source == "-":
        yield from _jsonl(sys.stdin.buffer.read(), "stdin")
    elif source == "queue":
        yield from _queue()
    elif source.split(":")[0] == "library":
        yield from _library(source)
    elif path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in (".txt", ".md") and p.is_file())
        if not files:
            raise UsageError(f"the folder {path} holds no .txt files")
        for file in files:
            yield _text(file)
    elif path.suffix in (".jsonl", ".json", ".ndjson") or source.endswith(".jsonl.xz"):
        yield from _jsonl(_bytes(path), str(path))
    elif path.exists():
        yield _text(path)
    else:
        yield _saved(source)


def _library(source: str) -> Iterator[Story]:
    from tinytales.library import Library

    _, _, which = source.partition(":")
    with Library() as library:
        if not which:
            yield from library
            return
        name, _, number = which.partition(":")
        if name == "last" and number.isdigit() and int(number):
            entries = library.list(limit=int(number))
        elif name == "favorites":
            entries = library.list(favorites=True, limit=1_000_000)
        else:
            raise UsageError(
                f"unknown part of the library: {which!r}",
                hint="library, library:last:20 or library:favorites",
            )
        for entry in entries:
            yield library.get(entry.id)


def _queue() -> Iterator[Story]:
    from tinytales.grading.cache import Cache

    with Cache() as cache:
        for _, record in cache.waiting():
            yield Story.from_dict(record)


def _saved(name: str) -> Story:
    from tinytales.library import Library

    try:
        with Library() as library:
            return library.get(library.resolve(name))
    except LibraryError as error:
        raise UsageError(
            f"{name!r} is no file, no folder and no saved story",
            hint=error.hint or "tinytales library list shows what is saved",
        ) from error


def _bytes(path: Path) -> bytes:
    try:
        if path.suffix == ".xz":
            import lzma

            return lzma.decompress(path.read_bytes())
        return path.read_bytes()
    except Exception as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _jsonl(data: bytes, where: str) -> Iterator[Story]:
    text = data.decode("utf-8-sig", "replace")
    if text.lstrip().startswith("["):
        try:
            records = list(enumerate(json.loads(text), 1))
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{where} is not JSON: {error}") from error
    else:
        records = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    records.append((number, json.loads(line)))
                except (ValueError, RecursionError) as error:
                    raise UsageError(f"{where}, line {number}: not JSON: {error}") from error
    for number, record in records:
        try:
            yield story_of(record)
        except (TinytalesError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"{where}, line {number}: not a story: {error}") from error


def story_of(record: Mapping[str, Any]) -> Story:
    """A story from a record that may know less than ours."""
    if not isinstance(record, Mapping) or not isinstance(record.get("text"), str):
        raise UsageError("it has no text")
    record = dict(record)
    prompt = record.get("prompt")
    if isinstance(prompt, str):
        record["prompt"] = StoryPrompt.parse(prompt).to_dict()
    elif not prompt:
        known = ("words", "sentence", "features", "summary", "opening")
        record["prompt"] = {k: record[k] for k in known if record.get(k)}
    if not record["text"].strip():
        raise UsageError("its text is empty")
    if len(record["text"]) > MOST_TEXT:
        raise UsageError(f"its text has {len(record['text']):,} characters: that is no tiny story")
    if not record.get("id"):
        record["id"] = key_of(record["text"])[:12]
    record["id"] = str(record["id"])
    return Story.from_dict(record)


def _text(path: Path) -> Story:
    text = _bytes(path).decode("utf-8-sig", "replace").replace("\r\n", "\n")
    if len(text) > MOST_TEXT:
        raise UsageError(f"{path} has {len(text):,} characters: that is no tiny story")
    beginning, mark, rest = text.partition("\n***\n")
    prompt = StoryPrompt(opening=beginning) if mark else StoryPrompt()
    whole = prompt.opening + " " + rest.strip() if mark else text.strip()
    if not whole.strip():
        raise UsageError(f"{path} is empty")
    return Story(whole, prompt, Sampling(seed=0), "end", id=path.stem or key_of(whole)[:12])
