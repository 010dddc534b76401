"""onnxruntime: the default engine, for the fused graphs that `tinytales export` writes.

The key and value caches are allocated once and shared: the graph reads the past and writes the
present in the same memory, so a token allocates nothing and copies nothing. Inputs and outputs are
bound by address; a step writes three integers and reads a row of logits. What each choice below
gained is in docs/results.md, Speed.

The graph's contract (export/onnx_graph.py builds it):

    input_ids [batch, sequence] int64         logits [batch, vocab] float32, after the last position
    seqlens_k [batch] int32: tokens after this step, less one
    total_sequence_length [] int32: tokens after this step
    past_key.N, past_value.N -> present_key.N, present_value.N
        [batch, kv_heads, context, head_dim] float32, one buffer for both
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinytales.bundle import AGAIN
from tinytales.engine.base import Engine, Logits, check_rows
from tinytales.engine.threads import MOST, best_threads, usable_cores
from tinytales.errors import BundleError, EngineError

if TYPE_CHECKING:
    from tinytales.bundle import Bundle

#: A prompt is read in pieces of this many tokens: as fast as in one, and its peak memory is small.
PREFILL_CHUNK = 64


class OrtEngine:
    """An open ONNX bundle. Not thread-safe."""

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """Open `bundle` with `threads` (None or 0: the fastest count here, see threads.py).

        Raises:
            BundleError: onnxruntime refuses the file, or it is not a graph of ours.
        """
        import onnxruntime as ort

        manifest = bundle.manifest
        shape = manifest.shape
        self.name = f"onnxruntime {ort.__version__}"
        self.vocab_size = shape.vocab_size
        self.context_length = manifest.context_length
        self.threads = threads or best_threads(bundle, lambda count: OrtEngine(bundle, count))
        self._bundle = bundle
        self._at_once = 1 if threads else min(usable_cores(), MOST) // self.threads
        self._cache_shape = (shape.kv_heads, self.context_length, shape.head_dim)
        self._session: Any = _open_session(bundle, self.threads)
        self._position = 0
        self._steps: _Steps | None = None

    @property
    def position(self) -> int:
        return self._position

    def prefill(self, tokens: Sequence[int], batch: int = 1) -> Logits:
        """Read `tokens` once, whatever the batch: the other sequences get a copy of the cache."""
        ids = np.asarray(tokens, dtype=np.int64)
        length = ids.size
        if self._session is None:
            raise EngineError("the engine is closed")
        if batch < 1:
            raise EngineError(f"a batch of {batch} sequences")
        if not 0 < length <= self.context_length:
            raise EngineError(
                f"{length} tokens to begin with; from 1 to {self.context_length} are possible"
            )
        if ids.min() < 0 or ids.max() >= self.vocab_size:
            raise EngineError(f"a token outside the vocabulary of {self.vocab_size}")
        if self._steps is None or self._steps.batch != batch:
            self._steps = None  # the old buffers go before the new ones come
            layers = self._bundle.manifest.shape.layers
            self._steps = _Steps(self._session, batch, layers, self._cache_shape, self.vocab_size)
        logits = self._steps.prefill(ids)
        self._position = length
        return logits

    def decode(self, tokens: Sequence[int]) -> Logits:
        steps = self._steps
        if steps is None or self._session is None:
            raise EngineError("nothing to go on from: prefill comes first")
        if len(tokens) != steps.batch:
            raise EngineError(f"{len(tokens)} tokens for {steps.batch} sequences")
        if self._position >= self.context_length:
            raise EngineError(f"the context of {self.context_length} tokens is full")
        for token in tokens:
            if not 0 <= token < self.vocab_size:
                raise EngineError(f"token {token} is outside the vocabulary of {self.vocab_size}")
        logits = steps.decode(tokens, self._position)
        self._position += 1
        return logits

    def rewind(self, position: int) -> None:
        """Nothing is erased: what lies after `position` is masked until it is overwritten."""
        if not 0 <= position <= self._position:
            raise EngineError(f"cannot rewind from {self._position} to {position} tokens")
        self._position = position

    def crew(self) -> list[Engine]:
        """A session may run in several threads at once: only the caches must be one's own."""
        others = [copy(self) for _ in range(self._at_once - 1)]
        for other in others:
            other._steps, other._position, other._at_once = None, 0, 1
        return [self, *others]

    def keep(self, rows: Sequence[int]) -> None:
        if self._steps is None:
            raise EngineError("no batch to keep sequences of: prefill comes first")
        check_rows(rows, self._steps.batch)
        self._steps.keep(rows, self._position)

    def close(self) -> None:
        self._steps = self._session = None
        self._position = 0


