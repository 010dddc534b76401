"""What the app remembers between evenings besides settings and stories: order, speeds.

A small JSON file in the data folder. It is a convenience: a missing, broken or unwritable file
means that the app begins where nobody has been.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tinytales.paths import data_dir, replace_text

FILE = "app.json"


@dataclass
class Memory:
    """Attributes:
    sort: how the library was sorted.
    rubric: by what a judge was asked last.
    speeds: digest of a voice -> {"tokens_per_second": …, "memory": bytes}, as measured here.
    """

    sort: str = ""
    favorites_only: bool = False
    rubric: str = "gentle"
    speeds: dict[str, dict[str, float]] = field(default_factory=dict)
    path: Path | None = field(default=None, repr=False)

    @classmethod
    def load(cls, path: Path | None = None) -> Memory:
        if path is None:
            path = data_dir() / FILE
        memory = cls(path=path)
        with contextlib.suppress(OSError, ValueError, RecursionError):
            data = json.loads(path.read_text(encoding="utf-8"))
            for entry in fields(cls):
                value = data.get(entry.name) if isinstance(data, dict) else None
                if entry.name != "path" and type(value) is type(getattr(memory, entry.name)):
                    setattr(memory, entry.name, value)
        return memory

    def save(self) -> None:
        if self.path is None:
            return
        data: dict[str, Any] = {k: v for k, v in asdict(self).items() if k != "path"}
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace_text(self.path, json.dumps(data, indent=1))
