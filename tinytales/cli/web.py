"""`tinytales web`: the same app in a browser, on this machine only.

tinytales web                    then open http://127.0.0.1:8765
tinytales web --port 9000

Needs the extra: pip install 'tinytales[web]'. Each browser tab is an app of its own on one library.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def web(
    port: Annotated[int, typer.Option(help="Where to listen on 127.0.0.1.", min=1, max=65535)] = (
        8765
    ),
    model: Annotated[
        Path | None, typer.Option(help="A bundle folder; default: the shipped one.")
    ] = None,
    theme: Annotated[str | None, typer.Option(help="day, bedtime or contrast.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where stories are kept.")] = None,
) -> None:
    """Open the app in a browser on this machine."""
    from tinytales.errors import TinytalesError
    from tinytales.tui.browser import HOST, make_server

    command = app_command(model=model, theme=theme, data_dir=data_dir)
    server = make_server(command, port)
    if not port_is_free(HOST, port):
        raise TinytalesError(
            f"port {port} on {HOST} is taken",
            hint=f"choose another: tinytales web --port {port + 1}",
        )
    print(f"The storyteller waits at http://{HOST}:{port} (Ctrl-C ends)", file=sys.stderr)
    server.serve()


def app_command(
    *, model: Path | None = None, theme: str | None = None, data_dir: Path | None = None
) -> str:
    """The command line of the app behind each browser tab."""
    parts = [sys.executable, "-P", "-m", "tinytales", "app"]
    for name, value in (("--model", model), ("--theme", theme), ("--data-dir", data_dir)):
        if value is not None:
            parts += [name, str(value)]
    return shlex.join(parts)


def port_is_free(host: str, port: int) -> bool:
    import socket

    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
