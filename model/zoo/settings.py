"""The seven models of the ladder and the settings that train.py uses unless told otherwise."""

from dataclasses import dataclass, field, fields
from typing import Dict, Optional


@dataclass(frozen=True)
class Settings:
    """How a model is shaped and trained. The help texts are those of train.py's options."""

    steps: int = field(metadata={"help": "optimiser steps"})
    batch: int = field(metadata={"help": "rows a step (a row has --context tokens)"})
    lr: float = field(metadata={"help": "peak learning rate"})
    cool_down: int = field(metadata={"help": "steps of the final cosine"})
    hidden: int = field(metadata={"help": "width of the model"})
    apart: float = field(
        default=0.5, metadata={"help": "share of the rows that keep their documents apart"})
    warm_up: int = field(default=100, metadata={"help": "steps of linear warm-up"})
    weight_decay: float = field(default=0.1, metadata={"help": "AdamW weight decay"})
    context: int = field(default=256, metadata={"help": "tokens a row"})
    ffn: int = field(default=512, metadata={"help": "width of the feed-forward layers"})
    layers: int = field(default=4, metadata={"help": "number of layers"})
    heads: int = field(default=6, metadata={"help": "query heads"})
    kv_heads: int = field(default=3, metadata={"help": "key and value heads of the decoder"})


@dataclass(frozen=True)
class Pattern:
    """What makes a rung below the transformers: see mixing.py."""

    mixing: str
    position_encoding: str = "none"


def _rung(steps: int) -> Settings:
    return Settings(steps=steps, batch=16, lr=5e-3, cool_down=steps * 2 // 3, hidden=128,
                    apart=0.75, weight_decay=0.01)


PATTERNS: Dict[str, Pattern] = {
    "last-word": Pattern("last_word"),
    "average": Pattern("average"),
    "weighted": Pattern("weighted"),
    "attention": Pattern("attention"),
    "attention-pos": Pattern("attention", "learned"),
}
SETTINGS: Dict[str, Settings] = {
    "last-word": _rung(1200),
    "average": _rung(1200),
    "weighted": _rung(1200),
    "attention": _rung(1800),
    "attention-pos": _rung(2400),
    "decoder": Settings(steps=3200, batch=8, lr=2.5e-3, cool_down=1800, hidden=192),
    "encoder": Settings(steps=7000, batch=8, lr=1.5e-3, cool_down=4666, hidden=192,
                        warm_up=300, weight_decay=0.01),
}


def choose(model: str, overrides: Dict[str, Optional[float]]) -> Settings:
    """The model's settings, with those of `overrides` that are not None in their place."""
    own = {f.name: getattr(SETTINGS[model], f.name) for f in fields(Settings)}
    own.update({name: value for name, value in overrides.items() if value is not None})
    return Settings(**own)
