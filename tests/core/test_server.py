"""The endpoint, asked by the openai package over a real loopback connection."""

from __future__ import annotations

import http.client
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinytales.prompt import StoryPrompt
from tinytales.safety import Safety
from tinytales.sampling import Sampling
from tinytales.server import listen
from tinytales.server.desk import Cut
from tinytales.server.order import MOST_STORIES, Order

httpx = pytest.importorskip("httpx")
openai = pytest.importorskip("openai")
uvicorn = pytest.importorskip("uvicorn")

pytestmark = pytest.mark.allow_loopback


class Slow:
    """A storyteller that takes its time, counts, and notices when it is stopped."""

    def __init__(self, sentence: str = " The fox ran.", count: int = 4, seconds: float = 0) -> None:
        self.sentence, self.count, self.seconds = sentence, count, seconds
        self.safety = Safety()
        self.told: list[StoryPrompt] = []
        self.samplings: list[Sampling] = []
        self.cancelled = 0
        self.at_once = self.most_at_once = 0
        self.bundle = SimpleNamespace(
            name="slow",
            digest="d" * 64,
            encode=lambda text: [ord(c) for c in text],
            tokenizer=SimpleNamespace(decode=lambda tokens: "".join(map(chr, tokens))),
        )

    def prompt_tokens(self, prompt: StoryPrompt) -> list[int]:
        return [0, *self.bundle.encode(prompt.render())]

    def stream(self, prompt: StoryPrompt, sampling: Sampling) -> SlowTelling:
        self.told.append(prompt)
        self.samplings.append(sampling)
        return SlowTelling(self, prompt)


class SlowTelling:
    def __init__(self, teller: Slow, prompt: StoryPrompt) -> None:
        self.teller, self.stopped = teller, threading.Event()
        self.story = SimpleNamespace(finish="end")
        self.sentences = self.tell(prompt)

    def tell(self, prompt: StoryPrompt) -> Iterator[str]:
        if prompt.opening:
            yield prompt.opening
        self.teller.at_once += 1
        self.teller.most_at_once = max(self.teller.most_at_once, self.teller.at_once)
        for _ in range(self.teller.count):
            if self.stopped.wait(self.teller.seconds):
                self.teller.cancelled += 1
                break
            if "boom" in prompt.opening:
                raise RuntimeError("the engine fell over")
            yield self.teller.sentence
        self.teller.at_once -= 1

    def cancel(self) -> None:
        self.stopped.set()

    def __iter__(self) -> Iterator[str]:
        return self.sentences

    def __next__(self) -> str:
        return next(self.sentences)


class Served:
    """A server of its own for one teller, in a thread."""

    def __init__(self, teller: Any) -> None:
        from tinytales.server import create_app

        self.socket = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = uvicorn.Config(create_app(teller), log_level="critical", lifespan="on")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)
        self.thread.start()
        until(lambda: self.server.started)
        self.client = openai.OpenAI(base_url=self.url + "/v1", api_key="-", max_retries=0)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.socket.close()


