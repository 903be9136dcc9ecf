"""The same families as their other checkpoints have them.

Other spellings of the configuration, storage types, options and ties than in the first checkpoint
of each family, and encoders without a head.
"""

from typing import Any

import torch

from model_spec import ModelGolden, without
from model_specs_decoders import BLOOM_CONFIG, GPT_NEO_CONFIG, NEOX_CONFIG, OPT_CONFIG, PHI_CONFIG
from model_specs_encoders import (
    ALBERT_CONFIG,
    DISTILBERT_CONFIG,
    FIXED_IDS,
    MODERNBERT_CONFIG,
    ROBERTA_CONFIG,
    VOCAB,
)
from model_specs_later import ELECTRA_CONFIG
from model_specs_llama import (
    GEMMA2_CONFIG,
    GEMMA3_CONFIG,
    GEMMA_CONFIG,
    MISTRAL_CONFIG,
    QWEN2_CONFIG,
    QWEN3_CONFIG,
    SMOLLM_CONFIG,
)

_TIED = without("lm_head.weight")
_OLD_ROPE = ("rope_theta", "rope_scaling", "torch_dtype")


def _changed(config: dict[str, Any], *removed: str, **keys: Any) -> dict[str, Any]:
    """The configuration without some keys and with others."""
    return {key: value for key, value in config.items() if key not in removed} | keys


GPT2_SCALED_CONFIG = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "bos_token_id": 79,
    "dtype": "bfloat16",
    "eos_token_id": 79,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_embd": 24,
    "n_head": 3,
    "n_inner": 40,
    "n_layer": 3,
    "n_positions": 32,
    "reorder_and_upcast_attn": False,
    "scale_attn_by_inverse_layer_idx": True,
    "scale_attn_weights": True,
    "tie_word_embeddings": False,
    "vocab_size": VOCAB,
}

GPT_NEO_UNTIED_CONFIG = _changed(
    GPT_NEO_CONFIG, "torch_dtype", dtype="bfloat16", intermediate_size=40, tie_word_embeddings=False
)

LLAMA_BIASED_CONFIG = _changed(
    SMOLLM_CONFIG,
    *_OLD_ROPE,
    attention_bias=True,
    dtype="float32",
    head_dim=10,
    mlp_bias=True,
    num_hidden_layers=2,
    rope_parameters={"factor": 2.5, "rope_theta": 3000.0, "rope_type": "linear"},
    tie_word_embeddings=False,
)

# What DeepSeek's configurations add to YaRN.
LLAMA_MSCALE_CONFIG = _changed(
    SMOLLM_CONFIG,
    num_hidden_layers=2,
    rope_theta=100.0,
    original_max_position_embeddings=16,
    rope_scaling={
        "beta_fast": 4,
        "beta_slow": 1,
        "factor": 4.0,
        "mscale": 1.0,
        "mscale_all_dim": 0.5,
        "rope_type": "yarn",
    },
    torch_dtype="float16",
)

MISTRAL_FULL_CONFIG = _changed(
    MISTRAL_CONFIG,
    *_OLD_ROPE,
    dtype="float16",
    rope_parameters={"rope_theta": 3000.0, "rope_type": "default"},
    sliding_window=None,
    tie_word_embeddings=True,
)

QWEN2_YARN_CONFIG = _changed(
    QWEN2_CONFIG,
    *_OLD_ROPE,
    "max_window_layers",
    dtype="float32",
    layer_types=["sliding_attention", "full_attention"],
    num_hidden_layers=2,
    rope_parameters={
        "factor": 4.0,
        "original_max_position_embeddings": 16,
        "rope_theta": 100.0,
        "rope_type": "yarn",
    },
    tie_word_embeddings=False,
)

QWEN3_WINDOWS_CONFIG = _changed(
    QWEN3_CONFIG,
    "dtype",
    "layer_types",
    "rope_parameters",
    attention_bias=True,
    max_window_layers=1,
    rope_scaling={"factor": 4.0, "original_max_position_embeddings": 16, "rope_type": "yarn"},
    rope_theta=100.0,
    sliding_window=6,
    tie_word_embeddings=False,
    torch_dtype="float16",
    use_sliding_window=True,
)

GEMMA_NEW_CONFIG = _changed(
    GEMMA_CONFIG,
    *_OLD_ROPE,
    dtype="float32",
    rope_parameters={"rope_theta": 3000.0, "rope_type": "default"},
)

GEMMA2_NEW_CONFIG = _changed(
    GEMMA2_CONFIG,
    *_OLD_ROPE,
    attn_logit_softcapping=None,
    dtype="bfloat16",
    layer_types=["full_attention", "sliding_attention", "sliding_attention"],
    rope_parameters={"rope_theta": 3000.0, "rope_type": "default"},
)

GEMMA3_LINEAR_CONFIG = _changed(
    GEMMA3_CONFIG,
    dtype="float32",
    final_logit_softcapping=6.0,
    rope_parameters={
        "full_attention": {"factor": 8.0, "rope_theta": 20000.0, "rope_type": "linear"},
        "sliding_attention": {"rope_theta": 500.0, "rope_type": "default"},
    },
)

NEOX_LINEAR_CONFIG = _changed(
    NEOX_CONFIG,
    hidden_size=24,
    num_attention_heads=3,
    rope_scaling={"factor": 2.0, "type": "linear"},
    tie_word_embeddings=True,
    torch_dtype="float32",
)

