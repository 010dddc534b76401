"""Stories over HTTP, spoken as OpenAI's API: `tinytales serve`, then any OpenAI client.

    client = openai.OpenAI(base_url="http://127.0.0.1:8765/v1", api_key="-")
    client.completions.create(model="tinytales", prompt="One day, a fox")

    GET  /v1/models             the one voice that is open
    POST /v1/completions        the prompt is an opening, or header lines and an opening
    POST /v1/chat/completions   the last wish is the summary, a last assistant message the opening
    GET  /health                is it alive, and how many wait

One engine tells one story at a time; requests wait for their turn in the order they came. Stories
come as they do everywhere: sentence by sentence, each checked by the safety before it is sent. A
client that goes away stops its story. Needs the extra `serve` (starlette, uvicorn).
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tinytales.errors import PromptError, TinytalesError, UsageError, require
from tinytales.prompt import HEADER_LINES, StoryPrompt
from tinytales.sampling import Sampling, draw_seed

if TYPE_CHECKING:
    import socket

    from starlette.applications import Starlette
    from starlette.requests import Request

    from tinytales.storyteller import Storyteller, Telling

#: The open bundle answers to its own name and to this one.
ALIAS = "tinytales"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_BYTES = 1_000_000
MOST_STORIES = 16
MOST_STOPS = 4
#: More requests than this do not wait: they are asked to come back (429).
MOST_WAITING = 64
#: How a story ended -> what OpenAI calls it.
FINISH = {
    "end": "stop", "length": "length", "context": "length", "unsafe": "content_filter",
    "cancelled": "stop",
}  # fmt: skip
#: What OpenAI knows and a storyteller does not: refused unless it asks for nothing.
NOT_HERE: dict[str, tuple[Any, ...]] = {
    "best_of": (None, 1),
    "echo": (None, False),
    "frequency_penalty": (None, 0),
    "function_call": (None,),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "logprobs": (None, False, 0),
    "presence_penalty": (None, 0),
    "response_format": (None, {"type": "text"}),
    "suffix": (None, ""),
    "tool_choice": (None, "none", "auto"),
    "tools": (None, []),
    "top_logprobs": (None, 0),
}


class ApiError(Exception):
    """An error in OpenAI's form: the status, and what goes into `error`."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


# ---------------------------------------------------------------- what is asked


@dataclass(frozen=True, slots=True)
class Order:
    """One request, understood: which stories, and how to answer."""

    chat: bool
    prompts: tuple[StoryPrompt, ...]
    sampling: Sampling
    stories_each: int = 1
    max_tokens: int = 0
    stop: tuple[str, ...] = ()
    stream: bool = False
    include_usage: bool = False
    id: str = field(default_factory=lambda: uuid4().hex[:24])
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def read(cls, data: Mapping[str, Any], chat: bool) -> Order:
        """Raises ApiError, UsageError, PromptError: whatever is wrong with the request."""
        for name, nothing in NOT_HERE.items():
            if name in data and data[name] not in nothing:
                raise ApiError(
                    f"{name} is not supported by a storyteller", param=name, code="unsupported"
                )
        seed = _number(data, "seed", int, draw_seed(), low=0)
        defaults = Sampling()
        options = data.get("stream_options") or {}
        if not isinstance(options, dict):
            raise ApiError("stream_options must be an object", param="stream_options")
        limit = "max_completion_tokens" if "max_completion_tokens" in data else "max_tokens"
        return cls(
            chat=chat,
            prompts=(_chat_prompt(data.get("messages")),) if chat else _prompts(data),
            sampling=Sampling(
                temperature=_number(data, "temperature", float, defaults.temperature),
                top_p=_number(data, "top_p", float, defaults.top_p),
                top_k=_number(data, "top_k", int, defaults.top_k),
                min_p=_number(data, "min_p", float, defaults.min_p),
                repetition_penalty=_number(
                    data, "repetition_penalty", float, defaults.repetition_penalty
                ),
                seed=seed,
            ),
            stories_each=_number(data, "n", int, 1, low=1, high=MOST_STORIES),
            max_tokens=_number(data, limit, int, 0, low=1),
            stop=_stops(data.get("stop")),
            stream=_flag(data, "stream"),
            include_usage=_flag(options, "include_usage"),
        )

    def stories(self) -> Iterator[tuple[int, StoryPrompt, Sampling]]:
        """The stories to tell: index, prompt, and a seed of its own for each."""
        seed = self.sampling.seed or 0
        for i in range(len(self.prompts) * self.stories_each):
            yield i, self.prompts[i // self.stories_each], replace(self.sampling, seed=seed + i)


def _prompts(data: Mapping[str, Any]) -> tuple[StoryPrompt, ...]:
    prompt = data.get("prompt")
    texts = [prompt] if isinstance(prompt, str) else prompt
    if texts is None:
        texts = [""]
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise ApiError("prompt must be a string or a list of strings", param="prompt")
    if len(texts) > MOST_STORIES:
        raise ApiError(f"at most {MOST_STORIES} prompts in one request", param="prompt")
    return tuple(StoryPrompt.parse(text) for text in texts)


def _chat_prompt(messages: Any) -> StoryPrompt:
    """The last user's wish is the summary; header lines in it are wishes of their own.

    A last message by the assistant is the opening, to be told on. A tiny storyteller has no use for
    system messages and for what was said before.
    """
    if not isinstance(messages, list) or not messages:
        raise ApiError("messages must be a list of messages", param="messages")
    said = [(_role(message), _content(message)) for message in messages]
    opening = said[-1][1] if said[-1][0] == "assistant" else ""
    wish = next((text for role, text in reversed(said) if role == "user"), "")
    if any(line.partition(":")[0].lower() in (*HEADER_LINES, "story") for line in wish.split("\n")):
        asked = StoryPrompt.parse(wish if "story:" in wish.lower() else f"{wish}\nStory:\n")
        return replace(asked, opening=opening or asked.opening)
    return StoryPrompt(summary=wish, opening=opening)


def _role(message: Any) -> str:
    role = message.get("role") if isinstance(message, dict) else None
    if role not in ("system", "developer", "user", "assistant"):
        raise ApiError(
            "each message needs a role: system, developer, user or assistant", param="messages"
        )
    return str(role)


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):  # parts: the texts of them
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        content = None if None in parts else "".join(map(str, parts))
    if not isinstance(content, str):
        raise ApiError("the content of a message must be text", param="messages")
    return content


