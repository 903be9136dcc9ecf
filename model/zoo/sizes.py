"""The sizes that the decoder and the encoder both have."""

from dataclasses import dataclass


@dataclass
class TransformerSizes:
    """The names are those of the Hugging Face config.json."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
