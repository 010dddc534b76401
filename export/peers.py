"""The same weights in other runtimes, side by side, in one run.

    tinytales bench --peers --peers-python peers-env/bin/python

Each runtime tells a greedy story of the same length in a process of its own, turn by turn over
several rounds, so that a busy machine hits all alike; the best round of each counts, and what is
compared is their ratio. Runtimes that are not installed are left out, with the reason.

onnxruntime-genai and ctranslate2 are looked for in the Python of --peers-python:

    python -m venv peers-env
    peers-env/bin/pip install onnxruntime-genai ctranslate2 transformers torch onnx onnx-ir

and optimum, whose pins differ, in that of --portable-python (see portable.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytales.bench import CLOCK, PROMPT, STORY, decode_rate, prompt_tokens
from tinytales.bundle import Bundle
from tinytales.errors import TinytalesError
from tinytales.export.checkpoint import Checkpoint
from tinytales.export.exporter import export_bundle
from tinytales.export.hf_folder import export_hf
from tinytales.export.portable import PortableEngine, export_portable

Build = Callable[["Workshop"], Path]


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where the peers' files are made: the checkpoint, a spare folder, two other Pythons."""

    checkpoint: Path
    folder: Path
    python: str
    portable_python: str

    @property
    def hf(self) -> Path:
        path = self.folder / "hf"
        if not path.exists():
            export_hf(self.checkpoint, path)
        return path


@dataclass(frozen=True, slots=True)
class Peer:
    """A runtime: how its files are made, which code runs them, in which Python."""

    name: str
    build: Build
    code: str
    elsewhere: bool = False


def _bundle(form: str) -> Build:
    def build(shop: Workshop) -> Path:
        return export_bundle(shop.checkpoint, shop.folder / form, form).path

    return build


def _genai(precision: str) -> Build:
    def build(shop: Workshop) -> Path:
        target = shop.folder / f"genai-{precision}"
        command = [shop.python, "-m", "onnxruntime_genai.models.builder", "-i", str(shop.hf)]
        command += ["-o", str(target), "-p", precision, "-e", "cpu"]
        command += ["--extra_options", "accuracy_level=4", "block_size=32"]
        _run(command)
        config = target / "genai_config.json"
        data = json.loads(config.read_text())
        data["model"]["decoder"]["session_options"]["intra_op_num_threads"] = 1
        config.write_text(json.dumps(data))
        return target

    return build


def _portable(shop: Workshop) -> Path:
    python = Path(shop.portable_python)
    return export_portable(shop.checkpoint, shop.folder / "portable", python=python).path


def _ctranslate2(shop: Workshop) -> Path:
    target = shop.folder / "ctranslate2"
    code = "from ctranslate2.converters.transformers import main; main()"
    _run(
        [
            shop.python,
            "-c",
            code,
            "--model",
            str(shop.hf),
            "--quantization",
            "int8",
            "--output_dir",
            str(target),
        ]
    )
    return target


#: Runs in this Python, by the engines of tinytales.
_ENGINE = """
from tinytales.export.peers import engine_rate
rate = engine_rate(path, threads)
"""
_TRANSFORMERS = """
import time, torch, transformers
torch.set_num_threads(threads)
transformers.logging.set_verbosity_error()
model = transformers.AutoModelForCausalLM.from_pretrained(path).eval()
ids = torch.tensor([prompt])
best = 0.0
with torch.inference_mode():
    for _ in range(3):
        start = clock()
        model.generate(ids, do_sample=False, min_new_tokens=story, max_new_tokens=story,
                       attention_mask=torch.ones_like(ids), pad_token_id=0)
        best = max(best, story / (clock() - start))
rate = best
"""
_TORCH = """
import time, torch, transformers
torch.set_num_threads(threads)
model = transformers.AutoModelForCausalLM.from_pretrained(path).eval()
best = 0.0
with torch.inference_mode():
    for _ in range(3):
        out = model(torch.tensor([prompt]), use_cache=True)
        start = clock()
        for _ in range(story):
            token = out.logits[:, -1].argmax(-1, keepdim=True)
            out = model(token, past_key_values=out.past_key_values, use_cache=True)
        best = max(best, story / (clock() - start))
rate = best
"""
_GENAI = """
import time, numpy, onnxruntime_genai as genai
model = genai.Model(path)
best = 0.0
for _ in range(6):
    options = genai.GeneratorParams(model)
    length = len(prompt) + story + 1
    options.set_search_options(do_sample=False, min_length=length, max_length=length)
    generator = genai.Generator(model, options)
    generator.append_tokens(numpy.array(prompt, numpy.int32))
    generator.generate_next_token()
    start = clock()
    for _ in range(story):
        generator.generate_next_token()
    best = max(best, story / (clock() - start))
rate = best
"""
_CTRANSLATE2 = """
import time, ctranslate2, json
model = ctranslate2.Generator(path, inter_threads=1, intra_threads=threads)
words = json.load(open(path + "/vocabulary.json"))
start_tokens = [[words[t] for t in prompt]]
best = 0.0
for _ in range(3):
    start = clock()
    model.generate_batch(start_tokens, max_length=story, min_length=story, sampling_topk=1,
                         include_prompt_in_result=False)
    best = max(best, story / (clock() - start))
rate = best
"""

