"""The wire: bodies match the API's own types, refusals are understood, the key stays secret."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import new_desk
from judge_server import JudgeServer

from tinytales.errors import TinytalesError, UsageError
from tinytales.grading import Desk
from tinytales.grading.batch import body_of
from tinytales.grading.judge import address_of, response_format, retry_after
from tinytales.grading.rubric import BUILT_IN, load
from tinytales.grading.steps import Job, Request, next_step
from tinytales.grading.verdict import model_of
from tinytales.story import Story

Tales = Callable[..., list[Story]]
KEY = "sk-test-4f1c9a7e2b8d"


def check_body(body: dict[str, Any]) -> None:
    """Against the types that the openai package publishes."""
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
    from pydantic import TypeAdapter

    known = set(CompletionCreateParamsNonStreaming.__annotations__)
    for base in CompletionCreateParamsNonStreaming.__orig_bases__:  # type: ignore[attr-defined]
        known |= set(getattr(base, "__annotations__", {}))
    assert set(body) <= known
    checked = TypeAdapter(CompletionCreateParamsNonStreaming).validate_python(body)
    assert list(checked["messages"]) == body["messages"]


@pytest.mark.allow_loopback
@pytest.mark.parametrize("rubric", ["paper", "instruct", "gentle"])
def test_bodies_match_the_published_schema(
    desk: Desk, server: JudgeServer, tales: Tales, rubric: str
) -> None:
    desk.grade(desk.plan(tales(3), rubric))
    assert len(server.bodies) == (6 if rubric == "paper" else 3)
    for body in server.bodies:
        check_body(body)


@pytest.mark.allow_loopback
def test_a_batch_body_is_the_live_body(desk: Desk, server: JudgeServer, tales: Tales) -> None:
    job = Job(tales(1)[0], load("gentle"), desk.judge)
    request = next_step(job, desk.cache)
    assert isinstance(request, Request)
    body = body_of(request, desk.cache)
    desk.grade(desk.plan(tales(1), "gentle"))
    live = server.bodies[0]
    assert live.pop("stream", False) is False
    live_schema = live.pop("response_format")["json_schema"]["schema"]["properties"]
    ours = body.pop("response_format")["json_schema"]["schema"]["properties"]
    assert live == body
    assert list(live_schema) == list(ours)
    assert [v["type"] for v in live_schema.values()] == [v["type"] for v in ours.values()]


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_handwritten_schema_is_pydantics(name: str) -> None:
    rubric = load(name)
    ours = response_format(Request("", [], True, rubric, Desk.__new__(Desk)))  # type: ignore[arg-type]
    theirs = model_of(rubric).model_json_schema()

    def plain(schema: dict[str, Any]) -> dict[str, Any]:
        kept = {k: v for k, v in schema.items() if k != "title"}
        return {k: plain(v) if isinstance(v, dict) else v for k, v in kept.items()}

    assert plain(ours["json_schema"]["schema"]) == plain(theirs)


@pytest.mark.allow_loopback
@pytest.mark.parametrize(
    "refuses",
    [("temperature",), ("max_completion_tokens",), ("temperature", "response_format"),
     ("max_completion_tokens", "max_tokens", "temperature", "response_format")],
)  # fmt: skip
def test_refused_parameters_are_dropped_and_recorded(
    desk: Desk, server: JudgeServer, tales: Tales, refuses: tuple[str, ...]
) -> None:
    server.refuses = refuses
    scores = desk.grade(desk.plan(tales(4), "gentle"))
    assert all(score.scored for score in scores)
    for score in scores:
        assert set(refuses) <= {*score.dropped, "max_tokens"}
    for body in server.bodies:
        assert not set(body) & set(refuses)
    if refuses == ("max_completion_tokens",):
        assert all("max_tokens" in body for body in server.bodies)
    # … and remembered: the next run does not try again
    asked = len(server.headers)
    desk.grade(desk.plan(tales(6), "gentle"))
    assert len(server.headers) == asked + 2


@pytest.mark.allow_loopback
def test_a_score_keeps_everything_that_is_needed_to_check_it(desk: Desk, tales: Tales) -> None:
    score = desk.grade(desk.plan(tales(1), "paper"))[0]
    assert score.rubric == "paper@1" and score.snapshot == "judge-2025-04-14"
    assert score.parameters == {"temperature": 0.0} and score.address == desk.judge.address
    assert len(score.exchange) == 2
    first, second = score.exchange
    assert "fox 0\n***\n" in first["messages"][1]["content"]
    assert second["messages"][2]["content"] == first["reply"] == score.assessment
    assert '"grammar"' in second["reply"]


@pytest.mark.allow_loopback
@pytest.mark.parametrize("fault", ["", "429", "500", "401", "404", "451", "half"])
def test_the_key_is_in_no_file_no_error_and_no_log(
    fault: str,
    tmp_path: Path,
    tales: Tales,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Against a server that puts the key into every word it says."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("tinytales.grading.live.MOST_TRIES", 2)
    caplog.set_level(logging.DEBUG)
    said = ""
    with JudgeServer(key=KEY, leak=True) as server, new_desk(server, tmp_path, deadline=3) as desk:
        if fault in ("429", "500", "half"):
            server.faults, server.retry_after = {fault: 1.0}, "0"
        elif fault == "401":
            server.key = "another"
        elif fault:
            server.status = int(fault)
        try:
            scores = desk.grade(desk.plan(tales(2), "paper"))
            said = repr(scores)
            assert all(score.scored for score in scores) == (not fault)
        except TinytalesError as error:
            said = (
                f"{error!r} {error.message} {error.hint} {error.__cause__!r} {error.__context__!r}"
            )
            assert fault in ("401", "404")
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    output = capfd.readouterr()
    for place in (said, written.decode("latin-1"), caplog.text, output.out, output.err):
        assert KEY not in place


@pytest.mark.allow_loopback
def test_without_a_key_nothing_is_sent_abroad(tmp_path: Path, tales: Tales) -> None:
    with Desk("gpt-4.1-mini", path=tmp_path / "g.sqlite") as desk:
        assert "OPENAI_API_KEY" in desk.problem
        with pytest.raises(TinytalesError, match="no key"):
            desk.grade(desk.plan(tales(1)))


@pytest.mark.allow_loopback
def test_a_redirect_is_not_followed(desk: Desk, server: JudgeServer, tales: Tales) -> None:
    server.status = 307
    with pytest.raises(TinytalesError, match="elsewhere"):
        desk.grade(desk.plan(tales(1)))
    assert len(server.headers) == 1


@pytest.mark.allow_loopback
def test_a_judge_that_is_not_there(tmp_path: Path, tales: Tales) -> None:
    with (
        Desk("judge", "http://127.0.0.1:9/v1", path=tmp_path / "g.sqlite") as desk,
        pytest.raises(TinytalesError, match="cannot be reached"),
    ):
        desk.grade(desk.plan(tales(5)))


@pytest.mark.parametrize(
    "address", ["nonsense", "ftp://x/v1", "http://", "http://u:p@host/v1", "http://h/v1?key=1",
                "http://[::1", "http://h:99999/v1"],
)  # fmt: skip
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        address_of(address)
    assert "u:p" not in str(caught.value)


def test_retry_after_in_all_its_forms() -> None:
    assert retry_after({"retry-after": "2"}) == 2
    assert retry_after({"retry-after-ms": "250"}) == 0.25
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None
