"""`tinytales replay`: the same story again, from its record.

tinytales replay last
tinytales replay 3fa2 --check        says only whether it is the same, word for word
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tinytales.story import Story

app = typer.Typer(add_completion=False)


@app.command()
def replay(
    story: Annotated[
        str, typer.Argument(help="Its id, the beginning of it, or last.", metavar="ID")
    ] = "last",
    check: Annotated[
        bool, typer.Option("--check", help="Do not print it, only say whether it is the same.")
    ] = False,
    model: Annotated[
        Path | None, typer.Option(help="The bundle that told it; default: the shipped one.")
    ] = None,
    safety: Annotated[
        str, typer.Option(help="gentle, careful or off; default: the level it was told at.")
    ] = "",
    threads: Annotated[int | None, typer.Option(help="Threads of the runtime.", min=1)] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where stories are kept.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Tell a saved story again, and say whether it is the same."""
    from tinytales.cli.library import opened
    from tinytales.errors import TinytalesError
    from tinytales.safety import Safety
    from tinytales.storyteller import Storyteller

    if data_dir is not None:
        from tinytales.paths import override

        override(data_dir)
    with opened() as shelf:
        kept = shelf.get(shelf.resolve(story))
    with Storyteller.open(model, threads=threads, safety=Safety(safety or kept.safety)) as teller:
        digest = teller.bundle.digest
        if kept.bundle_digest != digest:
            raise TinytalesError(
                f"story {kept.id} was told by {kept.bundle or 'an unknown voice'} "
                f"({kept.bundle_digest[:12] or 'no digest'}), and this is "
                f"{teller.bundle.name} ({digest[:12]})",
                hint="give the bundle that told it with --model",
            )
        telling = teller.stream(kept.prompt, kept.sampling)
        told = ""
        for sentence in telling:
            told += sentence
            if not check and not as_json:
                sys.stdout.write(sentence)
                sys.stdout.flush()
            if kept.finish == "cancelled" and len(told) >= len(kept.text):
                telling.cancel()  # it was stopped here
    if not check and not as_json:
        sys.stdout.write("\n")
    at = first_difference(kept, told)
    if as_json:
        print(json.dumps({"id": kept.id, "same": at is None, "differs_at_word": at}))
    if at is not None:
        raise TinytalesError(
            f"story {kept.id} differs from word {at + 1} on: "
            f"{words_at(kept.text, at)!r} was told, {words_at(told, at)!r} comes now",
            hint="was it told at another --safety level, or with words picked by hand?",
        )
    print(f"the same story, word for word: {kept.words} words", file=sys.stderr)


def first_difference(kept: Story, told: str) -> int | None:
    """The number of the first word that differs, from 0; None if all are the same."""
    if told == kept.text or (kept.finish == "cancelled" and told.startswith(kept.text)):
        return None
    old, new = kept.text.split(), told.split()
    for i, (a, b) in enumerate(zip(old, new, strict=False)):
        if a != b:
            return i
    return min(len(old), len(new))


def words_at(text: str, at: int) -> str:
    return " ".join(text.split()[at : at + 3]) or "the end"