def until(true: Any, seconds: float = 10) -> None:
    """Wait for something to become true; fail if it does not."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def serve() -> Iterator[Any]:
    served: list[Served] = []

    def start(teller: Any) -> Served:
        served.append(Served(teller))
        return served[-1]

    yield start
    for each in served:
        each.close()


@pytest.fixture(scope="module")
def still() -> Iterator[tuple[Slow, Any]]:
    """One server for the tests that only ask and read: its teller, and a plain HTTP client."""
    teller = Slow()
    served = Served(teller)
    with httpx.Client(base_url=served.url) as client:
        yield teller, client
    served.close()


# ---------------------------------------------------------------- a real voice


@pytest.fixture(scope="module")
def voice(tiny_bundle: Path) -> Iterator[Served]:
    from tinytales.storyteller import Storyteller

    with Storyteller.open(tiny_bundle, threads=1) as teller:
        served = Served(teller)
        yield served
        served.close()


def test_the_model_is_listed_under_its_name(voice: Served) -> None:
    (model,) = voice.client.models.list().data
    assert voice.client.models.retrieve(model.id).id == model.id
    assert voice.client.models.retrieve("tinytales").id == model.id


def test_a_completion_tells_what_the_storyteller_tells(voice: Served, tiny_bundle: Path) -> None:
    from tinytales.storyteller import Storyteller

    opening = "One day, a fox"
    done = voice.client.completions.create(
        model="tinytales", prompt=opening, seed=7, temperature=0.7, top_p=0.9
    )
    with Storyteller.open(tiny_bundle, threads=1) as teller:
        told = teller.tell(
            StoryPrompt(opening=opening), Sampling(temperature=0.7, top_p=0.9, seed=7)
        )
    assert opening + done.choices[0].text == told.text
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    assert done.usage.completion_tokens > 0


def test_streamed_and_whole_answers_are_the_same(voice: Served) -> None:
    asked: dict[str, Any] = {
        "model": "tinytales",
        "messages": [{"role": "user", "content": "A story about a kite."}],
        "seed": 3,
        "n": 2,
    }
    whole = voice.client.chat.completions.create(**asked)
    texts = ["", ""]
    finishes: list[str | None] = [None, None]
    usage = None
    parts = voice.client.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    )
    for part in parts:
        usage = part.usage or usage
        for choice in part.choices:
            texts[choice.index] += choice.delta.content or ""
            finishes[choice.index] = choice.finish_reason or finishes[choice.index]
    assert texts == [choice.message.content for choice in whole.choices]
    assert finishes == [choice.finish_reason for choice in whole.choices]
    assert usage == whole.usage
    assert texts[0] != texts[1]  # a seed of its own for each


def test_max_tokens_is_kept_to(voice: Served) -> None:
    done = voice.client.completions.create(
        model="tinytales", prompt="One day", max_tokens=5, seed=1
    )
    assert done.usage.completion_tokens == 5
    assert done.choices[0].finish_reason == "length"


def test_a_prompt_longer_than_the_memory_is_told_so(voice: Served) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        voice.client.completions.create(model="tinytales", prompt="One fox ran home. " * 400)
    assert caught.value.code == "context_length_exceeded"


# ---------------------------------------------------------------- what is understood


def test_messages_become_wishes(serve: Any) -> None:
    teller = Slow()
    client = serve(teller).client

    def ask(*messages: tuple[str, str]) -> StoryPrompt:
        client.chat.completions.create(
            model="slow", messages=[{"role": r, "content": c} for r, c in messages]
        )
        return teller.told[-1]

    assert ask(("system", "Be brief."), ("user", "A dog learns to swim.")) == StoryPrompt(
        summary="A dog learns to swim."
    )
    assert ask(("user", "A dog."), ("assistant", "One day,")) == StoryPrompt(
        summary="A dog.", opening="One day,"
    )
    assert ask(("user", "Words: kite, climb\nFeatures: Moral")) == StoryPrompt(
        words=("kite", "climb"), features=("moral",)
    )
    assert ask(("user", "Words: kite\nStory:\nOne day")) == StoryPrompt(
        words=("kite",), opening="One day"
    )


def test_prompts_may_carry_the_header_and_be_many(serve: Any) -> None:
    teller = Slow()
    done = serve(teller).client.completions.create(
        model="slow", prompt=["Words: kite\nStory:\n", "One day"], n=2, seed=5
    )
    assert [c.index for c in done.choices] == [0, 1, 2, 3]
    assert [p.words for p in teller.told] == [("kite",), ("kite",), (), ()]
    assert [s.seed for s in teller.samplings] == [5, 6, 7, 8]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("stop", "text"),
    [("fox", " The "), (["owl", "ran. The"], " The fox "), (" ran. The fox ran. T", " The fox")],
)
def test_stop_strings_end_the_story_even_between_sentences(
    serve: Any, stream: bool, stop: Any, text: str
) -> None:
    teller = Slow()
    done = serve(teller).client.completions.create(
        model="slow", prompt="", stop=stop, stream=stream
    )
    choices = [c for part in done for c in part.choices] if stream else done.choices
    assert "".join(choice.text for choice in choices) == text
    assert choices[-1].finish_reason == "stop"


def test_a_stop_string_that_only_began_is_told() -> None:
    cut = Cut(Order(chat=False, prompts=(), sampling=Sampling(), stop=("end.\nBye",)), list, str)
    assert cut.feed("The end.\n") == "The "
    assert cut.rest() == "end.\n"


BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "no model": ({"model": None}, 400, "model"),
    "another model": ({"model": "gpt-4"}, 404, "gpt-4"),
    "hot": ({"temperature": 99}, 400, "temperature"),
    "text as number": ({"temperature": "warm"}, 400, "temperature"),
    "true as number": ({"n": True}, 400, "n must be"),
    "too many": ({"n": MOST_STORIES + 1}, 400, "n is"),
    "none": ({"max_tokens": 0}, 400, "max_tokens"),
    "negative seed": ({"seed": -1}, 400, "seed"),
    "nan": ({"top_p": float("nan")}, 400, "top_p"),
    "tokens as prompt": ({"prompt": [1, 2, 3]}, 400, "prompt"),
    "five stops": ({"stop": list("abcde")}, 400, "stop"),
    "empty stop": ({"stop": ""}, 400, "stop"),
    "logprobs": ({"logprobs": 5}, 400, "logprobs"),
    "penalty": ({"frequency_penalty": 1}, 400, "frequency_penalty"),
    "stream as text": ({"stream": "yes"}, 400, "stream"),
    "unkind": ({"prompt": "He took a g u n"}, 400, "gentle"),
    "unknown feature": ({"prompt": "Features: Dance\nStory:\n"}, 400, "Dance"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_in_openais_form(still: tuple[Slow, Any], case: str) -> None:
    change, status, said = BAD[case]
    body = json.dumps({"model": "slow", "prompt": "One day"} | change)
    teller, client = still
    answer = client.post("/v1/completions", content=body)
    error = answer.json()["error"]
    assert answer.status_code == status
    assert set(error) == {"message", "type", "param", "code"}
    assert said in error["message"]
    assert teller.told == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/completions", b"{", 400),
        ("POST", "/v1/completions", b"[]", 400),
        ("POST", "/v1/completions", b"\xff\xfe", 400),
        ("POST", "/v1/completions", b"[" * 100_000, 400),
        ("POST", "/v1/completions", b" " * 1_000_001, 413),
        ("POST", "/v1/chat/completions", b'{"model": "slow"}', 400),
        ("POST", "/v1/chat/completions", b'{"model": "slow", "messages": [1]}', 400),
        ("GET", "/v1/completions", b"", 405),
        ("GET", "/v1/nothing", b"", 404),
        ("GET", "/v1/models/other", b"", 404),
    ],
)
def test_bad_bodies_and_addresses(
    still: tuple[Slow, Any], method: str, path: str, body: bytes, status: int
) -> None:
    answer = still[1].request(method, path, content=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_a_page_that_calls_this_machine_by_another_name_is_refused(still: tuple[Slow, Any]) -> None:
    _, client = still
    assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/health").json()["status"] == "ok"


# ---------------------------------------------------------------- one engine, many clients


def test_stories_wait_for_their_turn(serve: Any) -> None:
    teller = Slow(seconds=0.01)
    served = serve(teller)
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(served.client.completions.create, model="slow", prompt=f"Story {i}")
            for i in range(8)
        ]
        texts = {done.result().choices[0].text for done in asked}
    assert texts == {" The fox ran." * 4}
    assert len(teller.told) == 8
    assert teller.most_at_once == 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_stops_its_story(serve: Any, stream: bool) -> None:
    teller = Slow(count=1000, seconds=0.01)
    served = serve(teller)
    body = {"model": "slow", "prompt": "One day", "stream": stream}
    if stream:
        with httpx.stream("POST", served.url + "/v1/completions", json=body) as answer:
            next(answer.iter_lines())
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(served.url + "/v1/completions", json=body, timeout=0.2)
    until(lambda: teller.cancelled == 1, 2)
    teller.count = 2
    done = served.client.completions.create(model="slow", prompt="Another")
    assert done.choices[0].text == " The fox ran." * 2


def test_an_engine_that_fails_is_an_error_and_the_next_story_is_told(serve: Any) -> None:
    served = serve(Slow())
    with pytest.raises(openai.InternalServerError, match="failed"):
        served.client.completions.create(model="slow", prompt="boom")
    with pytest.raises(openai.APIError, match="failed"):
        list(served.client.completions.create(model="slow", prompt="boom", stream=True))
    assert served.client.completions.create(model="slow", prompt="hm").choices[0].text


def test_an_engine_that_fails_does_not_hang_up_on_its_client(
    serve: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(Slow())
    log = logging.getLogger("uvicorn.error")  # uvicorn lets nothing of it reach the root
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    monkeypatch.setattr(log, "disabled", False)
    caplog.set_level(logging.ERROR, "uvicorn.error")
    line = http.client.HTTPConnection(*served.socket.getsockname())
    for prompt, status in [("boom", 500), ("boom", 500), ("hm", 200)]:
        line.request(
            "POST", "/v1/completions", json.dumps({"model": "slow", "prompt": prompt}),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        answer = line.getresponse()
        answer.read()
        assert answer.status == status
        time.sleep(0.2)  # a server that hangs up after its answer has done so by now
    assert "the engine fell over" in caplog.text  # the client is not told, the owner is
    line.close()


def test_too_many_in_the_queue_are_asked_to_come_back(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinytales.server.desk.MOST_WAITING", 1)
    served = serve(Slow(count=50, seconds=0.02))

    def ask() -> Any:
        return served.client.completions.create(model="slow", prompt="One day")

    def waiting() -> int:
        return int(httpx.get(served.url + "/health").json()["waiting"])

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask)
        time.sleep(0.1)
        second = pool.submit(ask)
        until(lambda: waiting() == 1)
        with pytest.raises(openai.RateLimitError):
            ask()
        assert first.result().choices[0].text == second.result().choices[0].text


def test_the_core_stays_light_without_the_extra() -> None:
    code = "import sys, tinytales.server; print({'starlette', 'uvicorn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
