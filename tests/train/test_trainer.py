"""Runs stop, go on, and share: always the same run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from tinytales.errors import TinytalesError, UsageError  # noqa: E402
from tinytales.train import run  # noqa: E402
from tinytales.train.checkpoint import average_checkpoints  # noqa: E402
from tinytales.train.data import Batches, PreparedCorpus, target_weights  # noqa: E402
from tinytales.train.fixture import build_tiny, tiny_recipe  # noqa: E402
from tinytales.train.recipe import Recipe, from_table  # noqa: E402
from tinytales.train.trainer import Trainer, list_checkpoints  # noqa: E402


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("texts") / "corpus")


def recipe_for(corpus: Path, steps: int = 8, **changes: dict[str, object]) -> Recipe:
    base = tiny_recipe(steps=steps)
    table = {
        "model": {"vocab_size": 512, "hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 1,
                  "ffn_size": 64, "context": 64, "dropout": 0.1},
        "data": {"corpus": str(corpus), "sequence": 32, "batch": 4, "final_sequence": 64},
        "optim": {"warmup_steps": 2, "decay_share": 0.5},
        "run": {"steps": steps, "compile": False, "precision": "fp32", "threads": 1,
                "save_minutes": 0.0, "eval_minutes": 0.0, "sample_minutes": 0.0},
    }  # fmt: skip
    assert base.run.steps == steps
    return from_table({k: v | changes.get(k, {}) for k, v in table.items()}, "the test")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "model.safetensors"))


def same(a: Path, b: Path) -> bool:
    left, right = weights(a), weights(b)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.mark.parametrize("optim", [{}, {"optimizer": "adamw", "matrix_lr": 0.003}])
@pytest.mark.parametrize("stop", [3, 6])
def test_a_resumed_run_equals_an_uninterrupted_one(
    corpus: Path, tmp_path: Path, optim: dict[str, object], stop: int
) -> None:
    recipe = recipe_for(corpus, optim=optim, run={"ema": 0.9})
    whole, _ = run.begin(recipe, tmp_path / "whole")

    trainer = Trainer(recipe, tmp_path / "parts", PreparedCorpus(corpus))
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "recipe.toml").write_text(recipe.to_toml())
    step = trainer._step

    def stop_after(share: float) -> tuple[float, float]:
        result = step(share)
        if trainer.step == stop:
            trainer._stop = signal.SIGTERM
        return result

    trainer._step = stop_after  # type: ignore[method-assign]
    assert trainer.run().name == f"step-{stop:07d}"
    parts, stopped = run.resume(recipe, tmp_path / "parts")
    assert stopped is None
    assert same(whole, parts)


def test_different_seeds_differ(corpus: Path, tmp_path: Path) -> None:
    one, _ = run.begin(recipe_for(corpus, run={"seed": 1}), tmp_path / "one")
    two, _ = run.begin(recipe_for(corpus, run={"seed": 2}), tmp_path / "two")
    assert not same(one, two)


def test_accumulation_changes_nothing_but_the_rounding(corpus: Path, tmp_path: Path) -> None:
    def final(parts: int) -> dict[str, torch.Tensor]:
        recipe = recipe_for(corpus, steps=4, data={"accumulate": parts}, model={"dropout": 0.0})
        return weights(run.begin(recipe, tmp_path / str(parts))[0])

    whole, halves = final(1), final(2)
    for name in whole:  # as a whole: Adam divides a gradient of nearly 0 by itself
        assert (whole[name] - halves[name]).norm() < 0.03 * whole[name].norm(), name


def in_two_processes(recipe: Path, out: Path) -> None:
    """What torchrun does."""
    processes = []
    for rank in range(2):
        env = os.environ | {
            "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(29000 + os.getpid() % 2000),
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        code = "from tinytales.cli.main import main; main()"
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", code, "train", "--recipe", str(recipe), "--out", str(out)],
                env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err


def test_two_processes_agree_on_the_time(corpus: Path, tmp_path: Path) -> None:
    """Their clocks differ: the first one's says when the run is over."""
    toml = tmp_path / "recipe.toml"
    recipe = recipe_for(corpus, steps=6).to_toml().replace("steps = 6", "steps = 0")
    toml.write_text(recipe.replace("minutes = 0.0\n", "minutes = 0.05\n", 1))
    in_two_processes(toml, tmp_path / "two")
    state = list_checkpoints(tmp_path / "two")[-1] / "training_state.json"
    assert json.loads(state.read_text())["worked"] >= 0.05 * 60
    assert (tmp_path / "two" / "final" / "model.safetensors").is_file()


