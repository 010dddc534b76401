"""A Llama small enough to read in one sitting.

Grouped-query attention, rotary positions, RMSNorm, SwiGLU, tied embedding, no biases (Touvron et
al. 2023). The parameters bear the names of `transformers.LlamaForCausalLM`, so that a checkpoint
opens there as it is, with equal logits; tests/train/test_model.py compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinytales.errors import UsageError


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes in elements. Rows are multiples of 32, so that every block quantization takes them.

    Raises:
        UsageError: sizes that do not divide.
    """

    vocab_size: int = 4096
    hidden_size: int = 256
    layers: int = 6
    heads: int = 8
    kv_heads: int = 4
    ffn_size: int = 768
    context: int = 512
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5
    dropout: float = 0.0

    def __post_init__(self) -> None:
        def need(holds: bool, message: str, hint: str) -> None:
            if not holds:
                raise UsageError(message, hint=hint)

        sizes = ("vocab_size", "hidden_size", "layers", "heads", "kv_heads", "ffn_size", "context")
        for name in sizes:
            need(getattr(self, name) > 0, f"{name} is {getattr(self, name)}", f"{name} is above 0")
        need(
            self.hidden_size % self.heads == 0 and self.head_dim % 2 == 0,
            f"hidden_size {self.hidden_size} does not divide into {self.heads} heads of even size",
            f"heads = {max(1, self.hidden_size // 32)} gives heads of 32",
        )
        need(
            self.heads % self.kv_heads == 0,
            f"{self.heads} heads cannot share {self.kv_heads} key-value heads",
            "kv_heads divides heads",
        )
        for name in ("hidden_size", "ffn_size"):
            size = getattr(self, name)
            need(
                size % 32 == 0,
                f"{name} {size} is no multiple of 32, which quantization needs",
                f"{name} = {max(32, round(size / 32) * 32)}",
            )
        need(0 <= self.dropout < 1, f"dropout is {self.dropout}", "from 0 to below 1")

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.heads

    def parameters(self) -> dict[str, int]:
        """Counts: total, embedding, non_embedding (the paper's "1M" has 3.7M with embeddings)."""
        d, f, kv = self.hidden_size, self.ffn_size, self.kv_heads * self.head_dim
        layer = 2 * d * d + 2 * d * kv + 3 * d * f + 2 * d
        body, embedding = self.layers * layer + d, self.vocab_size * d
        return {"total": body + embedding, "embedding": embedding, "non_embedding": body}

    def flops_per_token(self, sequence: int) -> int:
        """Of a forward and backward pass (Kaplan et al. 2020): 6 a weight, and attention's own."""
        weights = self.parameters()["total"]
        return 6 * weights + 12 * self.layers * self.hidden_size * sequence // 2


