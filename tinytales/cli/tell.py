"""`tinytales tell`: one story on stdout.

tinytales tell "One day, a fox"
tinytales tell --words kite,windy --feature dialogue --seed 7
echo "The moon was" | tinytales tell - | tail -1
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tinytales.story import Story
    from tinytales.storyteller import Telling

app = typer.Typer(add_completion=False)


@app.command()
def tell(
    opening: Annotated[
        str, typer.Argument(help="How the story begins; - reads it from stdin.", show_default=False)
    ] = "",
    words: Annotated[str, typer.Option(help="Words to tell, with commas: kite,climb.")] = "",
    feature: Annotated[
        list[str] | None,
        typer.Option(
            help="dialogue, twist, moral, foreshadowing, conflict or sad-ending; again for more."
        ),
    ] = None,
    summary: Annotated[str, typer.Option(help="What happens, in a line.")] = "",
    sentence: Annotated[str, typer.Option(help="A sentence that the story should tell.")] = "",
    seed: Annotated[int | None, typer.Option(help="Same seed, same story.")] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 is the safest story, 1 a wilder one.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Keep the likeliest tokens up to this share.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Keep the k likeliest tokens; 0 keeps all.")
    ] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Drop tokens below this share of the likeliest.")
    ] = None,
    max_words: Annotated[
        int | None, typer.Option(help="End with the first whole sentence after so many words.")
    ] = None,
    word_help: Annotated[bool | None, typer.Option(help="Gently raise asked-for words.")] = None,
    name_help: Annotated[bool | None, typer.Option(help="Let heroes keep their names.")] = None,
    safety: Annotated[str | None, typer.Option(help="gentle, careful or off.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="A bundle folder; default: the shipped one.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the runtime.", min=1)] = None,
    save: Annotated[bool, typer.Option(help="Keep the story in the library.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole record as JSON.")
    ] = False,
    stream: Annotated[bool, typer.Option(help="Print sentences as they come.")] = True,
) -> None:
    """Tell one story. What is left out is as in the settings (see the app's grown-ups' corner)."""
    from dataclasses import replace

    from tinytales import settings
    from tinytales.errors import UsageError
    from tinytales.prompt import StoryPrompt
    from tinytales.safety import Safety
    from tinytales.storyteller import Storyteller

    if opening == "-":
        opening = sys.stdin.buffer.read().decode("utf-8", "replace")
    if max_words is not None and max_words < 1:
        raise UsageError(
            f"--max-words {max_words} leaves no story", hint="choose at least 1, or leave it out"
        )
    kept = settings.load()
    asked: dict[str, Any] = {
        "temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p,
        "max_words": max_words, "word_help": word_help, "name_help": name_help,
    }  # fmt: skip
    sampling = replace(kept.sampling(seed), **{k: v for k, v in asked.items() if v is not None})
    prompt = StoryPrompt(words.split(","), sentence, ",".join(feature or ()), summary, opening)
    with Storyteller.open(
        model or kept.model or None,
        threads=threads or kept.threads or None,
        safety=Safety(kept.safety if safety is None else safety),
    ) as teller:
        story = _print(teller.stream(prompt, sampling), stream=stream and not as_json)
    if as_json:
        print(json.dumps(story.to_dict(), ensure_ascii=False))
    elif not stream:
        print(story.text)
    sys.stdout.flush()
    note = {
        "context": "the model's memory was full: the story ends with a whole sentence",
        "length": "it ended at the number of words that was asked for",
        "unsafe": "no gentle way on was found: the story ends here",
    }.get(story.finish)
    if note:
        print(f"note: {note}", file=sys.stderr)
    if save:
        from tinytales.cli.library import opened

        with opened() as library:
            print(f"saved as {library.add(story)}", file=sys.stderr)


def _print(telling: Telling, stream: bool) -> Story:
    """Tell it all, sentence by sentence on stdout if `stream`; Ctrl-C ends the line first."""
    try:
        for sentence in telling:
            if stream:
                sys.stdout.write(sentence)
                sys.stdout.flush()
    finally:
        telling.cancel()
        if stream:
            sys.stdout.write("\n")
    return telling.story
