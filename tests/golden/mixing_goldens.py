#!/usr/bin/env python3
"""Makes the golden files of the models below a transformer: tiny random ones and the right answers.

The answers come from the formulas, in float64: at position p, with x_i the embedding of word i
(plus that of position i where there are positions),

    last_word   a_p = 1, all others 0
    average     a_i = 1 / (p + 1)
    weighted    a = softmax of the words' scores
    attention   a = softmax of q(x_p) . k(x_i) / sqrt(d)

over i = 0..p; the hidden state is h_p = sum of a_i v(x_i), the logits are embedding h_p. Needs
NumPy only.

    mixing_goldens.py            make everything anew
    mixing_goldens.py --check    compare the committed files with the formulas
"""

import argparse
import json
import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent / "models"
VOCABULARY, WIDTH, CONTEXT, N_TOKENS = 61, 20, 64, 45
MAX_CHECK_DIFFERENCE = 1e-6
DTYPES = {"F16": np.float16, "F32": np.float32, "I64": np.int64}
Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class MixingGolden:
    """One checkpoint: its pattern, whether it has positions, and how its tensors are stored."""

    name: str
    mixing: str
    position_encoding: str = "none"
    storage: str = "F32"


GOLDENS = (
    MixingGolden("mixing-last-word", "last_word"),
    MixingGolden("mixing-average", "average"),
    MixingGolden("mixing-weighted", "weighted", storage="F16"),
    MixingGolden("mixing-weighted-pos", "weighted", "learned"),
    MixingGolden("mixing-attention", "attention"),
    MixingGolden("mixing-attention-pos", "attention", "learned", storage="F16"),
)


def write_safetensors(path: Path, tensors: Tensors) -> None:
    """Writes tensors sorted by name, without gaps, the header padded to 8 bytes."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    blobs, offset = [], 0
    names = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
    for name, value in sorted(tensors.items()):
        blob = np.ascontiguousarray(value).tobytes()
        end = offset + len(blob)
        header[name] = {
            "dtype": names[value.dtype], "shape": value.shape, "data_offsets": [offset, end]
        }
        blobs.append(blob)
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read_safetensors(path: Path) -> Tensors:
    """Reads a file back, every tensor in the type in which it is stored."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        flat = np.frombuffer(data[begin:end], dtype=DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def config(golden: MixingGolden) -> dict[str, object]:
    """What config.json says."""
    return {
        "architectures": ["HeedMixingForCausalLM"],
        "bos_token_id": None,
        "eos_token_id": 0,
        "hidden_size": WIDTH,
        "max_position_embeddings": CONTEXT,
        "mixing": golden.mixing,
        "model_type": "heed_mixing",
        "position_encoding": golden.position_encoding,
        "tie_word_embeddings": True,
        "vocab_size": VOCABULARY,
    }


def random_weights(golden: MixingGolden) -> Tensors:
    """Weights that make peaked rows and logits of a few units, in the storage type."""
    square = (WIDTH, WIDTH)
    shapes = {"embed_tokens.weight": ((VOCABULARY, WIDTH), 0.7), "v_proj.weight": (square, 0.25)}
    if golden.position_encoding == "learned":
        shapes["position_embedding.weight"] = ((CONTEXT, WIDTH), 0.5)
    if golden.mixing == "weighted":
        shapes["word_scores.weight"] = ((VOCABULARY,), 1.5)
    if golden.mixing == "attention":
        shapes |= {"q_proj.weight": (square, 0.4), "k_proj.weight": (square, 0.4)}
    tensors = {}
    for name, (shape, std) in shapes.items():
        rng = np.random.default_rng(zlib.crc32(f"{golden.name}/{name}".encode()))
        tensors[name] = (rng.standard_normal(shape) * std).astype(DTYPES[golden.storage])
    return tensors


def scores(mixing: str, weights: Tensors, ids: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Scores whose softmax over what a row sees are its weights: [queries, keys]."""
    n = len(ids)
    if mixing == "last_word":
        return np.where(np.eye(n, dtype=bool), 0.0, -np.inf)
    if mixing == "average":
        return np.zeros((n, n))
    if mixing == "weighted":
        return np.tile(weights["word_scores.weight"][ids], (n, 1))
    queries, keys = x @ weights["q_proj.weight"].T, x @ weights["k_proj.weight"].T
    return queries @ keys.T / np.sqrt(WIDTH)


def softmax_causal(values: np.ndarray) -> np.ndarray:
    """Softmax of each row over the keys up to its own position."""
    seen = np.tril(np.ones(values.shape, dtype=bool))
    values = np.where(seen, values, -np.inf)
    weights = np.exp(values - values.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def compute(golden: MixingGolden, stored: Tensors, ids: np.ndarray) -> Tensors:
    """Attention weights, hidden states and logits by the formulas in float64, kept as F32."""
    weights = {name: value.astype(np.float64) for name, value in stored.items()}
    embedding = weights["embed_tokens.weight"]
    x = embedding[ids]
    if golden.position_encoding == "learned":
        x = x + weights["position_embedding.weight"][: len(ids)]
    attention = softmax_causal(scores(golden.mixing, weights, ids, x))
    hidden = attention @ (x @ weights["v_proj.weight"].T)
    answers = {"attentions.0": attention[None], "hidden": hidden, "logits": hidden @ embedding.T}
    return {name: value.astype(np.float32) for name, value in answers.items()}


def make(golden: MixingGolden) -> None:
    """Writes one checkpoint folder and its golden values."""
    folder = HERE / golden.name
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config(golden), indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    weights = random_weights(golden)
    write_safetensors(folder / "model.safetensors", weights)
    rng = np.random.default_rng(zlib.crc32(golden.name.encode()))
    ids = rng.integers(0, VOCABULARY, N_TOKENS)
    answers = compute(golden, weights, ids)
    write_safetensors(folder / "golden.safetensors", {"input_ids": ids} | answers)


def check(golden: MixingGolden) -> float:
    """How far the committed golden values are from the formulas over the committed weights."""
    committed = read_safetensors(HERE / golden.name / "golden.safetensors")
    ids = committed.pop("input_ids")
    answers = compute(golden, read_safetensors(HERE / golden.name / "model.safetensors"), ids)
    return max(float(np.abs(answers[name] - committed[name]).max()) for name in answers)


def main() -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    is_check = parser.parse_args().check
    good = True
    for golden in GOLDENS:
        if not is_check:
            make(golden)
        difference = check(golden)
        good &= difference <= MAX_CHECK_DIFFERENCE
        print(f"{golden.name}: largest difference {difference:.1e}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