class RMSNorm(nn.RMSNorm):
    """Its weight follows the input's type, which keeps the fused kernel under autocast."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class Attention(nn.Module):
    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        d, kv = shape.hidden_size, shape.kv_heads * shape.head_dim
        self.heads, self.kv_heads, self.head_dim = shape.heads, shape.kv_heads, shape.head_dim
        self.dropout = shape.dropout
        self.q_proj = nn.Linear(d, d, bias=False)
        self.k_proj = nn.Linear(d, kv, bias=False)
        self.v_proj = nn.Linear(d, kv, bias=False)
        self.o_proj = nn.Linear(d, d, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x [batch, sequence, hidden] -> the same shape."""
        batch, sequence, d = x.shape
        kv = self.kv_heads * self.head_dim
        # One product instead of three; the weights stay apart, since Muon treats each by itself.
        weight = torch.cat((self.q_proj.weight, self.k_proj.weight, self.v_proj.weight))
        q, k, v = F.linear(x, weight).split((d, kv, kv), dim=-1)
        q = q.view(batch, sequence, self.heads, self.head_dim).transpose(1, 2)
        k = k.view(batch, sequence, self.kv_heads, self.head_dim).transpose(1, 2)
        v = v.view(batch, sequence, self.kv_heads, self.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
        y = attend(q, k, v)
        return self.o_proj(y.transpose(1, 2).reshape(batch, sequence, d))


#: Queries that look back together. Smaller: more products; larger: more of them masked.
BLOCK = 128


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention; q, k, v and the result are [batch, heads, sequence, head_dim].

    On a GPU torch's fused kernel is the fastest. On a CPU its backward pass takes more than half of
    a step of a model this small; plain products of query blocks with the keys up to them, which
    torch.compile fuses, take 40 % of that time (docs/results.md).
    """
    if q.device.type != "cpu" or not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    q = q * q.shape[-1] ** -0.5
    seen = []
    for start in range(0, q.shape[2], BLOCK):
        block = q[:, :, start : start + BLOCK]
        size = block.shape[2]
        scores = (block @ k[:, :, : start + size].transpose(-1, -2)).float()
        future = torch.full((size, size), -torch.inf).triu(1)
        weights = torch.softmax(scores + F.pad(future, (start, 0)), dim=-1).to(v.dtype)
        seen.append(weights @ v[:, :, : start + size])
    return torch.cat(seen, dim=2)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021), halves as in transformers."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


class FeedForward(nn.Module):
    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden_size, shape.ffn_size, bias=False)
        self.up_proj = nn.Linear(shape.hidden_size, shape.ffn_size, bias=False)
        self.down_proj = nn.Linear(shape.ffn_size, shape.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.cat((self.gate_proj.weight, self.up_proj.weight))
        gate, up = F.linear(x, weight).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        self.mlp = FeedForward(shape)
        self.dropout = shape.dropout

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self._drop(self.self_attn(self.input_layernorm(x), cos, sin))
        return x + self._drop(self.mlp(self.post_attention_layernorm(x)))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


class Body(nn.Module):
    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)


class Llama(nn.Module):
    """Tokens in, next-token logits (or the loss) out."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Body(shape)
        half = torch.arange(0, shape.head_dim, 2, dtype=torch.float64) / shape.head_dim
        angles = torch.outer(torch.arange(shape.context), shape.rope_theta**-half)
        angles = torch.cat((angles, angles), dim=-1).float()
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self._initialize()

    def _initialize(self) -> None:
        """Small normal weights; what writes into the residual stream starts at zero.

        A layer that begins as the identity lets Muon take large steps from the first one.
        """
        for name, weight in self.named_parameters():
            if weight.ndim == 1:
                continue  # norms start at one
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(weight)
            elif "embed" in name:
                nn.init.normal_(weight, std=0.02)
            else:
                nn.init.normal_(weight, std=0.7 * weight.shape[1] ** -0.5)

    def hidden(self, tokens: Tensor) -> Tensor:
        """tokens [batch, sequence] -> normed hidden states [batch, sequence, hidden]."""
        sequence = tokens.shape[1]
        x = self.model.embed_tokens(tokens)
        if torch.is_autocast_enabled(tokens.device.type):
            x = x.to(torch.get_autocast_dtype(tokens.device.type))
        cos, sin = self.cos[:sequence].to(x.dtype), self.sin[:sequence].to(x.dtype)
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        return self.model.norm(x)

    def forward(
        self, tokens: Tensor, targets: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Logits [batch, sequence, vocab], or with `targets` the mean loss in nats.

        `weights` [batch, sequence] says what each target counts in the mean; without them all count
        alike, but those of -100 nothing.
        """
        logits = F.linear(self.hidden(tokens), self.model.embed_tokens.weight)
        if targets is None:
            return logits
        losses = F.cross_entropy(
            logits.reshape(-1, logits.shape[-1]).float(),
            targets.reshape(-1),
            reduction="mean" if weights is None else "none",
        )
        return losses if weights is None else losses @ weights.reshape(-1) / weights.sum()

    @torch.no_grad()
    def generate(self, tokens: list[int], count: int, end: int = 0) -> list[int]:
        """Sample up to `count` tokens at temperature 0.8: a glance while training."""
        told = list(tokens)
        device = self.model.embed_tokens.weight.device
        for _ in range(count):
            window = torch.tensor([told[-self.shape.context :]], device=device)
            states = self.hidden(window)[:, -1]
            logits = F.linear(states, self.model.embed_tokens.weight).float()[0]
            token = int(torch.multinomial(torch.softmax(logits / 0.8, -1), 1))
            if token == end:
                break
            told.append(token)
        return told[len(tokens) :]
