"""Loss curves of runs side by side, as a PNG, and as a table for those who cannot see it.

tinytales train plot runs/one runs/two --out curves.png
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tinytales.errors import TinytalesError, require
from tinytales.train.trainer import METRICS

Curve = list[tuple[int, float]]


@dataclass
class Curves:
    """What `metrics.jsonl` tells of one run: values over tokens."""

    name: str
    loss: Curve = field(default_factory=list)
    bits_per_byte: dict[str, Curve] = field(default_factory=dict)


def read_curves(run: Path) -> Curves:
    """The curves of the run in folder `run`.

    Raises:
        TinytalesError: no run is there, or nothing was measured yet.
    """
    path = run / METRICS
    curves = Curves(run.name if run.name != "final" else run.parent.name)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise TinytalesError(
            f"{run} is not a run: {error.strerror}", hint="give a folder that tinytales train wrote"
        ) from error
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the last line of a killed run
        if "loss" in record:
            curves.loss.append((record["tokens"], record["loss"]))
        for source, value in record.get("bits_per_byte", {}).items():
            curves.bits_per_byte.setdefault(source, []).append((record["tokens"], value))
    if not curves.loss:
        raise TinytalesError(f"{path} holds no loss yet", hint="wait for the first steps")
    return curves


def draw(runs: Sequence[Path], out: Path) -> list[Curves]:
    """Draw the runs' curves into `out` (PNG, SVG or PDF by its ending)."""
    require("matplotlib", "train")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    curves = [read_curves(run) for run in runs]
    sources = sorted({source for c in curves for source in c.bits_per_byte})
    figure, axes = plt.subplots(
        1, 1 + bool(sources), figsize=(6 + 6 * bool(sources), 4.2), squeeze=False
    )
    left = axes[0][0]
    for c in curves:
        left.plot([t / 1e6 for t, _ in c.loss], [v for _, v in c.loss], label=c.name)
    left.set(xlabel="million tokens", ylabel="training loss, nats a token", title="Training loss")
    if sources:
        right = axes[0][1]
        for number, c in enumerate(curves):
            for style, source in zip(("-", "--", ":", "-."), sources, strict=False):
                points = c.bits_per_byte.get(source, [])
                right.plot(
                    [t / 1e6 for t, _ in points], [v for _, v in points], style,
                    color=f"C{number}", marker=".", label=f"{c.name}: {source}",
                )  # fmt: skip
        right.set(xlabel="million tokens", ylabel="bits per byte", title="Held-out text")
    for axis in axes[0]:
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    beside = out.with_name(f".{out.name}.tmp{out.suffix}")
    try:
        figure.savefig(beside, dpi=150)
        beside.replace(out)
    except (OSError, ValueError) as error:
        raise TinytalesError(f"{out} cannot be drawn: {error}", hint="--out curves.png") from error
    finally:
        plt.close(figure)
        beside.unlink(missing_ok=True)
    return curves


def table(curves: Sequence[Curves]) -> str:
    """The last value of every curve, in words."""
    width = max(len(c.name) for c in curves)
    lines = []
    for c in curves:
        tokens, loss = c.loss[-1]
        measured = "  ".join(f"{s} {points[-1][1]:.4f}" for s, points in c.bits_per_byte.items())
        lines.append(f"{c.name:<{width}}  {tokens / 1e6:8.2f}M tokens  loss {loss:.4f}  {measured}")
    return "\n".join(lines)
