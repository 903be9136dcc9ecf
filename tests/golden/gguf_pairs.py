"""The tiny models that are written both as Hugging Face folders and as GGUF files.

What a file of a family cannot say, llama.cpp takes from the family: no gptneox or phi2 file has a
rotary theta, no qwen2 file a window, no gemma2 or gemma3 file a scale. The configurations here have
the values that llama.cpp assumes then, so that folder and file are the same model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from tokenizer_styles import bert_style, gpt2_style

GPT2 = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "bos_token_id": 299,
    "eos_token_id": 299,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 32,
    "n_embd": 16,
    "n_head": 2,
    "n_layer": 2,
    "n_positions": 32,
    "vocab_size": 300,
}
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "head_dim": 8,
    "hidden_act": "silu",
    "hidden_size": 24,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 5000.0,
    "tie_word_embeddings": False,
    "vocab_size": 48,
}
LLAMA3 = LLAMA | {
    "attention_bias": True,
    "eos_token_id": 2,
    "rope_scaling": {
        "factor": 4.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 32,
        "rope_type": "llama3",
    },
    "rope_theta": 500.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
BERT = {
    "architectures": ["BertForMaskedLM"],
    "hidden_act": "gelu",
    "hidden_size": 16,
    "intermediate_size": 40,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 32,
    "model_type": "bert",
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 300,
}


# What the decoders below have in common: two heads or more on fewer key heads where the family has
# them, and few enough parameters that F32 files stay small.
SMALL = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_size": 16,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "tie_word_embeddings": True,
    "vocab_size": 48,
}
GATED = SMALL | {"hidden_act": "silu", "num_key_value_heads": 2, "rms_norm_eps": 1e-06}

MISTRAL = GATED | {
    "architectures": ["MistralForCausalLM"],
    "head_dim": 6,
    "model_type": "mistral",
    "rope_theta": 3000.0,
    "sliding_window": None,
    "tie_word_embeddings": False,
}
SMOLLM = GATED | {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "rope_scaling": {"factor": 4.0, "rope_type": "linear"},
    "rope_theta": 3000.0,
}
QWEN2 = GATED | {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "rope_theta": 20000.0,
    "use_sliding_window": False,
}
QWEN2_YARN = QWEN2 | {
    "hidden_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rope_scaling": {
        "factor": 4.0,
        "original_max_position_embeddings": 8,
        "rope_type": "yarn",
    },
    "rope_theta": 100.0,
    "tie_word_embeddings": False,
}
QWEN3 = GATED | {
    "architectures": ["Qwen3ForCausalLM"],
    "head_dim": 8,
    "model_type": "qwen3",
    "rope_theta": 20000.0,
    "use_sliding_window": False,
}
GEMMA = SMALL | {
    "architectures": ["GemmaForCausalLM"],
    "head_dim": 10,
    "hidden_act": "gelu_pytorch_tanh",
    "model_type": "gemma",
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
}
GEMMA2 = GEMMA | {
    "architectures": ["Gemma2ForCausalLM"],
    "attn_logit_softcapping": 2.5,
    "final_logit_softcapping": 6.0,
    "hidden_activation": "gelu_pytorch_tanh",
    "model_type": "gemma2",
    "num_hidden_layers": 3,
    "query_pre_attn_scalar": 10,
    "sliding_window": 5,
}
# One layer past the first that sees everything; the scaling is of such layers only.
GEMMA3 = GEMMA | {
    "architectures": ["Gemma3ForCausalLM"],
    "final_logit_softcapping": None,
    "hidden_activation": "gelu_pytorch_tanh",
    "intermediate_size": 16,
    "model_type": "gemma3_text",
    "num_hidden_layers": 7,
    "query_pre_attn_scalar": 10,
    "rope_local_base_freq": 500.0,
    "rope_scaling": {"factor": 4.0, "rope_type": "linear"},
    "rope_theta": 20000.0,
    "sliding_window": 5,
    "sliding_window_pattern": 6,
}
GPTNEOX = SMALL | {
    "architectures": ["GPTNeoXForCausalLM"],
    "hidden_act": "gelu",
    "hidden_size": 32,
    "layer_norm_eps": 1e-05,
    "model_type": "gpt_neox",
    "num_hidden_layers": 1,
    "rotary_emb_base": 10000,
    "rotary_pct": 0.5,
    "tie_word_embeddings": False,
    "use_parallel_residual": True,
}
PHI2 = SMALL | {
    "architectures": ["PhiForCausalLM"],
    "hidden_act": "gelu_new",
    "intermediate_size": 64,
    "layer_norm_eps": 1e-05,
    "model_type": "phi",
    "num_attention_heads": 2,
    "partial_rotary_factor": 0.5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}
BLOOM = {
    "architectures": ["BloomForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_size": 12,
    "layer_norm_epsilon": 1e-05,
    "model_type": "bloom",
    "n_head": 6,
    "n_layer": 2,
    "seq_length": 32,
    "vocab_size": 48,
}
SMOLLM3 = GATED | {
    "architectures": ["SmolLM3ForCausalLM"],
    "intermediate_size": 16,
    "model_type": "smollm3",
    "no_rope_layer_interval": 4,
    "num_hidden_layers": 5,
    "pad_token_id": 0,
    "rope_theta": 5000.0,
    "use_sliding_window": False,
}
PHI3 = GATED | {
    "architectures": ["Phi3ForCausalLM"],
    "model_type": "phi3",
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "original_max_position_embeddings": 16,
    "pad_token_id": 0,
    "rope_scaling": {
        "long_factor": [1.5, 3.0, 6.0, 12.0],
        "short_factor": [1.0, 1.25, 1.5, 2.0],
        "type": "longrope",
    },
    "rope_theta": 3000.0,
    "sliding_window": None,
    "tie_word_embeddings": False,
}
STARCODER2 = SMALL | {
    "architectures": ["Starcoder2ForCausalLM"],
    "hidden_act": "gelu_pytorch_tanh",
    "model_type": "starcoder2",
    "norm_epsilon": 1e-05,
    "num_key_value_heads": 2,
    "rope_theta": 3000.0,
    "sliding_window": None,
    "use_bias": True,
}
STABLELM = SMALL | {
    "architectures": ["StableLmForCausalLM"],
    "hidden_act": "silu",
    "layer_norm_eps": 1e-05,
    "model_type": "stablelm",
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "partial_rotary_factor": 0.5,
    "qk_layernorm": False,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "use_parallel_residual": False,
    "use_qkv_bias": True,
}
MPT = {
    "architectures": ["MPTForCausalLM"],
    "attn_config": {"alibi": True, "alibi_bias_max": 8, "clip_qkv": None},
    "bos_token_id": 1,
    "d_model": 12,
    "eos_token_id": 2,
    "expansion_ratio": 4,
    "layer_norm_epsilon": 1e-05,
    "max_seq_len": 32,
    "model_type": "mpt",
    "n_heads": 6,
    "n_layers": 2,
    "no_bias": True,
    "vocab_size": 48,
}
ROBERTA = BERT | {
    "architectures": ["RobertaModel"],
    "bos_token_id": 0,
    "eos_token_id": 2,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 34,
    "model_type": "roberta",
    "pad_token_id": 1,
    "type_vocab_size": 1,
    "vocab_size": 48,
}
DISTILBERT = {
    "activation": "gelu",
    "architectures": ["DistilBertForMaskedLM"],
    "dim": 16,
    "hidden_dim": 40,
    "max_position_embeddings": 32,
    "model_type": "distilbert",
    "n_heads": 2,
    "n_layers": 2,
    "pad_token_id": 0,
    "sinusoidal_pos_embds": False,
    "vocab_size": 48,
}
MODERNBERT = {
    "architectures": ["ModernBertModel"],
    "bos_token_id": 2,
    "cls_token_id": 2,
    "eos_token_id": 3,
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 16000.0,
    "hidden_activation": "gelu",
    "hidden_size": 16,
    "intermediate_size": 24,
    "layer_norm_eps": 1e-05,
    "local_attention": 8,
    "local_rope_theta": 500.0,
    "max_position_embeddings": 32,
    "model_type": "modernbert",
    "norm_eps": 1e-05,
    "num_attention_heads": 2,
    "num_hidden_layers": 4,
    "pad_token_id": 0,
    "sep_token_id": 3,
    "vocab_size": 48,
}


@dataclass(frozen=True)
class Pair:
    """One model to write twice.

    `patterns` is what llama.cpp calls the tokenizer's. `norm_center` is the mean of the norms'
    weights as they are stored in the folder.
    """

    name: str
    config: dict[str, Any]
    storage: torch.dtype = torch.float32
    output_type: str = "ALL_F32"
    std: float = 0.3
    norm_center: float = 1.0
    build_tokenizer: Callable[[int], Any] | None = None
    patterns: str = ""

    @property
    def is_decoder(self) -> bool:
        """Whether the model predicts the next token."""
        return self.config["architectures"][0].endswith(("ForCausalLM", "LMHeadModel"))

    @property
    def width(self) -> int:
        """Of the hidden states."""
        names = ("hidden_size", "n_embd", "dim")
        return next(self.config[name] for name in names if name in self.config)


PAIRS = (
    Pair("gpt2", GPT2, build_tokenizer=gpt2_style, patterns="gpt-2"),
    Pair("gpt2-f16", GPT2 | {"vocab_size": 64, "bos_token_id": 63, "eos_token_id": 63},
         storage=torch.float16, output_type="MOSTLY_F16"),
    Pair("llama", LLAMA),
    Pair("llama3-bf16", LLAMA3, storage=torch.bfloat16, output_type="MOSTLY_BF16"),
    Pair("bert", BERT, build_tokenizer=bert_style, patterns="jina-v2-en"),
    Pair("mistral", MISTRAL),
    Pair("smollm", SMOLLM),
    Pair("qwen2", QWEN2),
    Pair("qwen2-yarn", QWEN2_YARN),
    Pair("qwen3", QWEN3),
    Pair("gemma", GEMMA, norm_center=0.0),
    Pair("gemma2", GEMMA2, norm_center=0.0),
    Pair("gemma3", GEMMA3, norm_center=0.0),
    Pair("gptneox", GPTNEOX),
    Pair("gptneox-sequential", GPTNEOX | {"rotary_pct": 0.25, "use_parallel_residual": False}),
    Pair("phi2", PHI2),
    Pair("bloom", BLOOM),
    Pair("smollm3", SMOLLM3),
    Pair("phi3", PHI3),
    Pair("starcoder2", STARCODER2),
    Pair("stablelm", STABLELM),
    Pair("mpt", MPT),
    Pair("roberta", ROBERTA),
    Pair("distilbert", DISTILBERT),
    Pair("modernbert", MODERNBERT),
)