def test_two_processes_learn_what_one_learns(corpus: Path, tmp_path: Path) -> None:
    """Sharded rows, averaged gradients: the same curve at the same global batch (gloo)."""
    recipe = recipe_for(corpus, steps=6, model={"dropout": 0.0})
    toml = tmp_path / "recipe.toml"
    toml.write_text(recipe.to_toml().replace("tokens = 0\nminutes = 0.0\n", ""))
    run.begin(recipe, tmp_path / "one")
    in_two_processes(toml, tmp_path / "two")

    def losses(name: str) -> list[float]:
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        return [record["loss"] for record in map(json.loads, lines) if "loss" in record]

    assert losses("two") == pytest.approx(losses("one"), abs=2e-3)
    one, two = weights(tmp_path / "one" / "final"), weights(tmp_path / "two" / "final")
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=3e-3, rtol=0.05)


def start(recipe: Recipe, folder: Path, tmp_path: Path) -> subprocess.Popen[str]:
    toml = tmp_path / "recipe.toml"
    toml.write_text(recipe.to_toml().replace("tokens = 0\nminutes = 0.0\n", ""))
    code = "from tinytales.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "train", "--recipe", str(toml), "--out", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_metrics(folder: Path, lines: int) -> None:
    deadline = time.monotonic() + 60
    path = folder / "metrics.jsonl"
    while time.monotonic() < deadline:
        if path.exists() and len(path.read_text().splitlines()) >= lines:
            return
        time.sleep(0.1)
    raise AssertionError("the run did not begin")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_leaves(corpus: Path, tmp_path: Path, number: int) -> None:
    process = start(recipe_for(corpus, steps=100_000), tmp_path / "run", tmp_path)
    wait_for_metrics(tmp_path / "run", 3)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "--resume" in err
    assert list_checkpoints(tmp_path / "run")


def test_kill_9_leaves_only_whole_checkpoints(corpus: Path, tmp_path: Path) -> None:
    recipe = recipe_for(corpus, steps=100_000, run={"save_minutes": 0.0005})
    process = start(recipe, tmp_path / "run", tmp_path)
    wait_for_metrics(tmp_path / "run", 12)
    process.kill()
    process.communicate()
    found = list_checkpoints(tmp_path / "run")
    assert 1 <= len(found) <= 4
    trainer = Trainer(recipe, tmp_path / "run", PreparedCorpus(corpus))
    for checkpoint in found:
        trainer.resume(checkpoint)
        assert trainer.step == int(checkpoint.name.split("-")[1])


def test_a_run_in_a_folder_of_another_is_refused(corpus: Path, tmp_path: Path) -> None:
    recipe = recipe_for(corpus, steps=2)
    final, _ = run.begin(recipe, tmp_path / "run")
    before = (final / "model.safetensors").read_bytes()
    with pytest.raises(UsageError, match="holds a run already"):
        run.begin(recipe, tmp_path / "run")
    assert (final / "model.safetensors").read_bytes() == before


def test_two_runs_at_once_in_one_folder_are_refused(corpus: Path, tmp_path: Path) -> None:
    recipe = recipe_for(corpus, steps=100_000)
    process = start(recipe, tmp_path / "run", tmp_path)
    try:
        wait_for_metrics(tmp_path / "run", 2)
        (tmp_path / "run" / "checkpoints" / "step-0000001").mkdir(parents=True)
        with (
            pytest.raises(TinytalesError, match="another run is at work"),
            run._lock(tmp_path / "run"),
        ):
            pass
    finally:
        process.kill()
        process.communicate()


