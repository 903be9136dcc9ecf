"""Writing of .safetensors files: an 8-byte header length, JSON, then the tensors."""

import json
import struct
from pathlib import Path
from typing import Dict

import torch
from torch import Tensor

_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def _raw(tensor: Tensor) -> bytes:
    flat = tensor.detach().contiguous().view(-1)
    if flat.dtype is torch.bfloat16:  # numpy has no bfloat16.
        flat = flat.view(torch.int16)
    return flat.numpy().tobytes()


def write(path: Path, tensors: Dict[str, Tensor]) -> None:
    """Writes tensors sorted by name, without gaps, the header padded to 8 bytes."""
    header: dict = {"__metadata__": {"format": "pt"}}
    blobs, offset = [], 0
    for name in sorted(tensors):
        blob = _raw(tensors[name])
        header[name] = {"dtype": _NAMES[tensors[name].dtype], "shape": list(tensors[name].shape),
                        "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.writelines(blobs)
    partial.replace(path)
