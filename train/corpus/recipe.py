"""The corpus recipe: which texts, in which share, rendered how often.

    vocab_size = 4096
    seed = 1
    holdout = ["dev.jsonl.xz"]            # stories that share runs of words with it are dropped

    [[source]]
    name = "originals"
    files = ["assets:originals.jsonl.xz"] # globs; relative to --root, else to the recipe
    weight = 2.0                          # share of the training tokens, relative to the others
    renderings = 4                        # how often each story is rendered with another header

An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from tinytales.errors import UsageError, nearest
from tinytales.prompt import FEATURES, HEADER_LINES
from tinytales.train.corpus import CorpusError

ASSETS = "assets:"


@dataclass(frozen=True)
class Source:
    """One source of stories: where it lies and how it is used."""

    name: str
    files: tuple[str, ...]
    weight: float = 1.0  # share of the training tokens, relative to the other sources
    final_weight: float | None = None  # the same while the learning rate decays; else `weight`
    renderings: int = 1  # how often each story is rendered, each time with another header
    rename: bool = False  # may characters be renamed, consistently, in renderings after the first?
    licence: str = ""
    text: str = "text"  # the field (or column) with the story
    encoding: str = "utf-8"
    where: Mapping[str, str] = field(default_factory=dict)  # keep documents with these fields
    features: tuple[str, ...] = ()  # what every story of the source has, as in tinytales.prompt
    always: tuple[str, ...] = ()  # header lines given wherever they are known: never bare
    min_words: int = 20
    max_words: int = 450

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("-", "").replace("_", "").isalnum():
            raise UsageError(
                f"source name {self.name!r} cannot be a file name",
                hint="use letters, digits, - and _",
            )
        if not self.files:
            raise UsageError(f"source {self.name!r} names no files", hint='files = ["a.jsonl.xz"]')
        if self.weight < 0 or (self.final_weight or 0) < 0:
            raise UsageError(f"source {self.name!r}: a weight is negative")
        if not 1 <= self.renderings <= 100:
            raise UsageError(f"source {self.name!r}: renderings must be 1 to 100")
        if not 1 <= self.min_words <= self.max_words:
            raise UsageError(
                f"source {self.name!r}: min_words {self.min_words}, max_words {self.max_words}",
                hint="1 <= min_words <= max_words",
            )
        for name in self.features:
            if name not in FEATURES:
                raise UsageError(f"unknown feature {name!r}", hint=nearest(name, FEATURES))
        for line in self.always:
            if line not in HEADER_LINES:
                raise UsageError(f"unknown header line {line!r}", hint=nearest(line, HEADER_LINES))

    @property
    def last_weight(self) -> float:
        return self.weight if self.final_weight is None else self.final_weight


@dataclass(frozen=True)
class CorpusRecipe:
    """Everything that decides what `build` writes: the same recipe and texts, the same bytes."""

    source: tuple[Source, ...]
    vocab_size: int = 4096
    seed: int = 1
    bare: float = 0.35  # share of documents that are the story alone
    story_only: float = 0.15  # share that begins with `Story:` alone; the rest has a header
    context: int = 512  # tokens; a header that makes its story longer than this is left out
    ood: tuple[str, ...] = ()  # header lines that never stand together (Instruct-OOD)
    holdout: tuple[str, ...] = ()  # texts that must stay unseen
    contamination: float = 0.2  # drop a story when more of it than this is held-out 13-grams
    near_duplicates: float = 0.8  # drop a story this similar (Jaccard) to an earlier one; 0: keep

    def __post_init__(self) -> None:
        if not self.source:
            raise UsageError("the corpus recipe has no [[source]]", hint="name at least one")
        names = [source.name for source in self.source]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"two sources are called {name!r}", hint="rename one of them")
        if not 257 <= self.vocab_size <= 65536:
            raise UsageError(
                f"vocab_size {self.vocab_size} is out of range",
                hint="257 (bytes and the end token) to 65536 (tokens are stored as uint16)",
            )
        for name in ("bare", "story_only", "contamination", "near_duplicates"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} = {getattr(self, name)} is no share", hint="0 to 1")
        if self.bare + self.story_only > 1:
            raise UsageError("bare and story_only add up to more than 1")
        for line in self.ood:
            if line not in HEADER_LINES:
                raise UsageError(f"unknown header line {line!r}", hint=nearest(line, HEADER_LINES))
        for weights in ([s.weight for s in self.source], [s.last_weight for s in self.source]):
            if not any(weights):
                raise UsageError("every source has weight 0", hint="give one of them a weight")


def load_recipe(name: str | Path) -> tuple[CorpusRecipe, Path]:
    """Read a recipe file, or one that ships with tinytales by its name.

    Returns the recipe and the folder its globs are relative to.

    Raises:
        UsageError: no such recipe, not TOML, an unknown or mistyped key.
    """
    path = Path(name)
    if not path.is_file():
        shipped = Path(str(resources.files("tinytales.train.recipes")))
        known = sorted(file.stem for file in shipped.glob("corpus*.toml"))
        if path.name not in known:
            raise UsageError(
                f"there is no corpus recipe {str(name)!r}", hint=nearest(path.name, known)
            )
        path = shipped / f"{path.name}.toml"
        base = Path.cwd()
    else:
        base = path.parent
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    return parse_recipe(data), base


def parse_recipe(data: Mapping[str, Any]) -> CorpusRecipe:
    """A recipe from the tables of its TOML file."""
    tables = data.get("source", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError("source is no list of tables", hint="write [[source]] above each")
    sources = tuple(_build(Source, table, f"source {table.get('name', '?')}") for table in tables)
    return _build(CorpusRecipe, {**data, "source": sources}, "corpus recipe")


def _build(kind: type, table: Mapping[str, Any], where: str) -> Any:
    """Fill a dataclass from a table, checking names and types by its defaults."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in fields:
            raise UsageError(f"{where}: unknown key {key!r}", hint=nearest(key, fields))
        wanted = str(fields[key].type)
        if wanted.startswith("tuple") and isinstance(value, str):
            value = [value]
        if wanted.startswith("tuple") and isinstance(value, list):
            value = tuple(value)
        wanted = wanted.removesuffix(" | None")
        if wanted == "float" and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        good = {
            "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
            "float": lambda v: isinstance(v, float),
            "bool": lambda v: isinstance(v, bool),
            "str": lambda v: isinstance(v, str),
            "tuple[str, ...]": lambda v: (
                isinstance(v, tuple) and all(isinstance(x, str) for x in v)
            ),
            "Mapping[str, str]": lambda v: isinstance(v, dict),
        }.get(wanted, lambda v: True)(value)
        if not good:
            raise UsageError(f"{where}: {key} = {value!r} is no {wanted}")
        values[key] = value
    for key in ("name", "files"):
        if key in fields and key not in values:
            raise UsageError(f"{where}: {key} is missing")
    return kind(**values)


def find_files(patterns: tuple[str, ...], base: Path) -> list[Path]:
    """The files that globs name, sorted; a folder stands for the files in it.

    `assets:NAME` is a text that ships with tinytales.

    Raises:
        CorpusError: a pattern that matches nothing.
    """
    found: list[Path] = []
    for pattern in patterns:
        if pattern.startswith(ASSETS):
            matches = [Path(str(resources.files("tinytales.assets"))) / pattern[len(ASSETS) :]]
        elif Path(pattern).is_absolute():
            matches = sorted(Path("/").glob(pattern[1:]))
        else:
            matches = sorted(base.glob(pattern))
        files = [
            file
            for match in matches
            for file in (sorted(match.rglob("*")) if match.is_dir() else [match])
            if file.is_file() and not file.name.startswith(".")
        ]
        if not files:
            raise CorpusError(
                f"no file matches {pattern!r} in {base}", hint="name the folder with --root"
            )
        found += [file for file in files if file not in found]
    return found
