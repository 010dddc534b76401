"""Which voices there are, and how fast each is here.

    python -m tinytales.tui.voices PATH      measure the bundle in PATH, print JSON

A voice is a bundle: the shipped one, exported ones (folders in the working directory), and
downloaded ones (in the data folder's `voices`). Speed and memory are measured in a process of its
own, so that the numbers are the voice's and not the app's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tinytales.bundle import MANIFEST, Bundle, default_bundle_path
from tinytales.errors import TinytalesError

#: No more folders than this are looked into, however large the working directory is.
MOST_FOLDERS = 400
MEASURED_TOKENS = 400
MEASURED_SECONDS = 120


@dataclass(frozen=True)
class Voice:
    """A bundle that was found; `trouble` says why it cannot tell."""

    path: Path
    origin: str
    name: str
    digest: str = ""
    size: int = 0
    quantization: str = ""
    parameters: int = 0
    trouble: str = ""


def find_voices(*extra: Path, cwd: Path | None = None, data: Path | None = None) -> list[Voice]:
    """All voices, the shipped one first. Opening checks each, so this belongs in a thread."""
    cwd = cwd or Path.cwd()
    places: list[tuple[Path, str]] = [(default_bundle_path(), "came along")]
    places += [(path, "given") for path in extra]
    if data is not None:
        places += [(path, "downloaded") for path in _bundles_below(data / "voices", depth=1)]
    places += [(path, "exported") for path in _bundles_below(cwd, depth=3)]
    seen: set[Path] = set()
    voices = []
    for path, origin in places:
        resolved = path.resolve()
        if resolved not in seen:
            seen.add(resolved)
            voices.append(look_at(path, origin))
    return voices


def look_at(path: Path, origin: str) -> Voice:
    """Open and check one bundle."""
    try:
        bundle = Bundle.open(path)
    except TinytalesError as error:
        return Voice(path, origin, path.name, trouble=error.message)
    manifest = bundle.manifest
    return Voice(
        path=bundle.path,
        origin=origin,
        name=manifest.name,
        digest=bundle.digest,
        size=bundle.size,
        quantization=manifest.quantization,
        parameters=int(manifest.parameters.get("total", 0)),
    )


def _bundles_below(folder: Path, depth: int) -> Iterable[Path]:
    """Folders with a manifest, at most `depth` levels down; hidden ones are left alone."""
    looked, level = 0, [folder]
    for _ in range(depth + 1):
        below: list[Path] = []
        for place in level:
            looked += 1
            if looked > MOST_FOLDERS:
                return
            try:
                if (place / MANIFEST).is_file():
                    yield place
                    continue
                below += sorted(
                    p for p in place.iterdir() if p.is_dir() and not p.name.startswith(".")
                )
            except OSError:
                continue
        level = below


def measure(path: Path) -> dict[str, float]:
    """Tokens a second and peak memory in bytes of the bundle at `path`, in a fresh process.

    Raises:
        TinytalesError: the bundle does not tell.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tinytales.tui.voices", str(path)],
        capture_output=True,
        text=True,
        timeout=MEASURED_SECONDS,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise TinytalesError(f"{path} cannot be measured: {done.stderr.strip()[-200:]}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure_here(path: Path) -> dict[str, float]:
    """Tell stories for some hundred tokens, after one to warm up."""
    from tinytales import Sampling, Storyteller

    with Storyteller.open(path) as teller:
        teller.tell(sampling=Sampling(seed=0, max_words=20))
        tokens, seconds, seed = 0, 0.0, 0
        while tokens < MEASURED_TOKENS and seconds < 20:
            seed += 1
            story = teller.tell(sampling=Sampling(seed=seed))
            tokens, seconds = tokens + story.tokens, seconds + story.seconds
        return {"tokens_per_second": tokens / max(seconds, 1e-9), "memory": peak_memory()}


def peak_memory() -> float:
    """Peak resident memory of this process in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    print(json.dumps(measure_here(Path(sys.argv[1]))))
