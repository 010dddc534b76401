"""`tinytales tell`: one story on stdout.

tinytales tell "One day, a fox"
tinytales tell --words kite,windy --feature dialogue --seed 7
echo "The moon was" | tinytales tell - | tail -1
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tinytales.prompt import StoryPrompt
    from tinytales.sampling import Sampling

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
        float, typer.Option(help="0 is the safest story, 1 a wilder one.")
    ] = 0.8,
    top_p: Annotated[
        float, typer.Option(help="Keep the likeliest tokens up to this share.")
    ] = 0.95,
    top_k: Annotated[int, typer.Option(help="Keep the k likeliest tokens; 0 keeps all.")] = 0,
    min_p: Annotated[
        float, typer.Option(help="Drop tokens below this share of the likeliest.")
    ] = 0.02,
    max_words: Annotated[
        int | None, typer.Option(help="End with the first whole sentence after so many words.")
    ] = None,
    word_help: Annotated[bool, typer.Option(help="Gently raise asked-for words.")] = True,
    safety: Annotated[str, typer.Option(help="gentle, careful or off.")] = "gentle",
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
    """Tell one story."""
    from tinytales.errors import UsageError
    from tinytales.prompt import StoryPrompt
    from tinytales.sampling import Sampling

    if opening == "-":
        opening = sys.stdin.buffer.read().decode("utf-8", "replace")
    if max_words is not None and max_words < 1:
        raise UsageError(
            f"--max-words {max_words} leaves no story", hint="choose at least 1, or leave it out"
        )
    tell_story(
        StoryPrompt(words.split(","), sentence, feature or (), summary, opening),
        Sampling(
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            min_p=min_p,
            max_words=max_words or 0,
            word_help=word_help,
            seed=seed,
        ),
        model=model,
        threads=threads,
        safety=safety,
        save=save,
        as_json=as_json,
        stream=stream,
    )


def tell_story(
    prompt: StoryPrompt | None = None,
    sampling: Sampling | None = None,
    *,
    model: Path | None = None,
    threads: int | None = None,
    safety: str = "gentle",
    save: bool = False,
    as_json: bool = False,
    stream: bool = True,
) -> None:
    """Open the bundle, tell, print; what bare `tinytales` does without a terminal."""
    from tinytales.safety import Safety
    from tinytales.storyteller import Storyteller

    out = sys.stdout
    with Storyteller.open(model, threads=threads, safety=Safety(safety)) as teller:
        telling = teller.stream(prompt, sampling)
        try:
            for sentence in telling:
                if stream and not as_json:
                    out.write(sentence)
                    out.flush()
        except KeyboardInterrupt:
            telling.cancel()
            if stream and not as_json:
                out.write("\n")
            raise
        story = telling.story
    if as_json:
        out.write(json.dumps(story.to_dict(), ensure_ascii=False) + "\n")
    else:
        out.write("\n" if stream else story.text + "\n")
    out.flush()
    note = {
        "context": "the model's memory was full: the story ends with a whole sentence",
        "length": "ended at --max-words",
        "unsafe": "no gentle way on was found: the story ends here",
    }.get(story.finish)
    if note:
        print(f"note: {note}", file=sys.stderr)
    if save:
        from tinytales.library import Library

        with Library() as library:
            if library.note:
                print(f"note: {library.note}", file=sys.stderr)
            print(f"saved as {library.add(story)}", file=sys.stderr)
