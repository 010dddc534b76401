"""Reading a verdict out of a judge's reply.

The last JSON object that carries the right code wins; anything that cannot be understood is
*unscored with a reason*, never 0. A judge that echoes a story with a verdict of its own in it
cannot be mistaken for a judge that graded: the story's writer did not know the code.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tinytales.grading.rubric import HIGHEST, LOWEST, Rubric

#: A reply longer than this is no verdict.
LONGEST = 200_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Grades by criterion (floats 0 to 10, or the key of a choice); or why there are none."""

    grades: dict[str, float | str] = field(default_factory=dict)
    assessment: str = ""
    reason: str = ""

    @property
    def scored(self) -> bool:
        return not self.reason


def model_of(rubric: Rubric) -> type[Any]:
    """The verdict as a pydantic model: what the structured output of a judge is held to."""
    import warnings
    from typing import Literal

    from pydantic import ConfigDict, create_model

    kinds: dict[str, Any] = {}
    for key in rubric.fields():
        if key in rubric.criteria:
            kinds[key] = (float, ...)
        elif key in rubric.choices:
            kinds[key] = (Literal[tuple(rubric.choices[key].options)], ...)
        else:
            kinds[key] = (str, ...)
    with warnings.catch_warnings():  # a criterion may be called like a method of pydantic's
        warnings.simplefilter("ignore")
        model: type[Any] = create_model("Verdict", __config__=ConfigDict(extra="forbid"), **kinds)
    return model


def read(content: str, rubric: Rubric, nonce: str) -> Verdict:
    """The verdict in a reply. Never raises: what is unreadable has a `reason`."""
    if not content.strip():
        return Verdict(reason="the reply is empty")
    if len(content) > LONGEST:
        return Verdict(reason=f"the reply has {len(content)} characters")
    why = "the reply holds no verdict"
    for data in reversed(list(json_objects(content))):
        if str(data.get("code", "")).strip() != nonce:
            why = "the verdict does not carry the code of the fence"
            continue
        verdict = _checked(data, rubric)
        if verdict.scored:
            return verdict
        why = verdict.reason
    return Verdict(reason=why)


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """Every outermost JSON object in `text`, in order; prose and code fences around are skipped."""
    decoder = json.JSONDecoder()
    at = 0
    for _ in range(2000):  # objects and braces of prose; no reply has more
        at = text.find("{", at)
        if at < 0:
            return
        try:
            data, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        if isinstance(data, dict):
            yield data


def _checked(data: dict[str, Any], rubric: Rubric) -> Verdict:
    folded = {str(key).strip().lower().replace(" ", "_"): value for key, value in data.items()}
    grades: dict[str, float | str] = {}
    for name in rubric.criteria:
        value = _number(folded.get(name))
        if value is None:
            return Verdict(reason=f"no grade for {name}")
        if not LOWEST <= value <= HIGHEST:
            return Verdict(reason=f"{name} is {value:g}, out of 0 to 10")
        grades[name] = value
    for name, choice in rubric.choices.items():
        key = str(folded.get(name, "")).strip()
        options = {option.lower(): option for option in choice.options}
        match = options.get(key.lower()) or options.get(re.split(r"\W", key.lower() + " ")[0])
        if match is None:
            return Verdict(reason=f"{name} is {key[:20]!r}, not one of {', '.join(choice.options)}")
        grades[name] = match
    assessment = folded.get("assessment")
    return Verdict(grades, assessment if isinstance(assessment, str) else "")


def _number(value: Any) -> float | None:
    """A grade as judges write it: 7, 7.5, "7", "7/10"."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:/\s*10)?\s*", value, re.ASCII)
        return float(match.group(1)) if match else None
    return None


_ORDERS = re.compile(
    r"ignore\s+(?:all|any|the|your|previous|these|earlier)|system\s*(?:prompt|message|:)|"
    r"(?:as|you are)\s+(?:an?\s+)?(?:ai|judge|grader|language model)|"
    r"\b(?:grade|score|rate|mark)s?\b[^.\n]{0,40}\b(?:10|ten|full|perfect|highest)\b|"
    r"\"(?:grammar|creativity|consistency|plot|code)\"\s*:|<<<|\bnew instructions?\b|"
    r"\b(?:dear|attention|note to|hey)\s+(?:the\s+)?(?:judge|grader|examiner|evaluator)",
    re.IGNORECASE,
)


def orders_in(text: str) -> str:
    """The first words of a story that look like an order to the judge; empty if none do."""
    match = _ORDERS.search(text)
    return match.group(0) if match else ""