def _number(
    data: Mapping[str, Any],
    name: str,
    kind: Callable[[Any], Any],
    default: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
) -> Any:
    value = data.get(name)
    if value is None:
        return default
    whole = kind is int
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise ApiError(f"{name} must be a {'whole ' if whole else ''}number", param=name)
    if not low <= value <= high:
        span = f"at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise ApiError(f"{name} is {value}: choose {span}", param=name)
    return value


def _flag(data: Mapping[str, Any], name: str) -> bool:
    value = data.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError(f"{name} must be true or false", param=name)
    return bool(value)


def _stops(stop: Any) -> tuple[str, ...]:
    stops = [stop] if isinstance(stop, str) else (stop or [])
    if not isinstance(stops, list) or not all(isinstance(s, str) and s for s in stops):
        raise ApiError("stop must be a string or a list of strings", param="stop")
    if len(stops) > MOST_STOPS:
        raise ApiError(f"stop has {len(stops)} strings, {MOST_STOPS} are allowed", param="stop")
    return tuple(stops)


# ---------------------------------------------------------------- what is answered


class Cut:
    """The end that the request sets to a story: its stop strings and its number of tokens.

    `feed` gives the text that may be sent; `reason` is set when nothing more may come.
    """

    def __init__(
        self, order: Order, encode: Callable[[str], list[int]], decode: Callable[[list[int]], str]
    ) -> None:
        self._stop, self._most = order.stop, order.max_tokens
        self._encode, self._decode = encode, decode
        self._held = ""
        self.tokens = 0
        self.reason: str | None = None

    def feed(self, sentence: str) -> str:
        if self.reason:
            return ""
        tokens = self._encode(sentence)
        if self._most and self.tokens + len(tokens) >= self._most:
            tokens = tokens[: self._most - self.tokens]
            sentence = self._decode(tokens).rstrip("\ufffd")
            self.reason = "length"
        self.tokens += len(tokens)
        text = self._held + sentence
        self._held = ""
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.reason = "stop"
            return text[: min(found)]
        if not self.reason:  # a stop string may begin here and go on in the next sentence
            held = max((_overlap(text, stop) for stop in self._stop), default=0)
            self._held, text = text[len(text) - held :], text[: len(text) - held]
        return text

    def rest(self) -> str:
        """What was held back, when the story has ended without the stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many of the last characters of `text` may begin `stop`."""
    return next((n for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n])), 0)


