"""A model that learns to speak a little in seconds: what the tests stand on.

python -c "from tinytales.train.fixture import train_tiny; train_tiny(...)"
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tinytales.train.recipe import Recipe, from_table

TINY = {
    "model": {
        "vocab_size": 512, "hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 1,
        "ffn_size": 128, "context": 256,
    },
    "data": {"sequence": 128, "batch": 8},
    "optim": {"warmup_steps": 10, "matrix_lr": 0.02},
    "run": {
        "steps": 120, "compile": False, "precision": "fp32", "device": "cpu", "threads": 1,
        "save_minutes": 0.0, "eval_minutes": 0.0, "sample_minutes": 0.0,
    },
}  # fmt: skip


def tiny_recipe(**run: object) -> Recipe:
    """The fixture's recipe, with other values of its [run] section."""
    return from_table(TINY | {"run": TINY["run"] | run}, "the fixture's recipe")


CORPUS = {
    "vocab_size": 512,
    "near_duplicates": 0.0,
    "source": [
        {
            "name": "originals",
            "files": ["assets:originals.jsonl.xz"],
            "where": {"style": "plain"},
            "max_words": 110,
        }
    ],
}


def build_tiny(out: Path) -> Path:
    """Prepare the short, plain originals in folder `out`."""
    from tinytales.train.corpus.build import build
    from tinytales.train.corpus.recipe import parse_recipe

    build(parse_recipe(CORPUS), Path(), out, report=lambda line: None)
    return out


def train_tiny(out: Path, *, steps: int = 120) -> Path:
    """Train two narrow layers on short originals and leave the checkpoint in `out`."""
    from tinytales.train.data import PreparedCorpus
    from tinytales.train.trainer import Trainer

    with tempfile.TemporaryDirectory() as scratch:
        corpus = PreparedCorpus(build_tiny(Path(scratch) / "corpus"))
        trainer = Trainer(tiny_recipe(steps=steps), Path(scratch), corpus)
        final = trainer.run()
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(final, out)
    return out
