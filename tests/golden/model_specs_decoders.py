"""Tiny checkpoints of the decoder families that are not shaped like Llama.

Each has what distinguishes its family, a window or a head count that shows mistakes, and the stray
buffers that its checkpoints on disk have.
"""

from collections.abc import Callable
from typing import Any

import torch

from model_spec import ModelGolden, Tensors, with_buffers, without

VOCAB = 80
_TIED = without("lm_head.weight")

GPT_NEO_CONFIG = {
    "activation_function": "gelu_new",
    "architectures": ["GPTNeoForCausalLM"],
    "attention_dropout": 0,
    "attention_layers": ["global", "local", "local"],
    "attention_types": [[["global", "local"], 1], [["local"], 1]],
    "bos_token_id": 79,
    "embed_dropout": 0,
    "eos_token_id": 79,
    "hidden_size": 24,
    "intermediate_size": None,
    "layer_norm_epsilon": 1e-05,
    "max_position_embeddings": 32,
    "model_type": "gpt_neo",
    "num_heads": 3,
    "num_layers": 3,
    "resid_dropout": 0,
    "torch_dtype": "float32",
    "vocab_size": VOCAB,
    "window_size": 5,
}

_NEOX = {
    "architectures": ["GPTNeoXForCausalLM"],
    "bos_token_id": 78,
    "eos_token_id": 79,
    "hidden_act": "gelu",
    "hidden_size": 32,
    "intermediate_size": 48,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 32,
    "model_type": "gpt_neox",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "tie_word_embeddings": False,
    "vocab_size": VOCAB,
}

NEOX_CONFIG = _NEOX | {
    "rotary_emb_base": 3000,
    "rotary_pct": 0.25,
    "torch_dtype": "float16",
    "use_parallel_residual": True,
}

NEOX_SEQUENTIAL_CONFIG = _NEOX | {
    "attention_bias": False,
    "dtype": "float16",
    "rope_parameters": {
        "partial_rotary_factor": 0.5,
        "rope_theta": 3000.0,
        "rope_type": "default",
    },
    "use_parallel_residual": False,
}

PHI_CONFIG = {
    "architectures": ["PhiForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": None,
    "embd_pdrop": 0.0,
    "eos_token_id": 79,
    "hidden_act": "gelu_new",
    "hidden_size": 32,
    "intermediate_size": 48,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 32,
    "model_type": "phi",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": None,
    "partial_rotary_factor": 0.5,
    "qk_layernorm": False,
    "resid_pdrop": 0.0,
    "rope_scaling": None,
    "rope_theta": 3000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "vocab_size": VOCAB,
}

PHI_NORMS_CONFIG = PHI_CONFIG | {"num_key_value_heads": 2, "qk_layernorm": True}

OPT_CONFIG = {
    "_remove_final_layer_norm": False,
    "activation_function": "relu",
    "architectures": ["OPTForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 2,
    "do_layer_norm_before": True,
    "dropout": 0.1,
    "eos_token_id": 2,
    "ffn_dim": 48,
    "hidden_size": 24,
    "layerdrop": 0.0,
    "max_position_embeddings": 32,
    "model_type": "opt",
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "pad_token_id": 1,
    "prefix": "</s>",
    "torch_dtype": "float16",
    "vocab_size": VOCAB,
    "word_embed_proj_dim": 24,
}

OPT_POST_NORM_CONFIG = OPT_CONFIG | {"do_layer_norm_before": False, "word_embed_proj_dim": 16}

# Six heads: slopes of four, and two of eight.
BLOOM_CONFIG = {
    "apply_residual_connection_post_layernorm": False,
    "architectures": ["BloomForCausalLM"],
    "attention_dropout": 0.0,
    "attention_softmax_in_fp32": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_dropout": 0.0,
    "layer_norm_epsilon": 1e-05,
    "masked_softmax_fusion": True,
    "model_type": "bloom",
    "n_embed": 24,
    "n_inner": None,
    "n_layer": 2,
    "num_attention_heads": 6,
    "pad_token_id": 3,
    "pretraining_tp": 2,
    "seq_length": 32,
    "slow_but_exact": False,
    "torch_dtype": "float16",
    "unk_token_id": 0,
    "vocab_size": VOCAB,
}


def _mask(length: int) -> torch.Tensor:
    return torch.tril(torch.ones(length, length, dtype=torch.bool)).view(1, 1, length, length)


def _layer_buffers(pattern: str, value: torch.Tensor, layers: int) -> Tensors:
    """A buffer of its own for each layer; "$" stands for the layer's number."""
    return {pattern.replace("$", str(layer)): value.clone() for layer in range(layers)}


def _bare(prefix: str) -> Callable[[Tensors], Tensors]:
    """Tied, and without the base model's prefix."""
    return lambda state: {n.removeprefix(prefix): v for n, v in _TIED(state).items()}


_NEO_BUFFERS = _layer_buffers("transformer.h.$.attn.attention.bias", _mask(32), 3) | _layer_buffers(
    "transformer.h.$.attn.attention.masked_bias", torch.tensor(-1e9), 3
)
_NEOX_BUFFERS = (
    _layer_buffers("gpt_neox.layers.$.attention.bias", _mask(32), 2)
    | _layer_buffers("gpt_neox.layers.$.attention.masked_bias", torch.tensor(-1e9), 2)
    | _layer_buffers("gpt_neox.layers.$.attention.rotary_emb.inv_freq", torch.ones(1), 2)
)


def _golden(
    name: str, config: dict[str, Any], stored: Callable[[Tensors], Tensors], **options: Any
) -> ModelGolden:
    return ModelGolden(
        name=name,
        config=config,
        n_tokens=24,
        storage=torch.float16,
        stored=stored,
        n_known_ids=VOCAB,
        **({"matrix_std": 0.25} | options),
    )


DECODERS = (
    _golden("gpt-neo-f16", GPT_NEO_CONFIG, with_buffers(_TIED, _NEO_BUFFERS)),
    _golden("neox-f16", NEOX_CONFIG, with_buffers(without(), _NEOX_BUFFERS), matrix_std=0.22),
    _golden("neox-sequential-f16", NEOX_SEQUENTIAL_CONFIG, without(), matrix_std=0.22),
    _golden("phi-f16", PHI_CONFIG, without(), matrix_std=0.22),
    _golden("phi-norms-f16", PHI_NORMS_CONFIG, without(), matrix_std=0.22),
    _golden("opt-f16", OPT_CONFIG, _TIED),
    _golden(
        "opt-post-norm-f16",
        OPT_POST_NORM_CONFIG,
        _TIED,
        states_before="model.decoder.project_out",
    ),
    _golden("bloom-f16", BLOOM_CONFIG, _bare("transformer.")),
)
