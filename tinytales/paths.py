"""Where things are kept: the one module that knows folders.

    data_dir()      stories (library.sqlite) and voices
    config_dir()    settings.toml
    cache_dir()     what can be made again

The folders are those of the platform (XDG, Library, AppData). TINYTALES_DATA_DIR or `override`
(the flag --data-dir) puts all three into one folder, so that everything fits on a stick. Asking for
a folder does not create it; `make` does, when something is written; `replace_text` writes it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tinytales.errors import TinytalesError

ENVIRONMENT = "TINYTALES_DATA_DIR"

_overridden: Path | None = None


def override(data_dir: str | Path | None) -> None:
    """Keep everything in `data_dir` from now on, in this process; None takes that back."""
    global _overridden
    _overridden = None if data_dir is None else Path(data_dir).expanduser().absolute()


def data_dir() -> Path:
    """Stories and voices."""
    return _one_folder() or _platform_folder("data")


def config_dir() -> Path:
    """Settings."""
    return _one_folder() or _platform_folder("config")


def cache_dir() -> Path:
    """What may be deleted at any time."""
    one = _one_folder()
    return one / "cache" if one else _platform_folder("cache")


def make(folder: Path) -> Path:
    """Create `folder` where it is missing.

    Raises:
        TinytalesError: it cannot be created, or something else stands there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise TinytalesError(
            f"{folder} is a file where a folder should be", hint=f"move it, or set {ENVIRONMENT}"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TinytalesError(
            f"the folder {folder} cannot be created: {reason}",
            hint=f"choose another with --data-dir or {ENVIRONMENT}",
        ) from error
    return folder


def replace_text(path: Path, text: str, errors: str = "strict") -> None:
    """Write `text` (UTF-8) beside `path`, then rename: it is the old file or the new one, whole.

    Raises:
        OSError: it cannot be written. The old file is whole, and nothing is left beside it.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(text, encoding="utf-8", errors=errors)
        beside.replace(path)
    finally:
        with contextlib.suppress(OSError, ValueError):
            beside.unlink(missing_ok=True)


def _one_folder() -> Path | None:
    if _overridden is not None:
        return _overridden
    named = os.environ.get(ENVIRONMENT, "").strip()
    return Path(named).expanduser().absolute() if named else None


def _platform_folder(kind: str) -> Path:
    from platformdirs import PlatformDirs

    path: Path = getattr(PlatformDirs("tinytales", appauthor=False), f"user_{kind}_path")
    return path
