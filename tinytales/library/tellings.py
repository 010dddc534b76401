"""The tree of tellings: a story, and all that branched from it."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from tinytales.library.rows import ENTRY, Entry, entry_of, row_of


def tellings(db: sqlite3.Connection, id: str) -> list[Entry]:
    """All tellings of a story: its first one, then each under its parent, with its depth.

    Tellings that were put away are left out; what branched from them moves up.
    """
    row_of(db, id, "id")
    rows = db.execute(
        f"""
        WITH RECURSIVE
            above(id) AS (
                VALUES (?) UNION
                SELECT story.parent FROM story JOIN above USING (id)
                WHERE story.parent IS NOT NULL
            ),
            family(id) AS (
                SELECT id FROM above UNION
                SELECT story.id FROM story JOIN family ON story.parent = family.id
            )
        SELECT {ENTRY}, deleted IS NOT NULL FROM story JOIN family USING (id)
        ORDER BY branch_at, created, number
        """,
        (id,),
    ).fetchall()
    away = {str(row[0]) for row in rows if row[-1]}
    entries = {str(row[0]): entry_of(row[:-1]) for row in rows}
    below: dict[str | None, list[Entry]] = {}
    for entry in entries.values():
        below.setdefault(entry.parent if entry.parent in entries else None, []).append(entry)
    tree: list[Entry] = []
    todo = [(entry, 0) for entry in reversed(below.get(None, []))]
    while todo:
        entry, depth = todo.pop()
        shown = entry.id not in away
        if shown:
            tree.append(replace(entry, depth=depth))
        todo += [(child, depth + shown) for child in reversed(below.get(entry.id, []))]
    return tree
