"""What was paid for and what came of it: grades.sqlite (WAL), beside the saved stories.

    with Cache() as cache:
        cache.keep(key, reply)          # committed before anything else happens

A request is known by the hash of everything that it says (`key_of`), so that the same question is
never paid twice, in this run or a later one. The file also keeps the scores, the batches that are
under way, the stories that wait for a judge, and the marks that people gave. The key to the API is
never in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tinytales.errors import TinytalesError

FILE = "grades.sqlite"
FORMAT = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, reply TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS refused (
    judge TEXT NOT NULL, parameter TEXT NOT NULL, PRIMARY KEY (judge, parameter));
CREATE TABLE IF NOT EXISTS scores (
    key TEXT PRIMARY KEY, story TEXT NOT NULL, created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    score TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS scores_by_story ON scores (story);
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY, work TEXT NOT NULL, state TEXT NOT NULL, keys TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS waiting (
    story TEXT NOT NULL, rubric TEXT NOT NULL, record TEXT NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (story, rubric));
CREATE TABLE IF NOT EXISTS marks (
    story TEXT NOT NULL, person TEXT NOT NULL, marks TEXT NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (story, person));
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of a judge, as it was received and paid.

    `model` is the snapshot that answered; `dropped` are the parameters that it refused.
    """

    content: str
    refusal: str = ""
    finish: str = "stop"
    model: str = ""
    prompt_tokens: int = 0
    answer_tokens: int = 0
    dropped: tuple[str, ...] = ()
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """What one judge said about one story, once. `reason` says why there are no grades.

    `exchange` holds every prompt and reply word for word, `parameters` what was asked for and
    `dropped` what the judge refused of that, so that the score can be checked and repeated.
    """

    story: str
    rubric: str
    judge: str
    repeat: int = 0
    grades: Mapping[str, float | str] = field(default_factory=dict)
    assessment: str = ""
    reason: str = ""
    snapshot: str = ""
    address: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    attempts: int = 1
    prompt_tokens: int = 0
    answer_tokens: int = 0
    orders: str = ""
    story_digest: str = ""
    exchange: tuple[Mapping[str, Any], ...] = ()
    other: str = ""

    @property
    def scored(self) -> bool:
        return not self.reason

    @property
    def numbers(self) -> dict[str, float]:
        """The numeric grades alone."""
        return {k: float(v) for k, v in self.grades.items() if isinstance(v, int | float)}

    @property
    def mean(self) -> float | None:
        """The mean of the numeric grades; None where there are none."""
        numbers = self.numbers
        return sum(numbers.values()) / len(numbers) if numbers else None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "mean": self.mean}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Score:
        values = {k: v for k, v in data.items() if k in cls.__dataclass_fields__}
        for name in ("dropped", "exchange"):
            values[name] = tuple(values.get(name) or ())
        return cls(**values)


