"""Recipes: what they say, and what they answer to a mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tinytales.errors import UsageError
from tinytales.train.recipe import from_table, load_recipe, shipped_recipes


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_opens_and_explains_every_key(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.model.parameters()["total"] > 0
    for line in shipped_recipes()[name].read_text().splitlines():
        if re.match(r"\w+ = ", line):
            assert "#" in line, line


def test_a_recipe_written_out_is_the_same_recipe(tmp_path: Path) -> None:
    recipe = load_recipe("storyteller", ["data.corpus=C:\\stories", "optim.lr=1e-3"])
    path = tmp_path / "again.toml"
    path.write_text(recipe.to_toml())
    again = load_recipe(str(path), [f"run.minutes={recipe.run.minutes}"])
    assert again == recipe


def test_set_changes_one_value_and_one_length_replaces_another() -> None:
    recipe = load_recipe("smoke", ["run.steps=5", "data.weights={originals = 2.0}"])
    assert (recipe.run.steps, recipe.run.minutes) == (5, 0)
    assert recipe.data.weights == {"originals": 2.0}


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ("run.stepz=5", "steps"),
        ("optimizer.lr=1", "optim"),
        ("lr=1", "section.key=value"),
        ("run.steps", "section.key=value"),
    ],
)
def test_unknown_keys_name_the_nearest(change: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("smoke", [change])
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "change",
    ["run.steps=many", "run.compile=3", "data.batch=1.5", "model.layers=true",
     "optim.optimizer=sgd", "data.sequence=9999", "data.accumulate=3", "run.precision=fp8",
     "run.minutes=-1", "run.ema=2"],
)  # fmt: skip
def test_impossible_values_are_refused(change: str) -> None:
    with pytest.raises(UsageError):
        load_recipe("smoke", [change])


def test_a_missing_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("storyteler")
    assert "storyteller" in caught.value.hint
    with pytest.raises(UsageError, match="No such file"):
        load_recipe("nowhere.toml")


def test_two_lengths_are_one_too_many() -> None:
    with pytest.raises(UsageError, match="exactly one length"):
        from_table({"run": {"steps": 5, "minutes": 1.0}}, "here")