class Desk:
    """Where requests wait for the one engine: one thread tells, and the event loop never waits."""

    def __init__(self, teller: Storyteller) -> None:
        self.teller = teller
        self.waiting = 0
        self._turn = asyncio.Lock()  # wakes those who wait in the order they came
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="storyteller")

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def check(self, order: Order) -> None:
        """Answer what cannot be told before the request waits for its turn."""
        for prompt in order.prompts:
            found = self.teller.safety.check_prompt(prompt)
            if found is not None:
                raise ApiError(
                    f"there is no gentle story about {found.word!r} ({found.reason})",
                    param="messages" if order.chat else "prompt",
                    code="content_policy_violation",
                )
            self.teller.prompt_tokens(prompt)
        if self.waiting >= MOST_WAITING:
            raise ApiError(
                f"{self.waiting} requests are waiting: come back later",
                status=429,
                kind="rate_limit_error",
                code="queue_full",
            )

    async def tell(
        self, order: Order, gone: Callable[[], Any]
    ) -> AsyncGenerator[tuple[int, str, str | None, int], None]:
        """The stories of an order, in turn: index, text, finish (with the last text), tokens.

        `gone` tells whether the client went away; then the story stops.
        """
        self.waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self.waiting -= 1
        try:
            for index, prompt, sampling in order.stories():
                telling = self.teller.stream(prompt, sampling)
                try:
                    async with aclosing(self._one(order, telling, prompt, gone)) as pieces:
                        async for text, finish, tokens in pieces:
                            yield index, text, finish, tokens
                finally:  # also when this generator is closed or cancelled in the middle
                    telling.cancel()
                    self._thread.submit(_drain, telling)
                if await gone():
                    return
        finally:
            self._turn.release()

    async def _one(
        self, order: Order, telling: Telling, prompt: StoryPrompt, gone: Callable[[], Any]
    ) -> AsyncGenerator[tuple[str, str | None, int], None]:
        loop = asyncio.get_running_loop()
        bundle = self.teller.bundle
        cut = Cut(order, bundle.encode, bundle.tokenizer.decode)
        if prompt.opening:  # the client has it already
            await loop.run_in_executor(self._thread, next, telling, None)
        while not cut.reason and not await gone():
            sentence = await loop.run_in_executor(self._thread, next, telling, None)
            if sentence is None:
                break
            text = cut.feed(sentence)
            if text and not cut.reason:
                yield text, None, 0
            elif cut.reason:
                yield text, cut.reason, cut.tokens
                return
        yield cut.rest(), FINISH[telling.story.finish], cut.tokens


def _drain(telling: Telling) -> None:
    """Let a cancelled telling end, so that the engine is free for the next."""
    for _ in telling:
        pass


# ---------------------------------------------------------------- the application


def create_app(teller: Storyteller, *, any_host: bool = False) -> Starlette:
    """The ASGI application for an open storyteller.

    Unless `any_host`, only requests that name this machine are answered, so that a page in a
    browser cannot reach it under a name of its own (DNS rebinding).

    Raises:
        MissingExtra: starlette is not installed.
    """
    require("starlette", "serve")
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route

    desk = Desk(teller)
    name = teller.bundle.name

    def usage(order: Order, completion: int) -> dict[str, int]:
        asked = sum(len(teller.prompt_tokens(prompt)) for prompt in order.prompts)
        return {
            "prompt_tokens": asked,
            "completion_tokens": completion,
            "total_tokens": asked + completion,
        }

    def answer(order: Order, choices: list[dict[str, Any]], part: bool) -> dict[str, Any]:
        kind = "chat.completion" + (".chunk" if part else "") if order.chat else "text_completion"
        return {
            "id": ("chatcmpl-" if order.chat else "cmpl-") + order.id,
            "object": kind,
            "created": order.created,
            "model": name,
            "system_fingerprint": teller.bundle.digest[:12],
            "choices": choices,
        }

    async def complete(request: Request, chat: bool) -> Response:
        data = await _json(request)
        asked = data.get("model")
        if not isinstance(asked, str):
            raise ApiError("model must be named", param="model")
        if asked not in (name, ALIAS):
            raise ApiError(
                f"the model {asked!r} is not here; this is {name!r}",
                status=404,
                param="model",
                code="model_not_found",
            )
        order = Order.read(data, chat)
        desk.check(order)
        if order.stream:
            events = _events(order, desk, request.is_disconnected, answer, usage)
            return StreamingResponse(events, media_type="text/event-stream")
        texts = [""] * (len(order.prompts) * order.stories_each)
        finishes: list[str | None] = [None] * len(texts)
        told = 0
        try:
            async with aclosing(desk.tell(order, request.is_disconnected)) as pieces:
                async for index, text, finish, tokens in pieces:
                    texts[index] += text
                    finishes[index] = finish
                    told += tokens
        except Exception as error:  # if it went on to uvicorn, that would hang up on the client
            raise _as_api_error(error) from error
        choices = [
            _choice(order, index, text, finish, part=False)
            for index, (text, finish) in enumerate(zip(texts, finishes, strict=True))
        ]
        return JSONResponse(answer(order, choices, False) | {"usage": usage(order, told)})

    async def completions(request: Request) -> Response:
        return await complete(request, chat=False)

    async def chat_completions(request: Request) -> Response:
        return await complete(request, chat=True)

    async def models(request: Request) -> Response:
        model = {"id": name, "object": "model", "created": 0, "owned_by": "tinytales"}
        asked = request.path_params.get("model")
        if asked is None:
            return JSONResponse({"object": "list", "data": [model]})
        if asked not in (name, ALIAS):
            raise ApiError(f"the model {asked!r} is not here", status=404, code="model_not_found")
        return JSONResponse(model)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "model": name, "waiting": desk.waiting})

    async def api_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return JSONResponse(error.body, status_code=error.status)

    async def tale_error(request: Request, error: Exception) -> Response:
        wrong = _as_api_error(error)
        return JSONResponse(wrong.body, status_code=wrong.status)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        wrong = ApiError(
            f"{request.method} {request.url.path}: {error.detail}", status=error.status_code
        )
        return JSONResponse(wrong.body, status_code=wrong.status, headers=error.headers)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        desk.close()

    hosts = ["*"] if any_host else [*LOOPBACK, "[::1]"]
    return Starlette(
        routes=[
            Route("/v1/models", models),
            Route("/v1/models/{model:path}", models),
            Route("/v1/completions", completions, methods=["POST"]),
            Route("/v1/chat/completions", chat_completions, methods=["POST"]),
            Route("/health", health),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)],
        exception_handlers={
            ApiError: api_error,
            TinytalesError: tale_error,
            HTTPException: http_error,
            Exception: tale_error,
        },
        lifespan=lifespan,
    )


