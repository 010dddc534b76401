"""`tinytales serve` as a process: it says where it is, answers, and ends with Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tinytales.cli.main import run

pytest.importorskip("uvicorn")
pytestmark = pytest.mark.allow_loopback


def start(bundle: Path, *args: str) -> subprocess.Popen[str]:
    code = "from tinytales.cli.main import main; main()"
    call = [sys.executable, "-c", code, "serve", "--model", str(bundle), "--port", "0", *args]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_serves_until_ctrl_c(tiny_bundle: Path) -> None:
    server = start(tiny_bundle)
    try:
        assert server.stderr is not None
        said = server.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/v1", said)
        assert found, said
        body = json.dumps({"model": "tinytales", "prompt": "One day", "max_tokens": 8, "seed": 1})
        asked = urllib.request.Request(found.group() + "/completions", body.encode())
        with urllib.request.urlopen(asked, timeout=20) as answer:
            told = json.load(answer)
        assert told["usage"]["completion_tokens"] <= 8
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=10)
        assert server.returncode == 130
        assert out == ""
        assert "Traceback" not in err
    finally:
        server.kill()


def test_other_addresses_come_with_a_warning(tiny_bundle: Path) -> None:
    server = start(tiny_bundle, "--host", "0.0.0.0")
    try:
        assert server.stderr is not None
        assert server.stderr.readline().startswith("warning: 0.0.0.0 can be reached")
    finally:
        server.terminate()
        server.communicate(timeout=10)


def test_a_taken_port_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["serve", "--port", str(port)]) == 1
    error = capsys.readouterr().err
    assert str(port) in error
    assert "--port" in error


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--model", "/nowhere", "--port", "0"], 1, "no bundle"),
        (["--safety", "gentel", "--port", "0"], 2, "gentle"),
        (["--port", "70000"], 2, "65535"),
        (["--host", "no.such.host.invalid", "--port", "0"], 1, "cannot listen"),
    ],
)
def test_bad_calls(
    args: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", *args]) == code
    assert said in capsys.readouterr().err
