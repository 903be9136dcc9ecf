"""The tiny checkpoints to make: their configurations, and the names and types of their tensors.

Each config.json is a literal here, so it does not drift with the library that wrote it.
"""

import torch

from model_spec import ModelGolden, Tensors, without
from model_specs_decoders import DECODERS
from model_specs_encoders import ENCODERS
from model_specs_later import LATER_FAMILIES
from model_specs_llama import LLAMA_LIKE
from model_specs_variants import VARIANTS
from tokenizer_styles import bert_style, gpt2_style, llama3_style


def _bare_gpt2(state: Tensors) -> Tensors:
    """The oldest GPT-2 form: no `transformer.` prefix, the causal mask stored like a parameter."""
    tensors = {n.removeprefix("transformer."): v for n, v in state.items() if n != "lm_head.weight"}
    mask = torch.tril(torch.ones(64, 64)).view(1, 1, 64, 64)
    tensors["h.0.attn.bias"] = mask
    tensors["h.1.attn.bias"] = mask.to(torch.bool)
    for layer in range(2):
        tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    return tensors


def _bert(state: Tensors) -> Tensors:
    """The decoder is tied to the embedding; the position ids buffer was saved by old writers."""
    tied = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias")
    tensors = without(*tied)(state)
    tensors["bert.embeddings.position_ids"] = torch.arange(64).view(1, 64)
    return tensors


# The norm constant is far from its default, so that a reader who misses it is found out.
GPT2_CONFIG = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 299,
    "embd_pdrop": 0.1,
    "eos_token_id": 299,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 0.001,
    "model_type": "gpt2",
    "n_ctx": 64,
    "n_embd": 32,
    "n_head": 4,
    "n_inner": None,
    "n_layer": 2,
    "n_positions": 64,
    "reorder_and_upcast_attn": False,
    "resid_pdrop": 0.1,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
    "torch_dtype": "float32",
    "use_cache": True,
    "vocab_size": 300,
}

# Only what the first published GPT-2 configs held; the rest must come from the reader's defaults.
BARE_GPT2_CONFIG = {
    "architectures": ["GPT2LMHeadModel"],
    "bos_token_id": 299,
    "eos_token_id": 299,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 64,
    "n_embd": 32,
    "n_head": 4,
    "n_layer": 2,
    "n_positions": 64,
    "vocab_size": 300,
}

# Keys as transformers 4 wrote them; head_dim is not hidden_size / num_attention_heads.
LLAMA_GQA_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 308,
    "eos_token_id": 309,
    "head_dim": 12,
    "hidden_act": "silu",
    "hidden_size": 40,
    "initializer_range": 0.02,
    "intermediate_size": 72,
    "max_position_embeddings": 128,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 0.001,
    "rope_scaling": None,
    "rope_theta": 5000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "transformers_version": "4.45.0",
    "use_cache": True,
    "vocab_size": 320,
}

# Keys as transformers 5 writes them. With these rotary numbers the first pair of a head keeps its
# frequency, the next two are interpolated and the rest is divided.
LLAMA_BF16_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": True,
    "attention_dropout": 0.0,
    "bos_token_id": 308,
    "dtype": "bfloat16",
    "eos_token_id": [309, 311],
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 96,
    "max_position_embeddings": 128,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "pad_token_id": None,
    "rms_norm_eps": 1e-05,
    "rope_parameters": {
        "factor": 4.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 32,
        "rope_theta": 500.0,
        "rope_type": "llama3",
    },
    "tie_word_embeddings": True,
    "use_cache": True,
    "vocab_size": 312,
}

BERT_CONFIG = {
    "architectures": ["BertForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "classifier_dropout": None,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 32,
    "initializer_range": 0.02,
    "intermediate_size": 64,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 64,
    "model_type": "bert",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "torch_dtype": "float32",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": 300,
}

FIRST_MODELS = (
    ModelGolden(
        name="gpt2-f32",
        config=GPT2_CONFIG,
        n_tokens=45,
        storage=torch.float32,
        stored=without("lm_head.weight"),
        n_known_ids=300,
        matrix_std=0.25,
        build_tokenizer=gpt2_style,
    ),
    ModelGolden(
        name="gpt2-bare-f16",
        config=BARE_GPT2_CONFIG,
        n_tokens=40,
        storage=torch.float16,
        stored=_bare_gpt2,
        n_known_ids=300,
        matrix_std=0.25,
    ),
    ModelGolden(
        name="llama-gqa-f32",
        config=LLAMA_GQA_CONFIG,
        n_tokens=49,
        storage=torch.float32,
        stored=without(),
        n_known_ids=312,
        matrix_std=0.17,
        n_shards=3,
        build_tokenizer=llama3_style,
        extra_files={
            "tokenizer_config.json": {
                "add_bos_token": True,
                "bos_token": "<|begin_of_text|>",
                "clean_up_tokenization_spaces": False,
                "eos_token": "<|end_of_text|>",
                "model_max_length": 128,
                "tokenizer_class": "PreTrainedTokenizerFast",
            }
        },
    ),
    ModelGolden(
        name="llama-bf16",
        config=LLAMA_BF16_CONFIG,
        n_tokens=50,
        storage=torch.bfloat16,
        stored=without("lm_head.weight"),
        n_known_ids=312,
        matrix_std=0.17,
        build_tokenizer=llama3_style,
        extra_files={"generation_config.json": {"bos_token_id": 308, "eos_token_id": [309, 311]}},
    ),
    ModelGolden(
        name="bert-f32",
        config=BERT_CONFIG,
        n_tokens=44,
        storage=torch.float32,
        stored=_bert,
        n_known_ids=300,
        matrix_std=0.3,
        fixed_ids={0: 2, 9: 4, 30: 4, -1: 3},
        build_tokenizer=bert_style,
        extra_files={
            "tokenizer_config.json": {
                "cls_token": "[CLS]",
                "mask_token": "[MASK]",
                "model_max_length": 64,
                "pad_token": "[PAD]",
                "sep_token": "[SEP]",
                "unk_token": "[UNK]",
            }
        },
    ),
)

MODELS = FIRST_MODELS + LLAMA_LIKE + DECODERS + ENCODERS + LATER_FAMILIES + VARIANTS
