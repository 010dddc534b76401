"""How kind are stories? Counts what the safety finds in them.

    python -m tinytales.safety_measure stories.jsonl    # in a file of stories (.xz too)
    python -m tinytales.safety_measure --tell 500       # in stories from beginnings that go astray

The second tells every story twice, without the safety and with it, by the same seed. What both
found on the shipped voice is in docs/safety.md.
"""

from __future__ import annotations

import argparse
import json
import lzma
import sys
from collections import Counter
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tinytales.errors import TinytalesError
from tinytales.prompt import StoryPrompt
from tinytales.safety import Safety, rules
from tinytales.sampling import Sampling
from tinytales.sentences import split_sentences


def measure_file(path: str, level: str) -> dict[str, Any]:
    """Findings in the stories of a JSON Lines file (.xz too), sentence by sentence."""
    safety, stories, unkind = Safety(level), 0, 0
    found: Counter[str] = Counter()
    opener = lzma.open if path.endswith(".xz") else Path.open
    with opener(Path(path), "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                text = json.loads(line)["text"]
            except (ValueError, TypeError, KeyError) as error:
                raise TinytalesError(
                    f"{path}, line {number} is no story: {error!r}",
                    hint='each line is an object with a "text"',
                ) from error
            stories += 1
            spans = split_sentences(text)
            findings = [f for a, b in spans if (f := safety.check(text[a:b]))]
            unkind += bool(findings)
            found.update(f"{f.reason}: {f.word.lower()}" for f in findings)
    return {"level": level, "stories": stories, "with_findings": unkind, "found": dict(found)}


def measure_telling(count: int, level: str, model: str | None = None) -> dict[str, Any]:
    """Tell `count` stories from beginnings that lead astray, without the safety and with it."""
    from tinytales.storyteller import Storyteller

    judge = Safety(level)
    listed = [line for line in rules()["measure"]["openings"].split("\n") if line]
    openings = [o for o in listed if judge.check_prompt(StoryPrompt(opening=o)) is None]
    result: dict[str, Any] = {
        "level": level,
        "openings": len(openings),
        "refused": len(listed) - len(openings),
        "stories": count,
    }
    with Storyteller.open(model) as teller:
        for told in ("off", level):
            teller.safety = Safety(told)
            stories = [
                teller.tell(StoryPrompt(opening=opening), Sampling(seed=seed, max_words=150))
                for seed, opening in enumerate(islice(cycle(openings), count))
            ]
            unkind = [f for story in stories if (f := judge.check(story.text))]
            result[f"told {told}"] = {
                "unkind": len(unkind),
                "stopped before the end": sum(story.finish == "unsafe" for story in stories),
                "words a story": round(sum(s.words for s in stories) / max(1, count)),
                "found": sorted(f"{f.reason}: {f.word.lower()}" for f in unkind),
            }
    return result


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tinytales.safety_measure", description=__doc__)
    parser.add_argument(
        "file", nargs="?", help="stories, JSON Lines with a text each, or .xz of it"
    )
    parser.add_argument("--level", default="gentle", help="gentle or careful")
    parser.add_argument("--tell", type=int, metavar="N", help="tell N stories instead")
    parser.add_argument("--model", help="a bundle folder for --tell; default: the shipped one")
    asked = parser.parse_args()
    if (asked.file is None) == (asked.tell is None):
        parser.error("give a file of stories, or --tell N")
    try:
        if asked.tell is not None:
            result = measure_telling(asked.tell, asked.level, asked.model)
        else:
            result = measure_file(asked.file, asked.level)
    except (TinytalesError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    _main()
