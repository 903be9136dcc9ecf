"""The tokens of a corpus: tokenised once, kept in a cache, handed out as documents or rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, List, Optional

import numpy as np
from torch import Tensor

from bpe import Tokenizer


@dataclass
class Batch:
    """What a model sees in one step, and what it should have said."""

    inputs: Tensor  # [rows, length] token ids
    targets: Tensor  # [chosen] token ids
    tokens: int  # How many of the inputs are text, not padding.
    allowed: Optional[Tensor] = None  # [rows, length or 1, length], true where a query may look
    positions: Optional[Tensor] = None  # [rows, length] distance to the start of the text
    chosen: Optional[Tensor] = None  # [rows, length], true where a target stands; none: everywhere


def load_tokens(corpus: Path, tokenizer: Tokenizer, cache: Path) -> np.ndarray:
    """Every document of the corpus followed by end-of-text; cached until the corpus changes."""
    if cache.exists() and cache.stat().st_mtime > corpus.stat().st_mtime:
        return np.load(cache)
    tokens: List[int] = []
    with corpus.open(encoding="utf-8") as lines:
        for line in lines:
            tokens.extend(tokenizer.encode(line.rstrip("\n")))
            tokens.append(tokenizer.end_of_text)
    flat = np.array(tokens, dtype=np.uint16)
    with cache.open("wb") as out:
        np.save(out, flat)
    return flat


def split_documents(tokens: np.ndarray, end_of_text: int) -> List[np.ndarray]:
    """The documents without their end-of-text."""
    ends = np.flatnonzero(tokens == end_of_text)
    starts = np.concatenate(([0], ends[:-1] + 1))
    return [tokens[start:end] for start, end in zip(starts, ends)]


def pack_rows(documents: Iterable[np.ndarray], end_of_text: int, length: int) -> np.ndarray:
    """Rows [n, length] of documents joined by end-of-text; every row starts with a document.

    A document that a row cuts off is the first of the next row, where it is whole.
    """
    rows: List[List[int]] = []
    row: List[int] = []
    for document in documents:
        ids = document.tolist()
        if row:
            row.append(end_of_text)
        row.extend(ids)
        if len(row) >= length:
            rows.append(row[:length])
            row = ids[:length] if len(row) > length else []
    return np.array(rows, dtype=np.uint16)
