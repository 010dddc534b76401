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

from tinytales.server.app import LOOPBACK, create_app, listen, run

__all__ = ["LOOPBACK", "create_app", "listen", "run"]
