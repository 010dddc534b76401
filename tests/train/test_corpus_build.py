"""The prepared folder keeps its contract, is the same each time, and is never half there."""

from __future__ import annotations

import hashlib
import json
import lzma
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers

from tinytales.cli.main import run
from tinytales.errors import TinytalesError, UsageError
from tinytales.prompt import StoryPrompt
from tinytales.train.corpus import CorpusError
from tinytales.train.corpus.build import build
from tinytales.train.corpus.recipe import CorpusRecipe, Source, load_recipe, parse_recipe
from tinytales.train.corpus.stats import read_manifest

RECIPE = """
vocab_size = 512
seed = 7
context = 550
holdout = ["held.jsonl"]

[[source]]
name = "originals"
files = ["stories/*.jsonl.xz"]
licence = "CC0-1.0"
weight = 2
renderings = 2
rename = true

[[source]]
name = "notes"
files = ["notes"]
min_words = 5
"""


def originals(count: int) -> list[dict[str, Any]]:
    path = resources.files("tinytales.assets") / "originals.jsonl.xz"
    with lzma.open(str(path), "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in islice(file, count)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts: 150 originals, the first three held out and twice there; two notes in a folder."""
    folder = tmp_path_factory.mktemp("texts")
    stories = originals(150)
    (folder / "stories").mkdir()
    with lzma.open(folder / "stories" / "a.jsonl.xz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(story) + "\n" for story in [*stories, *stories[3:6]])
    (folder / "held.jsonl").write_text("".join(json.dumps(s) + "\n" for s in stories[:3]))
    (folder / "notes").mkdir()
    (folder / "notes" / "one.txt").write_text("The owl sat in the tree and it was night.")
    (folder / "notes" / "two.txt").write_text("The fox lay on the hill and it was warm.")
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def corpus(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus") / "out"
    build(*load_recipe(root / "recipe.toml"), out, report=lambda line: None)
    return out


def documents(folder: Path, name: str) -> Iterator[str]:
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = np.load(folder / f"{name}.tokens.npy", mmap_mode="r")
    starts = np.load(folder / f"{name}.docs.npy", mmap_mode="r")
    for start, end in zip(starts, [*starts[1:], len(tokens) - 1], strict=True):
        yield tokenizer.decode(tokens[int(start) + 1 : int(end)].tolist())


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "corpus.json"  # it holds the time it took
    }


def test_what_the_trainer_opens(corpus: Path) -> None:
    about = json.loads((corpus / "corpus.json").read_text())
    assert (about["format_version"], about["vocab_size"], about["seed"]) == (1, 512, 7)
    sha = hashlib.sha256((corpus / "tokenizer.json").read_bytes()).hexdigest()
    assert about["tokenizer_sha256"] == sha
    source, notes = about["sources"]
    assert (source["name"], source["weight"], source["licence"]) == ("originals", 2.0, "CC0-1.0")
    assert source["read"] == 153
    assert source["dropped"]["held out"] == 3
    assert source["dropped"]["exact duplicate"] == 3
    assert source["read"] == source["documents"] + sum(source["dropped"].values())
    assert source["renderings"] == 2 * source["documents"]
    assert (notes["documents"], notes["renderings"]) == (2, 2)
    for name in ("originals", "notes"):
        tokens = np.load(corpus / f"{name}.tokens.npy", mmap_mode="r")
        starts = np.load(corpus / f"{name}.docs.npy", mmap_mode="r")
        assert (tokens.dtype, starts.dtype) == (np.uint16, np.uint64)
        # Token 0 begins every document, ends the last, and stands nowhere else.
        assert np.flatnonzero(tokens == 0).tolist() == [*starts.tolist(), len(tokens) - 1]
        assert tokens.max() < 512
    assert sorted(path.name for path in corpus.parent.iterdir()) == ["out"]


def test_documents_are_the_stories(corpus: Path) -> None:
    known = {story["text"]: story for story in originals(150)}
    texts = list(documents(corpus, "originals"))
    headed = renamed = 0
    for number, text in enumerate(texts):
        prompt = StoryPrompt.parse(text)
        headed += bool(prompt.words or prompt.summary or prompt.features or prompt.sentence)
        if number < len(texts) // 2:  # the first time every story has its own names
            assert prompt.opening in known
        else:
            renamed += prompt.opening not in known
    assert headed > 50
    assert renamed > 50
    note = next(documents(corpus, "notes"))
    assert note.endswith("The owl sat in the tree and it was night.")


def test_a_header_never_pushes_the_end_out_of_the_context(corpus: Path) -> None:
    source = json.loads((corpus / "corpus.json").read_text())["sources"][0]
    starts = np.load(corpus / "originals.docs.npy").astype(np.int64)
    lengths = np.diff(np.append(starts, source["tokens"] - 1)) + 1
    long = [t for t, n in zip(documents(corpus, "originals"), lengths, strict=True) if n > 550]
    assert len(long) == source["over_context"] > 0
    assert source["headers_left_out"] > 0
    assert not any(StoryPrompt.parse(text).words for text in long)


def test_what_must_have_a_header_is_never_bare(root: Path, tmp_path: Path) -> None:
    recipe = root / "always.toml"
    recipe.write_text(RECIPE.replace("rename = true", 'rename = true\nalways = ["summary"]'))
    out = tmp_path / "out"
    build(*load_recipe(recipe), out, report=lambda line: None)
    texts = list(documents(out, "originals"))
    source = json.loads((out / "corpus.json").read_text())["sources"][0]
    assert len(texts) == source["renderings"] > 100
    assert source["headers_left_out"] > 0 == source["over_context"]
    assert all(StoryPrompt.parse(text).summary for text in texts)
    assert any(not StoryPrompt.parse(text).summary for text in documents(out, "notes"))


def test_the_best_texts_come_last(root: Path, tmp_path: Path) -> None:
    recipe = root / "last.toml"
    recipe.write_text(RECIPE + "final_weight = 0\n")
    build(*load_recipe(recipe), tmp_path / "out", report=lambda line: None)
    sources = json.loads((tmp_path / "out" / "corpus.json").read_text())["sources"]
    shares = {s["name"]: (s["weight"], s["final_weight"]) for s in sources}
    assert shares == {"originals": (2.0, 2.0), "notes": (1.0, 0.0)}


def test_the_same_recipe_gives_the_same_bytes(root: Path, corpus: Path, tmp_path: Path) -> None:
    build(*load_recipe(root / "recipe.toml"), tmp_path / "again", report=lambda line: None)
    assert digests(tmp_path / "again") == digests(corpus)


def test_a_vocabulary_can_be_kept(root: Path, corpus: Path, tmp_path: Path) -> None:
    recipe = CorpusRecipe((Source("notes", ("notes",), min_words=5),))
    tokenizer = corpus / "tokenizer.json"
    about = build(recipe, root, tmp_path / "out", tokenizer=tokenizer, report=lambda line: None)
    assert about["vocab_size"] == 512
    assert digests(tmp_path / "out")["tokenizer.json"] == digests(corpus)["tokenizer.json"]
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(CorpusError, match="no tokenizer"):
        build(recipe, root, tmp_path / "bad", tokenizer=tmp_path / "bad.json")


def test_the_tokenizer_is_read_by_transformers_alike(corpus: Path) -> None:
    transformers = pytest.importorskip("transformers")
    path = str(corpus / "tokenizer.json")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=path)
    ours = tokenizers.Tokenizer.from_file(path)
    for text in ("Words: kite\nStory:\nThe fox…", '"Ünï ☃!" said\nBo.  ', "<|endoftext|>A"):
        assert theirs.encode(text) == ours.encode(text).ids
        assert ours.decode(ours.encode(text).ids, skip_special_tokens=False) == text
    assert ours.token_to_id("<|endoftext|>") == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("vocab_size = 60000", "supports"),
        ('files = ["absent/*.jsonl"]', "no file matches"),
        ("min_words = 400\nmax_words = 450", "no story is left"),
        ('text = "tale"', "no text in field 'tale'"),
        ('where = { style = "poem" }', "no story is left"),
    ],
)
def test_what_fails_leaves_nothing(root: Path, tmp_path: Path, change: str, message: str) -> None:
    key = change.split(" = ")[0]
    table = {"name": "a", "files": ["stories/*"], **_toml(change)}
    top = {"vocab_size": table.pop("vocab_size")} if key == "vocab_size" else {"vocab_size": 300}
    with pytest.raises(TinytalesError, match=message):
        build(parse_recipe({**top, "source": [table]}), root, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def _toml(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        ({}, "no .*source", "at least one"),
        ({"source": 3}, "no list", "source"),
        ({"vocab": 4096, "source": [{"name": "a", "files": ["b"]}]}, "'vocab'", "vocab_size"),
        ({"source": [{"name": "a", "files": ["b"], "wieght": 1}]}, "'wieght'", "weight"),
        ({"source": [{"name": "a"}]}, "files is missing", ""),
        ({"source": [{"name": "a", "files": []}]}, "names no files", "files"),
        ({"source": [{"name": "../a", "files": ["b"]}]}, "file name", "letters"),
        ({"source": [{"name": "a", "files": ["b"]}] * 2}, "two sources", "rename"),
        ({"source": [{"name": "a", "files": ["b"], "weight": "big"}]}, "no float", ""),
        ({"source": [{"name": "a", "files": ["b"], "weight": -1}]}, "negative", ""),
        ({"source": [{"name": "a", "files": ["b"], "weight": 0}]}, "weight 0", ""),
        ({"source": [{"name": "a", "files": ["b"], "final_weight": 0}]}, "weight 0", ""),
        ({"source": [{"name": "a", "files": ["b"], "renderings": 0}]}, "renderings", ""),
        ({"source": [{"name": "a", "files": ["b"], "rename": 1}]}, "no bool", ""),
        ({"source": [{"name": "a", "files": ["b"], "features": ["morale"]}]}, "morale", "moral"),
        ({"source": [{"name": "a", "files": ["b"]}], "vocab_size": 100}, "out of range", "257"),
        ({"source": [{"name": "a", "files": ["b"]}], "bare": 0.9, "story_only": 0.2}, "more", ""),
        ({"source": [{"name": "a", "files": ["b"]}], "ood": ["word"]}, "'word'", "words"),
        ({"source": [{"name": "a", "files": ["b"]}], "bare": float("nan")}, "no share", ""),
    ],
)
def test_recipes_that_cannot_be(data: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_recipe(data)
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["corpus-originals", "corpus-storyteller", "corpus-tinystories"])
def test_the_recipes_that_ship_are_sound(name: str) -> None:
    recipe, base = load_recipe(name)
    assert recipe.vocab_size == 4096
    assert base == Path.cwd()
    assert all(source.licence for source in recipe.source)