PHI_NEW_CONFIG = _changed(
    PHI_CONFIG,
    *_OLD_ROPE,
    "partial_rotary_factor",
    dtype="bfloat16",
    rope_parameters={
        "partial_rotary_factor": 0.25,
        "rope_theta": 3000.0,
        "rope_type": "default",
    },
)

OPT_BARE_CONFIG = _changed(
    OPT_CONFIG,
    "torch_dtype",
    _remove_final_layer_norm=True,
    dtype="float32",
    enable_bias=False,
    tie_word_embeddings=False,
)

BLOOM_NEW_CONFIG = _changed(
    BLOOM_CONFIG,
    "torch_dtype",
    "n_embed",
    "num_attention_heads",
    "seq_length",
    dtype="bfloat16",
    hidden_size=24,
    n_head=4,
)

MODERNBERT_NEW_CONFIG = _changed(
    MODERNBERT_CONFIG,
    "global_rope_theta",
    "local_rope_theta",
    "global_attn_every_n_layers",
    "torch_dtype",
    attention_bias=True,
    classifier_activation="silu",
    classifier_bias=True,
    decoder_bias=False,
    dtype="bfloat16",
    hidden_activation="gelu_pytorch_tanh",
    layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    mlp_bias=True,
    norm_bias=True,
    num_hidden_layers=3,
    rope_parameters={
        "full_attention": {"rope_theta": 16000.0, "rope_type": "default"},
        "sliding_attention": {"rope_theta": 500.0, "rope_type": "default"},
    },
)

BERT_MODEL_CONFIG = {
    "architectures": ["BertModel"],
    "dtype": "float16",
    "hidden_act": "gelu",
    "hidden_size": 24,
    "intermediate_size": 40,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 32,
    "model_type": "bert",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": VOCAB,
}


def _model_of(config: dict[str, Any], name: str, **keys: Any) -> dict[str, Any]:
    return config | {"architectures": [name]} | keys


def _golden(name: str, config: dict[str, Any], storage: torch.dtype, **options: Any) -> ModelGolden:
    tied = config.get("tie_word_embeddings", True)
    defaults = {
        "matrix_std": 0.22,
        "n_tokens": 24,
        "n_known_ids": VOCAB,
        "stored": _TIED if tied else without(),
    }
    return ModelGolden(name=name, config=config, storage=storage, **(defaults | options))


def _encoder(
    name: str, config: dict[str, Any], storage: torch.dtype, **options: Any
) -> ModelGolden:
    return _golden(name, config, storage, fixed_ids=FIXED_IDS, **({"matrix_std": 0.3} | options))


F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16

VARIANTS = (
    _golden("gpt2-scaled-bf16", GPT2_SCALED_CONFIG, BF16, matrix_std=0.3),
    _golden("gpt-neo-untied-bf16", GPT_NEO_UNTIED_CONFIG, BF16),
    _golden("llama-biased-f32", LLAMA_BIASED_CONFIG, F32),
    _golden("rope-yarn-mscale-f16", LLAMA_MSCALE_CONFIG, F16, n_tokens=40),
    _golden("mistral-full-f16", MISTRAL_FULL_CONFIG, F16),
    _golden("qwen2-yarn-f32", QWEN2_YARN_CONFIG, F32, n_tokens=28),
    _golden("qwen3-windows-f16", QWEN3_WINDOWS_CONFIG, F16, n_tokens=28),
    _golden("gemma-f32", GEMMA_NEW_CONFIG, F32, norm_center=0.0),
    _golden("gemma2-bf16", GEMMA2_NEW_CONFIG, BF16, norm_center=0.0),
    _golden("gemma3-linear-f32", GEMMA3_LINEAR_CONFIG, F32, norm_center=0.0, n_tokens=28),
    _golden("neox-linear-f32", NEOX_LINEAR_CONFIG, F32, stored=without("embed_out.weight")),
    _golden("phi-bf16", PHI_NEW_CONFIG, BF16),
    _golden("opt-bare-f32", OPT_BARE_CONFIG, F32),
    _golden("bloom-bf16", BLOOM_NEW_CONFIG, BF16, matrix_std=0.3),
    _encoder(
        "modernbert-biased-bf16", MODERNBERT_NEW_CONFIG, BF16, stored=without("decoder.weight")
    ),
    _encoder("bert-model-f16", BERT_MODEL_CONFIG, F16, stored=without()),
    _encoder(
        "roberta-model-bf16", _model_of(ROBERTA_CONFIG, "RobertaModel"), BF16, stored=without()
    ),
    _encoder(
        "distilbert-model-f32",
        _model_of(DISTILBERT_CONFIG, "DistilBertModel"),
        F32,
        stored=without(),
    ),
    _encoder(
        "albert-model-f32",
        _model_of(ALBERT_CONFIG, "AlbertModel", num_hidden_groups=1, num_hidden_layers=3),
        F32,
        stored=without(),
    ),
    _encoder(
        "electra-model-bf16",
        _model_of(ELECTRA_CONFIG, "ElectraModel", embedding_size=24),
        BF16,
        stored=without(),
    ),
    _encoder(
        "modernbert-model-f32",
        _model_of(MODERNBERT_CONFIG, "ModernBertModel", num_hidden_layers=2),
        F32,
        stored=without(),
    ),
)
