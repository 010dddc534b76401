"""The wheel holds what the tree holds, and the core stays light."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Where each room of the checkout is installed.
ROOMS = {
    "tinytales": "tinytales",
    "train": "tinytales/train",
    "export": "tinytales/export",
    "tui": "tinytales/tui",
    "assets": "tinytales/assets",
}


def tree_names() -> set[str]:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *ROOMS],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\n")  # fmt: skip
    return {
        "/".join([ROOMS[name.split("/")[0]], *name.split("/")[1:]])
        for name in tracked
        if name and (ROOT / name).exists()
    }


@pytest.mark.xdist_group("build")
def test_the_wheel_has_the_names_of_the_tree(tmp_path: Path) -> None:
    # Built from a copy, so that a build folder in the checkout cannot add names.
    copy = tmp_path / "source"
    copy.mkdir()
    for name in [*ROOMS, "pyproject.toml", "README.md", "LICENSE"]:
        (copy / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path / "out", copy],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "out").glob("*.whl")
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert names == tree_names()


def test_every_folder_of_code_is_listed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        str(Path(ROOMS[room]) / p.parent.relative_to(ROOT / room)).replace("/", ".").rstrip(".")
        for room in ROOMS
        for p in (ROOT / room).rglob("__init__.py")
    }
    assert set(listed) == found


HEAVY = "torch transformers onnx textual openai pydantic matplotlib gguf llama_cpp pyarrow".split()


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


def test_telling_a_story_needs_nothing_heavy(tiny_bundle: Path) -> None:
    loaded = loaded_after(
        "from tinytales import Storyteller, Sampling\n"
        f"teller = Storyteller.open({str(tiny_bundle)!r})\n"
        "teller.tell(sampling=Sampling(seed=1, max_words=5))"
    )
    assert "onnxruntime" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_the_public_names_need_no_runtime() -> None:
    loaded = loaded_after("import tinytales\ntinytales.StoryPrompt, tinytales.Story")
    assert loaded.isdisjoint([*HEAVY, "onnxruntime", "tokenizers", "typer"])


def test_help_loads_no_command() -> None:
    loaded = loaded_after("from tinytales.cli.main import run\nrun(['--help'])")
    assert loaded.isdisjoint([*HEAVY, "onnxruntime", "tokenizers", "typer", "numpy"])


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        ("tinytales.cli", "tinytales"),
        ("tinytales.tui", "core"),
        ("tinytales.train", "core"),
        ("tinytales.export", "core"),
    ],
)
def test_arrows_run_one_way(room: str, allowed: str) -> None:
    """cli -> tui, train, export -> core; the core imports none of them."""
    import ast

    folder = ROOT / (room.split(".")[1] if room != "tinytales.cli" else "tinytales")
    forbidden = {"tinytales.cli", "tinytales.tui", "tinytales.train", "tinytales.export"} - {room}
    wrong = []
    for path in folder.rglob("*.py"):
        if allowed == "tinytales" and "cli" in path.relative_to(folder).parts:
            continue  # the command line may call every room
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
            elif isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            else:
                continue
            wrong += [
                (str(path), n) for n in names for f in forbidden if n == f or n.startswith(f + ".")
            ]
    wrong = [w for w in wrong if not w[0].endswith("__main__.py")]
    assert not wrong
