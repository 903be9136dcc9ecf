"""A Llama-shaped decoder in PyTorch, with the tensor names of transformers' LlamaForCausalLM."""

from dataclasses import asdict, dataclass
from typing import Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from documents import Batch
from sizes import TransformerSizes


@dataclass
class Config(TransformerSizes):
    num_key_value_heads: int
    head_dim: int
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5

    def to_hugging_face(self, end_of_text: int, dtype: str) -> dict:
        """The config.json that transformers opens as a LlamaForCausalLM."""
        return {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", **asdict(self),
            "rope_scaling": None, "hidden_act": "silu", "tie_word_embeddings": True,
            "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0,
            "initializer_range": 0.02, "pretraining_tp": 1, "use_cache": True,
            "bos_token_id": end_of_text, "eos_token_id": end_of_text, "pad_token_id": None,
            "torch_dtype": dtype,
        }


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding, halves rotated against each other. x: [batch, heads, t, dim]."""
    one, two = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-two, one), dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.heads, self.groups, self.dim = c.num_attention_heads, c.num_key_value_heads, c.head_dim
        self.q_proj = nn.Linear(c.hidden_size, self.heads * self.dim, bias=False)
        self.k_proj = nn.Linear(c.hidden_size, self.groups * self.dim, bias=False)
        self.v_proj = nn.Linear(c.hidden_size, self.groups * self.dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.dim, c.hidden_size, bias=False)

    def forward(self, x: Tensor, rope: Tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (proj(x).view(batch, length, -1, self.dim).transpose(1, 2)
                   for proj in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(q * self.dim**-0.5, *rope), rotate(k, *rope)
        shared = self.heads // self.groups
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-1, -2)
        with torch.autocast("cpu", enabled=False):  # Autocast would widen bf16: twice the traffic.
            weights = (scores + mask.to(scores.dtype)).softmax(-1)  # [batch, heads, query, key]
        mixed = (weights @ v).transpose(1, 2).reshape(batch, length, -1)
        return self.o_proj(mixed)


class FeedForward(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.up_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.down_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.mlp = FeedForward(c)

    def forward(self, x: Tensor, rope: Tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rope, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(c.vocab_size, c.hidden_size)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))
        self.norm = RMSNorm(c.hidden_size, c.rms_norm_eps)


class Llama(nn.Module):
    """The decoder; input and output embeddings are tied."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.model = Body(config)
        self.apply(self._initialise)
        for layer in self.model.layers:
            for last in (layer.self_attn.o_proj, layer.mlp.down_proj):
                nn.init.normal_(last.weight, std=0.02 * (2 * config.num_hidden_layers) ** -0.5)

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)

    def _rope(self, length: int) -> Tuple[Tensor, Tensor]:
        dim = self.config.head_dim
        rates = self.config.rope_theta ** (-torch.arange(0, dim, 2).float() / dim)
        angles = torch.arange(length).float()[:, None] * rates
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()

    def forward(self, ids: Tensor, allowed: Optional[Tensor] = None) -> Tensor:
        """Logits [batch, t, vocab] of token ids [batch, t].

        `allowed` [batch, t, t] narrows the causal mask.
        """
        length = ids.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        seen = causal if allowed is None else (allowed & causal)[:, None]
        mask = torch.zeros(seen.shape).masked_fill(~seen, -1e9)
        rope = self._rope(length)
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, rope, mask)
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)

    def predict(self, batch: Batch) -> Tensor:
        """Logits [chosen, vocab] for the targets of a batch."""
        return self(batch.inputs, batch.allowed).flatten(0, 1)
