"""One grading, step by step: which request comes next, given the replies that are there.

    step = next_step(job, cache)        # a Request to send, or the Score

Everything a grading knows is in the cache: a run that was killed goes on where it stood by taking
the same steps again, and the live judge and the Batch API share them. An unreadable reply is asked
for once more (`TRIES`); a refusal is final.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tinytales.grading.cache import Cache, Reply, Score, key_of
from tinytales.grading.rubric import Rubric, Subject
from tinytales.grading.verdict import orders_in, read
from tinytales.story import Story

TRIES = 2


@dataclass(frozen=True, slots=True)
class Judge:
    """Who grades: a model at an address. The key is not part of it.

    `temperature` None leaves it to the judge. `address` is the base URL without user or query.
    """

    model: str
    address: str = "https://api.openai.com/v1"
    temperature: float | None = 0.0

    @property
    def id(self) -> str:
        return f"{self.model} at {self.address}"


@dataclass(frozen=True, slots=True)
class Job:
    """One story (or pair of stories) to be graded once by one judge with one rubric."""

    story: Story
    rubric: Rubric
    judge: Judge
    repeat: int = 0
    other: Story | None = None
    subject: Subject = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", Subject.of(self.story, self.other))

    @property
    def content(self) -> tuple[Any, ...]:
        """What is judged, by its content: two equal texts are one question."""
        s = self.subject
        return (s.beginning, s.telling, s.wishes, s.other, self.rubric.id, self.rubric.assessment,
                self.rubric.grades, list(self.rubric.criteria), self.repeat)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the judge. `verdict`: the reply must hold grades."""

    key: str
    messages: list[dict[str, str]]
    verdict: bool
    rubric: Rubric
    judge: Judge

    @property
    def parameters(self) -> dict[str, Any]:
        """What is asked for beside the messages; a judge may refuse some of it."""
        wanted: dict[str, Any] = {
            # Room for judges that think before they write, and for long-winded ones.
            "max_completion_tokens": 4 * self.rubric.answer_tokens + 400
        }
        if self.judge.temperature is not None:
            wanted["temperature"] = self.judge.temperature
        return wanted


def next_step(job: Job, cache: Cache) -> Request | Score:
    """The next request of this grading, or its score."""
    nonce = cache.nonce(*job.content)
    exchange: list[dict[str, Any]] = []
    replies: list[Reply] = []
    reason = ""
    for attempt in range(TRIES):
        messages = job.rubric.first(job.subject, nonce)
        if job.rubric.turns == 2:
            request = _request(job, messages, False, 0)  # a second try keeps the assessment
            reply = cache.reply(request.key)
            if reply is None:
                return request
            if not attempt:
                replies.append(reply)
                exchange.append(_said(messages, reply))
            if reply.refusal or not reply.content.strip():
                reason = _refused(reply) or "the assessment is empty"
                return _score(job, replies, exchange, 1, reason=reason)
            messages = job.rubric.second(messages, reply.content, nonce)
        request = _request(job, messages, True, attempt)
        reply = cache.reply(request.key)
        if reply is None:
            return request
        replies.append(reply)
        exchange.append(_said(messages, reply))
        if reply.refusal or reply.finish == "content_filter":
            return _score(job, replies, exchange, attempt + 1, reason=_refused(reply))
        verdict = read(reply.content, job.rubric, nonce)
        if verdict.scored:
            assessment = verdict.assessment
            if job.rubric.turns == 2:
                assessment = replies[0].content
            return _score(job, replies, exchange, attempt + 1, verdict.grades, assessment)
        reason = verdict.reason
        if reply.finish == "length":
            reason += " (the reply was cut at its greatest length)"
    return _score(job, replies, exchange, TRIES, reason=f"unreadable verdict: {reason}")


def unscored(job: Job, reason: str) -> Score:
    """A story that could not be asked about at all."""
    return _score(job, [], [], 0, reason=reason)


def _request(job: Job, messages: list[dict[str, str]], verdict: bool, attempt: int) -> Request:
    judge = job.judge
    key = key_of(
        judge.model, judge.address, judge.temperature, messages, job.rubric.id, job.repeat, attempt
    )
    return Request(key, messages, verdict, job.rubric, judge)


def _score(
    job: Job,
    replies: list[Reply],
    exchange: list[dict[str, Any]],
    attempts: int,
    grades: Mapping[str, float | str] | None = None,
    assessment: str = "",
    reason: str = "",
) -> Score:
    last = replies[-1] if replies else Reply("")
    judge, subject = job.judge, job.subject
    return Score(
        story=job.story.id,
        rubric=job.rubric.id,
        judge=judge.model,
        repeat=job.repeat,
        grades=dict(grades or {}),
        assessment=assessment,
        reason=reason,
        snapshot=last.model,
        address=judge.address,
        parameters={"temperature": judge.temperature},
        dropped=tuple(sorted({name for reply in replies for name in reply.dropped})),
        attempts=attempts,
        prompt_tokens=sum(reply.prompt_tokens for reply in replies),
        answer_tokens=sum(reply.answer_tokens for reply in replies),
        orders=orders_in(f"{subject.beginning} {subject.telling} {subject.other}"),
        story_digest=key_of(subject.beginning, subject.telling)[:16],
        exchange=tuple(exchange),
        other=job.other.id if job.other else "",
    )


def _said(messages: list[dict[str, str]], reply: Reply) -> dict[str, Any]:
    return {"messages": messages, "reply": reply.content or reply.refusal}


def _refused(reply: Reply) -> str:
    if reply.refusal:
        return f"the judge refused: {reply.refusal[:200]}"
    filtered = reply.finish == "content_filter"
    return "the judge's content filter held the reply back" if filtered else ""
