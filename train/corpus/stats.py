"""What is in a prepared corpus: a table, a picture, and a check that the files are whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tinytales.errors import require
from tinytales.train.corpus import CorpusError
from tinytales.train.corpus.build import FORMAT_VERSION, MANIFEST
from tinytales.train.corpus.clean import FAULTS

REBUILD = "build it anew: tinytales corpus build --replace"


def read_manifest(folder: Path) -> dict[str, Any]:
    """The corpus.json of a prepared corpus, checked against the files beside it.

    Raises:
        CorpusError: no corpus there, another format version, a file that is missing or changed.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version = manifest["format_version"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CorpusError(f"{folder} is no prepared corpus: {error}", hint=REBUILD) from error
    if version != FORMAT_VERSION:
        raise CorpusError(
            f"{folder} has format version {version}, not {FORMAT_VERSION}", hint=REBUILD
        )
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise CorpusError(f"{tokenizer} is missing", hint=REBUILD)
    if hashlib.sha256(tokenizer.read_bytes()).hexdigest() != manifest["tokenizer_sha256"]:
        raise CorpusError(f"{tokenizer} was changed after the corpus was built", hint=REBUILD)
    for source in manifest["sources"]:
        for kind, size in (("tokens", source["tokens"]), ("docs", source["renderings"])):
            path = folder / f"{source['name']}.{kind}.npy"
            if (found := _length(path)) != size:
                raise CorpusError(f"{path} has {found} entries, not {size}", hint=REBUILD)
    return manifest  # type: ignore[no-any-return]


def _length(path: Path) -> int:
    import numpy as np

    try:
        return len(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise CorpusError(f"{path} cannot be read: {error}", hint=REBUILD) from error


def table(manifest: dict[str, Any]) -> str:
    """What there is, and what was dropped for which reason, as two plain tables."""
    sources = manifest["sources"]
    total = sum(source["weight"] for source in sources)
    what = [
        ["source", "share", "read", "stories", "renderings", "tokens", "bytes/token", "licence"]
    ]
    for s in sources:
        what.append(
            [
                s["name"],
                f"{100 * s['weight'] / total:.0f}%",
                f"{s['read']:,}",
                f"{s['documents']:,}",
                f"{s['renderings']:,}",
                f"{s['tokens']:,}",
                f"{s['bytes'] / s['tokens']:.2f}",
                s["licence"] or "-",
            ]
        )
    what.append(
        ["all", "100%"]
        + [f"{sum(s[k] for s in sources):,}" for k in ("read", "documents", "renderings", "tokens")]
        + [f"{sum(s['bytes'] for s in sources) / sum(s['tokens'] for s in sources):.2f}", ""]
    )
    dropped = [["dropped", *(s["name"] for s in sources), "why"]]
    for fault, meaning in FAULTS.items():
        counts = [s["dropped"].get(fault, 0) for s in sources]
        dropped.append([fault, *(f"{count:,}" for count in counts), meaning])
    return "\n".join([*_aligned(what), "", *_aligned(dropped)])


def _aligned(rows: list[list[str]]) -> list[str]:
    """The first and the last column to the left, figures to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0], cells[-1] = row[0].ljust(widths[0]), row[-1]
        lines.append("  ".join(cells).rstrip())
    return lines


def picture(folder: Path, manifest: dict[str, Any], path: Path) -> None:
    """Draw what was kept and dropped, and how long the documents are, as PNG (or by suffix)."""
    import numpy as np

    matplotlib = require("matplotlib", "train")
    matplotlib.use("Agg")
    pyplot = require("matplotlib.pyplot", "train")

    sources = manifest["sources"]
    names = [source["name"] for source in sources]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    start = np.zeros(len(sources))
    for fault in ("kept", *FAULTS):
        counts = np.array(
            [s["documents"] if fault == "kept" else s["dropped"].get(fault, 0) for s in sources]
        )
        if counts.any():
            left.barh(names, counts, left=start, label=f"{fault} ({counts.sum():,})")
            start = start + counts
    left.invert_yaxis()
    left.set(title="Stories kept and dropped", xlabel="stories")
    left.legend(fontsize=8)
    bins = np.arange(0, 801, 20)
    for source in sources:
        starts = np.load(folder / f"{source['name']}.docs.npy", mmap_mode="r", allow_pickle=False)
        lengths = np.diff(np.append(starts, source["tokens"] - 1).astype(np.int64))
        shares = np.histogram(np.minimum(lengths, bins[-1] - 1), bins)[0] / len(lengths)
        right.stairs(100 * shares, bins, label=source["name"])
    right.set(title="Length of the documents", xlabel="tokens", ylabel="% of the source")
    right.legend(fontsize=8)
    building = path.with_name(f".{path.name}.building{path.suffix}")
    try:
        figure.savefig(building, dpi=120)
        building.replace(path)
    except ValueError as error:
        raise CorpusError(f"{path}: {error}", hint="name it something.png") from error
    finally:
        pyplot.close(figure)
        building.unlink(missing_ok=True)