async def _json(request: Request) -> dict[str, Any]:
    """The body of a request. Raises ApiError: too big, no JSON, no object."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise ApiError(f"the request is larger than {MOST_BYTES:,} bytes", status=413)
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(f"the body is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ApiError("the body must be a JSON object")
    return data


async def _events(
    order: Order,
    desk: Desk,
    gone: Callable[[], Any],
    answer: Callable[[Order, list[dict[str, Any]], bool], dict[str, Any]],
    usage: Callable[[Order, int], dict[str, int]],
) -> AsyncIterator[str]:
    """The server-sent events of a streamed answer."""

    def event(data: Mapping[str, Any]) -> str:
        return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"

    told, begun = 0, set[int]()
    try:
        async with aclosing(desk.tell(order, gone)) as pieces:
            async for index, text, finish, tokens in pieces:
                told += tokens
                if order.chat and index not in begun:
                    begun.add(index)
                    choice = _choice(order, index, "", None, part=True)
                    choice["delta"] = {"role": "assistant", "content": ""}
                    yield event(answer(order, [choice], True))
                if text:
                    choice = _choice(order, index, text, None, part=True)
                    yield event(answer(order, [choice], True))
                if finish:
                    choice = _choice(order, index, "", finish, part=True)
                    yield event(answer(order, [choice], True))
        if order.include_usage:
            yield event(answer(order, [], True) | {"usage": usage(order, told)})
    except Exception as error:  # the status line is sent already: the error is an event
        yield event(_as_api_error(error).body)
    yield "data: [DONE]\n\n"


def _choice(
    order: Order, index: int, text: str, finish: str | None, *, part: bool
) -> dict[str, Any]:
    said: dict[str, Any] = {"text": text}
    if order.chat:
        said = (
            {"delta": {"content": text} if text else {}}
            if part
            else {"message": {"role": "assistant", "content": text, "refusal": None}}
        )
    return {"index": index, **said, "logprobs": None, "finish_reason": finish}


def _as_api_error(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, TinytalesError):
        said = f"{error.message}: {error.hint}" if error.hint else error.message
        if isinstance(error, PromptError) and "too long" in error.message:
            return ApiError(said, code="context_length_exceeded")
        if isinstance(error, UsageError):
            return ApiError(said)
        return ApiError(said, status=500, kind="server_error")
    logging.getLogger("uvicorn.error").error("the storyteller failed", exc_info=error)
    return ApiError("the storyteller failed", status=500, kind="server_error")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket: a taken port is told before the bundle is opened, early clients wait.

    Raises:
        TinytalesError: the port is taken, or the address is not this machine's.
    """
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    if os.name != "nt":  # there it would let two servers share a port
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen()
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or error
        raise TinytalesError(
            f"cannot listen on {host} port {port}: {reason}",
            hint="choose another with --port, or --port 0 for any free one",
        ) from error
    return bound


def run(teller: Storyteller, sockets: Sequence[socket.socket], *, any_host: bool = False) -> None:
    """Serve until interrupted."""
    uvicorn = require("uvicorn", "serve")
    config = uvicorn.Config(
        create_app(teller, any_host=any_host),
        log_level="warning",
        timeout_graceful_shutdown=2,
        lifespan="on",
    )
    uvicorn.Server(config).run(sockets=list(sockets))
