"""Tiny random checkpoints, and what transformers computes from them.

Every checkpoint is a Hugging Face folder. Its weights are drawn from a seed and the parameter's
name, so they depend on no library's initialisation. The golden values are computed from the folder
as it lies on disk, in float32 with eager attention.
"""

import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    DynamicCache,
    PreTrainedModel,
)

from model_spec import ModelGolden, Tensors
from model_specs import MODELS
from tokenizer_goldens import save_tokenizer

GOLDEN_FILE = "golden.safetensors"
STATES_FILE = "states.safetensors"
BUFFERS = (
    "attn.bias",
    "attn.masked_bias",
    "attention.bias",
    "attention.masked_bias",
    "inv_freq",
    "position_ids",
)
NORM_STD = 0.3
BIAS_STD = 0.3
GREEDY_PROMPT_TOKENS = 8
GREEDY_NEW_TOKENS = 16
MIN_GREEDY_MARGIN = 1e-2
MIN_DISTINCT_GREEDY_TOKENS = 6
MAX_SEEDS_TRIED = 2000


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes an indented JSON file that ends in a newline."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _model_class(golden: ModelGolden) -> Any:
    if not golden.has_head:
        return AutoModel
    return AutoModelForCausalLM if golden.is_decoder else AutoModelForMaskedLM


def _draw(golden: ModelGolden, name: str, shape: torch.Size, seed: int) -> torch.Tensor:
    """A parameter's values: norm weights around 1, the rest around 0, all far from the usual."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{golden.name}/{name}".encode())])
    values = torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))
    if len(shape) > 1:
        return values * golden.matrix_std
    if name.endswith("weight"):
        return golden.norm_center + values * NORM_STD
    return values * BIAS_STD


def _random_model(golden: ModelGolden, folder: Path, seed: int) -> PreTrainedModel:
    """A model as the folder's config.json says, its random weights rounded to the storage type."""
    config = AutoConfig.from_pretrained(folder)
    model = _model_class(golden).from_config(
        config, attn_implementation="eager", dtype=torch.float32
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = _draw(golden, name, parameter.shape, seed)
            parameter.copy_(values.to(golden.storage).to(torch.float32))
    return model.eval()


def load_model(golden: ModelGolden, folder: Path) -> PreTrainedModel:
    """Loads the folder as users do, in float32, and refuses missing or surprising tensors."""
    model, info = _model_class(golden).from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
    )
    surprising = [name for name in info["unexpected_keys"] if not name.endswith(BUFFERS)]
    if info["missing_keys"] or info["mismatched_keys"] or surprising:
        raise ValueError(f"{golden.name}: transformers did not load the folder cleanly: {info}")
    return model.eval()


def _input_ids(golden: ModelGolden, seed: int) -> torch.Tensor:
    """Random ids; an encoder's are as usual [CLS] in front, [SEP] at the end and two [MASK]."""
    rng = np.random.default_rng([seed, zlib.crc32(golden.name.encode())])
    if golden.is_decoder:
        return torch.from_numpy(rng.integers(0, golden.n_known_ids, golden.n_tokens))
    ids = rng.integers(5, golden.n_known_ids, golden.n_tokens)
    ids[list(golden.fixed_ids)] = list(golden.fixed_ids.values())
    return torch.from_numpy(ids)


def _eos_ids(config: dict[str, Any]) -> set[int]:
    eos = config["eos_token_id"]
    return set(eos) if isinstance(eos, list) else {eos}


def _forget_lengths(model: PreTrainedModel) -> None:
    """Makes a model ready for another sequence.

    After a sequence that stretched dynamic rotary frequencies, the library would use the last ones
    for shorter sequences too.
    """
    for module in model.modules():
        if hasattr(module, "original_inv_freq"):
            module.inv_freq = module.original_inv_freq.clone()


