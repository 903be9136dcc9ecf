"""Random blocks of every ggml number format heed reads, and the values they stand for.

The values are those of gguf-py's NumPy implementation, after a check that the C implementation in
libggml, where it is installed, says the same bit for bit.
"""

import ctypes
import ctypes.util
from pathlib import Path

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from safetensors.numpy import save_file

# Places of the f16 scales in a block: of everything else any bits are legal.
SCALES = {
    "Q8_0": (0,),
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
}
SMALL_BLOCKS = 24
LARGE_BLOCKS = 6


def random_blocks(name: str) -> np.ndarray:
    """Seeded blocks of random bits with finite scales of all signs and sizes, even subnormal."""
    kind = GGMLQuantizationType[name]
    values, size = GGML_QUANT_SIZES[kind]
    rng = np.random.default_rng(int(kind))
    count = SMALL_BLOCKS if values == 32 else LARGE_BLOCKS
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for place in SCALES[name]:
        exponents = np.resize(np.arange(0, 31, 5), count)  # 31 is infinity
        signs = rng.integers(0, 2, count) << 15
        halves = signs | (exponents << 10) | rng.integers(0, 1024, count)
        blocks[:, place : place + 2] = halves.astype("<u2").view(np.uint8).reshape(count, 2)
    return blocks


def ggml_values(name: str, blocks: np.ndarray, count: int) -> np.ndarray | None:
    """What libggml makes of the blocks; nothing without the library."""
    path = ctypes.util.find_library("ggml-base") or "libggml-base.so.0"
    try:
        function = getattr(ctypes.CDLL(path), f"dequantize_row_{name.lower().replace('_k', '_K')}")
    except (OSError, AttributeError):
        return None
    out = np.zeros(count, np.float32)
    function(ctypes.c_void_p(blocks.ctypes.data), ctypes.c_void_p(out.ctypes.data),
             ctypes.c_int64(count))
    return out


def make_blocks(path: Path) -> str:
    """Writes NAME.blocks (U8) and NAME.values (F32) of each format; says what was compared."""
    tensors, compared = {}, 0
    for name in SCALES:
        blocks = random_blocks(name)
        values = gguf.quants.dequantize(blocks, GGMLQuantizationType[name]).ravel()
        from_c = ggml_values(name, blocks, values.size)
        compared += from_c is not None
        if from_c is not None and not np.array_equal(from_c, values):
            raise ValueError(f"{name}: gguf-py and libggml disagree")
        tensors |= {f"{name}.blocks": blocks.ravel(), f"{name}.values": values}
    save_file(tensors, path)
    return f"{len(SCALES)} formats, {compared} of them the same in libggml"
