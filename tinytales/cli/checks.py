"""What the doctor looks at: machine, engines, bundle, folders, settings, terminal, extras.

Each section yields its checks. Nothing is written, nothing is opened that opening would change.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

#: What makes int8 and bf16 arithmetic quick: name in the processor's own list -> what it is.
CPU_FEATURES = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI (int8)",
    "avx_vnni": "AVX-VNNI (int8)",
    "avx512_bf16": "AVX-512 BF16",
    "amx_int8": "AMX (int8)",
    "asimddp": "dot product (int8)",
    "i8mm": "I8MM (int8)",
    "bf16": "BF16",
}
#: Packages without which no story is told: module -> distribution.
ENGINES = {"numpy": "numpy", "onnxruntime": "onnxruntime", "tokenizers": "tokenizers"}
#: Less free space than this is worth a word; a library of ten thousand stories takes half of it.
LITTLE_SPACE = 50_000_000
#: The app can be used from here on.
SMALLEST_TERMINAL = (40, 15)
TOKENS_TOLD = 20

State = Literal["ok", "note", "broken"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table."""

    section: str
    name: str
    state: State
    text: str
    hint: str = ""


def machine() -> Iterator[Check]:
    from tinytales import __version__

    where = "machine"
    yield Check(where, "tinytales", "ok", f"{__version__} in {Path(__file__).parents[1]}")
    version = f"{platform.python_version()} ({sys.executable})"
    yield Check(where, "Python", "ok", version)
    yield Check(where, "platform", "ok", f"{platform.platform()} {platform.machine()}")
    features = cpu_features()
    if features is None:
        yield Check(where, "processor", "ok", platform.processor() or "unknown")
    elif any("int8" in feature for feature in features):
        yield Check(where, "processor", "ok", ", ".join(features))
    else:
        said = ", ".join(features) or "no vector instructions known here"
        yield Check(
            where, "processor", "note", f"{said}; no int8 instructions: stories come slower"
        )
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    yield Check(
        where, "cores", "ok", f"{usable} of {cores} usable" if usable < cores else f"{cores}"
    )
    total, free = memory()
    if total:
        said = f"{_bytes(total)}, {_bytes(free)} free" if free else _bytes(total)
        tight = bool(free) and free < 200_000_000
        yield Check(where, "memory", "note" if tight else "ok", said)


def cpu_features() -> list[str] | None:
    """The features that matter, where the system lists them (Linux); None elsewhere."""
    try:
        listed = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", listed, re.MULTILINE)
    flags = set(line.group(1).split()) if line else set()
    return [name for flag, name in CPU_FEATURES.items() if flag in flags]


