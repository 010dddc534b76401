"""Documents from files: JSON Lines, plain text, CSV, Parquet; plain or as .xz, .gz or .zst.

Everything streams: one document is in memory at a time. What cannot be read is an error that names
the file and the place; nothing is skipped silently.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tinytales.errors import require
from tinytales.train.corpus import CorpusError

END = "<|endoftext|>"
#: No story is longer; a longer line is a fault of the file, and would cost memory.
MAX_CHARS = 4_000_000
FORMATS = (".jsonl", ".json", ".txt", ".csv", ".tsv", ".parquet")

Fields = dict[str, Any]


def read_documents(path: Path, *, text: str = "text", encoding: str = "utf-8") -> Iterator[Fields]:
    """The documents of one file, as dicts that hold at least the field `text`.

    Raises:
        CorpusError: unknown format, empty, truncated, binary or wrongly encoded file, a missing
            field.
    """
    kind = _format(path)
    rows = _read_parquet(path) if kind == ".parquet" else _read_lines(path, kind, encoding)
    empty = True
    for place, row in rows:
        empty = False
        value = row.get(text)
        if not isinstance(value, str):
            raise CorpusError(
                f"{path}, {place}: no text in field {text!r}",
                hint=f'fields here: {", ".join(map(str, row))}; name it in the recipe: text = "…"',
            )
        yield {**row, "text": value}
    if empty:
        raise CorpusError(f"{path} is empty", hint="give a file with at least one story")


def _format(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".xz", ".gz", ".zst"):
        suffixes.pop()
    if not suffixes or suffixes[-1] not in FORMATS:
        raise CorpusError(
            f"{path}: unknown kind of file",
            hint="known: .jsonl .txt .csv .tsv .parquet, and the first four as .xz .gz .zst",
        )
    return suffixes[-1]


def _read_lines(path: Path, kind: str, encoding: str) -> Iterator[tuple[str, Fields]]:
    reader = {".txt": _read_text, ".csv": _read_csv, ".tsv": _read_csv}.get(kind, _read_jsonl)
    try:
        with _open(path) as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as file:
            yield from reader(path, file)
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path} is not {encoding} text: {error.reason} (0x{error.object[error.start]:02x})",
            hint='is it text at all? name its encoding in the recipe, as encoding = "cp1252"',
        ) from error
    except LookupError as error:
        raise CorpusError(f"{path}: {error}") from error
    except (lzma.LZMAError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(
            f"{path} is damaged or cut short: {error}", hint="fetch the file again"
        ) from error


def _open(path: Path) -> BinaryIO:
    suffix = path.suffix.lower()
    if suffix == ".xz":
        return lzma.open(path, "rb")  # type: ignore[return-value]
    if suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if suffix == ".zst":
        return require("zstandard", "train").open(path, "rb")  # type: ignore[no-any-return]
    return path.open("rb")


def _lines(path: Path, file: io.TextIOWrapper) -> Iterator[tuple[int, str]]:
    number = 0
    while line := file.readline(MAX_CHARS):
        number += 1
        if len(line) >= MAX_CHARS:
            raise CorpusError(
                f"{path}, line {number} is longer than {MAX_CHARS:,} characters",
                hint="one story a line; is this JSON Lines?",
            )
        if "\0" in line:
            raise CorpusError(f"{path}, line {number}: NUL bytes, so this is no text")
        yield number, line


def _read_jsonl(path: Path, file: io.TextIOWrapper) -> Iterator[tuple[str, Fields]]:
    for number, line in _lines(path, file):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise CorpusError(f"{path}, line {number} is not JSON: {error}") from error
        if isinstance(row, str):
            row = {"text": row}
        if not isinstance(row, dict):
            raise CorpusError(f"{path}, line {number} is no JSON object")
        yield f"line {number}", row


def _read_text(path: Path, file: io.TextIOWrapper) -> Iterator[tuple[str, Fields]]:
    """Stories separated by <|endoftext|>; a file without it is one story."""
    lines: list[str] = []
    size, first = 0, 1
    for number, line in _lines(path, file):
        *ended, rest = line.split(END)
        for piece in ended:
            lines.append(piece)
            if story := "".join(lines).strip():
                yield f"line {first}", {"text": story}
            lines, size, first = [], 0, number
        lines.append(rest)
        size += len(rest)
        if size > MAX_CHARS:
            raise CorpusError(
                f"{path}: a story of more than {MAX_CHARS:,} characters from line {first} on",
                hint=f"separate the stories with {END}",
            )
    if story := "".join(lines).strip():
        yield f"line {first}", {"text": story}


def _read_csv(path: Path, file: io.TextIOWrapper) -> Iterator[tuple[str, Fields]]:
    csv.field_size_limit(MAX_CHARS)
    tab = ".tsv" in path.suffixes
    rows = csv.DictReader((line for _, line in _lines(path, file)), delimiter="\t" if tab else ",")
    try:
        for row in rows:
            yield f"line {rows.line_num}", {k: v for k, v in row.items() if k is not None}
    except csv.Error as error:
        raise CorpusError(f"{path}, line {rows.line_num}: {error}") from error


def _read_parquet(path: Path) -> Iterator[tuple[str, Fields]]:
    parquet = require("pyarrow.parquet", "train")
    arrow = require("pyarrow", "train")
    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=256):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except (arrow.ArrowException, OSError) as error:
        raise CorpusError(f"{path} is no readable Parquet file: {error}") from error
