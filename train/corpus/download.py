"""Fetch the large public texts from the Hugging Face hub: the one part of this that uses a network.

    tinytales corpus get tinystories --out texts

A cut connection is taken up where it broke, in this call or in the next one; a file gets its name
only when its checksum is right. The hub names size and SHA-256 in the headers of the redirect that
leads to the file.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytales.errors import UsageError, nearest, require
from tinytales.train.corpus import CorpusError

HUB = "https://huggingface.co"
ATTEMPTS = 6  # without a byte gained; a connection that gains some may break as often as it likes
CHUNK = 1 << 20
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Dataset:
    """A public text on the hub."""

    repository: str
    files: tuple[str, ...]
    licence: str
    size: str  # about, for the question before the download
    recipe: str  # the corpus recipe that ships for it


DATASETS: dict[str, Dataset] = {
    "tinystories": Dataset(
        repository="roneneldan/TinyStories",
        files=("TinyStoriesV2-GPT4-valid.txt", "TinyStoriesV2-GPT4-train.txt"),
        licence="CDLA-Sharing-1.0",
        size="2.3 GB",
        recipe="corpus-tinystories",
    ),
}


@dataclass(frozen=True)
class RemoteFile:
    """What the hub says of a file."""

    url: str
    name: str
    size: int
    checksum: str  # SHA-256 (64 hex digits), or git's SHA-1 (40) for small files


def find_dataset(name: str) -> Dataset:
    """Raises UsageError for an unknown name."""
    if name not in DATASETS:
        raise UsageError(f"there is no text {name!r} to get", hint=nearest(name, DATASETS))
    return DATASETS[name]


def get(
    dataset: Dataset,
    out: Path,
    *,
    revision: str = "main",
    hub: str = "",
    progress: Progress = lambda name, done, size: None,
    pause: Callable[[float], None] = time.sleep,
) -> list[Path]:
    """Download the files of a dataset into the folder `out`. Returns their paths.

    `hub` defaults to HF_ENDPOINT (a mirror), else huggingface.co. `progress` is told the file's
    name and the bytes that are there and wanted.

    Raises:
        CorpusError: no network, no such file, not enough disk, a wrong checksum.
    """
    httpx = require("httpx", "train")
    root = (hub or os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    out.mkdir(parents=True, exist_ok=True)
    with httpx.Client(timeout=30, headers={"Accept-Encoding": "identity"}) as client:
        base = f"{root}/datasets/{dataset.repository}/resolve/{revision}"
        return [
            _fetch(client, _describe(client, f"{base}/{name}", name, pause), out, progress, pause)
            for name in dataset.files
        ]


def _describe(client: Any, url: str, name: str, pause: Callable[[float], None]) -> RemoteFile:
    """Ask the hub for size and checksum, without following it to its storage."""
    response = _head(client, url, pause)
    for _ in range(5):
        if not response.is_redirect or "x-linked-etag" in response.headers:
            break
        response = _head(client, str(response.next_request.url), pause)
    if response.status_code >= 400:
        raise CorpusError(
            f"{url}: the server answers {response.status_code} {response.reason_phrase}",
            hint="is the name right, and --revision?",
        )
    headers = response.headers
    checksum = headers.get("x-linked-etag", headers.get("etag", ""))
    checksum = checksum.removeprefix("W/").strip('"').lower()
    size = headers.get("x-linked-size", headers.get("content-length", ""))
    if not re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", checksum) or not size.isdigit():
        raise CorpusError(f"{url}: the server tells no size and checksum", hint="is it a hub?")
    return RemoteFile(url, name, int(size), checksum)


def _head(client: Any, url: str, pause: Callable[[float], None]) -> Any:
    httpx = require("httpx", "train")
    for attempt in range(ATTEMPTS):
        try:
            return client.head(url)
        except httpx.HTTPError as error:
            if attempt == ATTEMPTS - 1:
                raise _no_connection(url, error) from error
            pause(min(2**attempt, 30))
    raise AssertionError("unreachable")


def _fetch(
    client: Any, file: RemoteFile, out: Path, progress: Progress, pause: Callable[[float], None]
) -> Path:
    """Download one file, going on from what is there."""
    httpx = require("httpx", "train")
    target = out / file.name
    if target.exists():
        if _size(target) == file.size and _checksum(target, file) == file.checksum:
            progress(file.name, file.size, file.size)
            return target
        raise CorpusError(f"{target} is there and differs", hint="move it away to get it anew")
    # The checksum in its name: parts of two versions never become one file.
    part = out / f".{file.name}.{file.checksum[:12]}.part"
    missing = file.size - _size(part)
    if missing > shutil.disk_usage(out).free:
        raise CorpusError(
            f"{out} has no room for {missing / 1e6:,.0f} MB more", hint="free some space"
        )
    failures = 0
    while (before := _size(part)) < file.size:
        try:
            _take_up(client, file, part, progress)
        except httpx.HTTPError as error:
            failures = 0 if _size(part) > before else failures + 1
            if failures == ATTEMPTS:
                raise _no_connection(file.url, error) from error
            pause(min(2**failures, 30))
    if _size(part) != file.size or _checksum(part, file) != file.checksum:
        part.unlink()
        raise CorpusError(
            f"{file.name}: what came is not what the server promised (wrong checksum)",
            hint="try again; the damaged part is deleted",
        )
    part.rename(target)
    return target


def _take_up(client: Any, file: RemoteFile, part: Path, progress: Progress) -> None:
    """One connection: append to `part` what it brings."""
    have = _size(part)
    headers = {"Range": f"bytes={have}-"} if have else {}
    with client.stream("GET", file.url, headers=headers, follow_redirects=True) as response:
        if response.status_code in (403, 404, 410, 401):
            raise CorpusError(f"{file.url}: the server answers {response.status_code}")
        response.raise_for_status()
        resumed = response.status_code == 206
        if resumed and not response.headers.get("content-range", "").startswith(f"bytes {have}-"):
            raise CorpusError(f"{file.url}: the server sent another part than was asked for")
        with part.open("ab" if resumed else "wb") as disk:
            done = have if resumed else 0
            for chunk in response.iter_raw():  # as it comes: what is buffered is lost by a cut
                done += disk.write(chunk)
                progress(file.name, done, file.size)
                if done > file.size:
                    return  # the checksum will say so


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _checksum(path: Path, file: RemoteFile) -> str:
    if len(file.checksum) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as disk:
        while chunk := disk.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _no_connection(url: str, error: Exception) -> CorpusError:
    return CorpusError(
        f"{url}: no connection ({error or type(error).__name__})",
        hint="what has come is kept: the same command goes on from there",
    )
