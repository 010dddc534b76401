"""How fast a bundle is here: start, first token, prefill, decode, sampling, memory, batch.

    tinytales bench                       # the shipped bundle
    tinytales bench --model storyteller-int4 --threads 1,2 --json

Every figure is measured in a process of its own; nothing here asserts on time. Comparisons with
other runtimes are in tinytales.export.peers.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tinytales.engine.crew import share
from tinytales.engine.threads import usable_cores
from tinytales.errors import TinytalesError

if TYPE_CHECKING:
    from tinytales.bundle import Bundle
    from tinytales.engine.base import Engine

#: On a busy machine, CPU seconds of one thread tell what an idle one would take (`--cpu-time`).
CLOCK = "TINYTALES_BENCH_CLOCK"
clock = time.process_time if os.environ.get(CLOCK) == "cpu" else time.perf_counter

#: A story's size: tokens of the prompt, and tokens told after it.
PROMPT, STORY = 32, 192
STORIES = 16


def machine() -> dict[str, str]:
    """What the figures depend on."""
    import onnxruntime

    name = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.is_file():
        lines = [x for x in about.read_text().splitlines() if x.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    return {
        "cpu": name,
        "cores": str(usable_cores()),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }


def prompt_tokens(vocab_size: int) -> list[int]:
    return [0, *((7 * i + 1) % vocab_size for i in range(1, PROMPT))]


def measure_bundle(
    bundle: Bundle, threads: Sequence[int], say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """All figures of one bundle: seconds, tokens a second, bytes."""
    report: dict[str, Any] = {
        "bundle": bundle.name,
        "quantization": bundle.manifest.quantization,
        "bundle_bytes": bundle.size,
    }
    say("process start to first words")
    report |= measure_start(bundle.path)
    for count in threads:
        say(f"engine, {count} thread{'s' if count > 1 else ''}")
        report[f"threads_{count}"] = in_process("engine_figures", str(bundle.path), count)
    say("a story's sampling")
    report["story"] = in_process("story_figures", str(bundle.path), threads[0])
    say("16 stories at once")
    report["batch"] = in_process("batch_figures", str(bundle.path), threads[0])
    if threads[-1] > 1:
        say("16 stories at once, on every core")
        report["batch_cores"] = in_process("batch_figures", str(bundle.path), threads[0], True)
    return report


def in_process(function: str, *arguments: Any, python: str = sys.executable) -> Any:
    """Call a function of this module in a fresh process; what it returns, through JSON.

    Raises:
        TinytalesError: the process failed, with its last line.
    """
    code = (
        "import json, sys; from tinytales import bench;"
        "print(json.dumps(getattr(bench, sys.argv[1])(*json.loads(sys.argv[2]))))"
    )
    command = [python, "-c", code, function, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TinytalesError(f"{function} failed: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def measure_start(bundle: Path, rounds: int = 5) -> dict[str, Any]:
    """`tinytales tell` as a person meets it: start to first words, and peak memory."""
    code = "from tinytales.cli.main import main; main()"
    command = [sys.executable, "-c", code, "tell", "--model", str(bundle), "--seed", "1"]
    firsts, peaks, work = [], [], []
    for _ in range(rounds):
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stderr is not None
            first = process.stdout.read(1)
            firsts.append(time.perf_counter() - start)
            process.stdout.read()
            complaint = process.stderr.read().decode()
            if hasattr(os, "wait4"):
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                unit = 1 if sys.platform == "darwin" else 1024
                peaks.append(usage.ru_maxrss * unit)
                work.append(usage.ru_utime + usage.ru_stime)
        if process.returncode or not first:
            raise TinytalesError(f"tinytales tell failed: {complaint.strip()}")
    return {
        "start_to_first_words_s": round(median(firsts), 4),
        "tell_cpu_s": round(median(work), 4) if work else None,
        "tell_peak_bytes": int(median(peaks)) if peaks else None,
    }


def engine_figures(bundle: str, threads: int) -> dict[str, float]:
    """Open, first token, prefill and decode of one engine."""
    start = clock()
    engine = _open(bundle, threads)
    opened = clock() - start
    prompt = prompt_tokens(engine.vocab_size)
    start = clock()
    engine.prefill(prompt)
    first = clock() - start
    long = (prompt * 16)[: engine.context_length]
    rates = [len(long) / _seconds(lambda: engine.prefill(long)) for _ in range(5)]
    return {
        "open_s": round(opened, 4),
        "first_token_s": round(first, 5),
        "prefill_tokens_per_s": round(max(rates)),
        "decode_tokens_per_s": round(decode_rate(engine)),
    }


def decode_rate(engine: Engine, rounds: int = 5) -> float:
    """Tokens a second of greedy decoding, from the prompt to the story's end; the best round."""
    prompt = prompt_tokens(engine.vocab_size)

    def tell() -> None:
        logits = engine.prefill(prompt)
        start = clock()
        for _ in range(STORY):
            logits = engine.decode([int(logits[0].argmax())])
        seconds.append(clock() - start)

    seconds: list[float] = []
    for _ in range(rounds + 1):  # the first one warms up
        tell()
    return STORY / min(seconds[1:])


