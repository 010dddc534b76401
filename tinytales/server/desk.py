"""Where requests wait for the one engine; and where a story ends because the request says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from tinytales.server.errors import ApiError

if TYPE_CHECKING:
    from tinytales.prompt import StoryPrompt
    from tinytales.server.order import Order
    from tinytales.storyteller import Storyteller, Telling

#: More requests than this do not wait: they are asked to come back (429).
MOST_WAITING = 64
#: How a story ended -> what OpenAI calls it.
FINISH = {
    "end": "stop", "length": "length", "context": "length", "unsafe": "content_filter",
    "cancelled": "stop",
}  # fmt: skip


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
