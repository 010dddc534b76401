"""The judge at the other end of the wire: one question, one reply, every fault understood.

The `openai` package speaks to OpenAI and to every server with the same protocol (llama.cpp, Ollama,
vLLM). It is imported only when the first question is asked, after consent. Its own retries are off:
`live.py` paces and repeats. What went wrong is told by kind:

    TinytalesError   nothing can be graded: a wrong key, an unknown model, no money left
    Again            this question may be asked again, after `wait` seconds if the server said so
    Unanswerable     this story cannot be judged; others can

A parameter that the model refuses (temperature on GPT-5, max_tokens or its younger name, structured
output on small servers) is dropped, the question asked again, and that recorded with the score.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tinytales.errors import TinytalesError, UsageError, require
from tinytales.grading.cache import Cache, Reply
from tinytales.grading.rubric import schema
from tinytales.grading.secret import KEY, Secret, refuse_key
from tinytales.grading.steps import Request
from tinytales.grading.verdict import model_of

OPENAI = "https://api.openai.com/v1"


class Again(Exception):
    """A fault that may pass. `wait`: seconds that the server asked for, or None.

    `alive`: was it a sign of life of the judge, like an error that it sent?
    """

    def __init__(self, why: str, wait: float | None = None, alive: bool = True) -> None:
        super().__init__(why)
        self.wait = wait
        self.alive = alive


class Unanswerable(Exception):
    """This question will never be answered (too long, filtered)."""


def address_of(base_url: str = "") -> str:
    """Where the judge is asked: the option, else OPENAI_BASE_URL, else OpenAI.

    Raises:
        UsageError: no http(s) address, or one that holds a password or a key.
    """
    address = (base_url or os.environ.get("OPENAI_BASE_URL", "") or OPENAI).strip().rstrip("/")
    refuse_key(address)
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(
            "the judge's address is not one", hint="like http://localhost:8080/v1, in --base-url"
        )
    if parts.username or parts.password or parts.query:
        raise UsageError(
            "the judge's address holds a user, a password or a query",
            hint=f"give the bare address, and the key in {KEY}",
        )
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def is_local(address: str) -> bool:
    """Does the address mean this machine?"""
    return (urlsplit(address).hostname or "") in ("localhost", "127.0.0.1", "::1", "0.0.0.0")


def find_key(address: str) -> str:
    """The key from the environment, else from the keyring of the system; empty if there is none.

    It is handed to the client and nowhere else. OpenAI's key does not go to other addresses unless
    it is in the environment, which is the user's choice.
    """
    key = os.environ.get(KEY, "").strip()
    if key or is_local(address):
        return key
    try:
        import keyring

        return (keyring.get_password("tinytales", urlsplit(address).hostname or "") or "").strip()
    except Exception:  # not installed, or no keyring on this system: then there is no key there
        return ""


class Wire:
    """An open line to the judge.

    Args:
        cache: where refused parameters are remembered.
        deadline: seconds after which a question is given up, however slowly the reply still drips.
    """

    def __init__(self, address: str, key: str, cache: Cache, *, deadline: float = 120) -> None:
        openai = require("openai", "grade")
        self._openai = openai
        self._secret = Secret(key)
        self._cache = cache
        self._deadline = deadline
        hush()
        self.client = openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=address,
            max_retries=0,
            timeout=deadline,
            # A redirect would send the story to somebody who was not named.
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
        )
        self._models: dict[str, Any] = {}

    async def ask(self, request: Request) -> Reply:
        """Ask once; parameters that are refused are dropped and the question asked again."""
        for _ in range(6):
            body, dropped = self.body(request)
            # What went wrong is raised outside the handlers: an error of the package may hold the
            # key, and must not hang on ours as its context.
            fault: Exception | None = None
            try:
                async with asyncio.timeout(self._deadline):
                    raw = await self._send(request, body)
                    text = raw.http_response.text
            except TimeoutError:
                fault = Again(f"no whole reply within {self._deadline:g} s", alive=False)
            except (
                self._openai.BadRequestError,
                self._openai.UnprocessableEntityError,
            ) as error:
                if self._drop(request, error, body):
                    continue
                fault = Unanswerable(said(error, self._secret))
            except self._openai.OpenAIError as error:
                fault = self._fault(error, request)
            if fault is not None:
                raise fault
            return self._reply(text, dropped)
        raise Unanswerable("the judge refuses one parameter after the other")

    def body(self, request: Request) -> tuple[dict[str, Any], tuple[str, ...]]:
        """What is sent beside the response format, and what the judge is known to refuse."""
        refused = self._cache.refused(request.judge.id)
        wanted = request.parameters
        if "max_completion_tokens" in refused:
            wanted["max_tokens"] = wanted["max_completion_tokens"]
        if request.verdict:
            wanted["response_format"] = True
        kept = {name: value for name, value in wanted.items() if name not in refused}
        dropped = tuple(sorted(set(wanted) - set(kept)))
        return {"model": request.judge.model, "messages": request.messages, **kept}, dropped

    async def _send(self, request: Request, body: dict[str, Any]) -> Any:
        chat = self.client.chat.completions.with_raw_response
        if body.pop("response_format", False):
            model = self._models.setdefault(request.rubric.id, model_of(request.rubric))
            return await chat.parse(response_format=model, **body)
        return await chat.create(**body)

    def _reply(self, text: str, dropped: tuple[str, ...]) -> Reply:
        try:
            return reply_of(json.loads(text), self._secret, dropped)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            raise Again("the reply is no chat completion, or only half of one") from None

    def _drop(self, request: Request, error: Any, body: Mapping[str, Any]) -> bool:
        """Remember which parameter a 400 complains about; False if it is about none of ours."""
        words = said(error, self._secret).lower()
        if "context" in words and "length" in words:  # names max_tokens, but means the story
            return False
        names = [
            name for name in ("max_completion_tokens", "max_tokens", "temperature")
            if name in body and (error.param == name or name in words)
        ]  # fmt: skip
        # "'max_tokens' is not supported … use 'max_completion_tokens'" names both: the refused one
        # is the one that was sent.
        if (
            not names
            and request.verdict
            and any(
                word in words for word in ("response_format", "json_schema", "grammar", "schema")
            )
        ):
            names = ["response_format"]
        known = self._cache.refused(request.judge.id)
        for name in names[:1]:
            if name in known:  # refused by an earlier question while this one was under way
                return True
            self._cache.refuse(request.judge.id, name)
        return bool(names)

    def _fault(self, error: Any, request: Request) -> Exception:
        """What an error of the package means for the run."""
        openai, words = self._openai, said(error, self._secret)
        where = f"the judge {request.judge.id}"
        if isinstance(error, openai.APITimeoutError):
            return Again("no reply in time", alive=False)
        if isinstance(error, openai.APIStatusError):
            code = error.status_code
            if code in (401, 403):
                return TinytalesError(
                    f"{where} does not accept the key: {words}",
                    hint=f"set {KEY} to a valid key, or ask another judge with --base-url",
                )
            if code == 404:
                return TinytalesError(
                    f"{where} is not there: {words}", hint="check --judge and --base-url"
                )
            if code == 429 and getattr(error, "code", "") == "insufficient_quota":
                return TinytalesError(
                    f"{where}: the account has no money left",
                    hint="what was graded so far is kept; run the same command again later",
                )
            if code in (408, 409, 425, 429) or code >= 500:
                return Again(f"{code} {words}".strip(), retry_after(error.response.headers))
            if 300 <= code < 400:
                return TinytalesError(
                    f"{where} sends us elsewhere ({code}); nothing was sent there",
                    hint="give the final address in --base-url",
                )
            return Unanswerable(f"{code} {words}")
        if isinstance(error, openai.APIConnectionError):
            cause = type(error.__cause__).__name__ if error.__cause__ else "connection"
            return Again(f"the connection broke ({cause})", alive=cause != "ConnectError")
        return Again(f"{type(error).__name__}: {words}")

    async def close(self) -> None:
        await self.client.close()


def reply_of(
    data: Any, secret: Secret, dropped: tuple[str, ...] = (), batch: bool = False
) -> Reply:
    """A chat completion (as JSON) as our record, without the key should it stand in there."""
    choice = data["choices"][0]
    message = choice["message"]
    usage = data.get("usage") or {}
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    return Reply(
        content=secret.hide(content),
        refusal=secret.hide(message.get("refusal") or ""),
        finish=secret.hide(choice.get("finish_reason") or "stop"),
        model=secret.hide(data.get("model") or ""),
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        answer_tokens=int(usage.get("completion_tokens") or 0),
        dropped=dropped,
        batch=batch,
    )


def response_format(request: Request) -> dict[str, Any]:
    """The structured output as JSON, for request bodies that are written by hand (batches)."""
    return {
        "type": "json_schema",
        "json_schema": {"name": "Verdict", "strict": True, "schema": schema(request.rubric)},
    }


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After (seconds or a date) or retry-after-ms."""
    try:
        if "retry-after-ms" in headers:
            return min(max(float(headers["retry-after-ms"]) / 1000, 0), 3600)
        value = headers.get("retry-after")
        if value is None:
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return min(float(value), 3600)
        return min(max(parsedate_to_datetime(value).timestamp() - time.time(), 0), 3600)
    except (ValueError, TypeError, OverflowError):
        return None


def backoff(tries: int, dice: random.Random) -> float:
    """Seconds before try number `tries` + 1: up to 0.5, 1, 2 … 30, jittered in the upper half."""
    longest = min(30.0, 0.5 * 2.0 ** (tries - 1))
    return longest * dice.uniform(0.5, 1.0)


def said(error: Any, secret: Secret) -> str:
    """The server's own words, short; the key is taken out before they are cut."""
    words = getattr(error, "message", error)
    body = getattr(error, "body", None)
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        words = (inner.get("message") if isinstance(inner, Mapping) else inner) or words
    return secret.hide(str(words))[:300]


#: Loggers of the packages on the wire, in all their versions.
WIRE_LOGGERS = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")


def hush() -> None:
    """Keep the packages on the wire from logging, also where OPENAI_LOG=debug asks for it.

    They write the headers of replies as they come, and a server may repeat the key in them.
    """
    for name in WIRE_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