@torch.no_grad()
def _greedy(model: PreTrainedModel, prompt: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Continues the prompt, token by token; also returns the smallest lead of a winner."""
    _forget_lengths(model)
    ids, margin = prompt, float("inf")
    cache = DynamicCache(config=model.config)
    while len(ids) < len(prompt) + GREEDY_NEW_TOKENS:
        new = ids[cache.get_seq_length() :]
        best = model(input_ids=new[None], past_key_values=cache).logits[0, -1].topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        ids = torch.cat([ids, best.indices[:1]])
    return ids[len(prompt) :], margin


@torch.no_grad()
def _stepped_logits(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Logits of a sequence whose prompt is short and to which the other ids are appended singly."""
    _forget_lengths(model)
    cache = DynamicCache(config=model.config)
    steps = [ids[:GREEDY_PROMPT_TOKENS], *ids[GREEDY_PROMPT_TOKENS:].split(1)]
    return torch.cat([model(input_ids=new[None], past_key_values=cache).logits[0] for new in steps])


def _is_good_continuation(golden: ModelGolden, ids: torch.Tensor, margin: float) -> bool:
    """Whether it has no near tie, does not stop, repeats little and can be decoded."""
    chosen = set(ids.tolist())
    return (
        margin > MIN_GREEDY_MARGIN
        and not chosen & _eos_ids(golden.text_config)
        and len(chosen) >= MIN_DISTINCT_GREEDY_TOKENS
        and max(chosen) < golden.n_known_ids
    )


def _find_seed(golden: ModelGolden, folder: Path) -> int:
    """The first seed whose greedy continuation is worth keeping."""
    if not golden.is_decoder:
        return 0
    for seed in range(MAX_SEEDS_TRIED):
        prompt = _input_ids(golden, seed)[:GREEDY_PROMPT_TOKENS]
        if _is_good_continuation(golden, *_greedy(_random_model(golden, folder, seed), prompt)):
            return seed
    raise ValueError(f"{golden.name}: no usable greedy continuation in {MAX_SEEDS_TRIED} seeds")


def _write_weights(golden: ModelGolden, folder: Path, tensors: Tensors) -> None:
    """Writes one file, or shards of about the same number of tensors and their index."""
    metadata = {"format": "pt"}
    names = sorted(tensors)
    if golden.n_shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata=metadata)
        return
    weight_map: dict[str, str] = {}
    for shard in range(golden.n_shards):
        file_name = f"model-{shard + 1:05}-of-{golden.n_shards:05}.safetensors"
        mine = names[shard :: golden.n_shards]
        save_file({name: tensors[name] for name in mine}, folder / file_name, metadata=metadata)
        weight_map.update(dict.fromkeys(mine, file_name))
    total_size = sum(value.numel() * value.element_size() for value in tensors.values())
    index = {"metadata": {"total_size": total_size}, "weight_map": dict(sorted(weight_map.items()))}
    write_json(folder / "model.safetensors.index.json", index)


def _stored_tensors(golden: ModelGolden, model: PreTrainedModel) -> Tensors:
    """The tensors under their stored names; parameters in the storage type, buffers as they are."""
    state = {name: value.to(golden.storage) for name, value in model.state_dict().items()}
    return {name: value.contiguous().clone() for name, value in golden.stored(state).items()}


def _inputs(golden: ModelGolden, ids: torch.Tensor) -> Tensors:
    """What the model is called with: a batch of one."""
    inputs = {"input_ids": ids[None]}
    if golden.has_token_types:
        inputs["token_type_ids"] = torch.zeros_like(ids)[None]
    return inputs


@torch.no_grad()
def compute_states(golden: ModelGolden, model: PreTrainedModel, ids: torch.Tensor) -> Tensors:
    """What the model's head reads: the base model's output, after a decoder's final norm."""
    _forget_lengths(model)
    seen: list[torch.Tensor] = []
    if golden.states_before is not None:
        module = model.get_submodule(golden.states_before)
        module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    base = model.base_model if golden.has_head else model
    states = base(**_inputs(golden, ids)).last_hidden_state
    return {"last_hidden_state": (seen[0] if seen else states)[0].contiguous().clone()}


