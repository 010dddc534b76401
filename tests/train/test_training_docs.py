"""docs/training.md says what is true: commands parse, recipes exist, counts are right."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("torch")

import typer

from tinytales.cli import bench, corpus, evaluate, tell, train
from tinytales.train.recipe import load_recipe, shipped_recipes

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
APPS = {"train": train, "corpus": corpus, "evaluate": evaluate, "bench": bench, "tell": tell}
COMMANDS = [
    shlex.split(line.split(" # ")[0])
    for line in re.findall(r"^(?:`)?(tinytales .*)$", PAGE, re.MULTILINE)
    if not line.startswith("tinytales export")
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_the_options_it_is_shown_with(words: list[str]) -> None:
    command = typer.main.get_command(APPS[words[1]].app)
    rest = words[2:]
    inner = getattr(command, "commands", {})
    if rest and rest[0] in inner:
        command, rest = inner[rest[0]], rest[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known
    changes = [rest[i + 1] for i, word in enumerate(rest) if word == "--set"]
    if words[1] == "train" and "--recipe" in rest:
        load_recipe(rest[rest.index("--recipe") + 1], changes)


def test_the_table_of_recipes_is_right() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) × (\d+) \| (.*) \|$", PAGE, re.MULTILINE)
    assert {name for name, *_ in rows} == set(shipped_recipes())
    for name, hidden, layers, counts in rows:
        shape = load_recipe(name).model
        assert (shape.hidden_size, shape.layers) == (int(hidden), int(layers))
        told = [int(n.replace(",", "")) for n in counts.split(" | ")]
        assert told == list(shape.parameters().values())


def test_the_keys_it_names_exist() -> None:
    recipe = load_recipe("storyteller")
    for section, key in re.findall(r"`(model|data|optim|run)\.(?!safetensors)(\w+)", PAGE):
        assert hasattr(getattr(recipe, section), key), f"{section}.{key}"
