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


def train_tiny(out: Path, *, steps: int = 120, documents: int = 400) -> Path:
    """Train two narrow layers on a few originals and leave the checkpoint in `out`."""
    from tinytales.train.corpus.build import build_originals
    from tinytales.train.data import PreparedCorpus
    from tinytales.train.trainer import Trainer

    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "corpus"
        build_originals(corpus, vocab_size=512, documents=documents)
        trainer = Trainer(tiny_recipe(steps=steps), Path(scratch), PreparedCorpus(corpus))
        final = trainer.run()
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(final, out)
    return out