def test_an_unknown_recipe_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("corpus-original")
    assert "corpus-originals" in caught.value.hint
    (tmp_path / "bad.toml").write_bytes(b"\xff = 1")
    with pytest.raises(UsageError, match="not TOML"):
        load_recipe(tmp_path / "bad.toml")


def tinytales(*args: object) -> list[str]:
    code = "from tinytales.cli.main import main; main()"
    return [sys.executable, "-c", code, *map(str, args)]


def test_a_killed_build_leaves_the_old_corpus(root: Path, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    recipe = CorpusRecipe((Source("notes", ("notes",), min_words=5),))
    tokenizer = corpus / "tokenizer.json"
    build(recipe, root, out, tokenizer=tokenizer, report=lambda line: None)
    before = digests(out)
    command = tinytales(
        "corpus", "build", "--recipe", "corpus-originals", "--out", out, "--replace"
    )
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    spool = tmp_path / ".out.building" / "originals.spool.jsonl"
    deadline = time.monotonic() + 60
    while not (spool.exists() and spool.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    # While it works, a second build of the same folder is refused.
    with pytest.raises(CorpusError, match="another build"):
        build(recipe, root, out, tokenizer=tokenizer, overwrite=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert spool.exists()
    assert digests(out) == before
    build(recipe, root, out, tokenizer=tokenizer, overwrite=True, report=lambda line: None)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_nothing_is_overwritten_unasked(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["corpus", "build", "--recipe", str(root / "recipe.toml"), "--out", str(tmp_path)]
    (tmp_path / "diary.txt").write_text("mine")
    assert run(args) == 1
    assert "exists already" in capsys.readouterr().err
    assert run([*args, "--replace"]) == 1  # no corpus: never replaced
    assert (tmp_path / "diary.txt").read_text() == "mine"


def test_the_commands(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(["corpus", "build", "--recipe", str(root / "recipe.toml"), "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out}\n"
    assert "of 153 stories are clean" in shown.err
    picture = tmp_path / "corpus.png"
    assert run(["corpus", "stats", str(out), "--picture", str(picture)]) == 0
    table = capsys.readouterr().out
    assert [line.split()[0] for line in table.splitlines()[:4]] == [
        "source", "originals", "notes", "all"
    ]  # fmt: skip
    assert any(line.split()[:4] == ["held", "out", "3", "0"] for line in table.splitlines())
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run(["corpus", "stats", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_manifest(out)
    assert run(["corpus", "stats", str(out), "--picture", str(tmp_path / "corpus.what")]) == 1
    assert not (tmp_path / "corpus.what").exists()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("corpus.json", b"{", "no prepared corpus"),
        ("corpus.json", b'{"format_version": 9}', "version 9"),
        ("tokenizer.json", b"{}", "was changed"),
        ("tokenizer.json", None, "is missing"),
        ("originals.tokens.npy", b"\x93NUMPY", "cannot be read"),
        ("originals.docs.npy", None, "cannot be read"),
        ("notes.docs.npy", "originals.docs.npy", "entries, not 2"),
    ],
)
def test_damage_is_noticed(
    corpus: Path, tmp_path: Path, name: str, data: bytes | str | None, message: str
) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in corpus.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    if data is None:
        (folder / name).unlink()
    else:
        new = data if isinstance(data, bytes) else (folder / data).read_bytes()
        (folder / name).write_bytes(new)
    with pytest.raises(CorpusError, match=message) as caught:
        read_manifest(folder)
    assert "build it anew" in caught.value.hint
