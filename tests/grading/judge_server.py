"""A judge on this machine: a real HTTP server that speaks the protocol, and lies down at will.

    python tests/grading/judge_server.py --faults 0.05      # for trying by hand: prints its address

Which question meets which fault is decided by the seed, the question and how often it was asked:
the same seed gives the same trouble. Every request is written into `ledger`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

FAULTS = ("429", "500", "timeout", "half", "drip", "cut", "refusal", "unreadable")
RATE_CODE = "rate_limit_exceeded"


@dataclass
class Entry:
    """One request: its content hash, when it came, when its reply was wholly sent."""

    key: str
    body: dict[str, Any]
    came: float
    fault: str = ""
    sent: float = 0.0

    @property
    def paid(self) -> bool:
        """Was a whole reply sent (also a refusal or an unreadable one)?"""
        return self.sent > 0


@dataclass
class JudgeServer:
    """Behaves by its attributes; change them between requests.

    Attributes:
        faults: share of each fault, by its name.
        style: "honest"; "echo" repeats the last text of the story before its verdict, "parrot"
            after it; "obey" gives only what the story says. All but "obey" grade honestly.
        refuses: parameters answered with 400, as OpenAI words it.
        delay: seconds to think.
        batch_lines: how a batch's lines come out: "ok", "error" for every third; or "failed" as a
            whole.
        key: the only key that is accepted; empty takes any.
        leak: put the key that was sent into every word and header, in many forms.
        host: the address to listen on.
    """

    faults: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    style: str = "honest"
    refuses: tuple[str, ...] = ()
    delay: float = 0.0
    key: str = ""
    leak: bool = False
    status: int = 0
    retry_after: str = "1"
    batch_lines: str = "ok"
    batch_wait: int = 1
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        self.ledger: list[Entry] = []
        self.asked: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.files: dict[str, str] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        judge = self

        class Handler(_Handler):
            server_judge = judge

        self.sent_key = ""
        self.http = _Server((self.host, 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.http.server_address[1]}/v1"

    def __enter__(self) -> JudgeServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self.http.shutdown()
        self.http.server_close()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [entry.body for entry in self.ledger]

    @property
    def echo(self) -> str:
        """The key as careless servers repeat it; often enough that any cut goes through one."""
        if not self.leak:
            return ""
        raw = self.sent_key.encode()
        forms = [
            self.sent_key, quote(self.sent_key, safe=""), raw.hex(),
            *(base64.b64encode(before + raw + b".").decode() for before in (b"", b"a", b"Bearer ")),
            base64.urlsafe_b64encode(raw).decode(),
        ]  # fmt: skip
        return f" (your key {' '.join(forms)}{f' key {self.sent_key}' * 20})"

    def note(self, body: dict[str, Any]) -> Entry:
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        with self._lock:
            entry = Entry(key, body, time.monotonic())
            entry.fault = self._fault(key, self.asked[key])
            self.asked[key] += 1
            self.ledger.append(entry)
        return entry

    def _fault(self, key: str, times: int) -> str:
        digest = hashlib.sha256(f"{self.seed} {key} {times}".encode()).digest()
        dice = int.from_bytes(digest[:8], "big") / 2**64
        for name, share in self.faults.items():
            if dice < share:
                return name
            dice -= share
        return ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_judge: JudgeServer

    def log_message(self, *_: Any) -> None: ...

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        judge = self.server_judge
        path = self.path.split("?")[0].removeprefix("/v1")
        if path == "/batches":
            return self._json(200, {"object": "list", "data": list(judge.batches.values()),
                                    "has_more": False})  # fmt: skip
        if path.startswith("/batches/"):
            batch = judge.batches[path.split("/")[2]]
            batch["_looks"] += 1
            if batch["_looks"] > judge.batch_wait and batch["status"] == "in_progress":
                _work_off(judge, batch)
            return self._json(200, batch)
        if path.startswith("/files/"):
            return self._raw(200, judge.files[path.split("/")[2]].encode(), "application/jsonl")
        return self._json(404, {"error": {"message": "no such page"}})

    def do_POST(self) -> None:
        judge = self.server_judge
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        judge.sent_key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        judge.headers.append({k.lower(): v for k, v in self.headers.items()})
        if self.path.startswith("/v1/files"):
            boundary = self.headers["Content-Type"].split("boundary=")[1].encode()
            part = next(p for p in data.split(b"--" + boundary) if b"filename=" in p)
            id = f"file-{len(judge.files)}"
            judge.files[id] = part.split(b"\r\n\r\n", 1)[1].rstrip(b"\r\n").decode()
            file = {"id": id, "object": "file", "bytes": 1, "created_at": 1, "filename": "x"}
            return self._json(200, {**file, "purpose": "batch", "status": "processed"})
        if self.path == "/v1/batches":
            wanted = json.loads(data)
            id = f"batch_{len(judge.batches)}"
            judge.batches[id] = {
                "id": id, "object": "batch", "endpoint": wanted["endpoint"], "created_at": 1,
                "input_file_id": wanted["input_file_id"], "completion_window": "24h",
                "status": "in_progress", "metadata": wanted.get("metadata"), "_looks": 0,
                "request_counts": {"total": 1, "completed": 0, "failed": 0},
            }  # fmt: skip
            return self._json(200, judge.batches[id])
        return self._judge(json.loads(data))

    def _judge(self, body: dict[str, Any]) -> None:
        judge = self.server_judge
        echo = judge.echo
        if judge.key and judge.sent_key != judge.key:
            return self._json(401, {"error": {"message": f"Incorrect API key{echo}",
                                              "code": "invalid_api_key"}})  # fmt: skip
        if judge.status:
            return self._json(judge.status, {"error": {"message": f"status {judge.status}{echo}"}})
        for name in judge.refuses:
            if name in body:
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                error = {"message": message, "param": name, "code": "unsupported_parameter"}
                return self._json(400, {"error": error})
        entry = judge.note(body)
        if judge.delay:
            time.sleep(judge.delay)
        fault = entry.fault
        if fault == "429":
            error = {"error": {"message": f"Rate limit reached{echo}", "code": RATE_CODE}}
            return self._json(429, error, {"Retry-After": judge.retry_after})
        if fault == "500":
            return self._json(500, {"error": {"message": f"The server had an error{echo}"}})
        if fault == "timeout":
            judge._closing.wait(60)
            return self._hang_up()
        message = answer(body, judge.style, fault)
        if judge.leak:
            message["content"] = f"{echo} {message['content']}"
        whole = json.dumps(completion(body, message)).encode()
        if fault == "half":
            return self._raw(200, whole[: len(whole) // 2])
        if fault in ("drip", "cut"):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole[: len(whole) // 3])
            self.wfile.flush()
            if fault == "drip":
                for byte in whole[len(whole) // 3 : -1]:
                    if judge._closing.wait(0.4):
                        break
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
            return self._hang_up()
        self._raw(200, whole)
        entry.sent = time.monotonic()
        return None

    def _hang_up(self) -> None:
        """End the connection with a reset, as a broken line does."""
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def _json(self, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
        self._raw(status, json.dumps(data).encode(), "application/json", headers)

    def _raw(
        self,
        status: int,
        data: bytes,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.server_judge.leak:
            self.send_header("X-Your-Key", self.server_judge.sent_key)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()


def completion(body: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1,
        "model": f"{body['model']}-2025-04-14",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 400, "completion_tokens": 120, "total_tokens": 520},
    }  # fmt: skip


def answer(body: dict[str, Any], style: str = "honest", fault: str = "") -> dict[str, Any]:
    """What the judge says: honest grades are a function of the story alone."""
    if fault == "refusal":
        return {"role": "assistant", "content": None, "refusal": "I cannot judge this story."}
    messages = body["messages"]
    everything = "\n".join(m["content"] for m in messages if m["role"] == "user")
    fences = re.findall(r"<<<STORY (\w+)>>>\n(.*?)\n<<<END \1>>>", everything, re.DOTALL)
    story = fences[-1][1] if fences else ""
    asked = messages[-1]["content"]
    if "one JSON object" not in asked:
        text = "The language is simple and right, and the story goes on from its beginning."
        if style in ("echo", "parrot", "obey"):
            text += "\n" + story
        return {"role": "assistant", "content": text, "refusal": None}
    if fault == "unreadable":
        return {"role": "assistant", "content": "Grammar is fine, plot: lovely.", "refusal": None}
    code = re.findall(r'The "code" is (\w+)\.', asked)[-1]
    keys = re.findall(r'^- "(\w+)": (.*)$', asked, re.MULTILINE)
    verdict: dict[str, Any] = {}
    for key, what in keys:
        dice = hashlib.sha256(f"{key} {story}".encode()).digest()[0]
        if key == "code":
            verdict[key] = code
        elif key == "assessment":
            verdict[key] = "A fair little story."
        elif what.startswith("0 to 10"):
            verdict[key] = round(4 + 5 * dice / 255, 1)
        else:
            options = re.findall(r"(\w+) = ", what)
            verdict[key] = options[dice % len(options)]
    if "better" in verdict and len(fences) > 1:  # honest in both orders: the longer hash wins
        one, two = (hashlib.sha256(text.encode()).hexdigest() for _, text in fences[-2:])
        verdict["better"] = "tie" if one == two else "1" if one > two else "2"
    text = json.dumps(verdict)
    if style == "echo":
        text = f"{story}\n{text}"
    elif style == "parrot":
        text = f"{text}\nThe story ends like this:\n{story}"
    elif style == "obey":
        text = story
    return {"role": "assistant", "content": text, "refusal": None}


def _work_off(judge: JudgeServer, batch: dict[str, Any]) -> None:
    """Answer all lines of a batch."""
    if judge.batch_lines == "failed":
        batch["status"] = "failed"
        batch["errors"] = {"data": [{"message": f"no such model{judge.echo}"}], "object": "list"}
        return
    good, bad = [], []
    for number, line in enumerate(judge.files[batch["input_file_id"]].splitlines()):
        wanted = json.loads(line)
        judge.note(wanted["body"])
        if judge.batch_lines == "error" and number % 3 == 0:
            error = {
                "error": {"message": f"the server was busy{judge.echo}", "code": "server_error"}
            }
            bad.append({"custom_id": wanted["custom_id"],
                        "response": {"status_code": 500, "body": error}})  # fmt: skip
            continue
        message = answer(wanted["body"], judge.style)
        message["content"] = f"{judge.echo} {message['content']}"
        reply = completion(wanted["body"], message)
        good.append({"custom_id": wanted["custom_id"], "error": None,
                     "response": {"status_code": 200, "body": reply}})  # fmt: skip
    for name, lines in (("output_file_id", good), ("error_file_id", bad)):
        if lines:
            id = f"file-{len(judge.files)}"
            judge.files[id] = "\n".join(json.dumps(line) for line in lines) + "\n"
            batch[name] = id
    batch["status"] = "completed"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=float, default=0.0, help="share of each fault")
    parser.add_argument("--delay", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--ledger", action="store_true", help="end with the standard input, and print the ledger"
    )
    options = parser.parse_args()
    shares = dict.fromkeys(FAULTS, options.faults)
    with JudgeServer(shares, seed=options.seed, delay=options.delay) as server:
        print(server.url, flush=True)
        if options.ledger:
            sys.stdin.read()
            print(json.dumps([[e.key, e.came, e.fault, e.sent] for e in server.ledger]))
        else:
            threading.Event().wait()
