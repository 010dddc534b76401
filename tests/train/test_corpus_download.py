"""The loader against a hub of our own, with a bad connection."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinytales.cli.main import run
from tinytales.errors import TinytalesError, UsageError
from tinytales.train.corpus import CorpusError, download
from tinytales.train.corpus.download import Dataset, find_dataset, get

DATA = {"big.txt": bytes(range(256)) * 4000, "small.txt": b"The owl slept.\n"}
TALES = Dataset("owl/tales", ("big.txt", "small.txt"), "CC0-1.0", "1 MB", "corpus-originals")

pytestmark = pytest.mark.allow_loopback


class Hub(ThreadingHTTPServer):
    """Answers as the hub does: the redirect tells size and SHA-256, the storage sends the bytes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.cuts: list[int] = []  # after how many bytes the next connections break
        self.ranges = True
        self.sent: list[tuple[str, int]] = []  # range and bytes of every answer
        self.data = dict(DATA)
        self.checksums = {name: hashlib.sha256(data).hexdigest() for name, data in DATA.items()}


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        if name not in self.server.data or "/resolve/main/" not in self.path:
            self.send_error(404)
            return
        self.send_response(302)
        self.send_header("Location", f"{self.server.url}/storage/{name}")
        self.send_header("X-Linked-Etag", f'"{self.server.checksums[name]}"')
        self.send_header("X-Linked-Size", str(len(self.server.data[name])))
        self.end_headers()

    def do_GET(self) -> None:
        if "/resolve/" in self.path:
            self.do_HEAD()
            return
        data = self.server.data[self.path.rsplit("/", 1)[-1]]
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.server.ranges else 0
        body = data[start:]
        self.send_response(206 if asked and self.server.ranges else 200)
        self.send_header("Content-Length", str(len(body)))
        if asked and self.server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.server.cuts:
            body = body[: self.server.cuts.pop(0)]
            self.close_connection = True
        self.server.sent.append((self.headers.get("Range", ""), len(body)))
        self.wfile.write(body)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(hub: Hub, out: Path, **options: Any) -> list[Path]:
    return get(TALES, out, hub=hub.url, pause=lambda seconds: None, **options)


def test_files_come_whole(hub: Hub, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    paths = fetch(hub, tmp_path / "new", progress=lambda *line: told.append(line))
    assert [path.name for path in paths] == ["big.txt", "small.txt"]
    assert all(path.read_bytes() == DATA[path.name] for path in paths)
    assert told[-1] == ("small.txt", 15, 15)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["big.txt", "small.txt"]
    hub.sent.clear()
    assert fetch(hub, tmp_path / "new") == paths
    assert hub.sent == []  # they are there: only their checksums were asked for


def test_a_cut_connection_is_taken_up(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [300_000, 0, 200_000]
    paths = fetch(hub, tmp_path)
    assert paths[0].read_bytes() == DATA["big.txt"]
    assert [asked for asked, _ in hub.sent[:4]] == [
        "", "bytes=300000-", "bytes=300000-", "bytes=500000-"
    ]  # fmt: skip


def test_the_next_call_goes_on(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [400_000] + [0] * download.ATTEMPTS
    with pytest.raises(CorpusError, match="no connection") as caught:
        fetch(hub, tmp_path)
    assert "goes on" in caught.value.hint
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    hub.sent.clear()
    hub.cuts.clear()
    assert fetch(hub, tmp_path)[0].read_bytes() == DATA["big.txt"]
    assert hub.sent[0] == ("bytes=400000-", len(DATA["big.txt"]) - 400_000)


def test_a_server_without_ranges_begins_anew(hub: Hub, tmp_path: Path) -> None:
    hub.ranges = False
    hub.cuts = [300_000]
    assert fetch(hub, tmp_path)[0].read_bytes() == DATA["big.txt"]


def test_parts_of_another_version_are_not_used(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [400_000] + [0] * download.ATTEMPTS
    with pytest.raises(CorpusError):
        fetch(hub, tmp_path)
    hub.cuts.clear()
    new = DATA["big.txt"][::-1]
    hub.data["big.txt"], hub.checksums["big.txt"] = new, hashlib.sha256(new).hexdigest()
    assert fetch(hub, tmp_path)[0].read_bytes() == new


def test_a_wrong_checksum_is_never_given_a_name(hub: Hub, tmp_path: Path) -> None:
    hub.checksums["big.txt"] = "0" * 64
    with pytest.raises(CorpusError, match="wrong checksum"):
        fetch(hub, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_small_file_has_the_checksum_of_git(hub: Hub, tmp_path: Path) -> None:
    blob = b"blob 15\0" + DATA["small.txt"]
    hub.checksums["small.txt"] = hashlib.sha1(blob).hexdigest()
    assert fetch(hub, tmp_path)[1].read_bytes() == DATA["small.txt"]


def test_another_file_of_that_name_is_kept(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "big.txt").write_bytes(b"x" * len(DATA["big.txt"]))
    with pytest.raises(CorpusError, match="differs"):
        fetch(hub, tmp_path)
    (tmp_path / "big.txt").write_bytes(b"mine")
    with pytest.raises(CorpusError, match="differs"):
        fetch(hub, tmp_path)
    assert (tmp_path / "big.txt").read_bytes() == b"mine"


def test_no_such_revision(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="404"):
        fetch(hub, tmp_path, revision="other")


def test_no_checksum_no_download(hub: Hub, tmp_path: Path) -> None:
    hub.checksums["big.txt"] = ""
    with pytest.raises(CorpusError, match="no size and checksum"):
        fetch(hub, tmp_path)


def test_no_server(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no connection"):
        get(TALES, tmp_path, hub="http://127.0.0.1:9", pause=lambda seconds: None)


def test_a_disk_without_room(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(CorpusError, match="no room for 1 MB more"):
        fetch(hub, tmp_path)
    assert hub.sent == []


def test_the_command_asks_first(
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)  # a mirror
    monkeypatch.setitem(download.DATASETS, "tales", TALES)
    args = ["corpus", "get", "tales", "--out", str(tmp_path / "out")]
    assert run(args) == 2
    assert "--yes" in capsys.readouterr().err
    assert hub.sent == [] and not (tmp_path / "out").exists()
    assert run([*args, "--yes"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [str(tmp_path / "out" / name) for name in TALES.files]
    assert "--recipe corpus-originals" in shown.err


def test_unknown_texts_name_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        find_dataset("tinystory")
    assert "tinystories" in caught.value.hint
    assert issubclass(CorpusError, TinytalesError)
