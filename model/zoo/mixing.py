"""Rungs 0 to 4 of the ladder: an embedding, one way of mixing the words so far, an unembedding.

Nothing else: no residual stream, no norm, no feed-forward layer. What a rung can say follows from
its weights over the words so far and from nothing else.
"""

from dataclasses import asdict, dataclass
from typing import Optional

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from documents import Batch
from positions import waves

MIXINGS = ("last_word", "average", "weighted", "attention")
POSITION_ENCODINGS = ("none", "learned")


@dataclass
class Config:
    """The pattern and its sizes; the names are those of config.json."""

    mixing: str
    position_encoding: str
    vocab_size: int
    hidden_size: int = 128
    max_position_embeddings: int = 256

    def to_hugging_face(self, end_of_text: int, dtype: str) -> dict:
        return {
            "architectures": ["HeedMixingForCausalLM"], "model_type": "heed_mixing",
            **asdict(self), "tie_word_embeddings": True, "bos_token_id": None,
            "eos_token_id": end_of_text, "torch_dtype": dtype, "dtype": dtype,
        }


class WordScores(nn.Module):
    """One learned number per word of the vocabulary. weight: [vocab]"""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, ids: Tensor) -> Tensor:
        return self.weight[ids]


class Mixing(nn.Module):
    """Logits from sum_i a_i v(x_i): the mixing pattern says what the weights a_i are."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.embed_tokens = nn.Embedding(config.vocab_size, width)
        if config.position_encoding == "learned":
            self.position_embedding = nn.Embedding(config.max_position_embeddings, width)
        if config.mixing == "weighted":
            self.word_scores = WordScores(config.vocab_size)
        if config.mixing == "attention":
            self.q_proj = nn.Linear(width, width, bias=False)
            self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=width ** -0.5)
        if config.position_encoding == "learned":
            where = self.position_embedding.weight
            where.data.copy_(waves(*where.shape, size=width ** -0.5))

    def _scores(self, ids: Tensor, x: Tensor) -> Tensor:
        """Scores whose softmax over the visible words are the weights. [batch, t or 1, t]"""
        if self.config.mixing == "weighted":
            return self.word_scores(ids)[:, None, :]
        if self.config.mixing == "attention":
            return self.q_proj(x) @ self.k_proj(x).transpose(1, 2) * x.shape[-1] ** -0.5
        return torch.zeros(ids.shape[0], 1, ids.shape[1])

    def _weights(self, ids: Tensor, x: Tensor, allowed: Optional[Tensor]) -> Tensor:
        """The weight of every word [batch, t] for the prediction at every word. [batch, t, t]"""
        length = ids.shape[1]
        seen = torch.ones(length, length, dtype=torch.bool).tril()
        if allowed is not None:
            seen = allowed & seen
        return self._scores(ids, x).float().masked_fill(~seen, float("-inf")).softmax(-1)

    def forward(self, ids: Tensor, allowed: Optional[Tensor] = None,
                positions: Optional[Tensor] = None) -> Tensor:
        """Logits [batch, t, vocab] of token ids [batch, t].

        `allowed` [batch, t, t] narrows the causal mask; `positions` [batch, t] counts from the
        start of each text.
        """
        x = self.embed_tokens(ids)
        if self.config.position_encoding == "learned":
            where = torch.arange(ids.shape[1]) if positions is None else positions
            x = x + self.position_embedding(where)
        values = self.v_proj(x)
        if self.config.mixing == "last_word":
            mixed = values  # One-hot weights times values.
        else:
            mixed = self._weights(ids, x, allowed) @ values
        return F.linear(mixed, self.embed_tokens.weight)

    def predict(self, batch: Batch) -> Tensor:
        """Logits [chosen, vocab] for the targets of a batch."""
        return self(batch.inputs, batch.allowed, batch.positions).flatten(0, 1)
