"""Byte-level BPE: the byte alphabet, training of merges, and encoding from a tokenizer.json."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Dict, List, Tuple

# GPT-2's pre-tokenizer, as tokenizer.json states it and as Python's `re` can say it.
PRE_TOKENIZER_REGEX = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)
_SPLIT = re.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"
)
Pair = Tuple[str, str]


def byte_alphabet() -> List[str]:
    """The printable character that stands for each of the 256 bytes (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {byte: chr(byte) for byte in printable}
    spare = (chr(256 + i) for i in range(256))
    return [table[byte] if byte in table else next(spare) for byte in range(256)]


_ALPHABET = byte_alphabet()
SPACE = _ALPHABET[ord(" ")]


def to_alphabet(text: str) -> str:
    """UTF-8 bytes of a text, each as its character of the alphabet."""
    return "".join(_ALPHABET[byte] for byte in text.encode("utf-8"))


def pre_tokenize(text: str) -> List[str]:
    return _SPLIT.findall(text)


def merge(symbols: List[str], pair: Pair) -> List[str]:
    """Replaces every occurrence of the pair, left to right."""
    merged: List[str] = []
    for symbol in symbols:
        if merged and merged[-1] == pair[0] and symbol == pair[1]:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def train_merges(counts: Dict[str, int]) -> List[Pair]:
    """Merges by frequency until each given word is a single symbol; ties go alphabetically."""
    words = {word: list(word) for word in counts}
    pairs: Counter = Counter()
    where = defaultdict(set)
    for word, symbols in words.items():
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += counts[word]
            where[pair].add(word)
    merges: List[Pair] = []
    while pairs:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word in sorted(where.pop(best)):
            before = words[word]
            after = words[word] = merge(before, best)
            for pair in zip(before, before[1:]):
                pairs[pair] -= counts[word]
            for pair in zip(after, after[1:]):
                pairs[pair] += counts[word]
                where[pair].add(word)
        pairs = +pairs  # Drops the pairs that no word contains any more.
    return merges


class Tokenizer:
    """Encodes text with a byte-level BPE tokenizer.json (without its added tokens)."""

    def __init__(self, path: Path) -> None:
        data = json.loads(path.read_text(encoding="utf-8"))
        self.vocab: Dict[str, int] = data["model"]["vocab"]
        merges = [tuple(m.split(" ")) for m in data["model"]["merges"]]
        self._rank = {pair: rank for rank, pair in enumerate(merges)}
        self._special = {t["content"]: t["id"] for t in data["added_tokens"]}
        self._text = {i: token for token, i in self.vocab.items()}
        self._byte = {char: byte for byte, char in enumerate(_ALPHABET)}
        self._cache: Dict[str, List[int]] = {}
        self.end_of_text = self._special["<|endoftext|>"]
        self.mask = self._special["[MASK]"]

    def __len__(self) -> int:
        return len({*self.vocab.values(), *self._special.values()})

    def _encode_piece(self, piece: str) -> List[int]:
        symbols = list(to_alphabet(piece))
        while len(symbols) > 1:
            best = min(zip(symbols, symbols[1:]), key=lambda p: self._rank.get(p, 1 << 30))
            if best not in self._rank:
                break
            symbols = merge(symbols, best)
        return [self.vocab[symbol] for symbol in symbols]

    def encode(self, text: str) -> List[int]:
        ids: List[int] = []
        for piece in pre_tokenize(text):
            if piece not in self._cache:
                self._cache[piece] = self._encode_piece(piece)
            ids.extend(self._cache[piece])
        return ids

    def decode(self, ids: List[int]) -> str:
        special = set(self._special.values())
        text = "".join(self._text[i] for i in ids if i not in special)
        return bytes(self._byte[char] for char in text).decode("utf-8", "replace")
