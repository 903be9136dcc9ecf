"""What the zoo's scores are: their names, how far two measurements may differ, what is required.

A figure's value is a plain JSON value, by its kind:

    share    {"hits": 248, "of": 250}
    heads    {"hits": [[...], ...], "of": 250}: a share for each layer and head; the best counts
    weights  [[...], ...]: a mean weight for each layer and head; the best counts
    loss     nats per token
    cosine   a difference of mean cosines
    number   a difference of probabilities, or a probability
    limit    the bound that the measured value kept; the measured value if it did not
    exact    anything that must come out the same

The weights and the items are fixed, so only the last digits of float32 sums can differ from one
processor to another: a share may differ by one item in each 250 begun, and a loss, cosine, weight
or probability by what TOLERANCES says.
"""

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

LADDER = ["last-word", "average", "weighted", "attention", "attention-pos", "decoder", "encoder"]
ITEMS_PER_FLIP = 250
TOLERANCES = {"loss": 0.002, "cosine": 0.005, "number": 0.005, "weights": 0.005}
BLIND = 1e-6  # Largest difference of a probability that still counts as none.
APART = 0.01  # Smallest difference of a probability that counts as telling two texts apart.


@dataclass(frozen=True)
class Figure:
    """One line of a model card."""

    key: str
    label: str
    kind: str


FIGURES: Dict[str, Figure] = {f.key: f for f in [
    Figure("same_after_same_word", "pairs of texts with the same last word: bit-identical answers",
           "share"),
    Figure("example_difference", "largest difference of a probability after `the big cat sat on "
           "the` and after `the small dog ran to the`", "number"),
    Figure("apart", "pairs of texts with the same last word: told apart "
           f"(a probability differs by more than {APART:g})", "share"),
    Figure("one_hot_rows", "rows of weights that are exactly one-hot on the last word", "share"),
    Figure("uniform_rows", "largest difference of a weight from 1/T, at most", "limit"),
    Figure("softmax_rows", "largest difference of a weight from the softmax of the word scores, "
           "at most", "limit"),
    Figure("blind_to_any_order", "all words in another order: largest difference of a "
           "probability, at most", "limit"),
    Figure("blind_to_order", "all words but the last in another order: largest difference of a "
           "probability, at most", "limit"),
    Figure("order_apart", "all words but the last in another order: told apart "
           f"(a probability differs by more than {APART:g})", "share"),
    Figure("order_median", "the same, median over the texts of the largest difference", "number"),
    Figure("deeds", "who was bitten, chased, washed (`the dog bit the man. The` ...)", "share"),
    Figure("deeds_both", "the same, right also when the two nouns are exchanged", "share"),
    Figure("agreement_0", "agreement, no attractor", "share"),
    Figure("agreement_1", "agreement, 1 attractor", "share"),
    Figure("agreement_2", "agreement, 2 attractors", "share"),
    Figure("agreement_3", "agreement, 3 attractors", "share"),
    Figure("agreement_1_hard", "agreement, 1 attractor, of the other number", "share"),
    Figure("agreement_2_hard", "agreement, 2 attractors, both of the other number", "share"),
    Figure("agreement_3_hard", "agreement, 3 attractors, all of the other number", "share"),
    Figure("pronouns", "pronouns of two people", "share"),
    Figure("does_not_fit", "what did not fit (trophy and suitcase)", "share"),
    Figure("head_noun_1", "head noun outweighs the attractor", "heads"),
    Figure("head_noun_2", "head noun outweighs both attractors", "heads"),
    Figure("induction", "induction: weight on what followed the same word before", "weights"),
    Figure("loss_random", "loss on random words, the first time", "loss"),
    Figure("loss_repeated", "loss on the same random words, repeated", "loss"),
    Figure("loss_held_out", "loss on text of the held-out side (validation), nats a token",
           "loss"),
    Figure("loss_training_side", "loss on fresh text of the training side, nats a token", "loss"),
    Figure("masked_loss", "masked tokens of held-out text: loss, nats a token", "loss"),
    Figure("masked_right", "masked tokens of held-out text: the first choice is right", "share"),
    Figure("masked_right_training_side", "the same on fresh text of the training side", "share"),
    Figure("bank_gap", "`bank`, all held-out documents: cosine gap between the kinds", "cosine"),
    Figure("bank_gap_later", "`bank`, decided only by later words: cosine gap", "cosine"),
    Figure("bank_gap_free", "`bank`, sentences outside of the grammar, decided by later words: "
           "cosine gap", "cosine"),
    Figure("bank_same_later", "`bank`, decided only by later words: largest difference between "
           "any two of its vectors, at most", "limit"),
]}