@torch.no_grad()
def compute(golden: ModelGolden, model: PreTrainedModel, ids: torch.Tensor) -> Tensors:
    """The model's logits and attention for the ids, and a decoder's greedy continuation."""
    _forget_lengths(model)
    inputs = _inputs(golden, ids)
    output = model(**inputs, output_attentions=True, use_cache=False)
    tensors = {name: value[0] for name, value in inputs.items()}
    if golden.has_head:
        tensors["logits"] = output.logits[0]
    for layer, weights in enumerate(output.attentions):
        tensors[f"attentions.{layer}"] = weights[0]
    if golden.is_decoder:
        tensors["greedy_ids"] = _greedy(model, ids[:GREEDY_PROMPT_TOKENS])[0]
    if golden.is_dynamic:
        tensors["stepped_logits"] = _stepped_logits(model, ids)
    return {name: value.contiguous().clone() for name, value in tensors.items()}


def max_difference(one: Tensors, other: Tensors) -> float:
    """The largest absolute difference between two sets of tensors of the same names."""
    if one.keys() != other.keys():
        raise ValueError(f"different tensors: {sorted(one)} and {sorted(other)}")
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def _attentions(values: Tensors) -> torch.Tensor:
    """All attention weights: [n_layers, n_heads, n_tokens, n_tokens]."""
    return torch.stack([value for name, value in values.items() if name.startswith("attentions.")])


def _rounded(value: torch.Tensor) -> float:
    return float(f"{float(value):.1e}")


def _summary(
    golden: ModelGolden, model: PreTrainedModel, values: Tensors, seed: int
) -> dict[str, Any]:
    """What versions.json records: the seed, and how much float32 rounding is in the values."""
    exact = compute(golden, model.double(), values["input_ids"])
    attention = _attentions(values)
    summary = {
        "seed": seed,
        "mean_largest_weight": round(float(attention.max(dim=-1).values.mean()), 3),
        "attentions_float64_difference": _rounded((attention - _attentions(exact)).abs().max()),
    }
    if golden.has_head:
        logits = values["logits"]
        summary["max_abs_logit"] = round(float(logits.abs().max()), 3)
        summary["logits_float64_difference"] = _rounded((logits - exact["logits"]).abs().max())
    return summary


def _write_tokenizer(golden: ModelGolden, folder: Path) -> None:
    if golden.build_tokenizer is None:
        return
    tokenizer = golden.build_tokenizer(golden.n_known_ids)
    if tokenizer.get_vocab_size() != golden.n_known_ids:
        raise ValueError(f"{golden.name}: the tokenizer has {tokenizer.get_vocab_size()} ids")
    save_tokenizer(tokenizer, folder / "tokenizer.json")


def make_model(golden: ModelGolden, folder: Path) -> dict[str, Any]:
    """Writes one checkpoint folder and, computed from the folder as written, its golden values."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", golden.config)
    for name, value in golden.extra_files.items():
        write_json(folder / name, value)
    _write_tokenizer(golden, folder)
    seed = _find_seed(golden, folder)
    made = _random_model(golden, folder, seed)
    _write_weights(golden, folder, _stored_tensors(golden, made))
    ids = _input_ids(golden, seed)
    loaded = load_model(golden, folder)
    values = compute(golden, loaded, ids)
    if max_difference(values, compute(golden, made, ids)) != 0.0:
        raise ValueError(
            f"{golden.name}: the folder as loaded differs from the model that was written"
        )
    save_file(values, folder / GOLDEN_FILE)
    save_file(compute_states(golden, loaded, ids), folder / STATES_FILE)
    return _summary(golden, loaded, values, seed)


def check_model(golden: ModelGolden, folder: Path) -> float:
    """How far the committed golden values are from what the folder gives now."""
    committed = load_file(folder / GOLDEN_FILE)
    model, ids = load_model(golden, folder), committed["input_ids"]
    return max(
        max_difference(committed, compute(golden, model, ids)),
        max_difference(load_file(folder / STATES_FILE), compute_states(golden, model, ids)),
    )


def make_models(folder: Path, goldens: Iterable[ModelGolden] = MODELS) -> dict[str, Any]:
    """Writes every checkpoint folder and returns a summary of each, by name."""
    return {golden.name: make_model(golden, folder / golden.name) for golden in goldens}
