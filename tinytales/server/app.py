"""The ASGI application: its addresses, who may come in, and the socket that it listens on."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tinytales.errors import TinytalesError, require
from tinytales.server.answers import Answers
from tinytales.server.desk import Desk
from tinytales.server.errors import ApiError, as_api_error
from tinytales.server.order import Order

if TYPE_CHECKING:
    import socket

    from starlette.applications import Starlette
    from starlette.requests import Request

    from tinytales.storyteller import Storyteller

#: The open bundle answers to its own name and to this one.
ALIAS = "tinytales"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_BYTES = 1_000_000


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
    answers = Answers(desk)
    name = teller.bundle.name

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
            events = answers.events(order, request.is_disconnected)
            return StreamingResponse(events, media_type="text/event-stream")
        try:
            return JSONResponse(await answers.whole(order, request.is_disconnected))
        except Exception as error:  # if it went on to uvicorn, that would hang up on the client
            raise as_api_error(error) from error

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
        wrong = as_api_error(error)
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
