"""GPT-Eval: the same fifty beginnings for every voice, ten completions each, graded by one judge.

    tinytales grade suite assets/storyteller runs/mine/bundle

As the paper does (Eldan & Li 2023, section 3): temperature 1, nothing filtered, no help with words,
no safety, so that the model itself is measured and not what the app makes of it. `sampling` and
`safety` let you measure that too; both are written into every story's record. Stories are kept in a
JSONL file and told only once; the same seed tells the same ones again.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from tinytales.errors import TinytalesError
from tinytales.prompt import StoryPrompt
from tinytales.sampling import Sampling
from tinytales.story import Story

COMPLETIONS = 10
PURE = Sampling(
    temperature=1.0, top_k=0, top_p=1.0, min_p=0.0,
    loop_guard=False, word_help=False, name_help=False, seed=1,
)  # fmt: skip


def beginnings() -> tuple[str, ...]:
    """The fifty beginnings, each cut in the middle of a sentence (assets/beginnings.toml)."""
    text = resources.files("tinytales.assets").joinpath("beginnings.toml").read_text("utf-8")
    return tuple(tomllib.loads(text)["beginnings"])


def tell(
    bundle: Path,
    folder: Path,
    *,
    completions: int = COMPLETIONS,
    sampling: Sampling = PURE,
    safety: str = "off",
    count: int | None = None,
    tell_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Story]:
    """The stories of one voice: told, or read back if they were told before.

    They are kept in `folder`/NAME-DIGEST.jsonl, beginning by beginning, each line written whole; a
    run that was stopped goes on after the last whole beginning. `count` uses only the first ones.

    Raises:
        BundleError: the bundle cannot be opened.
        TinytalesError: the folder cannot be written.
    """
    from tinytales.safety import Safety
    from tinytales.storyteller import Storyteller

    openings = beginnings()[:count]
    stories: list[Story] = []
    with Storyteller.open(bundle, safety=Safety(safety)) as teller:
        path = folder / f"{teller.bundle.name}-{teller.bundle.digest[:8]}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stories = _kept(path, completions, sampling, openings)
            with path.open("w", encoding="utf-8") as file:
                for story in stories:
                    file.write(_line(story))
                for number in range(len(stories) // completions, len(openings)):
                    tell_progress(number * completions, len(openings) * completions)
                    fresh = _complete(teller, openings[number], completions, sampling, number)
                    file.write("".join(map(_line, fresh)))
                    file.flush()
                    stories += fresh
        except OSError as error:
            raise TinytalesError(
                f"the stories cannot be written to {path}: {error.strerror}",
                hint="choose another folder with --out",
            ) from error
    return stories


def _complete(
    teller: object, opening: str, completions: int, sampling: Sampling, number: int
) -> list[Story]:
    from dataclasses import replace

    prompt = StoryPrompt(opening=opening)
    seeded = replace(sampling, seed=(sampling.seed or 0) * 1000 + number)
    told: list[Story] = teller.tell_many(prompt, seeded, completions)  # type: ignore[attr-defined]
    # An id that is the same in every run, so that grades and people's marks find their story.
    return [
        replace(story, id=f"{story.bundle_digest[:6]}-{seeded.seed}-{stream}")
        for stream, story in enumerate(told)
    ]


def _kept(path: Path, completions: int, sampling: Sampling, openings: Sequence[str]) -> list[Story]:
    """Whole beginnings that an earlier run with the same settings has told."""
    kept: list[Story] = []
    if not path.exists():
        return kept
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            story = Story.from_dict(json.loads(line))
        except (ValueError, TinytalesError):
            break  # the line that was being written
        at = len(kept) // completions
        same = (
            at < len(openings)
            and story.prompt == StoryPrompt(opening=openings[at])
            and story.sampling.temperature == sampling.temperature
            and story.sampling.top_p == sampling.top_p
            and story.sampling.seed is not None
            and story.sampling.seed // 1000 == (sampling.seed or 0)
        )
        if not same:
            break
        kept.append(story)
    return kept[: len(kept) // completions * completions]


def _line(story: Story) -> str:
    return json.dumps(story.to_dict(), ensure_ascii=False) + "\n"
