"""Tiny models, each as a Hugging Face folder and as the GGUF file that llama.cpp makes of it.

The converter is llama.cpp's own, asked for the tensors' types as they are. Only its recognition of
tokenizers is replaced: it knows published ones by a hash, and these are tiny ones.
"""

import json
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from tokenizer_styles import bert_style, gpt2_style

CONVERTER = Path("/usr/share/llama.cpp/llama.cpp-tools")

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


@dataclass(frozen=True)
class Pair:
    """One model to write twice. `tokenizer` is the kind of model and the name of its patterns."""

    name: str
    config: dict[str, Any]
    storage: torch.dtype = torch.float32
    output_type: str = "ALL_F32"
    std: float = 0.3
    build_tokenizer: Callable[[int], Any] | None = None
    patterns: str = ""


PAIRS = (
    Pair("gpt2", GPT2, build_tokenizer=gpt2_style, patterns="gpt-2"),
    Pair("gpt2-f16", GPT2 | {"vocab_size": 64, "bos_token_id": 63, "eos_token_id": 63},
         storage=torch.float16, output_type="MOSTLY_F16"),
    Pair("llama", LLAMA),
    Pair("llama3-bf16", LLAMA3, storage=torch.bfloat16, output_type="MOSTLY_BF16"),
    Pair("bert", BERT, build_tokenizer=bert_style, patterns="jina-v2-en"),
)


def draw(seed: str, name: str, shape: torch.Size, std: float) -> torch.Tensor:
    """A parameter's values by its name: norm weights around 1, the rest around 0."""
    rng = np.random.default_rng(zlib.crc32(f"gguf/{seed}/{name}".encode()))
    values = torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))
    if len(shape) > 1:
        return values * std
    return 1.0 + 0.3 * values if name.endswith("weight") else 0.3 * values


def random_state(pair: Pair, folder: Path) -> dict[str, torch.Tensor]:
    """The tensors to store, tied ones once."""
    config = AutoConfig.from_pretrained(folder)
    is_decoder = pair.config["model_type"] != "bert"
    model = (AutoModelForCausalLM if is_decoder else AutoModelForMaskedLM).from_config(config)
    return {
        name: draw(pair.name, name, value.shape, pair.std).to(pair.storage).contiguous()
        for name, value in model.named_parameters()
    }


def write_folder(pair: Pair, folder: Path) -> None:
    """Writes config.json, model.safetensors and, where there is one, tokenizer.json."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(pair.config, indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    save_file(random_state(pair, folder), folder / "model.safetensors", metadata={"format": "pt"})
    if pair.build_tokenizer is not None:
        tokenizer = pair.build_tokenizer(pair.config["vocab_size"])
        (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=False), encoding="utf-8")


def converter_class(pair: Pair) -> type:
    """llama.cpp's converter of the architecture, told which tokenizer it sees."""
    if str(CONVERTER) not in sys.path:
        sys.path.insert(0, str(CONVERTER))
    import conversion  # it is beside llama.cpp, not among the packages

    base = conversion.get_model_class(pair.config["architectures"][0], mmproj=False)
    members: dict[str, Any] = {
        "model_arch": base.model_arch,
        "get_vocab_base_pre": lambda self, tokenizer: pair.patterns,
    }
    if pair.build_tokenizer is None:
        members["set_vocab"] = lambda self: self._set_vocab_none()
    return type(base.__name__, (base,), members)


def convert(pair: Pair, folder: Path, out: Path, **options: Any) -> None:
    """Writes the GGUF form of the folder."""
    file_type = getattr(gguf.LlamaFileType, pair.output_type)
    with torch.inference_mode():
        model = converter_class(pair)(
            folder, file_type, out, eager=True, model_name=pair.name, **options
        )
        model.write()


def make_pair(pair: Pair, folder: Path) -> int:
    """Writes the folder and model.gguf in it; returns the size of the latter."""
    write_folder(pair, folder)
    convert(pair, folder, folder / "model.gguf")
    return (folder / "model.gguf").stat().st_size
