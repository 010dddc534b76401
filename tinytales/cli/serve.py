"""`tinytales serve`: stories over an OpenAI-compatible endpoint on this machine.

tinytales serve
tinytales serve --port 9000 --model runs/fox/bundle
curl http://127.0.0.1:8765/v1/completions -d '{"model": "tinytales", "prompt": "One day,"}'
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on; others than 127.0.0.1 open the door.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free one.", min=0, max=65535)] = 8765,
    model: Annotated[
        Path | None, typer.Option(help="A bundle folder; default: the shipped one.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the runtime.", min=1)] = None,
    safety: Annotated[str, typer.Option(help="gentle, careful or off.")] = "gentle",
) -> None:
    """Serve stories until Ctrl-C: /v1/models, /v1/completions, /v1/chat/completions."""
    from tinytales import server
    from tinytales.errors import require
    from tinytales.safety import Safety
    from tinytales.storyteller import Storyteller

    for package in ("starlette", "uvicorn"):
        require(package, "serve")
    rules = Safety(safety)
    with (
        server.listen(host, port) as bound,
        Storyteller.open(model, threads=threads, safety=rules) as teller,
    ):
        open_door = host not in server.LOOPBACK
        if open_door:
            print(
                f"warning: {host} can be reached from other machines, and anyone who reaches it "
                "can have stories told; there is no password",
                file=sys.stderr,
            )
        at = f"[{host}]" if ":" in host else host
        print(
            f"{teller.bundle.name} tells at http://{at}:{bound.getsockname()[1]}/v1"
            " (Ctrl-C ends it)",
            file=sys.stderr,
            flush=True,
        )
        server.run(teller, [bound], any_host=open_door)
