"""What is answered: the stories of an order as OpenAI's objects, whole or as a stream of events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from tinytales.server.errors import as_api_error

if TYPE_CHECKING:
    from tinytales.server.desk import Desk
    from tinytales.server.order import Order


class Answers:
    """Has orders told at the desk. `gone` tells whether the client went away; then it stops."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._teller = desk.teller

    async def whole(self, order: Order, gone: Callable[[], Any]) -> dict[str, Any]:
        """All stories in one object."""
        texts = [""] * (len(order.prompts) * order.stories_each)
        finishes: list[str | None] = [None] * len(texts)
        told = 0
        async with aclosing(self._desk.tell(order, gone)) as pieces:
            async for index, text, finish, tokens in pieces:
                texts[index] += text
                finishes[index] = finish
                told += tokens
        choices = []
        for index, (text, finish) in enumerate(zip(texts, finishes, strict=True)):
            message = {"role": "assistant", "content": text, "refusal": None}
            said = {"message": message} if order.chat else {"text": text}
            choices.append(_choice(index, said, finish))
        return self._object(order, choices) | {"usage": self._usage(order, told)}

    async def events(self, order: Order, gone: Callable[[], Any]) -> AsyncIterator[str]:
        """Server-sent events, one for each sentence."""
        told, begun = 0, set[int]()
        try:
            async with aclosing(self._desk.tell(order, gone)) as pieces:
                async for index, text, finish, tokens in pieces:
                    told += tokens
                    if order.chat and index not in begun:
                        begun.add(index)
                        role = {"role": "assistant", "content": ""}
                        yield self._event(order, _choice(index, {"delta": role}, None))
                    if text:
                        said = {"delta": {"content": text}} if order.chat else {"text": text}
                        yield self._event(order, _choice(index, said, None))
                    if finish:
                        nothing: dict[str, Any] = {"delta": {}} if order.chat else {"text": ""}
                        yield self._event(order, _choice(index, nothing, finish))
            if order.include_usage:
                yield self._event(order, usage=self._usage(order, told))
        except Exception as error:  # the status line is sent already: the error is an event
            yield _data(as_api_error(error).body)
        yield "data: [DONE]\n\n"

    def _event(self, order: Order, *choices: dict[str, Any], **more: Any) -> str:
        return _data(self._object(order, list(choices), ".chunk") | more)

    def _object(
        self, order: Order, choices: list[dict[str, Any]], part: str = ""
    ) -> dict[str, Any]:
        return {
            "id": ("chatcmpl-" if order.chat else "cmpl-") + order.id,
            "object": f"chat.completion{part}" if order.chat else "text_completion",
            "created": order.created,
            "model": self._teller.bundle.name,
            "system_fingerprint": self._teller.bundle.digest[:12],
            "choices": choices,
        }

    def _usage(self, order: Order, told: int) -> dict[str, int]:
        asked = sum(len(self._teller.prompt_tokens(prompt)) for prompt in order.prompts)
        return {
            "prompt_tokens": asked,
            "completion_tokens": told,
            "total_tokens": asked + told,
        }


def _choice(index: int, said: Mapping[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": index, **said, "logprobs": None, "finish_reason": finish}


def _data(event: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
