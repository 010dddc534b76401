"""A library of 10,000 stories: what docs/library.md reports. Takes a minute or two.

python tests/core/soak_library.py [COUNT]

Each figure is the median of five; a fresh process would add the time of Python's imports.
"""

from __future__ import annotations

import json
import lzma
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

from tinytales.library import Library
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.sentences import split_sentences
from tinytales.story import Story

QUERIES = ("kite", "fox kite", "once upon a time", "the", "t", "🦊", "zzzz")


def stories(count: int) -> list[Story]:
    """Stories of sixteen sentences each, drawn from the originals."""
    draw = random.Random(1)
    with lzma.open(str(files("tinytales.assets") / "originals.jsonl.xz"), "rt") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    sentences = [text[a:b] for text in texts[:2000] for a, b in split_sentences(text)]
    return [
        Story(
            text=" ".join(draw.choices(sentences, k=16)),
            prompt=StoryPrompt(words=["fox", "kite"]),
            sampling=Sampling(seed=n),
            finish="end",
            bundle="storyteller",
            bundle_digest="0" * 64,
        )
        for n in range(count)
    ]


def measure(name: str, work: Callable[[], Any], times: int = 5) -> Any:
    took, result = [], None
    for _ in range(times):
        start = time.perf_counter()
        result = work()
        took.append(time.perf_counter() - start)
    print(f"{name:<34} {median(took) * 1000:9.1f} ms")
    return result


def reopen(path: Path) -> int:
    with Library(path) as library:
        return library.count()


def soak(folder: Path, count: int) -> None:
    path = folder / "library.sqlite"
    made = stories(count)
    with Library(path) as library:
        measure(f"add {count} at once", lambda: library.add_all(made), 1)
    print(f"{'size':<34} {path.stat().st_size / 1e6:9.1f} MB")
    measure("open, with its checks", lambda: reopen(path))
    with Library(path) as library:
        for sort in ("newest", "title", "longest"):
            measure(f"first 100 by {sort}", lambda sort=sort: library.list(sort=sort, limit=100))
        for query in QUERIES:
            measure(f"search {query!r}", lambda query=query: library.search(query, 500))
        id = library.add(made[0])
        measure("a sentence, saved for good", lambda: library.append(id, " It rained."), 50)
        ids = [entry.id for entry in library.list(limit=100)]
        measure("booklet of 100", lambda: library.export(ids, "booklet", folder / "b.html"), 3)
    for name, damage in {
        "first page lost": lambda file: file.write(bytes(8192)),
        "1 MB lost within": lambda file: (file.seek(9_000_000), file.write(bytes(1_000_000))),
        "cut to two thirds": lambda file: file.truncate(path.stat().st_size * 2 // 3),
    }.items():
        copy = folder / name / "library.sqlite"
        copy.parent.mkdir()
        shutil.copyfile(path, copy)
        with copy.open("r+b") as file:
            damage(file)
        saved = measure(f"mend: {name}", lambda copy=copy: reopen(copy), 1)
        print(f"{'':<34} {saved:9} of {count} saved")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        soak(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