def key_of(*parts: Any) -> str:
    """The content hash by which a request or a score is known."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Cache:
    """The file of grades. One per process; its methods may be called from any thread.

    Raises:
        TinytalesError: the file cannot be opened or written, or belongs to a newer tinytales.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        if path is None:
            from tinytales.paths import data_dir, make

            path = make(data_dir()) / FILE
        self.path = Path(path)
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(
                self.path, timeout=30, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            # A commit is in the system's hands at once: a killed process loses nothing. Waiting
            # for the disk each time (20 ms) would hold up the wire; `sync` does it once a second.
            self._db.execute("PRAGMA synchronous=NORMAL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > FORMAT:
                raise TinytalesError(
                    f"{self.path} was written by a newer tinytales", hint="update tinytales"
                )
            self._db.executescript(_TABLES)
            self._db.execute(f"PRAGMA user_version={FORMAT}")
            self._db.execute(
                "INSERT OR IGNORE INTO meta VALUES ('secret', ?)", (secrets.token_hex(32),)
            )
            secret = self._db.execute("SELECT value FROM meta WHERE name='secret'").fetchone()[0]
        except sqlite3.Error as error:
            raise TinytalesError(
                f"the grades in {self.path} cannot be opened: {error}",
                hint="check the disk and the folder; a damaged file can be moved away",
            ) from error
        self._secret = bytes.fromhex(secret)

    def nonce(self, *parts: Any) -> str:
        """A code that nobody outside this file can guess; the same one when a run goes on."""
        return hmac.new(self._secret, key_of(*parts).encode(), hashlib.sha256).hexdigest()[:10]

    # Replies

    def keep(self, key: str, reply: Reply) -> None:
        """Commit a paid reply. When this returns, a killed process has not lost it."""
        text = json.dumps(asdict(reply), ensure_ascii=False)
        self._write("INSERT OR IGNORE INTO replies (key, reply) VALUES (?, ?)", (key, text))

    def sync(self) -> None:
        """Wait until all commits are on the disk: then a power cut loses nothing either."""
        with contextlib.suppress(OSError):
            log = os.open(f"{self.path}-wal", os.O_RDWR)
            try:
                os.fsync(log)
            finally:
                os.close(log)

    def reply(self, key: str) -> Reply | None:
        rows = self._read("SELECT reply FROM replies WHERE key=?", (key,))
        if not rows:
            return None
        data = json.loads(rows[0][0])
        return Reply(**{**data, "dropped": tuple(data["dropped"])})

    # What a judge refuses

    def refused(self, judge: str) -> set[str]:
        rows = self._read("SELECT parameter FROM refused WHERE judge=?", (judge,))
        return {row[0] for row in rows}

    def refuse(self, judge: str, parameter: str) -> None:
        self._write("INSERT OR IGNORE INTO refused VALUES (?, ?)", (judge, parameter))

    # Scores

    def add_score(self, score: Score) -> None:
        key = key_of(
            score.story, score.story_digest, score.other, score.rubric, score.judge,
            score.address, score.repeat,
        )  # fmt: skip
        text = json.dumps(score.to_dict(), ensure_ascii=False)
        self._write(
            "INSERT OR REPLACE INTO scores (key, story, score) VALUES (?, ?, ?)",
            (key, score.story, text),
        )

    def scores(self, stories: Iterable[str] | None = None) -> list[Score]:
        """All scores, or those of some stories (by id), oldest first."""
        if stories is None:
            rows = self._read("SELECT score FROM scores ORDER BY created, rowid")
        else:
            rows = self._read(
                "SELECT score FROM scores WHERE story IN (SELECT value FROM json_each(?)) "
                "ORDER BY created, rowid",
                (json.dumps(list(stories)),),
            )
        try:
            return [Score.from_dict(json.loads(text)) for (text,) in rows]
        except (ValueError, TypeError, AttributeError) as error:
            raise self._fault(error) from error

    def graded(self, most: int) -> list[str]:
        """Ids of the stories that have scores, the newest score first."""
        rows = self._read(
            "SELECT story FROM scores GROUP BY story ORDER BY max(created) DESC, max(rowid) DESC "
            "LIMIT ?",
            (most,),
        )
        return [story for (story,) in rows]

    # Batches under way

    def add_batch(self, id: str, work: str, keys: Iterable[str]) -> None:
        self._write(
            "INSERT OR REPLACE INTO batches VALUES (?, ?, 'sent', ?)",
            (id, work, json.dumps(list(keys))),
        )

    def end_batch(self, id: str, state: str) -> None:
        self._write("UPDATE batches SET state=? WHERE id=?", (state, id))

    def open_batches(self, work: str) -> list[tuple[str, list[str]]]:
        rows = self._read("SELECT id, keys FROM batches WHERE work=? AND state='sent'", (work,))
        return [(id, json.loads(keys)) for id, keys in rows]

    # Stories that wait for a judge, and people's own marks

    def wait(self, story: str, rubric: str, record: Mapping[str, Any]) -> None:
        text = json.dumps(record, ensure_ascii=False)
        self._write(
            "INSERT OR REPLACE INTO waiting (story, rubric, record) VALUES (?, ?, ?)",
            (story, rubric, text),
        )

    def waiting(self) -> list[tuple[str, dict[str, Any]]]:
        """(rubric, story record), oldest first."""
        rows = self._read("SELECT rubric, record FROM waiting ORDER BY created, rowid")
        try:
            return [(rubric, json.loads(text)) for rubric, text in rows]
        except ValueError as error:
            raise self._fault(error) from error

    def unwait(self, story: str) -> None:
        self._write("DELETE FROM waiting WHERE story=?", (story,))

    def mark(self, story: str, person: str, marks: Mapping[str, float | str]) -> None:
        """Keep what a person gave a story; a later mark replaces an earlier one."""
        self._write(
            "INSERT OR REPLACE INTO marks (story, person, marks) VALUES (?, ?, ?)",
            (story, person, json.dumps(dict(marks), ensure_ascii=False)),
        )

    def marks(self) -> list[tuple[str, str, dict[str, float | str]]]:
        """(story id, person, marks)."""
        rows = self._read("SELECT story, person, marks FROM marks ORDER BY created, rowid")
        return [(story, person, json.loads(text)) for story, person, text in rows]

    def _read(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise self._fault(error) from error

    def _write(self, sql: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            try:
                self._db.execute(sql, values)  # no transaction open: committed on return
            except sqlite3.Error as error:
                raise self._fault(error) from error

    def _fault(self, error: Exception) -> TinytalesError:
        return TinytalesError(
            f"the grades in {self.path} cannot be read or written: {error}",
            hint="check the disk; what was graded so far is kept",
        )

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
