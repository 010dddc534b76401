"""Rows and records: a story as the library keeps it, and as it stands on the shelf.

The whole record is kept as one JSON text, the single truth; the columns beside it are for sorting.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinytales.errors import LibraryError, TinytalesError
from tinytales.prompt import clean
from tinytales.story import Story, title_of

#: The columns of an Entry.
ENTRY = "id, title, created, words, finish, favorite, parent, branch_at, position"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the shelf. `found` is where a search met its words; `depth` is set by tellings."""

    id: str
    title: str
    created: str
    words: int
    finish: str
    favorite: bool
    parent: str | None
    branch_at: int | None
    position: int
    depth: int = 0
    found: str = ""


def row_of(db: sqlite3.Connection, id: str, columns: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = db.execute(
        f"SELECT {columns} FROM story WHERE id = ?", (id,)
    ).fetchone()
    if row is None:
        raise no_story(id)
    return row


def no_story(id: str) -> LibraryError:
    return LibraryError(f"there is no story {id!r}", hint="tinytales library list")


def entry_of(row: Sequence[Any]) -> Entry:
    id, title, created, words, finish, favorite, parent, branch_at, position = row
    return Entry(id, title, created, words, finish, bool(favorite), parent, branch_at, position)


def story_of(record: str, id: str) -> Story:
    try:
        return Story.from_dict(json.loads(record))
    except (ValueError, TypeError, TinytalesError) as error:
        raise LibraryError(f"the record of story {id} cannot be read: {error}") from error


def put(db: sqlite3.Connection, story: Story) -> None:
    """Write the row of `story`; title by hand, favorite, position and trash stay as they were."""
    text = story.text
    if not isinstance(text, str) or not isinstance(story.id, str) or not story.id.strip():
        raise LibraryError("a story without text or id cannot be kept")
    record = as_json(story.to_dict())
    db.execute(
        """
        INSERT INTO story (id, created, title, words, finish, parent, branch_at, record)
        VALUES (:id, :created, :title, :words, :finish, :parent, :branch_at, :record)
        ON CONFLICT (id) DO UPDATE SET
            title = CASE renamed WHEN 1 THEN title ELSE excluded.title END,
            created = excluded.created, words = excluded.words, finish = excluded.finish,
            parent = excluded.parent, branch_at = excluded.branch_at, record = excluded.record
        """,
        {
            "id": story.id,
            "created": story.created,
            "title": clean(title_of(text)),
            "words": story.words,
            "finish": story.finish,
            "parent": story.parent,
            "branch_at": story.branch_at,
            "record": record,
        },
    )


def as_json(data: Mapping[str, Any]) -> str:
    return storable(json.dumps(data, ensure_ascii=False, separators=(",", ":")))


def storable(text: str) -> str:
    """SQLite's text is UTF-8: half characters (lone surrogates) become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
