"""Build the folder that the trainer opens.

    corpus.json          what is in it, from where, under which licence, and what was dropped
    tokenizer.json       the vocabulary
    NAME.tokens.npy      uint16; every document begins with token 0, one more 0 ends the last
    NAME.docs.npy        uint64; where in the tokens each document begins

Three passes, each streaming: clean every text into a spool on disk, learn the vocabulary from the
spool, render and encode it. All is written into a sibling folder that is renamed when it is whole.

    tinytales corpus build --recipe corpus-originals --out runs/corpus
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from tinytales.train.corpus import CorpusError
from tinytales.train.corpus.clean import FAULTS, Cleaner
from tinytales.train.corpus.labels import Document, Renderer, label
from tinytales.train.corpus.readers import read_documents
from tinytales.train.corpus.recipe import CorpusRecipe, Source, find_files
from tinytales.train.corpus.rename import rename
from tinytales.train.corpus.tokenizer import END_ID, load_tokenizer, train_tokenizer

MANIFEST = "corpus.json"
LOCK = "lock"
FORMAT_VERSION = 1
BATCH = 512  # documents encoded at once
Report = Callable[[str], None]


def build(
    recipe: CorpusRecipe,
    base: Path,
    out: Path,
    *,
    tokenizer: Path | None = None,
    overwrite: bool = False,
    report: Report = print,
) -> dict[str, Any]:
    """Build the corpus of `recipe`, whose globs are relative to `base`, into the folder `out`.

    With `tokenizer` a vocabulary that is there is used instead of learning one. `report` is told in
    words how far it is. Returns what was written to corpus.json.

    Raises:
        CorpusError: a text that cannot be read, a vocabulary too large for the text, `out` exists.
    """
    if out.exists() and not (overwrite and (out / MANIFEST).is_file()):
        raise CorpusError(
            f"{out} exists already",
            hint="choose another folder; --replace builds anew what is a corpus",
        )
    files = {source.name: find_files(source.files, base) for source in recipe.source}
    ready = load_tokenizer(tokenizer) if tokenizer else None
    with _building(out) as folder:
        manifest = _build_into(folder, recipe, base, files, ready, report)
        text = json.dumps(manifest, indent=1, ensure_ascii=False)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return manifest


@contextlib.contextmanager
def _building(out: Path) -> Iterator[Path]:
    """A sibling of `out` to write into; takes its place when all went well, else is removed.

    What a killed build left there is swept away; a build that is still at work is an error.
    """
    folder = out.with_name(f".{out.name}.building")
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder, out):
        for left in folder.iterdir():
            if left.name != LOCK:
                left.unlink()
        try:
            yield folder
            (folder / LOCK).unlink(missing_ok=True)
            old = out.with_name(f".{out.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            if out.exists():
                out.rename(old)
            folder.rename(out)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


@contextlib.contextmanager
def _alone(folder: Path, out: Path) -> Iterator[None]:
    """Hold the lock of a folder; it goes with the process, however that ends."""
    try:
        import fcntl
    except ImportError:  # Windows: two builds into one folder are not noticed there
        yield
        return
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CorpusError(
                f"another build is at work on {out}", hint="wait for it, or choose another --out"
            ) from error
        yield


@dataclass
class _Tally:
    """What happened to the documents of one source."""

    read: int = 0
    kept: int = 0
    words: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def _build_into(
    folder: Path,
    recipe: CorpusRecipe,
    base: Path,
    files: dict[str, list[Path]],
    tokenizer: Any,
    report: Report,
) -> dict[str, Any]:
    started = time.monotonic()
    held_out = find_files(recipe.holdout, base) if recipe.holdout else []
    cleaner = Cleaner(recipe, (d["text"] for path in held_out for d in read_documents(path)))
    tallies: dict[str, _Tally] = {}
    frequency: Counter[str] = Counter()
    for source in recipe.source:
        tally = tallies[source.name] = _Tally()
        kept = _clean(source, files[source.name], cleaner, tally)
        with _spool(folder, source).open("w", encoding="utf-8") as spool:
            for document in kept:
                frequency.update(document.content)
                spool.write(json.dumps(document.to_dict(), ensure_ascii=False) + "\n")
        report(f"{source.name}: {tally.kept} of {tally.read} stories are clean")
        if not tally.kept:
            raise CorpusError(
                f"source {source.name!r}: no story is left of {tally.read}",
                hint="dropped: " + ", ".join(f"{n} {why}" for why, n in tally.dropped.items()),
            )

    renderer = Renderer(recipe, frequency)
    if tokenizer is None:
        report(f"learning {recipe.vocab_size} tokens")
        first = (
            text
            for source in recipe.source
            for text, _ in _render(folder, replace(source, renderings=1), renderer, recipe.seed)
        )
        tokenizer = train_tokenizer(first, recipe.vocab_size)
    tokenizer.save(str(folder / "tokenizer.json"))

    sources = []
    for source in recipe.source:
        rendered = _render(folder, source, renderer, recipe.seed)
        packed = _pack(folder, source, rendered, tokenizer, recipe.context)
        tally = tallies[source.name]
        sources.append(
            {
                "name": source.name,
                "weight": source.weight,
                "final_weight": source.last_weight,
                "licence": source.licence,
                "files": [path.name for path in files[source.name]],
                "read": tally.read,
                "dropped": {name: tally.dropped[name] for name in FAULTS},
                "documents": tally.kept,
                "words": tally.words,
                **packed,
            }
        )
        _spool(folder, source).unlink()
        report(f"{source.name}: {packed['renderings']} renderings, {packed['tokens']} tokens")
    return {
        "format_version": FORMAT_VERSION,
        "vocab_size": tokenizer.get_vocab_size(),
        "tokenizer_sha256": hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest(),
        "seed": recipe.seed,
        "ood": list(recipe.ood),
        "seconds": round(time.monotonic() - started, 1),
        "sources": sources,
    }


def _clean(
    source: Source, files: list[Path], cleaner: Cleaner, tally: _Tally
) -> Iterator[Document]:
    """The clean documents of a source; `tally` counts them and the others."""
    for path in files:
        for fields in read_documents(path, text=source.text, encoding=source.encoding):
            tally.read += 1
            text, why = cleaner(fields, source)
            if why:
                tally.dropped[why] += 1
                continue
            tally.kept += 1
            tally.words += len(text.split())
            yield label(text, fields, source)


def _spool(folder: Path, source: Source) -> Path:
    return folder / f"{source.name}.spool.jsonl"


def _documents(folder: Path, source: Source) -> Iterator[Document]:
    with _spool(folder, source).open(encoding="utf-8") as spool:
        for line in spool:
            yield Document.from_dict(json.loads(line))


def _render(
    folder: Path, source: Source, renderer: Renderer, seed: int
) -> Iterator[tuple[str, str]]:
    """Every story `renderings` times, as (rendered, bare); all once before any comes again."""
    for turn in range(source.renderings):
        for number, document in enumerate(_documents(folder, source)):
            # A generator a document: one story more changes no other.
            rng = Random(f"{seed}/{source.name}/{turn}/{number}")
            if turn and source.rename:
                document = rename(document, rng)
            yield renderer(document, rng, source.always), document.text


def _pack(
    folder: Path, source: Source, texts: Iterator[tuple[str, str]], tokenizer: Any, context: int
) -> dict[str, int]:
    """Encode and write one source. Returns what was counted, for the manifest.

    A header too long for its story is left out; the story too, if it must `always` have one.
    """
    import numpy as np

    name = source.name
    raw, starts = folder / f"{name}.raw", array("Q")
    tokens = size = unheaded = over = 0
    with raw.open("wb") as file:
        while batch := list(itertools.islice(texts, BATCH)):
            encoded = tokenizer.encode_batch([text for text, _ in batch], add_special_tokens=False)
            for (text, bare), encoding in zip(batch, encoded, strict=True):
                ids = encoding.ids
                if len(ids) + 2 > context and text != bare:
                    if source.always:
                        unheaded += 1
                        continue
                    # The end of the story is worth more to the model than its header.
                    text, ids = bare, tokenizer.encode(bare, add_special_tokens=False).ids
                    unheaded += 1
                over += len(ids) + 2 > context
                starts.append(tokens)
                tokens += file.write(np.array([END_ID, *ids], dtype="<u2").tobytes()) // 2
                size += len(text.encode())
        tokens += file.write(np.array([END_ID], dtype="<u2").tobytes()) // 2
    np.save(folder / f"{name}.docs.npy", np.frombuffer(starts, dtype="=u8").astype("<u8"))
    # The header of a .npy holds the length, known only now: copy the tokens behind it.
    with (folder / f"{name}.tokens.npy").open("wb") as file, raw.open("rb") as packed:
        header = {"descr": "<u2", "fortran_order": False, "shape": (tokens,)}
        np.lib.format.write_array_header_1_0(file, header)
        shutil.copyfileobj(packed, file)
    raw.unlink()
    return {
        "renderings": len(starts),
        "headers_left_out": unheaded,
        "over_context": over,
        "tokens": tokens,
        "bytes": size,
    }
