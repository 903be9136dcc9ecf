"""Tiny checkpoints of families that came later, each little more than other facts of a known shape.

Phi-3 (fused tensors, LongRoPE), SmolLM3 (layers without positions), StarCoder2, StableLM, MPT,
Gemma 3 beside a vision tower, XLM-RoBERTa, CamemBERT and ELECTRA.
"""

from typing import Any

import torch

from model_spec import ModelGolden, Tensors, without
from model_specs_encoders import ROBERTA_CONFIG
from model_specs_llama import GEMMA3_V4_CONFIG, VOCAB

_TIED = without("lm_head.weight")

_COMMON = {
    "bos_token_id": 78,
    "eos_token_id": 79,
    "hidden_act": "silu",
    "hidden_size": 24,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "vocab_size": VOCAB,
}

_PHI3 = _COMMON | {
    "architectures": ["Phi3ForCausalLM"],
    "attention_dropout": 0.0,
    "model_type": "phi3",
    "pad_token_id": 0,
    "rms_norm_eps": 1e-05,
    "tie_word_embeddings": False,
}

PHI3_CONFIG = _PHI3 | {
    "original_max_position_embeddings": 64,
    "rope_scaling": None,
    "rope_theta": 3000.0,
    "sliding_window": 7,
    "torch_dtype": "bfloat16",
}

# The input is longer than the original context, and the greedy continuation just within it. Three
# quarters of each head rotate.
PHI3_LONG_CONFIG = _PHI3 | {
    "head_dim": 8,
    "hidden_size": 32,
    "original_max_position_embeddings": 24,
    "partial_rotary_factor": 0.75,
    "rope_scaling": {
        "long_factor": [1.1, 2.5, 4.0],
        "short_factor": [1.0, 1.05, 1.3],
        "type": "longrope",
    },
    "rope_theta": 100.0,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "float16",
}

SMOLLM3_CONFIG = _COMMON | {
    "architectures": ["SmolLM3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "dtype": "bfloat16",
    "layer_types": ["full_attention"] * 4,
    "max_window_layers": 28,
    "mlp_bias": False,
    "model_type": "smollm3",
    "no_rope_layer_interval": 4,
    "no_rope_layers": [1, 1, 0, 1],
    "num_hidden_layers": 4,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-06,
    "rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"},
    "sliding_window": None,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
}

STARCODER2_CONFIG = _COMMON | {
    "architectures": ["Starcoder2ForCausalLM"],
    "attention_dropout": 0.1,
    "embedding_dropout": 0.1,
    "hidden_act": "gelu_pytorch_tanh",
    "mlp_type": "default",
    "model_type": "starcoder2",
    "norm_epsilon": 1e-05,
    "norm_type": "layer_norm",
    "residual_dropout": 0.1,
    "rope_theta": 3000.0,
    "sliding_window": 6,
    "torch_dtype": "float32",
    "use_bias": True,
}

STABLELM_CONFIG = _COMMON | {
    "architectures": ["StableLmForCausalLM"],
    "hidden_dropout": 0.0,
    "hidden_size": 32,
    "layer_norm_eps": 1e-05,
    "model_type": "stablelm",
    "partial_rotary_factor": 0.25,
    "qk_layernorm": False,
    "rope_theta": 3000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "use_parallel_residual": False,
    "use_qkv_bias": True,
}

# Six heads: slopes of four, and two of eight.
MPT_CONFIG = {
    "architectures": ["MptForCausalLM"],
    "attn_config": {
        "alibi": True,
        "alibi_bias_max": 8,
        "attn_impl": "torch",
        "attn_pdrop": 0,
        "attn_type": "multihead_attention",
        "clip_qkv": None,
        "prefix_lm": False,
        "qk_ln": False,
        "softmax_scale": 0.6,
    },
    "bos_token_id": 78,
    "d_model": 24,
    "emb_pdrop": 0,
    "embedding_fraction": 1.0,
    "eos_token_id": 79,
    "expansion_ratio": 4,
    "learned_pos_emb": True,
    "logit_scale": None,
    "max_seq_len": 64,
    "model_type": "mpt",
    "n_heads": 6,
    "n_layers": 2,
    "no_bias": True,
    "norm_type": "low_precision_layernorm",
    "resid_pdrop": 0,
    "torch_dtype": "bfloat16",
    "vocab_size": VOCAB,
}

