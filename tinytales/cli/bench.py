"""`tinytales bench`: how fast it is here, alone or beside other runtimes.

tinytales bench                       # the shipped bundle
tinytales bench --peers               # the same weights in llama.cpp, transformers and others
tinytales bench train                 # training speed on this machine
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False, invoke_without_command=True)


@app.callback()
def bench(
    context: typer.Context,
    model: Annotated[
        Path | None, typer.Option(help="A bundle folder; default: the shipped one.")
    ] = None,
    threads: Annotated[str, typer.Option(help="Thread counts to try, with commas.")] = "",
    peers: Annotated[bool, typer.Option("--peers", help="Other runtimes too.")] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The weights for --peers; default: the newest run, else the shipped."),
    ] = None,
    peers_python: Annotated[
        Path | None,
        typer.Option(help="A Python that has onnxruntime-genai or ctranslate2."),
    ] = None,
    portable_python: Annotated[
        Path | None, typer.Option(help="A Python that has the extra export-portable.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Rounds of --peers.", min=1)] = 3,
    cpu_time: Annotated[
        bool,
        typer.Option("--cpu-time", help="Count CPU seconds: for one thread on a busy machine."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print figures as JSON.")] = False,
) -> None:
    """Measure speed, memory and size on this machine."""
    if context.invoked_subcommand:
        return
    import os

    from tinytales.bench import CLOCK, machine, measure_bundle
    from tinytales.bundle import Bundle
    from tinytales.engine.threads import usable_cores
    from tinytales.errors import UsageError

    try:
        counts = [int(part) for part in threads.split(",")] if threads else []
    except ValueError as error:
        raise UsageError(f"--threads {threads!r}", hint="thread counts, such as 1,2") from error
    if any(count < 1 for count in counts):
        raise UsageError(f"--threads {threads!r}", hint="at least 1 thread")
    if cpu_time:
        os.environ[CLOCK] = "cpu"  # the measuring processes inherit it
    cores = 1 if cpu_time else usable_cores()
    counts = counts or sorted({1, min(2, cores), cores})
    report: dict[str, Any] = {
        "machine": machine(),
        "command": " ".join(["tinytales", *sys.argv[1:]]),
    }
    if peers:
        report["peers"] = _peers(checkpoint, peers_python, portable_python, counts[0], rounds)
    else:
        report |= measure_bundle(Bundle.open(model), counts, _say)
    print(json.dumps(report, indent=2) if as_json else _table(report))


@app.command()
def train(
    recipe: Annotated[
        str, typer.Option(help="Whose model, batch and precision: a recipe or a .toml file.")
    ] = "storyteller",
    seconds: Annotated[float, typer.Option(help="For each contender.", min=0.1)] = 10.0,
    threads: Annotated[int, typer.Option(help="Of the CPU; 0 leaves it to torch.", min=0)] = 0,
    cpu_time: Annotated[
        bool,
        typer.Option("--cpu-time", help="Count CPU seconds: for one thread on a busy machine."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print figures as JSON.")] = False,
) -> None:
    """Training speed in tokens a second, beside transformers' Llama with fused AdamW."""
    from tinytales.errors import require

    require("torch", "train")
    from tinytales.train.bench import main

    main(recipe, seconds, threads, as_json)


def _peers(
    checkpoint: Path | None,
    python: Path | None,
    portable_python: Path | None,
    threads: int,
    rounds: int,
) -> Any:
    import tempfile

    from tinytales.export.checkpoint import newest_checkpoint
    from tinytales.export.peers import compare

    with tempfile.TemporaryDirectory(prefix="tinytales-peers-") as folder:
        return compare(
            checkpoint or newest_checkpoint(),
            Path(folder),
            python=str(python or sys.executable),
            portable_python=str(portable_python or sys.executable),
            threads=threads,
            rounds=rounds,
            say=_say,
        )


def _table(report: dict[str, Any]) -> str:
    machine = report["machine"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']},"
        f" onnxruntime {machine['onnxruntime']}",
        f"$ {report['command']}",
        "",
    ]
    if "peers" in report:
        lines.append(f"{'runtime':42}{'tokens/s':>9}{'MB':>7}{'ours is':>9}")
        for row in report["peers"]:
            if "left_out" in row:
                lines.append(f"{row['name']:42}left out: {row['left_out']}")
            else:
                lines.append(
                    f"{row['name']:42}{row['tokens_per_s']:>9,}{row['bytes'] / 1e6:>7.1f}"
                    f"{row['ours_is_times']:>8.2f}×"
                )
        return "\n".join(lines)
    for key, value in report.items():
        if key in ("machine", "command"):
            continue
        if isinstance(value, dict):
            lines += [f"{key:12}{name:26}{figure:>12,}" for name, figure in value.items()]
        else:
            shown = f"{value:,}" if isinstance(value, int | float) else value
            lines.append(f"{'':12}{key:26}{shown:>12}")
    return "\n".join(lines)


def _say(line: str) -> None:
    if sys.stderr.isatty():
        print(line, file=sys.stderr, flush=True)
