"""Tiny models, each as a Hugging Face folder and as the GGUF file that llama.cpp makes of it.

The converter is llama.cpp's own, asked for the tensors' types as they are. Only its recognition of
tokenizers is replaced: it knows published ones by a hash, and these are tiny ones.
"""

import json
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PreTrainedModel,
)

from gguf_pairs import Pair

CONVERTER = Path("/usr/share/llama.cpp/llama.cpp-tools")



def draw(pair: Pair, name: str, shape: torch.Size) -> torch.Tensor:
    """A parameter's values by its name: norm weights around their center, the rest around 0."""
    rng = np.random.default_rng(zlib.crc32(f"gguf/{pair.name}/{name}".encode()))
    values = torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))
    if len(shape) > 1:
        return values * pair.std
    return pair.norm_center + 0.3 * values if name.endswith("weight") else 0.3 * values


def model_class(pair: Pair) -> Any:
    """The Auto class for the model's head; base models have none."""
    if pair.is_decoder:
        return AutoModelForCausalLM
    has_head = pair.config["architectures"][0].endswith("ForMaskedLM")
    return AutoModelForMaskedLM if has_head else AutoModel


def random_state(pair: Pair, folder: Path) -> dict[str, torch.Tensor]:
    """The tensors to store, tied ones once."""
    model: PreTrainedModel = model_class(pair).from_config(AutoConfig.from_pretrained(folder))
    return {
        name: draw(pair, name, value.shape).to(pair.storage).contiguous()
        for name, value in model.named_parameters()
        if not name.startswith("pooler.")
    }


def write_folder(pair: Pair, folder: Path) -> None:
    """Writes config.json, model.safetensors and, where there is one, tokenizer.json."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(pair.config, indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    save_file(random_state(pair, folder), folder / "model.safetensors", metadata={"format": "pt"})
    if pair.build_tokenizer is not None:
        tokenizer = pair.build_tokenizer(pair.config["vocab_size"])
        (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=False), encoding="utf-8")


def say_sizes_only(model: Any) -> None:
    """What llama.cpp has to know of a vocabulary of which the file holds nothing."""
    model._set_vocab_none()
    model.gguf_writer.add_vocab_size(model.hparams["vocab_size"])
    if model.model_arch == gguf.MODEL_ARCH.BERT:
        model.gguf_writer.add_token_type_count(model.hparams.get("type_vocab_size", 1))


def converter_class(pair: Pair) -> type:
    """llama.cpp's converter of the architecture, told which tokenizer it sees."""
    if str(CONVERTER) not in sys.path:
        sys.path.insert(0, str(CONVERTER))
    import conversion  # it is beside llama.cpp, not among the packages

    base = conversion.get_model_class(pair.config["architectures"][0], mmproj=False)
    members: dict[str, Any] = {
        "model_arch": base.model_arch,
        "get_vocab_base_pre": lambda self, tokenizer: pair.patterns,
    }
    if pair.build_tokenizer is None:
        members["set_vocab"] = say_sizes_only
    return type(base.__name__, (base,), members)


def convert(pair: Pair, folder: Path, out: Path, **options: Any) -> None:
    """Writes the GGUF form of the folder."""
    file_type = getattr(gguf.LlamaFileType, pair.output_type)
    converter = converter_class(pair)
    # transformers 5 leaves out keys that the converter still asks for.
    hparams = pair.config | converter.load_hparams(folder, False)
    with torch.inference_mode():
        model = converter(
            folder, file_type, out, eager=True, model_name=pair.name, hparams=hparams, **options
        )
        model.write()


@contextmanager
def counted_tokens(pair: Pair, folder: Path) -> Iterator[None]:
    """A tokenizer.json for a converter that reads nothing of it but how many tokens there are."""
    path = folder / "tokenizer.json"
    if pair.config["model_type"] != "gemma3_text":
        yield
        return
    vocab = {f"t{i}": i for i in range(pair.config["vocab_size"])}
    path.write_text(json.dumps({"added_tokens": [], "model": {"vocab": vocab}}), encoding="utf-8")
    try:
        yield
    finally:
        path.unlink()


def make_pair(pair: Pair, folder: Path) -> int:
    """Writes the folder and model.gguf in it; returns the size of the latter."""
    write_folder(pair, folder)
    with counted_tokens(pair, folder):
        convert(pair, folder, folder / "model.gguf")
    return (folder / "model.gguf").stat().st_size