def test_a_checkpoint_of_another_shape_or_optimizer_cannot_be_resumed(
    corpus: Path, tmp_path: Path
) -> None:
    run.begin(recipe_for(corpus, steps=2), tmp_path / "run")
    with pytest.raises(TinytalesError, match="another shape"):
        run.resume(recipe_for(corpus, steps=4, model={"ffn_size": 96}), tmp_path / "run")
    with pytest.raises(TinytalesError):
        changed = recipe_for(corpus, steps=4, run={"ema": 0.9})
        run.resume(changed, tmp_path / "run")


def test_an_exploding_loss_stops_with_advice(corpus: Path, tmp_path: Path) -> None:
    recipe = recipe_for(corpus, steps=500, optim={"matrix_lr": 1e4, "lr": 1e4, "clip": 1e9})
    with pytest.raises(TinytalesError) as caught:
        run.begin(recipe, tmp_path / "run")
    assert "optim.matrix_lr" in caught.value.hint


def test_a_full_disk_leaves_the_previous_checkpoint(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tinytales.train.checkpoint as checkpoint

    recipe = recipe_for(corpus, steps=2)
    trainer = Trainer(recipe, tmp_path / "run", PreparedCorpus(corpus))
    first = trainer.save()
    kept = (first / "model.safetensors").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    trainer.step = 1
    with pytest.raises(TinytalesError, match="No space left") as caught:
        trainer.save()
    assert "intact" in caught.value.hint
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == [first.name]
    assert (first / "model.safetensors").read_bytes() == kept


def test_rows_begin_with_documents_once_a_round(corpus: Path) -> None:
    opened = PreparedCorpus(corpus)
    batches = Batches(opened, {}, 32, seed=3)
    tokens = batches.next(8).tokens
    assert (tokens[:, 0] == 0).all()
    rest = len(batches._starts["originals"]) - 8
    seen = {batches._start("originals") for _ in range(rest)}
    assert len(seen) == rest
    assert seen < {int(start) for start in opened.documents["originals"]}


def test_rows_are_divided_among_processes(corpus: Path) -> None:
    opened = PreparedCorpus(corpus)
    tokens = Batches(opened, {}, 32, seed=3).next(8).tokens
    parts = [Batches(opened, {}, 32, seed=3).next(8, rank, 2).tokens for rank in range(2)]
    assert torch.equal(torch.stack(parts, dim=1).reshape(8, 32), tokens)


def test_headers_are_read_and_count_nothing(corpus: Path) -> None:
    opened = PreparedCorpus(corpus)
    line, word = opened.header_tokens.story_line, 300
    story = [word, word, word]
    row = [0, word, *line, *story, 0, *story, 0, *line, *story]
    weights = target_weights(np.array(row[1:]), opened.header_tokens, 1.0)
    hidden = {i for i, weight in enumerate(weights, start=1) if not weight}
    second = len(row) - len(story) - len(line)
    assert hidden == {*range(1, 2 + len(line)), *range(second, second + len(line))}
    batch = Batches(opened, {}, 128, seed=3).next(32)
    assert torch.equal(batch.targets[:, :-1], batch.tokens[:, 1:])
    assert batch.total == batch.weights.sum()
    assert 0.5 < batch.weights.mean() < 1


def test_words_asked_for_count_more_where_they_are_first_told(corpus: Path) -> None:
    opened = PreparedCorpus(corpus)
    tokenizer = Tokenizer.from_file(str(opened.tokenizer_path))
    text = (
        "Words: kite, windmill, moon\nStory:\nA kite flew to a windmill. The kite fell.\nIt slept."
    )
    targets = np.array([*tokenizer.encode(text, add_special_tokens=False).ids, 0, 300])
    weights = target_weights(targets, opened.header_tokens, 4.0)
    heavy = tokenizer.decode([int(t) for t, w in zip(targets, weights, strict=True) if w == 4])
    assert heavy == " kite windmill"
    told = tokenizer.decode([int(t) for t, w in zip(targets, weights, strict=True) if w == 1])
    assert told.startswith("A flew to a. The kite fell.\nIt slept.")
    batch = Batches(opened, {}, 128, seed=3, wish=4.0).next(32)
    assert set(batch.weights.unique().tolist()) == {0.0, 1.0, 4.0}


def test_a_text_shorter_than_a_row_is_refused(corpus: Path) -> None:
    with pytest.raises(UsageError, match="fewer than a row"):
        Batches(PreparedCorpus(corpus), {}, 10**9, seed=1)
    with pytest.raises(UsageError) as caught:
        Batches(PreparedCorpus(corpus), {"original": 1.0}, 32, seed=1)
    assert "originals" in caught.value.hint


def test_a_mix_for_later_is_checked_before_the_run(corpus: Path, tmp_path: Path) -> None:
    recipe = recipe_for(corpus, data={"final_weights": {"original": 1.0}})
    with pytest.raises(UsageError) as caught:
        run.begin(recipe, tmp_path / "run")
    assert "originals" in caught.value.hint


def test_the_mix_changes_while_the_rate_decays(corpus: Path, tmp_path: Path) -> None:
    opened = PreparedCorpus(corpus)
    trainer = Trainer(recipe_for(corpus, steps=4, optim={"decay_share": 0.5}), tmp_path, opened)
    opened.final_weights = {"originals": 3.0}
    mixes = []
    step = trainer._step

    def note(share: float) -> tuple[float, float]:
        mixes.append(dict(trainer._weights(trainer.final)))
        return step(share)

    trainer._step = note  # type: ignore[method-assign]
    trainer.run()
    assert mixes == [opened.weights] * 2 + [{"originals": 3.0}] * 2
    assert opened.weights != {"originals": 3.0}


def test_no_gpu_where_one_is_asked_for(corpus: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(TinytalesError, match="no CUDA device"):
        run.begin(recipe_for(corpus, run={"device": "cuda"}), tmp_path / "run")


def test_a_folder_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TinytalesError) as caught:
        PreparedCorpus(tmp_path)
    assert "corpus build" in caught.value.hint


def test_a_run_begins_with_the_weights_of_another(corpus: Path, tmp_path: Path) -> None:
    recipe = recipe_for(corpus, steps=3)
    first, _ = run.begin(recipe, tmp_path / "first")
    still = recipe_for(corpus, steps=1, optim={"matrix_lr": 0.0, "lr": 0.0}, model={"layers": 1})
    second, _ = run.begin(still, tmp_path / "second", tmp_path / "first")
    assert same(first, second)
    more, _ = run.begin(recipe_for(corpus, steps=2), tmp_path / "third", first)
    assert not same(first, more)


def test_a_corpus_of_another_vocabulary_is_refused(corpus: Path, tmp_path: Path) -> None:
    first, _ = run.begin(recipe_for(corpus, steps=1), tmp_path / "first")
    vocabulary = first / "tokenizer.json"
    vocabulary.write_text(vocabulary.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match="another vocabulary") as caught:
        run.begin(recipe_for(corpus, steps=1), tmp_path / "second", first)
    assert "--tokenizer" in caught.value.hint
    with pytest.raises(TinytalesError):
        run.begin(recipe_for(corpus, steps=1), tmp_path / "third", tmp_path / "nowhere")


def test_checkpoints_are_averaged(corpus: Path, tmp_path: Path) -> None:
    first, _ = run.begin(recipe_for(corpus, steps=1), tmp_path / "first")
    more = [
        run.begin(recipe_for(corpus, steps=1, run={"seed": seed}), tmp_path / str(seed), first)[0]
        for seed in (1, 2)
    ]
    mean = weights(average_checkpoints(more, tmp_path / "mean", (3, 1)))
    one, two = weights(more[0]), weights(more[1])
    for name in mean:
        torch.testing.assert_close(mean[name], 0.75 * one[name] + 0.25 * two[name])
    with pytest.raises(UsageError, match="exists"):
        average_checkpoints(more, tmp_path / "mean")
    other, _ = run.begin(recipe_for(corpus, steps=1, model={"layers": 1}), tmp_path / "other")
    with pytest.raises(UsageError, match="another shape"):
        average_checkpoints([first, other], tmp_path / "no")
    with pytest.raises(UsageError, match="shares of"):
        average_checkpoints(more, tmp_path / "no", (0, 0))
    with pytest.raises(UsageError, match="1 checkpoints"):
        average_checkpoints([first], tmp_path / "no")
    assert not (tmp_path / "no").exists()
