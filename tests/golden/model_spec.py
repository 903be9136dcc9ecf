"""What describes one tiny checkpoint, and helpers to write its tensors as real writers do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class ModelGolden:
    """One checkpoint folder to make.

    `stored` turns the model's state dict into the tensors of the checkpoint file. `n_known_ids` is
    the number of ids that the folder's tokenizer has; the model's vocabulary can be larger.
    `matrix_std` is large enough for sharp attention, in which mistakes show, and small enough that
    the rounding of a rotary angle does not. `norm_center` is the mean of the norms' weights.
    `fixed_ids` are an encoder's tokens at certain positions. `states_before` names the module whose
    input is the final hidden state, where that is not the base model's output.
    """

    name: str
    config: dict[str, Any]
    n_tokens: int
    storage: torch.dtype
    stored: Callable[[Tensors], Tensors]
    n_known_ids: int
    matrix_std: float
    n_shards: int = 1
    build_tokenizer: Callable[[int], Any] | None = None
    extra_files: dict[str, dict[str, Any]] = field(default_factory=dict)
    norm_center: float = 1.0
    fixed_ids: dict[int, int] = field(default_factory=dict)
    states_before: str | None = None

    @property
    def has_head(self) -> bool:
        """Whether the model has logits."""
        return not self.config["architectures"][0].removesuffix("LMHeadModel").endswith("Model")

    @property
    def is_decoder(self) -> bool:
        """Whether the model is causal, so that it has a greedy continuation."""
        return self.has_head and not self.config["architectures"][0].endswith("ForMaskedLM")

    @property
    def text_config(self) -> dict[str, Any]:
        """The language model's configuration, also where it is part of a larger one."""
        return self.config.get("text_config", self.config)

    @property
    def is_dynamic(self) -> bool:
        """Whether rotary frequencies change as the sequence grows."""
        rope = self.config.get("rope_scaling") or self.config.get("rope_parameters") or {}
        return "dynamic" in (rope.get("rope_type"), rope.get("type"))

    @property
    def has_token_types(self) -> bool:
        """Whether the model is called with token types."""
        return "type_vocab_size" in self.config


def without(*names: str) -> Callable[[Tensors], Tensors]:
    """A checkpoint that leaves out tied tensors, as writers do."""
    return lambda state: {name: value for name, value in state.items() if name not in names}


def with_buffers(
    store: Callable[[Tensors], Tensors], buffers: dict[str, torch.Tensor]
) -> Callable[[Tensors], Tensors]:
    """A checkpoint that holds buffers beside the parameters, as old writers saved them."""
    return lambda state: store(state) | buffers