def memory() -> tuple[int, int]:
    """Bytes of memory: all of it, and what is free; 0 where it is not known."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii", errors="replace")
        found = {k: int(v) * 1024 for k, v in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.M)}
        return found.get("MemTotal", 0), found.get("MemAvailable", 0)
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), 0
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 0, 0


def engines() -> Iterator[Check]:
    for module, package in ENGINES.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # a wheel for another processor fails in its own way
            yield Check(
                "engines", package, "broken", first_line(error),
                f"pip install --force-reinstall {package}",
            )  # fmt: skip
        else:
            yield Check("engines", package, "ok", _version(package) or "installed")
    found = _version("llama-cpp-python")
    if found:
        yield Check("engines", "llama.cpp", "ok", f"llama-cpp-python {found}")
    else:
        yield Check(
            "engines", "llama.cpp", "note", "not installed: only GGUF bundles need it",
            "pip install 'tinytales[gguf]'",
        )  # fmt: skip


def bundle(path: Path | None) -> Iterator[Check]:
    from tinytales.bundle import Bundle
    from tinytales.engine import open_engine
    from tinytales.errors import TinytalesError

    where = "bundle"
    try:
        opened = Bundle.open(path)
        manifest = opened.manifest
        yield Check(where, "opens", "ok", f"{opened.name} in {opened.path}")
        millions = manifest.parameters.get("total", 0) / 1e6
        yield Check(
            where, "is", "ok",
            f"{millions:.1f}M parameters, {manifest.quantization}, {_bytes(opened.size)}, "
            f"context {manifest.context_length}, {manifest.runtime}",
        )  # fmt: skip
        yield Check(where, "digest", "ok", f"{opened.digest[:16]} (every file matches)")
        engine = open_engine(opened, threads=1)  # measuring threads would leave a file
        try:
            start = time.perf_counter()
            tokens = [manifest.end_of_text, *opened.encode("Once upon a time")]
            told: list[int] = []
            logits = engine.prefill(tokens)[0]
            for _ in range(TOKENS_TOLD):
                told.append(int(logits.argmax()))
                logits = engine.decode(told[-1:])[0]
            seconds = time.perf_counter() - start
        finally:
            engine.close()
        text = " ".join(opened.tokenizer.decode([*tokens[1:], *told]).split())
        rate = TOKENS_TOLD / seconds
        yield Check(
            where, "tells", "ok", f"{TOKENS_TOLD} tokens, {rate:,.0f} a second: {text[:60]}…"
        )
    except TinytalesError as error:
        yield Check(where, "bundle", "broken", error.message, error.hint)


def folders() -> Iterator[Check]:
    from tinytales import paths
    from tinytales.library import library_path

    for name, folder in (
        ("stories", paths.data_dir()),
        ("settings", paths.config_dir()),
        ("cache", paths.cache_dir()),
    ):
        yield _folder(name, folder)
    if library_path().is_file():
        yield _library(library_path())


def _folder(name: str, folder: Path) -> Check:
    """Can something be written into `folder`, or where it would be made?"""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return Check(
            "folders", name, "broken", f"{there} is a file where a folder should be", "move it away"
        )
    try:
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(b"tinytales")
            probe.flush()
    except OSError as error:
        return Check(
            "folders", name, "broken", f"{folder} cannot be written: {error.strerror}",
            "choose another with --data-dir or TINYTALES_DATA_DIR",
        )  # fmt: skip
    free = shutil.disk_usage(there).free
    made = "" if folder.exists() else ", made when needed"
    said = f"{folder} ({_bytes(free)} free{made})"
    if free < LITTLE_SPACE:
        return Check("folders", name, "note", said, "the disk is nearly full: free some space")
    return Check("folders", name, "ok", said)


def _library(path: Path) -> Check:
    """The saved stories, opened for reading only: the doctor changes nothing."""
    import sqlite3

    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        try:
            sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        sound = str(error)
    if sound != "ok":
        return Check(
            "folders", "library", "broken", f"{path} is damaged: {sound}",
            "make a copy of it before anything else; tinytales opens what it can",
        )  # fmt: skip
    return Check("folders", "library", "ok", f"{path} ({_bytes(path.stat().st_size)})")


def settings() -> Iterator[Check]:
    from tinytales import settings as kept
    from tinytales.errors import TinytalesError

    path = kept.settings_path()
    try:
        kept.load()
    except TinytalesError as error:
        yield Check("settings", "settings", "broken", error.message, error.hint)
        return
    said = f"{path}" if path.exists() else f"the defaults (no {path})"
    yield Check("settings", "settings", "ok", said)


def terminal() -> Iterator[Check]:
    where = "terminal"
    if not sys.stdout.isatty():
        yield Check(where, "terminal", "ok", "stdout is none here: stories come as plain text")
    else:
        columns, rows = shutil.get_terminal_size()
        small = columns < SMALLEST_TERMINAL[0] or rows < SMALLEST_TERMINAL[1]
        yield Check(
            where, "size", "note" if small else "ok", f"{columns} x {rows}",
            "the app needs {} x {}: make the window larger".format(*SMALLEST_TERMINAL)
            if small else "",
        )  # fmt: skip
    yield Check(where, "color", "ok", colors())
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if encoding in ("utf8", "utf16", "utf32", "gb18030"):
        yield Check(where, "Unicode", "ok", sys.stdout.encoding)
    else:
        yield Check(
            where, "Unicode", "note", f"the encoding is {sys.stdout.encoding or 'unknown'}",
            "set LANG=C.UTF-8 (or PYTHONUTF8=1) for typographic characters",
        )  # fmt: skip


def colors() -> str:
    """How many colors the terminal says that it has."""
    term = os.environ.get("TERM", "")
    if os.environ.get("NO_COLOR"):
        return "off (NO_COLOR)"
    if (
        os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit")
        or "WT_SESSION" in os.environ
    ):
        return "16 million"
    if "256color" in term:
        return "256"
    return "none" if term in ("", "dumb") else f"16 (TERM={term})"


def extras() -> Iterator[Check]:
    """Each extra of the package: installed, or how to install it."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        needed = requires("tinytales") or []
    except PackageNotFoundError:
        yield Check(
            "extras", "extras", "note", "tinytales runs from a folder that is not installed",
            "pip install -e . (or make run)",
        )  # fmt: skip
        return
    packages: dict[str, list[str]] = {}
    for line in needed:
        match = re.match(r"([\w.-]+).*;.*extra == [\"']([\w-]+)[\"']", line)
        if match:
            packages.setdefault(match.group(2), []).append(match.group(1))
    for extra, names in packages.items():
        missing = [name for name in names if _version(name) is None]
        if missing:
            yield Check(
                "extras", extra, "note", f"not installed: {', '.join(missing)}",
                f"pip install 'tinytales[{extra}]'",
            )  # fmt: skip
        else:
            found = ", ".join(f"{name} {_version(name)}" for name in names)
            yield Check("extras", extra, "ok", found)


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def first_line(error: BaseException) -> str:
    return (str(error).strip().split("\n") or [""])[0] or type(error).__name__
