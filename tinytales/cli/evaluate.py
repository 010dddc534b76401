"""`tinytales evaluate`: bits per byte and perplexity of a checkpoint or bundle, by source.

tinytales evaluate runs/mine/final --text dev.jsonl.xz
tinytales evaluate --text story.txt            # the shipped storyteller
tinytales evaluate --stories 200               # are asked-for words told, do stories end?
tinytales evaluate --stories 100 --against runs/corpus     # are they told, or recited?
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tinytales.bits import Score
    from tinytales.story import Story
    from tinytales.storyteller import Storyteller

app = typer.Typer(add_completion=False)


@app.command()
def evaluate(
    model: Annotated[
        Path | None,
        typer.Argument(help="A checkpoint or bundle; default: the shipped storyteller."),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="JSON Lines with `text` (and `source`) or plain text, maybe .xz."),
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many documents of a source.", min=0)] = 0,
    stories: Annotated[
        int, typer.Option(help="Tell so many stories with three asked-for words.", min=0)
    ] = 0,
    against: Annotated[
        Path | None,
        typer.Option(help="The prepared corpus, or texts: how much was learned by heart?"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how well a model foresees a text; bits per byte compare across tokenizers."""
    from tinytales.errors import UsageError, require

    if against is not None and not stories:
        raise UsageError("--against compares told stories", hint="add --stories 100")
    if stories:
        _stories(model, stories, against, as_json)
        return
    require("torch", "train")
    from tinytales.train.evaluate import read_documents

    if text is None:
        raise UsageError(
            "nothing to measure", hint="--text FILE, which nobody trained on, or --stories 200"
        )
    documents = {name: texts[: limit or None] for name, texts in read_documents(text).items()}
    if model is not None and (model / "config.json").is_file():
        scores = _checkpoint(model, documents)
    else:
        scores = _bundle(model, documents)
    _show(scores, as_json)


def _checkpoint(folder: Path, documents: dict[str, list[str]]) -> dict[str, Score]:
    from tokenizers import Tokenizer

    from tinytales.bundle import TOKENIZER
    from tinytales.train.checkpoint import load_model
    from tinytales.train.evaluate import score_documents

    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    scores: dict[str, Score] = score_documents(load_model(folder), tokenizer, documents)
    return scores


def _bundle(path: Path | None, documents: dict[str, list[str]]) -> dict[str, Score]:
    """Token by token through the engine and its cache: what a reader really gets."""
    from tinytales.bits import score_texts
    from tinytales.bundle import Bundle
    from tinytales.engine import open_engine

    bundle = Bundle.open(path)
    engine = open_engine(bundle)
    scores = {name: score_texts(engine, bundle, texts) for name, texts in documents.items()}
    engine.close()
    return scores


def _stories(model: Path | None, count: int, against: Path | None, as_json: bool) -> None:
    """Asked-for words with and without help, endings, and overlap with training texts."""
    from tinytales.train.stories import ask_and_tell, count_told

    figures: dict[str, dict[str, float]] = {}
    with _teller(model) as teller:
        told = {
            name: ask_and_tell(teller, count, help_words=help_words)
            for name, help_words in (("with help for words", True), ("the model alone", False))
        }
        for name, some in told.items():
            figures[name] = count_told(some).to_dict()
        if against is not None:
            figures["by heart"] = _by_heart(teller, told["the model alone"], against)
    if as_json:
        print(json.dumps(figures))
        return
    print(f"{count} stories, each asked for a noun, a verb and an adjective, temperature 0.8")
    for name in told:
        f = figures[name]
        print(
            f"{name:<20}  words told {f['words']:.1%} (very form {f['exact']:.1%})  "
            f"ended by themselves {f['ended']:.1%}  stammered {f['stammered']:.1%}  "
            f"median length {f['length']:.0f} words"
        )
    if "by heart" in figures:
        from tinytales.train.memorization import summary

        print("\nhow much of the stories of the model alone stands in the training texts")
        print(summary(figures["by heart"]))


def _by_heart(teller: Storyteller, stories: list[Story], against: Path) -> dict[str, float]:
    """How much of told stories, and of told endings of training stories, stands in `against`."""
    import itertools
    import statistics

    from tinytales.prompt import StoryPrompt
    from tinytales.sampling import Sampling
    from tinytales.train import memorization as memory

    # Stories from all over the texts, of a length that leaves room for an ending.
    known = [s for _, s in _training(against) if 50 <= len(s.split()) <= 250]
    some = itertools.islice(known, 0, None, max(1, len(known) // len(stories)))
    endings = []
    for seed, (opening, true) in enumerate(map(memory.cut, itertools.islice(some, len(stories)))):
        prompt = StoryPrompt(opening=opening)
        if teller.safety.check_prompt(prompt) is not None:
            continue  # not every training text is one that is told on here
        story = teller.tell(prompt, Sampling(seed=seed))
        endings.append(memory.ending_precision(story.text[len(opening) :], true))
    found = memory.measure([s.text for s in stories], _training(against)).figures()
    if endings:
        found |= {"endings_median": statistics.median(endings), "endings_largest": max(endings)}
    return {name: round(value, 4) for name, value in found.items()}


def _training(path: Path) -> Iterable[tuple[str, str]]:
    """(source, story) of a prepared corpus, or of a file of texts."""
    from tinytales.train.data import PreparedCorpus
    from tinytales.train.evaluate import read_documents
    from tinytales.train.memorization import training_stories

    if path.is_dir():
        stories: Iterable[tuple[str, str]] = training_stories(PreparedCorpus(path))
        return stories
    return [(source, t) for source, texts in read_documents(path).items() for t in texts]


@contextlib.contextmanager
def _teller(path: Path | None) -> Iterator[Storyteller]:
    """A storyteller of a bundle, or of a checkpoint, exported without loss for the occasion."""
    from tinytales.storyteller import Storyteller

    with tempfile.TemporaryDirectory() as scratch:
        if path is not None and (path / "config.json").is_file():
            from tinytales.export.exporter import export_bundle

            bundle = Path(scratch) / "bundle"
            export_bundle(path, bundle, "fp32")
            path = bundle
        with Storyteller.open(path) as teller:
            yield teller


def _show(scores: dict[str, Score], as_json: bool) -> None:
    from tinytales.bits import Score

    if len(scores) > 1:
        scores = scores | {"all": sum(scores.values(), Score())}
    if as_json:
        table = {
            name: {
                "bits_per_byte": round(s.bits_per_byte, 5),
                "perplexity": round(s.perplexity, 4),
                "documents": s.documents,
                "tokens": s.tokens,
                "bytes": s.bytes,
            }
            for name, s in scores.items()
        }
        print(json.dumps(table))
        return
    width = max(map(len, scores))
    print(f"{'source':<{width}}  bits/byte  perplexity  documents     tokens       bytes")
    for name, s in scores.items():
        print(
            f"{name:<{width}}  {s.bits_per_byte:9.4f}  {s.perplexity:10.3f}"
            f"  {s.documents:9,}  {s.tokens:9,}  {s.bytes:10,}"
        )
    print("perplexity is by token: it compares only models with one tokenizer", file=sys.stderr)