PEERS = (
    Peer("tinytales int8", _bundle("int8"), _ENGINE),
    Peer("tinytales int4", _bundle("int4"), _ENGINE),
    Peer("tinytales fp32", _bundle("fp32"), _ENGINE),
    Peer("llama.cpp Q8_0", _bundle("q8_0"), _ENGINE),
    Peer("llama.cpp Q4_0", _bundle("q4_0"), _ENGINE),
    Peer("onnxruntime-genai int8", _genai("int8"), _GENAI, elsewhere=True),
    Peer("onnxruntime-genai int4", _genai("int4"), _GENAI, elsewhere=True),
    Peer("optimum int8 (--portable)", _portable, _ENGINE),
    Peer("ctranslate2 int8", _ctranslate2, _CTRANSLATE2, elsewhere=True),
    Peer("transformers generate", lambda shop: shop.hf, _TRANSFORMERS),
    Peer("torch (transformers' model, plain loop)", lambda shop: shop.hf, _TORCH),
)


def engine_rate(path: str, threads: int) -> float:
    from tinytales.engine import open_engine

    bundle = Bundle.open(path)
    if bundle.manifest.runtime == "portable":
        return decode_rate(PortableEngine(bundle, threads))
    return decode_rate(open_engine(bundle, threads))


def compare(
    checkpoint: Path,
    folder: Path,
    *,
    python: str = sys.executable,
    portable_python: str = sys.executable,
    threads: int = 1,
    rounds: int = 3,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Decode rates of all peers that can be run: name, tokens a second, MB, ratio to the first."""
    shop = Workshop(checkpoint, folder, python, portable_python)
    vocab_size = Checkpoint.open(checkpoint).shape.vocab_size
    ready: list[tuple[Peer, Path]] = []
    rows: dict[str, dict[str, Any]] = {}
    for peer in PEERS:
        say(f"preparing {peer.name}")
        try:
            ready.append((peer, peer.build(shop)))
            rows[peer.name] = {"name": peer.name, "tokens_per_s": 0}
        except TinytalesError as error:
            rows[peer.name] = {"name": peer.name, "left_out": error.message}
    for number in range(rounds):
        for peer, path in ready:
            say(f"round {number + 1}: {peer.name}")
            row = rows[peer.name]
            try:
                rate = _rate(peer, path, shop, vocab_size, threads)
                row["tokens_per_s"] = max(row.get("tokens_per_s", 0), round(rate))
                row["bytes"] = _weights(path)
            except TinytalesError as error:
                row["left_out"] = error.message
    ours = rows[PEERS[0].name].get("tokens_per_s", 0)
    for row in rows.values():
        if row.get("tokens_per_s"):
            row["ours_is_times"] = round(ours / row["tokens_per_s"], 2)
    return list(rows.values())


def _rate(peer: Peer, path: Path, shop: Workshop, vocab_size: int, threads: int) -> float:
    head = (
        f"path, threads, story = {str(path)!r}, {threads}, {STORY}\n"
        f"import os, time\n"
        f"clock = time.process_time if os.environ.get({CLOCK!r}) == 'cpu' else time.perf_counter\n"
        f"prompt = {prompt_tokens(vocab_size)[:PROMPT]}\n"
    )
    python = shop.python if peer.elsewhere else sys.executable
    return float(_run([python, "-c", head + peer.code + "\nprint(rate)"]).split()[-1])


def _run(command: list[str]) -> str:
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"
    }  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    except OSError as error:
        raise TinytalesError(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        lines = [x for x in done.stderr.strip().splitlines() if x and not x.startswith(" ")]
        raise TinytalesError((lines or ["no message"])[-1][:160])
    return done.stdout


def _weights(path: Path) -> int:
    """Bytes of what a runtime loads: everything but tokenizers and notes."""
    notes = (".json", ".md", ".txt", ".jinja")
    return sum(
        f.stat().st_size
        for f in path.iterdir()
        if f.is_file() and f.suffix not in notes and f.name != "Modelfile"
    )
