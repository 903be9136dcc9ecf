"""Writes SentencePiece's precompiled form of a map from strings to strings."""

import struct
from collections.abc import Iterator, Mapping

LEAF_BIT = 1 << 8
VALUE_BIT = 1 << 31
OFFSET_SHIFT = 10
MAX_OFFSET = 1 << 21

Trie = dict[int, "Trie"]


def _trie(keys: Mapping[bytes, int]) -> Trie:
    """Nested by byte; the key 0 stands for the value of the string that ends there."""
    root: Trie = {}
    for key, value in keys.items():
        node = root
        for byte in key:
            node = node.setdefault(byte, {})
        node[0] = {-1 - value: {}}
    return root


class _DoubleArray:
    """Units of 32 bits; a node's children stand at its base xor their byte."""

    def __init__(self) -> None:
        self.units: dict[int, int] = {0: 0}

    def _free_base(self, position: int, labels: list[int]) -> int:
        base = 1
        while any(base ^ label in self.units for label in labels):
            base += 1
        if position ^ base >= MAX_OFFSET:
            raise ValueError("the map is too large for short offsets")
        return base

    def place(self, position: int, node: Trie) -> None:
        labels = sorted(node)
        base = self._free_base(position, labels)
        self.units[position] |= (position ^ base) << OFFSET_SHIFT
        for label in labels:
            self.units[base ^ label] = label
        for label in labels:
            if label == 0:
                self.units[position] |= LEAF_BIT
                self.units[base] = VALUE_BIT | (-1 - next(iter(node[0])))
            else:
                self.place(base ^ label, node[label])

    def bytes(self) -> Iterator[bytes]:
        # Readers look anywhere within the block of 256 units that a base is in.
        for position in range((max(self.units) | 0xFF) + 1):
            yield struct.pack("<I", self.units.get(position, 0))


def build_charsmap(replacements: Mapping[str, str]) -> bytes:
    """The number of bytes of the double array, the double array, the replacements with NULs."""
    values: dict[str, int] = {}
    texts = b""
    for text in sorted(set(replacements.values())):
        values[text] = len(texts)
        texts += text.encode() + b"\0"
    array = _DoubleArray()
    array.place(0, _trie({key.encode(): values[text] for key, text in replacements.items()}))
    units = b"".join(array.bytes())
    return struct.pack("<I", len(units)) + units + texts
