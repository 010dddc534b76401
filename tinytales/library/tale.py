"""A story as it is printed: its title on the shelf, its paragraphs, and how it came to be."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import datetime

from tinytales.prompt import FEATURES, clean
from tinytales.story import Story

MONTHS = (
    "January February March April May June July August September October November December"
).split()


@dataclass(frozen=True, slots=True)
class Tale:
    """A story as it is exported: with the title it has on the shelf."""

    title: str
    story: Story

    @property
    def paragraphs(self) -> list[str]:
        return [line for line in map(clean, self.story.text.split("\n")) if line]

    @property
    def day(self) -> str:
        """When it was told, as people write it: 28 November 2026."""
        try:
            told = datetime.fromisoformat(self.story.created)
        except ValueError:  # an imported record may say what it likes
            return self.story.created
        return f"{told.day} {MONTHS[told.month - 1]} {told.year}"

    @property
    def told_by(self) -> str:
        """The line beneath a story."""
        story = self.story
        voice = f"Told by {story.bundle}" if story.bundle else "Told"
        seed = "" if story.sampling.seed is None else f", seed {story.sampling.seed}"
        return f"{voice}{seed}, {self.day}."

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The colophon: everything that is needed to tell the same story again."""
        story, prompt = self.story, self.story.prompt
        ends = {
            "end": "of itself",
            "length": "where it was asked to",
            "context": "where the voice's memory was full",
            "cancelled": "where it was stopped",
            "unsafe": "where no gentle way on was found",
        }
        facts = [
            ("Words asked for", ", ".join(prompt.words)),
            ("Asked for", ", ".join(FEATURES[f] for f in prompt.features)),
            ("A sentence in it", prompt.sentence),
            ("What happens", prompt.summary),
            ("Began with", textwrap.shorten(prompt.opening, 90, placeholder=" …")),
            ("Told by", story.bundle),
            ("Digest", story.bundle_digest[:16]),
            ("Seed", "" if story.sampling.seed is None else str(story.sampling.seed)),
            ("Temperature", f"{story.sampling.temperature:g}"),
            ("Told on", self.day),
            ("Length", f"{story.words} words"),
            ("Ended", ends[story.finish]),
            ("Told again by", f"tinytales replay {story.id}"),
        ]
        return [(name, value) for name, value in facts if value]
