"""Tiny checkpoints of the families that are shaped like Llama: RMS norms, rotary positions, gates.

Both generations of configuration keys occur, and windows are shorter than the input. The numbers
that a reader might take from a default are chosen far from it.
"""

from typing import Any

import torch

from model_spec import ModelGolden, without

VOCAB = 80
_TIED = without("lm_head.weight")

_LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 78,
    "eos_token_id": 79,
    "hidden_act": "silu",
    "hidden_size": 24,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-05,
    "tie_word_embeddings": True,
    "vocab_size": VOCAB,
}


def _golden(
    name: str,
    config: dict[str, Any],
    storage: torch.dtype = torch.float16,
    matrix_std: float = 0.25,
    norm_center: float = 1.0,
    n_tokens: int = 24,
) -> ModelGolden:
    return ModelGolden(
        name=name,
        config=config,
        n_tokens=n_tokens,
        storage=storage,
        stored=_TIED if config["tie_word_embeddings"] else without(),
        n_known_ids=VOCAB,
        matrix_std=matrix_std,
        norm_center=norm_center,
    )


def _rope(name: str, **keys: Any) -> ModelGolden:
    """A Llama whose rotary positions are scaled, run well past the original length of 16."""
    return _golden(name, _LLAMA | keys, n_tokens=40, matrix_std=0.2)


MISTRAL_CONFIG = {
    "architectures": ["MistralForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 78,
    "eos_token_id": 79,
    "head_dim": 10,
    "hidden_act": "silu",
    "hidden_size": 24,
    "initializer_range": 0.02,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "model_type": "mistral",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "rope_theta": 3000.0,
    "sliding_window": 7,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": VOCAB,
}

SMOLLM_CONFIG = _LLAMA | {
    "is_llama_config": True,
    "num_attention_heads": 3,
    "num_hidden_layers": 3,
    "pretraining_tp": 1,
    "rope_interleaved": False,
    "rope_scaling": None,
    "rope_theta": 100000,
    "torch_dtype": "float32",
}

QWEN2_CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 78,
    "eos_token_id": 79,
    "hidden_act": "silu",
    "hidden_size": 24,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "max_window_layers": 1,
    "model_type": "qwen2",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 20000.0,
    "sliding_window": 6,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_sliding_window": True,
    "vocab_size": VOCAB,
}

QWEN3_CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 78,
    "dtype": "bfloat16",
    "eos_token_id": 79,
    "head_dim": 16,
    "hidden_act": "silu",
    "hidden_size": 24,
    "intermediate_size": 40,
    "layer_types": ["full_attention", "full_attention"],
    "max_position_embeddings": 64,
    "max_window_layers": 2,
    "model_type": "qwen3",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"},
    "sliding_window": None,
    "tie_word_embeddings": True,
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": VOCAB,
}

_GEMMA = {
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 78,
    "eos_token_id": 79,
    "head_dim": 16,
    "hidden_size": 24,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-06,
    "tie_word_embeddings": True,
    "vocab_size": VOCAB,
}

GEMMA_CONFIG = _GEMMA | {
    "architectures": ["GemmaForCausalLM"],
    "hidden_act": "gelu_pytorch_tanh",
    "model_type": "gemma",
    "num_hidden_layers": 2,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "torch_dtype": "bfloat16",
}

# Caps so low that they bend most scores and logits.
GEMMA2_CONFIG = _GEMMA | {
    "architectures": ["Gemma2ForCausalLM"],
    "attn_logit_softcapping": 2.5,
    "final_logit_softcapping": 6.0,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "model_type": "gemma2",
    "num_hidden_layers": 3,
    "query_pre_attn_scalar": 20,
    "rope_theta": 10000.0,
    "sliding_window": 5,
    "torch_dtype": "float32",
}

# Keys as transformers 4 wrote them: every third layer is global.
GEMMA3_V4_CONFIG = _GEMMA | {
    "architectures": ["Gemma3ForCausalLM"],
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
    "hidden_activation": "gelu_pytorch_tanh",
    "model_type": "gemma3_text",
    "num_hidden_layers": 3,
    "query_pre_attn_scalar": 20,
    "rope_local_base_freq": 500.0,
    "rope_scaling": {"factor": 4.0, "rope_type": "linear"},
    "rope_theta": 20000.0,
    "sliding_window": 5,
    "sliding_window_pattern": 3,
    "torch_dtype": "bfloat16",
}

# Keys as transformers 5 writes them.
GEMMA3_CONFIG = _GEMMA | {
    "architectures": ["Gemma3ForCausalLM"],
    "attn_logit_softcapping": None,
    "dtype": "bfloat16",
    "final_logit_softcapping": None,
    "hidden_activation": "gelu_pytorch_tanh",
    "layer_types": ["full_attention", "sliding_attention"],
    "model_type": "gemma3_text",
    "num_hidden_layers": 2,
    "query_pre_attn_scalar": 16,
    "rope_parameters": {
        "full_attention": {"rope_theta": 20000.0, "rope_type": "default"},
        "sliding_attention": {"rope_theta": 500.0, "rope_type": "default"},
    },
    "sliding_window": 6,
    "use_bidirectional_attention": False,
}

LLAMA_LIKE = (
    _golden("mistral-bf16", MISTRAL_CONFIG, torch.bfloat16),
    _golden("smollm-f32", SMOLLM_CONFIG, torch.float32),
    _golden("qwen2-bf16", QWEN2_CONFIG, torch.bfloat16),
    _golden("qwen3-bf16", QWEN3_CONFIG, torch.bfloat16),
    _golden("gemma-bf16", GEMMA_CONFIG, torch.bfloat16, 0.2, 0.0),
    _golden("gemma2-f32", GEMMA2_CONFIG, torch.float32, 0.25, 0.0),
    _golden("gemma3-v4-bf16", GEMMA3_V4_CONFIG, torch.bfloat16, 0.25, 0.0),
    _golden("gemma3-bf16", GEMMA3_CONFIG, torch.bfloat16, 0.25, 0.0),
    _rope(
        "rope-linear-f16", rope_theta=3000.0, rope_scaling={"factor": 4.0, "type": "linear"}
    ),
    # Two and a half times the length from which on frequencies follow the sequence's.
    _rope(
        "rope-dynamic-f16",
        max_position_embeddings=16,
        rope_scaling={"factor": 4.0, "type": "dynamic"},
        rope_theta=3000.0,
    ),
    _rope(
        "rope-yarn-f16",
        rope_scaling={"factor": 4.0, "original_max_position_embeddings": 16, "type": "yarn"},
        rope_theta=100.0,
    ),
    _rope(
        "rope-yarn-factors-f16",
        rope_parameters={
            "attention_factor": 0.8,
            "beta_fast": 2.0,
            "beta_slow": 0.25,
            "factor": 4.0,
            "original_max_position_embeddings": 16,
            "rope_theta": 100.0,
            "rope_type": "yarn",
            "truncate": False,
        },
    ),
    _rope(
        "rope-llama3-f16",
        rope_parameters={
            "factor": 4.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 16,
            "rope_theta": 100.0,
            "rope_type": "llama3",
        },
    ),
)
