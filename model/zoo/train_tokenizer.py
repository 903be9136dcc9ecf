#!/usr/bin/env python3
"""Trains the zoo's byte-level BPE tokenizer and writes tokenizer.json and tokenizer_config.json.

Every word of the corpus becomes one token, with a leading space and without. The merges inside a
word are learned by frequency; the merges that put the space before a finished word come last, so
that both forms of a word share their pieces. All 256 bytes are in the vocabulary: anything encodes.
"""

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Dict, List

import bpe

END_OF_TEXT, MASK = "<|endoftext|>", "[MASK]"
SPECIAL_TOKENS = [END_OF_TEXT, MASK]  # The mask is the encoder's; ids stay shared.


def count_pieces(path: Path) -> Counter:
    """How often each pre-token occurs in a corpus of one document a line."""
    counts: Counter = Counter()
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            counts.update(bpe.pre_tokenize(line.rstrip("\n")))
    return counts


def train(pieces: Counter) -> List[bpe.Pair]:
    """Merges that make every piece one token, with and without its leading space."""
    words: Dict[str, int] = {}
    for piece, count in pieces.items():
        word = bpe.to_alphabet(piece.lstrip(" "))
        words[word] = words.get(word, 0) + count
    merges = bpe.train_merges(words)
    by_count = sorted(words, key=lambda word: (-words[word], word))
    spaced = {bpe.to_alphabet(piece) for piece in pieces if piece.startswith(" ")}
    for word in by_count:
        if word and (re.fullmatch(r"[A-Za-z]+", word) or bpe.SPACE + word in spaced):
            merges.append((bpe.SPACE, word))
    return merges


def added_token(content: str, index: int) -> dict:
    """A mask stands for a word with its leading space, so it swallows the space before it."""
    return {"id": index, "content": content, "single_word": False, "lstrip": content == MASK,
            "rstrip": False, "normalized": False, "special": True}


def tokenizer_json(merges: List[bpe.Pair]) -> dict:
    """The tokenizer in the Hugging Face `tokenizers` format."""
    tokens = SPECIAL_TOKENS + bpe.byte_alphabet()
    tokens += list(dict.fromkeys(one + two for one, two in merges))
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                  "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": bpe.PRE_TOKENIZER_REGEX},
             "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added_token(token, i) for i, token in enumerate(SPECIAL_TOKENS)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": {**byte_level, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [f"{one} {two}" for one, two in merges],
        },
    }


def tokenizer_config(context: int) -> dict:
    special = {
        str(i): {k: v for k, v in added_token(token, i).items() if k != "id"}
        for i, token in enumerate(SPECIAL_TOKENS)
    }
    return {
        "tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False,
        "added_tokens_decoder": special, "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT, "mask_token": MASK,
        "clean_up_tokenization_spaces": False, "model_max_length": context,
    }


def check(folder: Path, pieces: Counter) -> int:
    """Counts the corpus words that are not one token, in either form."""
    tokenizer = bpe.Tokenizer(folder / "tokenizer.json")
    words = {piece.lstrip(" ") for piece in pieces}
    forms = set(pieces) | words | {" " + w for w in words if w.isalpha()}
    broken = sorted(form for form in forms if form and len(tokenizer.encode(form)) != 1)
    print(f"{len(tokenizer)} tokens; {len(words)} corpus words, {len(broken)} not one token")
    return len(broken)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="training text")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--context", type=int, default=256, help="model_max_length (default: 256)")
    args = parser.parse_args()
    pieces = count_pieces(args.corpus)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, data in (("tokenizer.json", tokenizer_json(train(pieces))),
                       ("tokenizer_config.json", tokenizer_config(args.context))):
        text = json.dumps(data, ensure_ascii=False, indent=1) + "\n"
        (args.out / name).write_text(text, encoding="utf-8")
    return 1 if check(args.out, pieces) else 0


if __name__ == "__main__":
    sys.exit(main())
