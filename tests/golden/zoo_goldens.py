#!/usr/bin/env python3
"""Makes tests/golden/zoo: what transformers says about the zoo's decoder and encoder.

Opening model/zoo/decoder and model/zoo/encoder with nothing but transformers' Auto classes proves
that other programs can use the shipped folders; the answers hold heed to the same numbers. Needs
transformers, torch, tokenizers, safetensors and numpy; the tests need none of these.

    zoo_goldens.py            make the files anew, after the shipped models have changed
    zoo_goldens.py --check    compare the committed files with what the libraries say now
"""

import argparse
import hashlib
import sys
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedModel,
)

from make_goldens import MAX_CHECK_DIFFERENCE, library_versions
from model_goldens import MIN_GREEDY_MARGIN, max_difference, write_json
from tokenizer_goldens import answers_json, read_cases

HERE = Path(__file__).resolve().parent
ZOO = HERE.parent.parent / "model" / "zoo"
OUT = HERE / "zoo"
CASES_FILE = "cases.json"
NEW_TOKENS = 8
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class ZooGolden:
    """A shipped folder, the class that must open it, and the prompts to ask."""

    name: str
    auto_class: Any
    prompts: tuple[str, ...]
    layers: tuple[int, ...]  # Whose attention is kept.


GOLDENS = (
    ZooGolden(
        "decoder",
        AutoModelForCausalLM,
        (
            "the keys to the cabinet",
            "Nora gave Max a book, and he thanked",
            "driver lies know pond small driver lies know",
        ),
        (0, 3),
    ),
    ZooGolden(
        "encoder",
        AutoModelForMaskedLM,
        (
            "the keys to the cabinet [MASK] old.",
            "The bank was full of [MASK]. The clerk smiled.",
            "the big cat sat on the [MASK]",
        ),
        (0, 3),
    ),
)
TOKENIZER_CASES = {
    "mask_swallows_the_space": "the [MASK] of the house",
    "mask_swallows_all_spaces": "the  [MASK]  of",
    "mask_first": "[MASK] dog bites man",
    "mask_last": "the keys to the cabinet [MASK]",
    "mask_before_full_stop": "It was the [MASK].",
    "masks_side_by_side": "the [MASK] [MASK][MASK] sat",
    "mask_after_newline": "the\n[MASK]\n",
    "mask_in_a_word": "sun[MASK]light",
    "not_a_mask": "the [mask] [MAS K] [MASK",
    "end_of_text": "One ends.<|endoftext|>Another begins. <|endoftext|> the",
    "words": "Alice gave Bob a book, and he thanked her.",
    "quotes": '"What was that?" asked Frank.',
    "unknown_words": "quokkas photograph 42 kangaroos",
    "other_scripts": "na\u00efve \u6771\u4eac \U0001f44d",
    "blank": "  \n\t ",
}


def open_folder(golden: ZooGolden) -> PreTrainedModel:
    """Opens the folder as users do, in float32, and refuses missing or surprising tensors."""
    model, info = golden.auto_class.from_pretrained(
        ZOO / golden.name, attn_implementation="eager", dtype=torch.float32,
        output_loading_info=True,
    )
    if any(info.values()):
        raise ValueError(f"{golden.name}: transformers did not load the folder cleanly: {info}")
    return model.eval()


def _positions(golden: ZooGolden, ids: torch.Tensor, mask: int) -> torch.Tensor:
    """Where logits are kept: the first token, and the mask or a decoder's last token."""
    masks = torch.nonzero(ids == mask).flatten()
    last = masks[-1:] if len(masks) else torch.tensor([len(ids) - 1])
    return torch.cat([torch.tensor([0]), last]).unique()


@torch.no_grad()
def _continuation(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """The greedy continuation by generate(), after a check that no step was a near tie."""
    out = model.generate(
        ids[None], attention_mask=torch.ones_like(ids)[None], max_new_tokens=NEW_TOKENS,
        pad_token_id=0, return_dict_in_generate=True, output_logits=True,
    )
    for logits in out.logits:
        best = logits[0].topk(2).values
        if best[0] - best[1] < MIN_GREEDY_MARGIN:
            raise ValueError(f"a near tie in the continuation of {ids.tolist()}: another prompt")
    return out.sequences[0, len(ids) :]


@torch.no_grad()
def compute(golden: ZooGolden) -> Tensors:
    """Ids, logits at a few positions and attention of a few layers, for every prompt."""
    model, tokenizer = open_folder(golden), AutoTokenizer.from_pretrained(ZOO / golden.name)
    tensors: Tensors = {}
    for i, prompt in enumerate(golden.prompts):
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"][0]
        output = model(input_ids=ids[None], output_attentions=True)
        positions = _positions(golden, ids, tokenizer.mask_token_id)
        tensors[f"{i}.input_ids"] = ids
        tensors[f"{i}.positions"] = positions
        tensors[f"{i}.logits"] = output.logits[0, positions]
        for layer in golden.layers:
            tensors[f"{i}.attentions.{layer}"] = output.attentions[layer][0]
        if model.can_generate() and golden.auto_class is AutoModelForCausalLM:
            tensors[f"{i}.greedy_ids"] = _continuation(model, ids)
    return {name: value.contiguous().clone() for name, value in tensors.items()}


def _tokenizer_cases() -> str:
    tokenizer = Tokenizer.from_file(str(ZOO / "decoder" / "tokenizer.json"))
    cases = [(name, text.encode()) for name, text in TOKENIZER_CASES.items()]
    return answers_json(tokenizer, cases)


def _digest(golden: ZooGolden) -> str:
    data = (ZOO / golden.name / "model.safetensors").read_bytes()
    return hashlib.sha256(data).hexdigest()


def make_all() -> None:
    """Writes the files and the record of what made them."""
    OUT.mkdir(exist_ok=True)
    models: dict[str, Any] = {}
    for golden in GOLDENS:
        save_file(compute(golden), OUT / f"{golden.name}.safetensors")
        kind = AutoConfig.from_pretrained(ZOO / golden.name).model_type
        models[golden.name] = {
            "opened_by": f"{golden.auto_class.__name__} as {kind}",
            "model_sha256": _digest(golden),
            "prompts": list(golden.prompts),
        }
    (OUT / CASES_FILE).write_text(_tokenizer_cases(), encoding="ascii")
    write_json(OUT / "versions.json", {"libraries": library_versions(), "models": models})


def check_all() -> bool:
    """Compares the committed files with the libraries' answers now; prints one line each."""
    good = True
    for golden in GOLDENS:
        committed = load_file(OUT / f"{golden.name}.safetensors")
        difference = max_difference(committed, compute(golden))
        good &= difference <= MAX_CHECK_DIFFERENCE
        print(f"{golden.name}: largest difference {difference:.1e}")
    committed_cases = read_cases((OUT / CASES_FILE).read_text(encoding="ascii"))
    pairs = zip_longest(committed_cases, read_cases(_tokenizer_cases()))
    n_different = sum(one != other for one, other in pairs)
    print(f"tokenizer: {n_different} cases differ")
    return good and n_different == 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if parser.parse_args().check:
        return 0 if check_all() else 1
    make_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
