"""The checkpoint in torch, in full precision: what every export is measured against.

Written from the Llama paper's equations in the plainest way (Touvron et al. 2023; rotary from Su et
al. 2021, grouped queries from Ainslie et al. 2023), so that it shares no code with the trainer nor
with any exporter. The tests hold it against transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinytales.errors import require
from tinytales.export.checkpoint import Checkpoint

if TYPE_CHECKING:
    import torch


class Reference:
    """A checkpoint that gives the logits of whole sequences."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._torch: Any = require("torch", "export")
        self.shape = checkpoint.shape
        self._weights = {
            name: self._torch.from_numpy(tensor.copy())
            for name, tensor in checkpoint.tensors.items()
        }
        frequencies = self.shape.rope_theta ** (
            -np.arange(0, self.shape.head_dim, 2, dtype=np.float64) / self.shape.head_dim
        )
        angles = np.outer(np.arange(checkpoint.context_length), frequencies)
        self._cos = self._torch.from_numpy(np.tile(np.cos(angles), 2).astype(np.float32))
        self._sin = self._torch.from_numpy(np.tile(np.sin(angles), 2).astype(np.float32))

    def logits(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits [batch, length, vocab] after every token of `tokens` [batch, length]."""
        with self._torch.inference_mode():
            hidden = self._hidden(self._torch.from_numpy(tokens))
            return (hidden @ self._weights["model.embed_tokens.weight"].T).numpy()

    def next_logits(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Logits [vocab] after the last of `tokens`."""
        with self._torch.inference_mode():
            hidden = self._hidden(self._torch.tensor([list(tokens)]))[0, -1]
            return (self._weights["model.embed_tokens.weight"] @ hidden).numpy()

    def inputs(self, tokens: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """What each matrix multiplies: name -> [batch * length, columns], for calibration."""
        seen: dict[str, Any] = {}
        with self._torch.inference_mode():
            self._hidden(self._torch.from_numpy(tokens), seen)
        return {name: value.flatten(0, -2).numpy() for name, value in seen.items()}

    def replace(self, name: str, weight: NDArray[np.float32]) -> None:
        """Go on with other values for one matrix."""
        self._weights[name] = self._torch.from_numpy(weight)

    def _hidden(self, tokens: torch.Tensor, seen: dict[str, Any] | None = None) -> torch.Tensor:
        torch, shape = self._torch, self.shape
        batch, length = tokens.shape
        cos, sin = self._cos[:length], self._sin[:length]

        def linear(x: torch.Tensor, name: str) -> torch.Tensor:
            if seen is not None:
                seen[f"{name}.weight"] = x
            return x @ self._weights[f"{name}.weight"].T

        def norm(x: torch.Tensor, name: str) -> torch.Tensor:
            mean = x.pow(2).mean(-1, keepdim=True)
            return x * torch.rsqrt(mean + shape.rms_norm_eps) * self._weights[f"{name}.weight"]

        def heads(x: torch.Tensor, count: int) -> torch.Tensor:
            return x.view(batch, length, count, shape.head_dim).transpose(1, 2)

        def rotate(x: torch.Tensor) -> torch.Tensor:
            first, second = x.chunk(2, -1)
            return x * cos + torch.cat([-second, first], -1) * sin

        x = self._weights["model.embed_tokens.weight"][tokens]
        for layer in range(shape.layers):
            here = f"model.layers.{layer}"
            y = norm(x, f"{here}.input_layernorm")
            q = rotate(heads(linear(y, f"{here}.self_attn.q_proj"), shape.heads))
            k = rotate(heads(linear(y, f"{here}.self_attn.k_proj"), shape.kv_heads))
            v = heads(linear(y, f"{here}.self_attn.v_proj"), shape.kv_heads)
            told = torch.nn.functional.scaled_dot_product_attention(
                q, k, v, is_causal=True, enable_gqa=True
            )
            told = told.transpose(1, 2).reshape(batch, length, shape.heads * shape.head_dim)
            x = x + linear(told, f"{here}.self_attn.o_proj")
            y = norm(x, f"{here}.post_attention_layernorm")
            gate = torch.nn.functional.silu(linear(y, f"{here}.mlp.gate_proj"))
            x = x + linear(gate * linear(y, f"{here}.mlp.up_proj"), f"{here}.mlp.down_proj")
        return norm(x, "model.norm")
