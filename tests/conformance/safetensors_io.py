"""Reading and writing safetensors files with NumPy."""

import json
import struct
from pathlib import Path

import numpy as np

Tensors = dict[str, np.ndarray]
DTYPES = {"F16": np.float16, "F32": np.float32, "I64": np.int64, "BOOL": np.bool_}


def read(path: Path) -> Tensors:
    """All tensors of one file, as they are stored."""
    data = path.read_bytes()
    (header_size,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + header_size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + header_size + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def read_folder(folder: Path) -> Tensors:
    """The tensors of a checkpoint, whatever its shards, in float64."""
    tensors: Tensors = {}
    for path in sorted(folder.glob("model*.safetensors")):
        tensors |= read(path)
    return {name: value.astype(np.float64) for name, value in tensors.items()}


def write(path: Path, tensors: Tensors) -> None:
    """Writes tensors sorted by name: integers as I64, everything else as F32."""
    header, blobs, offset = {}, [], 0
    for name in sorted(tensors):
        is_integer = np.issubdtype(tensors[name].dtype, np.integer)
        dtype = "I64" if is_integer else "F32"
        blob = np.ascontiguousarray(tensors[name], DTYPES[dtype]).tobytes()
        shape = list(tensors[name].shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))
