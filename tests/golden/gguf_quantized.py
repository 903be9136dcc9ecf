"""A tiny Llama quantised by llama-quantize to every type, and what its values answer.

The answers are transformers' in float32, on the weights that gguf-py's NumPy code reads from each
file: what a decoder of the file has to say, whatever it does inside.
"""

import subprocess
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from gguf_models import convert, write_folder
from gguf_pairs import LLAMA, Pair

TYPES = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K")
N_TOKENS = 12

# Rows of 256 for the K types, and rows of 32 in o_proj and down_proj, where they cannot be used and
# llama-quantize takes another.
MODEL = Pair(
    "quantized",
    LLAMA
    | {
        "head_dim": 16,
        "hidden_size": 256,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "num_key_value_heads": 1,
        "vocab_size": 32,
    },
    std=0.08,
)

NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def transformers_name(name: str) -> str:
    """blk.0.attn_q.weight to model.layers.0.self_attn.q_proj.weight."""
    *block, part, kind = name.split(".")
    prefix = f"model.layers.{block[1]}." if block else ""
    return f"{prefix}{NAMES[part]}.{kind}"


def unpermute(rows: np.ndarray, n_heads: int) -> np.ndarray:
    """The inverse of what the converter does to query and key rows."""
    out, width = rows.shape
    return rows.reshape(n_heads, out // n_heads // 2, 2, width).swapaxes(1, 2).reshape(out, width)


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The file's weights in float32, under transformers' names and in its order."""
    heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}
    state = {}
    for tensor in gguf.GGUFReader(path).tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        part = tensor.name.split(".")[-2]
        if part in heads:
            values = unpermute(values, MODEL.config[heads[part]])
        state[transformers_name(tensor.name)] = torch.from_numpy(values.copy())
    return state


@torch.no_grad()
def answer(folder: Path, state: dict[str, torch.Tensor], ids: np.ndarray) -> np.ndarray:
    """Logits of every position, [n_tokens, vocab_size]."""
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    model.load_state_dict(state)
    return model(input_ids=torch.from_numpy(ids)[None]).logits[0].numpy()


def make_quantized(out: Path) -> dict[str, int]:
    """Writes one file for each type and golden.safetensors; returns the sizes."""
    out.mkdir(parents=True, exist_ok=True)
    ids = np.random.default_rng(0).integers(0, MODEL.config["vocab_size"], N_TOKENS)
    golden, sizes = {"input_ids": ids}, {}
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        folder = Path(scratch)
        write_folder(MODEL, folder)
        convert(MODEL, folder, folder / "model.gguf")
        for name in TYPES:
            path = out / f"{name}.gguf"
            command = ["llama-quantize", str(folder / "model.gguf"), str(path), name, "1"]
            subprocess.run(command, check=True, capture_output=True)
            golden[f"logits.{name}"] = answer(folder, read_state(path), ids)
            sizes[name] = path.stat().st_size
    save_file(golden, out / "golden.safetensors")
    return sizes
