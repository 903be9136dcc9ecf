"""A bidirectional encoder in PyTorch, with the tensor names of transformers' BertForMaskedLM."""

from dataclasses import asdict, dataclass
from typing import Optional

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from documents import Batch
from positions import waves
from sizes import TransformerSizes

# Root mean square of the weights at the start. (The norm behind the embeddings makes theirs 1.)
EMBEDDING_SIZE = 0.05
MATRIX_SIZE = 0.05


@dataclass
class Config(TransformerSizes):
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12

    def to_hugging_face(self, end_of_text: int, dtype: str) -> dict:
        """The config.json that transformers opens as a BertForMaskedLM."""
        return {
            "architectures": ["BertForMaskedLM"], "model_type": "bert", **asdict(self),
            "hidden_act": "gelu", "position_embedding_type": "absolute",
            "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
            "initializer_range": 0.02, "tie_word_embeddings": True, "pad_token_id": end_of_text,
            "bos_token_id": None, "eos_token_id": end_of_text, "torch_dtype": dtype,
        }


class LayerNorm(nn.LayerNorm):
    """In f32 whatever the precision of the matrix products."""

    def __init__(self, c: Config) -> None:
        super().__init__(c.hidden_size, eps=c.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float())


class Embeddings(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(c.vocab_size, c.hidden_size)
        self.position_embeddings = nn.Embedding(c.max_position_embeddings, c.hidden_size)
        self.token_type_embeddings = nn.Embedding(c.type_vocab_size, c.hidden_size)
        self.LayerNorm = LayerNorm(c)

    def forward(self, ids: Tensor) -> Tensor:
        where = torch.arange(ids.shape[1])
        x = self.word_embeddings(ids) + self.token_type_embeddings.weight[0]
        return self.LayerNorm(x + self.position_embeddings(where))


class SelfAttention(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.heads, self.dim = c.num_attention_heads, c.hidden_size // c.num_attention_heads
        self.query = nn.Linear(c.hidden_size, c.hidden_size)
        self.key = nn.Linear(c.hidden_size, c.hidden_size)
        self.value = nn.Linear(c.hidden_size, c.hidden_size)

    def forward(self, x: Tensor, mask: Optional[Tensor]) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (proj(x).view(batch, length, self.heads, self.dim).transpose(1, 2)
                   for proj in (self.query, self.key, self.value))
        scores = q * self.dim ** -0.5 @ k.transpose(-1, -2)
        with torch.autocast("cpu", enabled=False):  # Autocast would widen bf16: twice the traffic.
            if mask is not None:
                scores = scores + mask.to(scores.dtype)
            weights = scores.softmax(-1)  # [batch, heads, query, key]
        return (weights @ v).transpose(1, 2).reshape(batch, length, -1)


class Output(nn.Module):
    """A projection back to the residual stream, and the norm behind the sum."""

    def __init__(self, c: Config, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, c.hidden_size)
        self.LayerNorm = LayerNorm(c)

    def forward(self, inner: Tensor, x: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(inner) + x)


class Attention(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.add_module("self", SelfAttention(c))
        self.output = Output(c, c.hidden_size)

    def forward(self, x: Tensor, mask: Optional[Tensor]) -> Tensor:
        return self.output(self._modules["self"](x, mask), x)


class Intermediate(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(c.hidden_size, c.intermediate_size)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.dense(x))


class Layer(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.attention = Attention(c)
        self.intermediate = Intermediate(c)
        self.output = Output(c, c.intermediate_size)

    def forward(self, x: Tensor, mask: Optional[Tensor]) -> Tensor:
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class Layers(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))


class Body(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.embeddings = Embeddings(c)
        self.encoder = Layers(c)

    def forward(self, ids: Tensor, allowed: Optional[Tensor] = None) -> Tensor:
        """Last hidden states [batch, t, width] of token ids [batch, t].

        `allowed` [batch, t or 1, t] says where a query may look.
        """
        mask = None
        if allowed is not None:
            mask = torch.zeros(allowed.shape).masked_fill(~allowed, -1e9)[:, None]
        x = self.embeddings(ids)
        for layer in self.encoder.layer:
            x = layer(x, mask)
        return x


class Transform(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(c.hidden_size, c.hidden_size)
        self.LayerNorm = LayerNorm(c)

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(F.gelu(self.dense(x)))


class Predictions(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.transform = Transform(c)
        self.bias = nn.Parameter(torch.zeros(c.vocab_size))


class Head(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.predictions = Predictions(c)


class Bert(nn.Module):
    """The encoder with its masked-word head; input and output embeddings are tied."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.bert = Body(config)
        self.cls = Head(config)
        self.apply(self._initialise)
        where = self.bert.embeddings.position_embeddings.weight
        where.data.copy_(waves(*where.shape, size=EMBEDDING_SIZE))

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=EMBEDDING_SIZE)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=MATRIX_SIZE)
            nn.init.zeros_(module.bias)

    def _unembed(self, x: Tensor) -> Tensor:
        head = self.cls.predictions
        words = self.bert.embeddings.word_embeddings.weight
        return F.linear(head.transform(x), words, head.bias)

    def forward(self, ids: Tensor, allowed: Optional[Tensor] = None) -> Tensor:
        """Logits [batch, t, vocab]; see Body.forward."""
        return self._unembed(self.bert(ids, allowed))

    def predict(self, batch: Batch) -> Tensor:
        """Logits [chosen, vocab] for the targets of a batch; other words are not unembedded."""
        return self._unembed(self.bert(batch.inputs, batch.allowed)[batch.chosen])
