"""The checkpoint itself, as a folder that transformers opens and the Hugging Face hub shows.

export_hf(Path("runs/first/final"), Path("storyteller-hf"))
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tinytales.bundle import END_OF_TEXT, TOKENIZER, Bundle, write_bundle_manifest
from tinytales.export.checkpoint import WEIGHTS, Checkpoint
from tinytales.export.exporter import (
    ProofRequest,
    check_target,
    new_folder,
    new_manifest,
    write_card,
)

#: Written by the trainer, read by transformers; what is missing is made here.
_CONFIGS = ("config.json", "generation_config.json", "tokenizer_config.json")


def export_hf(
    checkpoint: Path,
    out: Path | None = None,
    *,
    name: str = "",
    replace_existing: bool = False,
    proof: ProofRequest | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Copy the checkpoint, without what is for resuming only, and add the model card.

    The weights are the checkpoint's own bytes, so that there is nothing to prove but that they are
    sound, which opening them does.

    Raises:
        CheckpointError, ExportError: as `export_bundle`.
    """
    model = Checkpoint.open(checkpoint)
    name = name or model.name
    out = out or Path(f"{name}-hf")
    check_target(out, replace_existing)
    defaults = {
        "generation_config.json": {
            key: model.end_of_text for key in ("bos_token_id", "eos_token_id", "pad_token_id")
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": model.context_length,
            "clean_up_tokenization_spaces": False,
            **{f"{role}_token": END_OF_TEXT for role in ("bos", "eos", "pad")},
        },
    }
    with new_folder(out) as folder:
        for file in (WEIGHTS, TOKENIZER, *_CONFIGS):
            if (checkpoint / file).is_file():
                shutil.copyfile(checkpoint / file, folder / file)
            else:
                text = json.dumps(defaults[file], indent=2) + "\n"
                (folder / file).write_text(text, encoding="utf-8")
        write_bundle_manifest(folder, new_manifest(model, "transformers", "checkpoint", name))
        write_card(folder)
        Bundle.open(folder)
    say(f"{out}: {sum(f.stat().st_size for f in out.iterdir()) / 1e6:.1f} MB for transformers")
    return Bundle.open(out)
