"""Grading by the Batch API: half the price, within a day, for thousands of stories.

    scores = run(jobs, judge_line, cache, note=print)

The same steps as the live run, one round for each turn: all questions that are missing go into one
file, the file becomes a batch, its replies go into the cache, and so on until every job has a
score. The id of a batch is kept in the cache: a run that was killed while waiting finds its batch
again, also when it died between sending and writing the id down (the batch carries the name of the
round). A question without a reply (a fault of that line) is asked again in the next round.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tinytales.errors import TinytalesError, require
from tinytales.grading.cache import Cache, Score, key_of
from tinytales.grading.judge import hush, reply_of, response_format, said
from tinytales.grading.secret import Secret
from tinytales.grading.steps import Job, Judge, Request, next_step, unscored

#: Limits of the API for one file.
MOST_REQUESTS = 50_000
MOST_BYTES = 190_000_000
ROUNDS = 6
_ENDED = ("completed", "failed", "expired", "cancelled")


class BatchLine:
    """The files and batches of one judge, through the `openai` package."""

    def __init__(self, address: str, key: str, *, timeout: float = 120) -> None:
        openai = require("openai", "grade")
        self.secret = Secret(key)
        hush()
        self._error = openai.OpenAIError
        self.client = openai.OpenAI(
            api_key=key or "none",
            base_url=address,
            max_retries=5,
            timeout=timeout,
            http_client=openai.DefaultHttpxClient(follow_redirects=False),
        )

    def send(self, lines: str, work: str) -> str:
        """Upload a file and make a batch of it; its id."""
        file = self.client.files.create(
            file=("tinytales.jsonl", io.BytesIO(lines.encode("utf-8"))), purpose="batch"
        )
        batch = self.client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"tinytales": work},
        )
        return str(batch.id)

    def find(self, work: str) -> list[str]:
        """Ids of batches of this round that are known to the server (newest hundred)."""
        page = self.client.batches.list(limit=100)
        return [b.id for b in page.data if (b.metadata or {}).get("tinytales") == work]

    def state(self, id: str) -> Any:
        return self.client.batches.retrieve(id)

    def lines(self, file: str) -> Iterator[dict[str, Any]]:
        """The lines of a file of replies; half lines (a cut download) are an error to repeat."""
        for line in self.client.files.content(file).text.splitlines():
            if line.strip():
                yield json.loads(line)

    def fault(self, error: Exception) -> TinytalesError:
        return TinytalesError(
            f"the Batch API: {said(error, self.secret)}",
            hint="the batch goes on at the judge; the same command collects it later",
        )


def body_of(request: Request, cache: Cache) -> dict[str, Any]:
    """The body of a chat completion, as `judge.Wire` sends it through the package."""
    refused = cache.refused(request.judge.id)
    wanted = {**request.parameters}
    if request.verdict:
        wanted["response_format"] = response_format(request)
    if "max_completion_tokens" in refused:
        wanted["max_tokens"] = wanted["max_completion_tokens"]
    kept = {name: value for name, value in wanted.items() if name not in refused}
    return {"model": request.judge.model, "messages": request.messages, **kept}


def run(
    jobs: list[Job],
    line: BatchLine,
    cache: Cache,
    *,
    every: float = 30,
    note: Callable[[str], None] = lambda text: None,
    stop: threading.Event | None = None,
    most: int = MOST_REQUESTS,
) -> list[Score]:
    """Grade all jobs by batches; scores in the order of the jobs.

    Args:
        every: seconds between two looks at a batch.
        stop: set to leave; the batch goes on, and the same call collects it later.
        most: questions in one batch.

    Raises:
        TinytalesError: the API refuses, or cannot be reached.
    """
    stop = stop or threading.Event()
    given_up: dict[str, str] = {}
    fault: TinytalesError | None = None

    def clean(text: str) -> None:
        note(line.secret.hide(text))

    try:
        for _ in range(ROUNDS):
            missing = _missing(jobs, cache)
            if not missing or stop.is_set():
                break
            for part in _parts(missing, cache, most):
                given_up |= _round(part, line, cache, every, clean, stop)
            if stop.is_set():
                break
    # What a server sends that speaks another protocol is met as a missing attribute or key.
    except (line._error, ValueError, AttributeError, KeyError, TypeError) as error:
        fault = line.fault(error)
    if fault is not None:  # outside the handler: the package's error may hold the key
        raise fault
    scores = []
    for job in jobs:
        step = next_step(job, cache)
        if isinstance(step, Request):
            if stop.is_set():
                continue
            step = unscored(job, given_up.get(step.key, "the batch brought no reply"))
        cache.add_score(step)
        scores.append(step)
    return scores


def _missing(jobs: list[Job], cache: Cache) -> dict[str, Request]:
    """The questions that are next, each once."""
    steps = (next_step(job, cache) for job in jobs)
    return {step.key: step for step in steps if isinstance(step, Request)}


def _parts(
    missing: dict[str, Request], cache: Cache, most: int
) -> Iterator[dict[str, tuple[Request, str]]]:
    """Parts that fit into one file each: key -> (request, its line)."""
    part: dict[str, tuple[Request, str]] = {}
    size = 0
    for key, request in missing.items():
        body = body_of(request, cache)
        line = json.dumps(
            {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body},
            ensure_ascii=False,
        )
        if part and (len(part) >= most or size + len(line) > MOST_BYTES):
            yield part
            part, size = {}, 0
        part[key] = (request, line)
        size += len(line.encode("utf-8"))
    if part:
        yield part


def _round(
    part: dict[str, tuple[Request, str]],
    line: BatchLine,
    cache: Cache,
    every: float,
    note: Callable[[str], None],
    stop: threading.Event,
) -> dict[str, str]:
    """One batch from sending to collecting; why some questions have no reply."""
    work = key_of(*sorted(part))[:32]
    judge = next(iter(part.values()))[0].judge
    known = [id for id, _ in cache.open_batches(work)]
    known = known or [id for id in line.find(work) if line.state(id).status not in _ENDED[1:]]
    if known:
        id = known[0]
        note(f"batch {id} was sent before: waiting for it")
    else:
        id = line.send("\n".join(text for _, text in part.values()) + "\n", work)
        note(f"batch {id}: {len(part):,} questions sent")
    cache.add_batch(id, work, part)
    while True:
        batch = line.state(id)
        if batch.status in _ENDED:
            break
        counts = batch.request_counts
        if counts is not None:
            note(f"batch {id}: {batch.status}, {counts.completed:,} of {counts.total:,}")
        if stop.wait(every):
            return {}
    reasons: dict[str, str] = {}
    for file in (batch.output_file_id, batch.error_file_id):
        if file:
            reasons |= _collect(line, file, part, judge, cache)
    cache.sync()
    cache.end_batch(id, batch.status)
    if batch.status == "failed":
        errors = getattr(batch.errors, "data", None) or []
        raise TinytalesError(
            f"the batch {id} failed: "
            + (said(errors[0], line.secret) if errors else "no reason given"),
            hint="grade without --batch, or try again",
        )
    return reasons


def _collect(
    line: BatchLine,
    file: str,
    part: dict[str, tuple[Request, str]],
    judge: Judge,
    cache: Cache,
) -> dict[str, str]:
    reasons: dict[str, str] = {}
    refused = tuple(sorted(cache.refused(judge.id)))
    for entry in line.lines(file):
        key = str(entry.get("custom_id", ""))
        if key not in part:
            continue
        response = entry.get("response") or {}
        if response.get("status_code") == 200:
            try:
                cache.keep(key, reply_of(response["body"], line.secret, refused, batch=True))
                continue
            except (KeyError, IndexError, TypeError, AttributeError):
                reasons[key] = "the batch brought half a reply"
                continue
        error = (response.get("body") or {}).get("error") or entry.get("error") or {}
        words = line.secret.hide(str(error.get("message", "no reply")))
        reasons[key] = f"the batch says: {words[:200]}"
        if error.get("param") in ("temperature", "max_completion_tokens", "max_tokens"):
            cache.refuse(judge.id, error["param"])
    return reasons
