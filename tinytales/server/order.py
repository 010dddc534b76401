"""What is asked: the body of a request, understood as an order of stories.

A completion's prompt is an opening, or header lines and an opening; in a chat the last wish is the
summary. What OpenAI knows and a storyteller does not is refused, unless it asks for nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from tinytales.prompt import HEADER_LINES, StoryPrompt
from tinytales.sampling import Sampling, draw_seed
from tinytales.server.errors import ApiError

MOST_STORIES = 16
MOST_STOPS = 4
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
