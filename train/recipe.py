"""Recipes: everything that decides a run, in one TOML file with a comment for every key.

    tinytales train --recipe smoke --set run.steps=50 --set optim.lr=0.002

An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, get_type_hints

from tinytales.errors import UsageError, nearest
from tinytales.train.model import ModelShape
from tinytales.train.optim import OptimRecipe


@dataclass(frozen=True, slots=True)
class DataRecipe:
    """What is read.

    Attributes:
        corpus: folder of a prepared corpus; "" builds the originals that ship with tinytales.
        weights: share of each source; empty takes the corpus's own.
        sequence: tokens in a row.
        batch: rows in a step, over all processes.
        accumulate: passes that a step is split into, where memory is short.
        final_weights: shares while the learning rate decays; empty: `weights`, or the corpus's own
            for then.
        final_sequence: tokens in a row then; 0 keeps `sequence`.
        wish_weight: what a word that the header asks for counts in the loss where it is first told.
        dev: JSON Lines that are never trained on, for bits per byte.
    """

    corpus: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)
    sequence: int = 256
    batch: int = 16
    accumulate: int = 1
    final_weights: Mapping[str, float] = field(default_factory=dict)
    final_sequence: int = 0
    wish_weight: float = 1.0
    dev: str = ""


@dataclass(frozen=True, slots=True)
class RunRecipe:
    """How long, how often, on what.

    Attributes:
        steps: length of the run in steps; or
        tokens: in tokens; or
        minutes: in minutes of work, however often it is interrupted. One of the three.
        seed: of weights, order and dropout.
        device: "auto", "cpu", "cuda".
        threads: of the CPU; 0 leaves it to torch.
        precision: "bf16" (autocast) or "fp32".
        compile: let torch.compile fuse the model; falls back by itself.
        ema: decay of an average of the weights, which is then what is saved; 0 is off.
        save_minutes: time between checkpoints.
        eval_minutes: time between measurements on dev.
        sample_minutes: time between sample stories.
        keep: checkpoints kept.
    """

    steps: int = 0
    tokens: int = 0
    minutes: float = 0.0
    seed: int = 1
    device: str = "auto"
    threads: int = 0
    precision: str = "bf16"
    compile: bool = True
    ema: float = 0.0
    save_minutes: float = 5.0
    eval_minutes: float = 10.0
    sample_minutes: float = 10.0
    keep: int = 3


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole recipe. Sections are named in the TOML as here."""

    model: ModelShape = field(default_factory=ModelShape)
    data: DataRecipe = field(default_factory=DataRecipe)
    optim: OptimRecipe = field(default_factory=OptimRecipe)
    run: RunRecipe = field(default_factory=RunRecipe)

    def __post_init__(self) -> None:
        run, data = self.run, self.data
        budgets = [run.steps, run.tokens, run.minutes]
        if sum(b > 0 for b in budgets) != 1 or min(budgets) < 0:
            raise UsageError(
                "a run needs exactly one length", hint="give run.steps, run.tokens or run.minutes"
            )
        if data.batch < 1 or data.accumulate < 1 or data.batch % data.accumulate:
            raise UsageError(
                f"a batch of {data.batch} rows does not divide into {data.accumulate} passes",
                hint="choose data.accumulate so that it divides data.batch",
            )
        if not 0 < data.sequence <= self.model.context or data.final_sequence > self.model.context:
            raise UsageError(
                f"rows of {max(data.sequence, data.final_sequence)} tokens do not fit "
                f"a context of {self.model.context}",
                hint="lower data.sequence or raise model.context",
            )
        if run.precision not in ("bf16", "fp32"):
            raise UsageError(f"unknown precision {run.precision!r}", hint='"bf16" or "fp32"')
        if run.ema and not 0 < run.ema < 1:
            raise UsageError(f"run.ema is {run.ema}", hint="0 for off, else below 1: 0.999")

    def to_toml(self) -> str:
        """The recipe as it will be run, complete."""
        lines = []
        for section in fields(self):
            lines.append(f"[{section.name}]")
            part = getattr(self, section.name)
            lines += [f"{f.name} = {_toml(getattr(part, f.name))}" for f in fields(part)]
            lines.append("")
        return "\n".join(lines)


SECTIONS = {"model": ModelShape, "data": DataRecipe, "optim": OptimRecipe, "run": RunRecipe}


def shipped_recipes() -> dict[str, Path]:
    """Name -> file of the recipes that come with tinytales."""
    folder = Path(str(files("tinytales.train.recipes")))
    return {p.stem: p for p in sorted(folder.glob("*.toml")) if not p.stem.startswith("corpus")}


def load_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe called `name` or in the file `name`, with `section.key=value` overrides.

    Raises:
        UsageError: no such recipe, an unknown key, or a value of another type.
    """
    path = Path(name)
    if path.suffix != ".toml":
        shipped = shipped_recipes()
        if name not in shipped:
            raise UsageError(f"there is no recipe {name!r}", hint=nearest(name, shipped))
        path = shipped[name]
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}", hint="give a recipe's name or its .toml file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    for override in overrides:
        _override(table, override)
    return from_table(table, str(path))


def from_table(table: Mapping[str, Any], where: str) -> Recipe:
    """A recipe from nested dictionaries; `where` is named in errors."""
    parts: dict[str, Any] = {}
    for section, values in table.items():
        if section not in SECTIONS:
            raise UsageError(
                f"{where}: unknown section [{section}]", hint=nearest(section, SECTIONS)
            )
        kind = SECTIONS[section]
        hints = get_type_hints(kind)
        for key, value in values.items():
            if key not in hints:
                raise UsageError(f"{where}: unknown key {section}.{key}", hint=nearest(key, hints))
            wanted = Mapping if "Mapping" in str(hints[key]) else hints[key]
            fits = isinstance(value, int | float if wanted is float else wanted)
            if not fits or (isinstance(value, bool) and wanted is not bool):
                raise UsageError(f"{where}: {section}.{key} cannot be {value!r}")
        parts[section] = kind(**values)
    return Recipe(**parts)


def with_run(recipe: Recipe, **changes: Any) -> Recipe:
    return dataclasses.replace(recipe, run=dataclasses.replace(recipe.run, **changes))


def _override(table: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot:
        raise UsageError(f"cannot read --set {override!r}", hint="--set section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word is a string
    budget = ("steps", "tokens", "minutes")
    if section == "run" and key in budget:  # one length replaces another
        for other in budget:
            table.get("run", {}).pop(other, None)
    table.setdefault(section, {})[key] = value


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    return repr(value)