# Keys as the published checkpoints have them; the text part is named like one of transformers 4.
GEMMA3_VISION_CONFIG = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "boi_token_index": 75,
    "eoi_token_index": 76,
    "eos_token_id": [79, 77],
    "image_token_index": 74,
    "mm_tokens_per_image": 4,
    "model_type": "gemma3",
    "text_config": {
        key: value
        for key, value in GEMMA3_V4_CONFIG.items()
        if key not in ("architectures", "torch_dtype")
    },
    "torch_dtype": "bfloat16",
    "vision_config": {
        "hidden_size": 8,
        "image_size": 28,
        "intermediate_size": 8,
        "model_type": "siglip_vision_model",
        "num_attention_heads": 1,
        "num_hidden_layers": 1,
        "patch_size": 14,
        "vision_use_head": False,
    },
}

XLM_ROBERTA_CONFIG = ROBERTA_CONFIG | {
    "architectures": ["XLMRobertaForMaskedLM"],
    "dtype": "bfloat16",
    "model_type": "xlm-roberta",
    "output_past": True,
    "position_embedding_type": "absolute",
    "torch_dtype": "bfloat16",
}

CAMEMBERT_CONFIG = ROBERTA_CONFIG | {
    "architectures": ["CamembertForMaskedLM"],
    "hidden_act": "gelu_new",
    "model_type": "camembert",
    "torch_dtype": "float16",
}

ELECTRA_CONFIG = {
    "architectures": ["ElectraForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "embedding_size": 16,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 24,
    "intermediate_size": 40,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 32,
    "model_type": "electra",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": VOCAB,
}

_ROBERTA_TIES = without("lm_head.decoder.weight", "lm_head.decoder.bias")


def _published_gemma3(state: Tensors) -> Tensors:
    """The names that Gemma 3 was published with."""
    names = {"model.language_model.": "language_model.model.", "model.": ""}
    tensors = {}
    for name, value in _TIED(state).items():
        prefix = next(prefix for prefix in names if name.startswith(prefix))
        tensors[names[prefix] + name.removeprefix(prefix)] = value
    return tensors


def _golden(name: str, config: dict[str, Any], storage: torch.dtype, **options: Any) -> ModelGolden:
    tied = config.get("tie_word_embeddings", True)
    defaults = {
        "matrix_std": 0.25,
        "n_tokens": 24,
        "n_known_ids": VOCAB,
        "stored": _TIED if tied else without(),
    }
    return ModelGolden(name=name, config=config, storage=storage, **(defaults | options))


def _encoder(
    name: str, config: dict[str, Any], storage: torch.dtype, **options: Any
) -> ModelGolden:
    fixed = {0: 2, 9: 4, 17: 4, -1: 3}  # [CLS], two [MASK], [SEP]
    return _golden(name, config, storage, fixed_ids=fixed, matrix_std=0.3, **options)


LATER_FAMILIES = (
    _golden("phi3-bf16", PHI3_CONFIG, torch.bfloat16),
    _golden("phi3-long-f16", PHI3_LONG_CONFIG, torch.float16, n_tokens=32, matrix_std=0.2),
    _golden("smollm3-bf16", SMOLLM3_CONFIG, torch.bfloat16),
    _golden("starcoder2-f32", STARCODER2_CONFIG, torch.float32),
    _golden("stablelm-f16", STABLELM_CONFIG, torch.float16, matrix_std=0.22),
    _golden("mpt-bf16", MPT_CONFIG, torch.bfloat16),
    _golden(
        "gemma3-vision-bf16",
        GEMMA3_VISION_CONFIG,
        torch.bfloat16,
        norm_center=0.0,
        n_known_ids=74,
        stored=_published_gemma3,
        states_before="lm_head",
    ),
    _encoder("xlm-roberta-bf16", XLM_ROBERTA_CONFIG, torch.bfloat16, stored=_ROBERTA_TIES),
    _encoder("camembert-f16", CAMEMBERT_CONFIG, torch.float16, stored=_ROBERTA_TIES),
    _encoder(
        "electra-f32",
        ELECTRA_CONFIG,
        torch.float32,
        stored=without("generator_lm_head.weight"),
    ),
)