class _Steps:
    """The buffers of one batch size, bound to the session by address."""

    def __init__(
        self,
        session: Any,
        batch: int,
        layers: int,
        cache_shape: tuple[int, int, int],
        vocab_size: int,
    ) -> None:
        self.batch = batch
        self._session = session
        # Zeros, not empty: a NaN left in fresh memory would survive the mask as 0 * NaN.
        self._caches = {
            f"{part}.{layer}": np.zeros((batch, *cache_shape), np.float32)
            for layer in range(layers)
            for part in ("key", "value")
        }
        self._logits = np.empty((batch, vocab_size), np.float32)
        self._ids = np.zeros((batch, 1), np.int64)
        self._last = np.zeros(batch, np.int32)
        self._total = np.zeros((), np.int32)
        self._binding = self._bind(self._ids, batch)

    def prefill(self, ids: NDArray[np.int64]) -> Logits:
        length = ids.size
        for start in range(0, length, PREFILL_CHUNK):
            chunk = ids[start : start + PREFILL_CHUNK].reshape(1, -1)
            self._last[:] = start + chunk.size - 1
            self._total.fill(start + chunk.size)
            self._run(self._bind(chunk, 1))
        if self.batch > 1:
            self._logits[1:] = self._logits[0]
            for cache in self._caches.values():
                cache[1:, :, :length] = cache[0, :, :length]
        return self._logits

    def decode(self, tokens: Sequence[int], position: int) -> Logits:
        self._ids[:, 0] = tokens
        self._last.fill(position)
        self._total.fill(position + 1)
        self._run(self._binding)
        return self._logits

    def keep(self, rows: Sequence[int], position: int) -> None:
        """Move the caches of `rows` to the front; what lies behind them is no longer read."""
        for cache in self._caches.values():
            for to, row in enumerate(rows):
                if to != row:
                    cache[to, :, :position] = cache[row, :, :position]
        self.batch = len(rows)
        self._logits, self._ids = self._logits[: self.batch], self._ids[: self.batch]
        self._last = self._last[: self.batch]
        self._binding = self._bind(self._ids, self.batch)

    def _bind(self, ids: NDArray[np.int64], rows: int) -> Any:
        """A binding of the first `rows` sequences: row 0 of a batch is a batch of one."""
        binding = self._session.io_binding()

        def bind(put: Any, name: str, array: NDArray[Any]) -> None:
            put(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

        bind(binding.bind_input, "input_ids", ids)
        bind(binding.bind_input, "seqlens_k", self._last[:rows])
        bind(binding.bind_input, "total_sequence_length", self._total)
        bind(binding.bind_output, "logits", self._logits[:rows])
        for name, cache in self._caches.items():
            bind(binding.bind_input, f"past_{name}", cache[:rows])
            bind(binding.bind_output, f"present_{name}", cache[:rows])
        return binding

    def _run(self, binding: Any) -> None:
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # onnxruntime raises its own kinds, all bare Exceptions
            raise EngineError(f"onnxruntime failed: {_first_line(error)}") from error


def _open_session(bundle: Bundle, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Planning and reusing memory costs more than it saves where all tensors are this small.
    options.enable_mem_reuse = False
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4  # a refusal comes as an exception, told once and by us
    path = bundle.model_path
    try:
        with _plain_attention():
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BundleError(
            f"onnxruntime refuses {path}: {_first_line(error)}", hint=AGAIN
        ) from error
    shape = bundle.manifest.shape
    caches = [f"{p}.{n}" for n in range(shape.layers) for p in ("key", "value")]
    expected = {"input_ids", "seqlens_k", "total_sequence_length", *(f"past_{c}" for c in caches)}
    found = {value.name: value.shape for value in session.get_inputs()}
    logits = {value.name: value.shape for value in session.get_outputs()}.get("logits")
    cache_shape = [shape.kv_heads, bundle.manifest.context_length, shape.head_dim]
    if (
        found.keys() != expected
        or any(found[f"past_{c}"][1:] != cache_shape for c in caches)
        or logits is None
        or logits[-1] != shape.vocab_size
    ):
        raise BundleError(f"{path} is not the graph that its manifest describes", hint=AGAIN)
    return session


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Sessions opened here do attention by MLAS's matrix-vector kernels.

    onnxruntime's newer kernel for one token of GroupQueryAttention uses four lanes of a vector unit
    that has sixteen; the variable below is its only switch, and it is read when a session opens.
    """
    name = "ORT_GQA_DISABLE_FLASH_ATTENTION"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
