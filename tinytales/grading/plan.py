"""Before the first byte leaves: what would go where, and what it would cost.

    plan = make(stories, load("paper"), Judge("gpt-4.1-mini"), cache)
    print(plan.says())

Nothing here touches the network or imports `openai`. Tokens are estimated by counting characters
(English prose has about four to a token), so a cost is an estimate to about a third.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

from tinytales.errors import SettingsError, UsageError
from tinytales.grading.cache import Cache, Score
from tinytales.grading.judge import is_local
from tinytales.grading.rubric import Rubric
from tinytales.grading.steps import Job, Judge, next_step
from tinytales.story import Story

#: Bytes in a token: the rule of thumb for English prose.
CHARACTERS_PER_TOKEN = 4.0


def tokens_of(text: str) -> int:
    """About how many tokens a text is."""
    return int(len(text.encode("utf-8", "replace")) / CHARACTERS_PER_TOKEN) + 4


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens; `thinks`: hidden thought, in multiples of the answer."""

    input: float
    output: float
    thinks: float = 0.0

    def cost(self, prompt_tokens: float, answer_tokens: float) -> float:
        return (prompt_tokens * self.input + answer_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class Prices:
    """The price table: models by the beginning of their names."""

    models: Mapping[str, Price]
    batch: float
    checked: str

    def of(self, judge: Judge, *, batch: bool = False) -> Price | None:
        """The price of a judge; 0 on this machine; None if it is not known."""
        if is_local(judge.address):
            return Price(0, 0)
        name = judge.model.split("/")[-1]
        known = max((m for m in self.models if name.startswith(m)), key=len, default=None)
        if known is None:
            return None
        # gpt-4.1-mini is not gpt-4.1: what follows the known name must look like a date
        rest = name[len(known) :]
        if rest and not re.fullmatch(r"-\d{4}[\d-]*|-latest|-preview", rest):
            return None
        price = self.models[known]
        share = self.batch if batch else 1.0
        return Price(price.input * share, price.output * share, price.thinks)


def prices(path: Path | None = None) -> Prices:
    """The table that came along, with the user's own prices.toml (settings folder) before it.

    Raises:
        SettingsError: a price file that cannot be understood.
    """
    if path is None:
        from tinytales.paths import config_dir

        path = config_dir() / "prices.toml"
    data = _shipped_prices()
    if not path.exists():
        return data
    try:
        own = _read_prices(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"the prices in {path} cannot be understood: {error}",
            hint='lines like "my-model" = { input = 1.0, output = 2.0 } in [models]',
        ) from error
    return Prices({**data.models, **own.models}, own.batch, own.checked or data.checked)


@functools.cache
def _shipped_prices() -> Prices:
    return _read_prices(
        resources.files("tinytales.grading").joinpath("prices.toml").read_text("utf-8")
    )


def _read_prices(text: str) -> Prices:
    data = tomllib.loads(text)
    models = {name: Price(**price) for name, price in data.get("models", {}).items()}
    for price in models.values():
        if min(float(price.input), float(price.output), float(price.thinks)) < 0:
            raise ValueError("a price below 0")
    return Prices(models, float(data.get("batch", 0.5)), str(data.get("checked", "")))


@dataclass(frozen=True, slots=True)
class Plan:
    """A grading before it is run.

    `ready` jobs are answered by the cache already and cost nothing. `cost` is None if the price of
    the judge is not known.
    """

    jobs: tuple[Job, ...]
    judge: Judge
    rubric: Rubric
    stories: int
    ready: int
    requests: int
    prompt_tokens: int
    answer_tokens: int
    price: Price | None
    checked: str
    batch: bool = False

    @property
    def cost(self) -> float | None:
        """Estimated US dollars."""
        if self.price is None:
            return None
        return self.price.cost(self.prompt_tokens, self.answer_tokens)

    @property
    def host(self) -> str:
        return urlsplit(self.judge.address).netloc

    def says(self) -> str:
        """What goes where and what it costs, for a person to agree to; a line for each matter."""
        here = is_local(self.judge.address)
        whom = f"{self.judge.model} at {self.host}" + (" (on this machine)" if here else "")
        if not self.requests:
            return f"All {self.stories} stories were graded by {whom} before: nothing is sent."
        words = sum(len(j.story.text.split()) for j in self.jobs if not j.repeat)
        lines = [
            f"{_many(self.stories, 'story', 'stories')} ({words:,} words) and what they were asked "
            f"to be go to {whom}, in {_many(self.requests, 'question')} with the rubric "
            f"{self.rubric.id}"
            + (" by the Batch API (within 24 hours)." if self.batch else ".")
            + " Nothing else is sent.",
        ]
        if self.judge.address.startswith("http:") and not here:
            lines.append("The connection is not encrypted: others may read along.")
        if self.ready:
            lines.append(f"{_many(self.ready, 'grading')} paid for before: not asked again.")
        tokens = f"about {self.prompt_tokens:,} tokens there and {self.answer_tokens:,} back"
        if here:
            lines.append(f"It costs nothing ({tokens}).")
        elif self.cost is None:
            lines.append(
                f"The price of {self.judge.model} is not known here ({tokens}); "
                "put it into prices.toml."
            )
        else:
            lines.append(
                f"It costs about {dollars(self.cost)}: {tokens}, estimated by counting characters, "
                f"at prices of {self.checked}."
            )
        return "\n".join(lines)

    def spent(self, prompt_tokens: int, answer_tokens: int) -> str:
        """What a run has cost so far, in words; empty where the price is not known."""
        if self.price is None:
            return ""
        cost = self.price.cost(prompt_tokens, answer_tokens)
        return f"it cost {dollars(cost)}" if cost else "it cost nothing"


def make(
    stories: Sequence[Story],
    rubric: Rubric,
    judge: Judge,
    cache: Cache,
    *,
    repeats: int = 1,
    batch: bool = False,
    pairs: Sequence[tuple[Story, Story]] = (),
) -> Plan:
    """Plan a grading of stories, or of pairs with a duel rubric.

    Raises:
        UsageError: a rubric that compares two stories, and no pairs.
    """
    if rubric.pairs and not pairs:
        raise UsageError(
            f"the rubric {rubric.name} compares two stories", hint="tinytales grade duel ONE TWO"
        )
    if rubric.pairs:
        jobs = [
            Job(one, rubric, judge, k, two)
            for k in range(repeats)
            for pair in pairs
            for one, two in (pair, pair[::-1])
        ]
    else:
        jobs = [Job(story, rubric, judge, k) for k in range(repeats) for story in stories]
    table = prices()
    price = table.of(judge, batch=batch)
    ready = requests = sent = back = 0
    asked: set[str] = set()
    for job in jobs:
        step = next_step(job, cache)
        if isinstance(step, Score):
            ready += 1
            continue
        if step.key in asked:
            continue  # an equal story: one question for both
        asked.add(step.key)
        size = sum(tokens_of(message["content"]) for message in step.messages)
        turns = 2 if rubric.turns == 2 and not step.verdict else 1
        requests += turns
        sent += size if turns == 1 else 2 * size + rubric.answer_tokens + 150
        back += rubric.answer_tokens if turns == 1 else rubric.answer_tokens + 60
    back = int(back * (1 + (price.thinks if price else 0)))
    count = len({id(j.story) for j in jobs})
    return Plan(
        tuple(jobs), judge, rubric, count, ready, requests, sent, back, price, table.checked, batch
    )


def dollars(amount: float) -> str:
    if amount and amount < 0.01:
        return f"${amount:.4f}"
    return f"${amount:,.2f}"


def _many(count: int, one: str, more: str = "") -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"
