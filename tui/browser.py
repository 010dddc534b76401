"""The app in a browser on this machine: textual-serve with a page of our own and a closed door.

    tinytales web

Textual-serve's own page fetches a font from the network, and its socket would answer to any web
page that happens to be open in the same browser. Here the page needs nothing from outside, and only
requests that come from itself are answered.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tinytales.errors import require

HOST = "127.0.0.1"


def make_server(command: str, port: int) -> Any:
    """A `textual_serve` server of `command` on 127.0.0.1. Raises MissingExtra."""
    serving = require("textual_serve.server", "web")
    web = require("aiohttp.web", "web")

    @web.middleware
    async def from_here_only(request: Any, handler: Any) -> Any:
        """Refuse other sites (Origin) and other names for this machine (Host)."""
        names = {f"{HOST}:{port}", f"localhost:{port}"}
        origin = request.headers.get("Origin", "")
        if request.headers.get("Host", "") not in names or (
            origin and origin.removeprefix("http://") not in names
        ):
            raise web.HTTPForbidden(text="tinytales answers to its own page only")
        return await handler(request)

    class Server(serving.Server):  # type: ignore[name-defined,misc]
        async def _make_app(self) -> Any:
            app = await super()._make_app()
            app.middlewares.append(from_here_only)
            return app

        async def on_startup(self, app: Any) -> None:
            """No banner: the command has said where to look."""

        def initialize_logging(self) -> None:
            logging.basicConfig(level=logging.WARNING)

    return Server(
        command, host=HOST, port=port, title="tinytales", templates_path=Path(__file__).parent
    )
