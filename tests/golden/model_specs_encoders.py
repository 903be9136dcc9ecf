"""Tiny checkpoints of the encoder families beside BERT, each with its masked-language head."""

from collections.abc import Callable
from typing import Any

import torch

from model_spec import ModelGolden, Tensors, with_buffers, without

VOCAB = 80
N_TOKENS = 24
# [CLS], two [MASK], [SEP].
FIXED_IDS = {0: 2, 9: 4, 17: 4, -1: 3}

# Two of the 34 rows of positions belong to padding.
ROBERTA_CONFIG = {
    "architectures": ["RobertaForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 24,
    "intermediate_size": 40,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 34,
    "model_type": "roberta",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pad_token_id": 1,
    "torch_dtype": "float32",
    "type_vocab_size": 1,
    "vocab_size": VOCAB,
}

DISTILBERT_CONFIG = {
    "activation": "gelu",
    "architectures": ["DistilBertForMaskedLM"],
    "attention_dropout": 0.1,
    "dim": 24,
    "dropout": 0.1,
    "hidden_dim": 40,
    "initializer_range": 0.02,
    "max_position_embeddings": 32,
    "model_type": "distilbert",
    "n_heads": 4,
    "n_layers": 2,
    "pad_token_id": 0,
    "qa_dropout": 0.1,
    "seq_classif_dropout": 0.2,
    "sinusoidal_pos_embds": False,
    "tie_weights_": True,
    "vocab_size": VOCAB,
}

# Layers 0 and 1 share their weights, and so do layers 2 and 3.
ALBERT_CONFIG = {
    "architectures": ["AlbertForMaskedLM"],
    "attention_probs_dropout_prob": 0,
    "bos_token_id": 2,
    "classifier_dropout_prob": 0.1,
    "down_scale_factor": 1,
    "embedding_size": 16,
    "eos_token_id": 3,
    "gap_size": 0,
    "hidden_act": "gelu_new",
    "hidden_dropout_prob": 0,
    "hidden_size": 24,
    "inner_group_num": 1,
    "intermediate_size": 40,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 32,
    "model_type": "albert",
    "net_structure_type": 0,
    "num_attention_heads": 4,
    "num_hidden_groups": 2,
    "num_hidden_layers": 4,
    "num_memory_blocks": 0,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": VOCAB,
}

# Layers 0 and 3 are global; the others see four tokens to each side.
MODERNBERT_CONFIG = {
    "architectures": ["ModernBertForMaskedLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 2,
    "classifier_activation": "gelu",
    "classifier_bias": False,
    "classifier_pooling": "mean",
    "cls_token_id": 2,
    "decoder_bias": True,
    "deterministic_flash_attn": False,
    "embedding_dropout": 0.0,
    "eos_token_id": 3,
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 16000.0,
    "hidden_activation": "gelu",
    "hidden_size": 24,
    "intermediate_size": 40,
    "layer_norm_eps": 1e-05,
    "local_attention": 8,
    "local_rope_theta": 500.0,
    "max_position_embeddings": 64,
    "mlp_bias": False,
    "mlp_dropout": 0.0,
    "model_type": "modernbert",
    "norm_bias": False,
    "norm_eps": 1e-05,
    "num_attention_heads": 3,
    "num_hidden_layers": 4,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "sep_token_id": 3,
    "sparse_pred_ignore_index": -100,
    "sparse_prediction": False,
    "torch_dtype": "float32",
    "vocab_size": VOCAB,
}


def _positions(prefix: str, rows: int) -> Tensors:
    return {f"{prefix}.embeddings.position_ids": torch.arange(rows).view(1, rows)}


def _golden(
    name: str, config: dict[str, Any], stored: Callable[[Tensors], Tensors], **options: Any
) -> ModelGolden:
    return ModelGolden(
        name=name,
        config=config,
        n_tokens=N_TOKENS,
        stored=stored,
        n_known_ids=VOCAB,
        fixed_ids=FIXED_IDS,
        **({"matrix_std": 0.3, "storage": torch.float16} | options),
    )


ENCODERS = (
    _golden(
        "roberta-f32",
        ROBERTA_CONFIG,
        with_buffers(
            without("lm_head.decoder.weight", "lm_head.decoder.bias"), _positions("roberta", 34)
        ),
        storage=torch.float32,
    ),
    _golden("distilbert-f16", DISTILBERT_CONFIG, without("vocab_projector.weight")),
    _golden(
        "albert-f16",
        ALBERT_CONFIG,
        with_buffers(
            without("predictions.decoder.weight", "predictions.decoder.bias"),
            _positions("albert", 32),
        ),
    ),
    _golden("modernbert-f16", MODERNBERT_CONFIG, without("decoder.weight"), matrix_std=0.25),
)
