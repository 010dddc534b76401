"""llama.cpp, by its low-level interface: for GGUF bundles, and as a peer to measure against.

The sequences of a batch are llama.cpp's own: the prompt is read once and its cache copied. Needs
the extra `gguf` (llama-cpp-python, which is compiled when it is installed).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytales.bundle import AGAIN
from tinytales.engine.base import Engine, Logits, check_rows
from tinytales.errors import BundleError, EngineError, require

if TYPE_CHECKING:
    from tinytales.bundle import Bundle

#: llama.cpp keeps its cache in 16 bits; a model in full precision deserves a cache like it.
_FULL_PRECISION = "f32"
_GGML_TYPE_F32 = 0


class LlamaCppEngine:
    """An open GGUF bundle. Not thread-safe."""

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """Open `bundle` with `threads` (None or 0: one, which is best at these sizes).

        Raises:
            BundleError: llama.cpp refuses the file.
            MissingExtra: llama-cpp-python is not installed.
        """
        self._llama: Any = require("llama_cpp", "gguf")
        _be_quiet(self._llama)
        manifest = bundle.manifest
        self.name = f"llama.cpp ({self._llama.__version__})"
        self.vocab_size = manifest.shape.vocab_size
        self.context_length = manifest.context_length
        self.threads = threads or 1
        self._full_precision = manifest.quantization == _FULL_PRECISION
        params = self._llama.llama_model_default_params()
        params.n_gpu_layers = 0
        path = bundle.model_path
        self._model: Any = self._llama.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise BundleError(f"llama.cpp refuses {path}", hint=AGAIN)
        vocab = self._llama.llama_model_get_vocab(self._model)
        if self._llama.llama_vocab_n_tokens(vocab) != self.vocab_size:
            self.close()
            raise BundleError(f"{path} is not the model that its manifest describes", hint=AGAIN)
        self._context: Any = None
        self._tokens: Any = None
        self._sequences = 0
        #: llama.cpp's numbers of the sequences that are still told.
        self._rows: list[int] = []
        self._position = 0
        self._logits = np.empty((0, self.vocab_size), np.float32)

    @property
    def position(self) -> int:
        return self._position

    def prefill(self, tokens: Sequence[int], batch: int = 1) -> Logits:
        if self._model is None:
            raise EngineError("the engine is closed")
        if batch < 1:
            raise EngineError(f"a batch of {batch} sequences")
        if not 0 < len(tokens) <= self.context_length:
            raise EngineError(
                f"{len(tokens)} tokens to begin with; from 1 to {self.context_length} are possible"
            )
        self._check(tokens)
        if batch != self._sequences:
            self._open_context(batch)
        self._rows = [*range(batch)]
        self._logits = np.empty((batch, self.vocab_size), np.float32)
        memory = self._llama.llama_get_memory(self._context)
        self._llama.llama_memory_clear(memory, False)
        size = len(tokens)
        for i, token in enumerate(tokens):
            self._put(i, int(token), position=i, sequence=0, wanted=i == size - 1)
        self._run(size)
        for sequence in range(1, batch):
            self._llama.llama_memory_seq_cp(memory, 0, sequence, -1, -1)
        self._read(0, size - 1)
        self._logits[1:] = self._logits[0]
        self._position = size
        return self._logits

    def decode(self, tokens: Sequence[int]) -> Logits:
        if self._context is None:
            raise EngineError("nothing to go on from: prefill comes first")
        if len(tokens) != len(self._rows):
            raise EngineError(f"{len(tokens)} tokens for {len(self._rows)} sequences")
        if self._position >= self.context_length:
            raise EngineError(f"the context of {self.context_length} tokens is full")
        self._check(tokens)
        for i, token in enumerate(tokens):
            row = self._rows[i]
            self._put(i, int(token), position=self._position, sequence=row, wanted=True)
        self._run(len(tokens))
        for i in range(len(tokens)):
            self._read(i, i)
        self._position += 1
        return self._logits

    def rewind(self, position: int) -> None:
        if not 0 <= position <= self._position:
            raise EngineError(f"cannot rewind from {self._position} to {position} tokens")
        memory = self._llama.llama_get_memory(self._context) if self._context else None
        for sequence in range(self._sequences if memory else 0):
            self._llama.llama_memory_seq_rm(memory, sequence, position, -1)
        self._position = position

    def crew(self) -> list[Engine]:
        return [self]

    def keep(self, rows: Sequence[int]) -> None:
        check_rows(rows, len(self._rows))
        self._rows = [self._rows[row] for row in rows]
        self._logits = self._logits[: len(rows)]

    def tokenize(self, text: str) -> list[int]:
        """llama.cpp's own tokens of `text`, to be compared with the bundle's."""
        data = text.encode()
        tokens = (self._llama.llama_token * (len(data) + 1))()
        vocab = self._llama.llama_model_get_vocab(self._model)
        count = self._llama.llama_tokenize(
            vocab, data, len(data), tokens, len(tokens), False, False
        )
        return list(tokens[:count])

    def close(self) -> None:
        self._close_context()
        if self._model:
            self._llama.llama_model_free(self._model)
        self._model = None

    def _check(self, tokens: Sequence[int]) -> None:
        for token in tokens:
            if not 0 <= token < self.vocab_size:
                raise EngineError(f"token {token} is outside the vocabulary of {self.vocab_size}")

    def _open_context(self, sequences: int) -> None:
        self._close_context()
        params = self._llama.llama_context_default_params()
        params.n_ctx = self.context_length * sequences
        params.n_batch = params.n_ubatch = max(self.context_length, sequences)
        params.n_seq_max = sequences
        params.n_threads = params.n_threads_batch = self.threads
        params.no_perf = True
        if self._full_precision:
            params.type_k = params.type_v = _GGML_TYPE_F32
        self._context = self._llama.llama_init_from_model(self._model, params)
        if not self._context:
            self._context = None
            raise EngineError(f"llama.cpp has no room for {sequences} sequences")
        self._tokens = self._llama.llama_batch_init(int(params.n_batch), 0, 1)
        self._sequences = sequences

    def _close_context(self) -> None:
        if getattr(self, "_context", None):
            self._llama.llama_batch_free(self._tokens)
            self._llama.llama_free(self._context)
        self._context = self._tokens = None
        self._sequences = self._position = 0

    def _put(self, at: int, token: int, *, position: int, sequence: int, wanted: bool) -> None:
        batch = self._tokens
        batch.token[at] = token
        batch.pos[at] = position
        batch.n_seq_id[at] = 1
        batch.seq_id[at][0] = sequence
        batch.logits[at] = wanted

    def _run(self, count: int) -> None:
        self._tokens.n_tokens = count
        code = self._llama.llama_decode(self._context, self._tokens)
        if code:
            raise EngineError(f"llama.cpp failed with code {code}")

    def _read(self, row: int, at: int) -> None:
        source = self._llama.llama_get_logits_ith(self._context, at)
        target = self._logits[row]
        ctypes.memmove(target.ctypes.data, source, target.nbytes)


_quiet: Any = None


def _be_quiet(llama: Any) -> None:
    """llama.cpp tells its life story on stderr otherwise. The callback must outlive the calls."""
    global _quiet
    if _quiet is None:
        _quiet = llama.llama_log_callback(lambda level, text, data: None)
        llama.llama_log_set(_quiet, None)
