"""A bundle: the folder that an app embeds. One manifest, one tokenizer, one model file.

    bundle.json      the manifest: shape, sizes, digests, sources, measured bits per byte
    tokenizer.json   byte-level BPE, read by `tokenizers`
    model.onnx       (or model.gguf)

Opening checks all of it before any of it is used; each fault is one BundleError that names the file
and what to do. `write_bundle_manifest` is the only writer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytales.errors import BundleError
from tinytales.paths import replace_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FORMAT_VERSION = 1
MANIFEST = "bundle.json"
TOKENIZER = "tokenizer.json"
END_OF_TEXT = "<|endoftext|>"
#: runtime -> its model file. The first two are opened here, the others are made for elsewhere.
RUNTIMES = {
    "onnxruntime": "model.onnx",
    "llama.cpp": "model.gguf",
    "portable": "model.onnx",
    "transformers": "model.safetensors",
}
#: Files that people may edit: they are no part of what is checked.
EDITABLE = ("README.md", "Modelfile")
AGAIN = "export it again (tinytales export) or reinstall tinytales"


@dataclass(frozen=True, slots=True)
class Shape:
    """The Llama graph. Sizes in elements."""

    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn_size: int
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `bundle.json` says.

    Attributes:
        runtime: a key of RUNTIMES.
        model: name of the model file in the folder.
        quantization: fp32, int8, int4, f16, q8_0 …
        parameters: total, embedding, non_embedding (the paper's "1M" has 3.7M with embeddings).
        context_length: most tokens of prompt and story together.
        end_of_text: id of the one special token, which begins and ends every document.
        files: name -> {"sha256": hex, "bytes": size}; everything in the folder but the
            manifest and what people may edit.
        sources: the training texts: [{"name": …, "licence": …}].
        bits_per_byte: measured on export: {"text": …, "before": fp32, "after": this bundle}.
    """

    name: str
    runtime: str
    model: str
    shape: Shape
    parameters: Mapping[str, int]
    quantization: str
    context_length: int
    end_of_text: int
    files: Mapping[str, Mapping[str, Any]]
    licence: str = ""
    sources: list[Mapping[str, Any]] = field(default_factory=list)
    bits_per_byte: Mapping[str, Any] = field(default_factory=dict)
    checks: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""
    format_version: int = FORMAT_VERSION


def file_digest(path: Path) -> dict[str, Any]:
    """SHA-256 and size of a file, as the manifest records them."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}


def write_bundle_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write `bundle.json` beside and rename; `files` is filled from what lies in the folder."""
    files = {
        p.name: file_digest(p)
        for p in sorted(folder.iterdir())
        if p.is_file() and p.name not in (MANIFEST, *EDITABLE) and p.suffix != ".tmp"
    }
    data = {"format_version": FORMAT_VERSION} | asdict(manifest) | {"files": files}
    path = folder / MANIFEST
    replace_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    return path


def default_bundle_path() -> Path:
    """The storyteller that comes with the package."""
    import tinytales.assets

    return Path(tinytales.assets.__path__[0]) / "storyteller"


class Bundle:
    """An opened, checked bundle.

    >>> bundle = Bundle.open()          # the shipped storyteller
    >>> bundle.manifest.context_length
    512
    """

    def __init__(self, path: Path, manifest: Manifest, digest: str) -> None:
        self.path = path
        self.manifest = manifest
        #: SHA-256 over the digests of all files: two bundles with the same digest tell the same.
        self.digest = digest

    @classmethod
    def open(cls, path: str | Path | None = None) -> Bundle:
        """Open and check the bundle in folder `path` (default: the shipped one).

        Raises:
            BundleError: missing, truncated, altered, foreign, or of another version.
        """
        folder = default_bundle_path() if path is None else Path(path)
        folder = _bundle_folder(folder)
        manifest = _read_manifest(folder)
        _check_files(folder, manifest)
        named = "".join(f"{n}:{manifest.files[n]['sha256']}\n" for n in sorted(manifest.files))
        return cls(folder, manifest, hashlib.sha256(named.encode()).hexdigest())

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def model_path(self) -> Path:
        return self.path / self.manifest.model

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(int(f["bytes"]) for f in self.manifest.files.values())

    @cached_property
    def tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        path = self.path / TOKENIZER
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise BundleError(f"{path} is not a tokenizer: {error}", hint=AGAIN) from error
        tokens, rows = tokenizer.get_vocab_size(), self.manifest.shape.vocab_size
        if tokens > rows or tokenizer.token_to_id(END_OF_TEXT) != self.manifest.end_of_text:
            raise BundleError(f"{path} does not belong to {self.manifest.model}", hint=AGAIN)
        return tokenizer

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without the end-of-text token."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _bundle_folder(path: Path) -> Path:
    if path.is_dir() and (path / MANIFEST).is_file():
        return path
    if path.name == MANIFEST and path.is_file():
        return path.parent
    if not path.exists():
        raise BundleError(f"no bundle at {path}", hint="check the path, or leave --model out")
    if path.is_dir() and (path / "config.json").is_file():
        raise BundleError(
            f"{path} is a checkpoint, not a bundle", hint=f"tinytales export --int8 {path}"
        )
    if path.is_file() and path.suffix in (".onnx", ".gguf") and (path.parent / MANIFEST).is_file():
        return path.parent
    raise BundleError(
        f"{path} is not a tinytales bundle: it has no {MANIFEST}",
        hint="give the folder that tinytales export wrote",
    )


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read: {error}", hint=AGAIN) from error
    if not isinstance(data, dict) or "format_version" not in data:
        raise BundleError(f"{path} is not a tinytales manifest", hint=AGAIN)
    version = data["format_version"]
    if version != FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        raise BundleError(
            f"{path} has format version {version!r}; this tinytales reads {FORMAT_VERSION}",
            hint="upgrade tinytales: pip install -U tinytales" if newer else AGAIN,
        )
    known = {f.name for f in fields(Manifest)}
    try:
        data["shape"] = Shape(**data["shape"])
        manifest = Manifest(**{k: v for k, v in data.items() if k in known})
        model_file = RUNTIMES[manifest.runtime]
        sound = (
            isinstance(manifest.name, str)
            and all(isinstance(getattr(manifest.shape, f.name), int | float) for f in fields(Shape))
            and min(asdict(manifest.shape).values()) > 0
            and isinstance(manifest.context_length, int)
            and manifest.context_length > 1
            and 0 <= manifest.end_of_text < manifest.shape.vocab_size
            and Path(manifest.model).name == manifest.model == model_file
            and all(Path(n).name == n and n not in ("", "..") for n in manifest.files)
            and {manifest.model, TOKENIZER} <= manifest.files.keys()
            and all(isinstance(f["bytes"], int) and f["sha256"] for f in manifest.files.values())
        )
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise BundleError(f"{path} is incomplete or wrong: {error!r}", hint=AGAIN) from error
    if not sound:
        raise BundleError(f"{path} holds impossible values", hint=AGAIN)
    return manifest


def _check_files(folder: Path, manifest: Manifest) -> None:
    for name, expected in manifest.files.items():
        path = folder / name
        try:
            found = file_digest(path)
        except FileNotFoundError as error:
            raise BundleError(f"{path} is missing", hint=AGAIN) from error
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror}", hint=AGAIN) from error
        if found["bytes"] < expected["bytes"]:
            raise BundleError(
                f"{path} is cut short: {found['bytes']} of {expected['bytes']} bytes", hint=AGAIN
            )
        if found["sha256"] != expected["sha256"]:
            raise BundleError(f"{path} was altered: its SHA-256 does not match", hint=AGAIN)