def story_figures(bundle: str, threads: int) -> dict[str, float]:
    """A whole telling: tokens a second as people get them, and what of it is not the engine."""
    from tinytales.bundle import Bundle
    from tinytales.prompt import StoryPrompt
    from tinytales.sampling import Sampling
    from tinytales.storyteller import Storyteller

    engine = _Stopwatch(_open(bundle, threads))
    tokens, seconds = 0, 0.0
    with Storyteller(Bundle.open(bundle), engine) as teller:
        teller.tell(StoryPrompt(opening="One day"), Sampling(seed=0))  # warms up
        engine.seconds = 0.0
        for seed in range(1, 9):
            start = clock()
            tokens += teller.tell(StoryPrompt(opening="One day"), Sampling(seed=seed)).tokens
            seconds += clock() - start
        token = engine.seconds / tokens
        pick = _sampling_seconds(engine)
    return {
        "tokens_per_s": round(tokens / seconds),
        "sampling_us": round(pick * 1e6, 1),
        "sampling_share": round(pick / (pick + token), 4),
        "beyond_engine_share": round(1 - token * tokens / seconds, 4),
    }


def _sampling_seconds(engine: _Stopwatch, picks: int = 500) -> float:
    """One pick by the default sampling, from the logits of a real position."""
    from tinytales.sampling import Sampler, Sampling

    logits = engine.prefill(prompt_tokens(engine.vocab_size))[0]
    sampler = Sampler(Sampling(seed=1))
    start = clock()
    for _ in range(picks):
        sampler.pick(logits)
        if len(sampler.told) > STORY:
            sampler.forget(len(sampler.told))
    return (clock() - start) / picks


def batch_figures(bundle: str, threads: int, every_core: bool = False) -> dict[str, float]:
    """16 sequences that share a prompt, together and one after the other; total tokens a second.

    With `every_core` the batch is shared among the cores, as it is outside of benchmarks; without
    it has the threads of a single story, and shows what a batch spares on one core.
    `ratio` is the engines' alone, `told_ratio` that of whole stories, choosing and checking
    included.
    """
    single = _open(bundle, threads)
    together = _open(bundle, 0 if every_core else threads)
    prompt = prompt_tokens(single.vocab_size)
    story = min(STORY, single.context_length - PROMPT)

    def tell(engine: Engine, rows: Sequence[int]) -> None:
        engine.prefill(prompt, batch=len(rows))
        for i in range(story):
            engine.decode([(i + row) % engine.vocab_size for row in rows])

    def one_by_one() -> None:
        for row in range(STORIES):
            tell(single, [row])

    def at_once() -> None:
        share(together, range(STORIES), tell)

    total = STORIES * story
    singles, batches = [], []
    for _ in range(3):
        singles.append(total / _seconds(one_by_one))
        batches.append(total / _seconds(at_once))
    return {
        "cores": len(together.crew()),
        "single_tokens_per_s": round(max(singles)),
        "batch_tokens_per_s": round(max(batches)),
        "ratio": round(max(batches) / max(singles), 2),
        "told_ratio": round(_told_ratio(bundle, single, together), 2),
    }


def _told_ratio(bundle: str, single: Engine, together: Engine) -> float:
    """Seconds of 16 whole stories told alone, over those of the same 16 told in one batch."""
    from tinytales.bundle import Bundle
    from tinytales.prompt import StoryPrompt
    from tinytales.sampling import Sampling
    from tinytales.storyteller import Storyteller

    alone, batch = (Storyteller(Bundle.open(bundle), engine) for engine in (single, together))
    prompt, first = StoryPrompt(opening="One day"), Sampling(seed=1)
    singles, batches = [], []
    for _ in range(2):
        batches.append(_seconds(lambda: batch.tell_many(prompt, first, STORIES)))
        singles.append(
            _seconds(lambda: [alone.tell(prompt, Sampling(seed=1 + n)) for n in range(STORIES)])
        )
    return min(singles) / min(batches)


class _Stopwatch:
    """An engine that adds up the seconds spent in it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.seconds = 0.0
        self.name, self.threads = engine.name, engine.threads
        self.vocab_size, self.context_length = engine.vocab_size, engine.context_length
        self.rewind, self.close = engine.rewind, engine.close
        self.keep, self.crew = engine.keep, engine.crew

    @property
    def position(self) -> int:
        return self._engine.position

    def prefill(self, tokens: Sequence[int], batch: int = 1) -> Any:
        start = clock()
        logits = self._engine.prefill(tokens, batch)
        self.seconds += clock() - start
        return logits

    def decode(self, tokens: Sequence[int]) -> Any:
        start = clock()
        logits = self._engine.decode(tokens)
        self.seconds += clock() - start
        return logits


def _open(bundle: str, threads: int) -> Engine:
    from tinytales.bundle import Bundle
    from tinytales.engine import open_engine

    return open_engine(Bundle.open(bundle), threads)


def _seconds(work: Callable[[], object]) -> float:
    start = clock()
    work()
    return clock() - start