# Bounds, required wherever they are measured.
LIMITS = {"uniform_rows": BLIND, "softmax_rows": 1e-5, "blind_to_any_order": BLIND,
          "blind_to_order": BLIND, "bank_same_later": BLIND}
# Smallest shares, gaps and weights.
_FROM_ORDER = {"order_apart": 0.5, "deeds_both": 0.5}
REQUIRED: Dict[str, Dict[str, float]] = {
    "last-word": {"same_after_same_word": 1.0, "one_hot_rows": 1.0},
    "average": {"example_difference": 0.05, "apart": 0.5},
    "weighted": {"example_difference": 0.05, "apart": 0.5},
    "attention": {"example_difference": 0.05, "apart": 0.5},
    "attention-pos": dict(_FROM_ORDER),
    "decoder": {**_FROM_ORDER, "agreement_1": 0.95, "agreement_2": 0.85, "pronouns": 0.8,
                "does_not_fit": 0.8, "head_noun_1": 0.8, "induction": 0.4},
    "encoder": {**_FROM_ORDER, "bank_gap": 0.1, "bank_gap_later": 0.1},
}


def without_items(values: Dict[str, object]) -> List[str]:
    """The shares of nothing: no item was of the kind that they are about."""
    shares = (key for key in values if FIGURES[key].kind == "share")
    return [key for key in shares if values[key]["of"] == 0]


def best_head(value: object) -> Tuple[float, int, int]:
    """(share or weight, layer, head) of the best head of a `heads` or `weights` value."""
    table = value["hits"] if isinstance(value, dict) else value
    score, layer, head = max(
        (s, -layer, -head) for layer, row in enumerate(table) for head, s in enumerate(row))
    return (score / value["of"] if isinstance(value, dict) else score), -layer, -head


def number_of(key: str, value: object) -> float:
    """A figure's value as one number."""
    kind = FIGURES[key].kind
    if kind == "share":
        return value["hits"] / value["of"]
    return best_head(value)[0] if kind in ("heads", "weights") else value


def within(key: str, measured: float) -> float:
    """The value of a `limit` figure: the bound when it was kept."""
    return LIMITS[key] if measured <= LIMITS[key] else measured


def percent(share: float) -> str:
    """A share in percent; only a share of exactly one is 100 %."""
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    return f"{min(100 * share, 99.9):.1f} %"


def show(key: str, value: object) -> str:
    """A figure's value for people."""
    kind = FIGURES[key].kind
    if kind == "share":
        return percent(number_of(key, value))
    if kind in ("heads", "weights"):
        score, layer, head = best_head(value)
        text = percent(score) if kind == "heads" else f"{score:.2f}"
        return f"{text} (layer {layer}, head {head})"
    return f"{value:.7f}".rstrip("0") if kind == "limit" else f"{value:.3f}"


def _flat(value: object) -> List[float]:
    if isinstance(value, (list, tuple)):
        return [number for part in value for number in _flat(part)]
    return [value]


def _shape(value: object) -> object:
    return [_shape(part) for part in value] if isinstance(value, (list, tuple)) else None


def differs(kind: str, ours: object, theirs: object) -> bool:
    """True when two measurements of one figure differ by more than a processor explains."""
    if kind in ("share", "heads"):
        if ours["of"] != theirs["of"]:
            return True
        allowed: float = -(-ours["of"] // ITEMS_PER_FLIP)
        ours, theirs = ours["hits"], theirs["hits"]
    elif kind in TOLERANCES:
        allowed = TOLERANCES[kind]
    else:
        return ours != theirs
    if _shape(ours) != _shape(theirs):
        return True
    return any(abs(a - b) > allowed for a, b in zip(_flat(ours), _flat(theirs)))


def shortfall(model: str, key: str, value: object) -> Optional[str]:
    """Why a figure is not what is required of the model, or None."""
    needed, limit = REQUIRED[model].get(key), LIMITS.get(key)
    if limit is not None and value > limit:
        return f"{model}: {FIGURES[key].label}: {show(key, value)}, required: {limit:g} or less"
    if needed is not None and number_of(key, value) < needed:
        return f"{model}: {FIGURES[key].label}: {show(key, value)}, required: {needed:g} or more"
    return None


def missing_requirements(model: str, keys: Sequence[str]) -> List[str]:
    """Requirements that nothing was measured for."""
    return [f"{model}: {key} is required and was not measured"
            for key in REQUIRED[model] if key not in keys]
