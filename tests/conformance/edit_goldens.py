#!/usr/bin/env python3
"""Makes the golden files of interventions: the logits of edited runs of a short prompt on tiny checkpoints.

The forward passes of models.py are gone through anew with an edit at each place, in float64. Without edits
they must give what models.py gives. The cases are those of tests/inspect/intervention_golden_test.cc. Needs
NumPy only.

    edit_goldens.py            make everything anew
    edit_goldens.py --check    compare the committed files with what the formulas say now
"""

import argparse
import sys
from dataclasses import dataclass, field
from typing import Callable

import numpy as np

import models
import safetensors_io
from inspect_goldens import CHECKPOINTS, HERE, IDS, NAMES, check, check_reference

Array = np.ndarray
OTHER_IDS = np.array([7, 41, 9, 12, 33, 17, 2, 41, 28, 17, 6])
POSITIONS = (6, 10)
N = len(IDS)


@dataclass
class Edits:
    """What to do to arrays in place: fn(array) by (site, layer), as tests/inspect names sites; and to the
    scores and weights [heads, queries, keys] of a layer. `causal` by layer replaces the model's mask."""

    sites: dict[tuple[str, int], Callable[[Array], None]] = field(default_factory=dict)
    scores: dict[int, Callable[[Array], None]] = field(default_factory=dict)
    weights: dict[int, Callable[[Array, Array], None]] = field(default_factory=dict)  # and what is seen
    causal: dict[int, bool] = field(default_factory=dict)


Seen = dict[tuple[str, int], Array]


def sees(model: models.Model, layer: models.Layer, causal: bool) -> Array:
    distance = np.arange(N)[:, None] - np.arange(N)[None, :]
    seen = distance >= 0 if causal else np.ones((N, N), bool)
    return seen & (np.abs(distance) < layer.window) if layer.window else seen


def edited_layer(model: models.Model, index: int, x: Array, edits: Edits, seen: Seen) -> Array:
    layer = model.layers[index]

    def visit(site: str, rows: Array) -> Array:
        rows = rows.copy()
        edits.sites.get((site, index), lambda _: None)(rows.reshape(N, -1))
        seen[site, index] = rows
        return rows

    x = visit("residual", x)
    q, k, v = (visit(site, part) for site, part in zip(("query", "key", "value"), layer.qkv(layer.before(x))))
    k, v = (np.repeat(kv, q.shape[1] // kv.shape[1], axis=1) for kv in (k, v))
    visible = sees(model, layer, edits.causal.get(index, model.causal))
    scores = models.cap(np.einsum("ihd,jhd->hij", q, k) * model.scale, model.attention_cap)
    scores = np.where(visible, scores, -np.inf)
    edits.scores.get(index, lambda _: None)(scores)
    weights = models.softmax(scores)
    edits.weights.get(index, lambda *_: None)(weights, visible)
    mixed = visit("mixed", np.einsum("hij,jhd->ihd", weights, v))
    out = np.einsum("ihd,hdw->iw", mixed, layer.w_o) + layer.b_o
    mid = x + visit("attention_out", layer.inside(out) if layer.inside else out)
    mid = visit("residual_mid", layer.after(mid) if layer.after else mid)
    up = layer.mlp(layer.before_mlp(x if model.parallel else mid))
    end = mid + visit("mlp_out", layer.inside_mlp(up) if layer.inside_mlp else up)
    return layer.after_mlp(end) if layer.after_mlp else end


def edited_run(model: models.Model, ids: Array, edits: Edits) -> tuple[Array, Seen]:
    """The logits, and what was at each site."""
    x, seen = model.embed(ids), {}
    for index in range(len(model.layers)):
        x = edited_layer(model, index, x, edits, seen)
    x = x.copy()
    edits.sites.get(("residual", len(model.layers)), lambda _: None)(x)
    seen["residual", len(model.layers)] = x
    return models.cap(models.unembed(model, x), model.logit_cap), seen


def head_columns(rows: Array, head: int, dim: int) -> Array:
    return rows[:, head * dim : (head + 1) * dim]


def cases(model: models.Model, clean: Seen) -> dict[str, Edits]:
    last = len(model.layers) - 1
    head_count, dim, width = model.layers[0].w_o.shape
    wave = np.sin(np.arange(width))
    direction = np.cos(np.arange(width))
    unit = direction / np.linalg.norm(direction)

    def on(array: Array, where: tuple, change: Callable[[Array], Array]) -> None:
        array[where] = change(array[where])

    def rows_like(preset: str) -> Callable[[Array, Array], None]:
        def fill(weights: Array, visible: Array) -> None:
            for query in range(N):
                keys = np.flatnonzero(visible[query])
                row = np.zeros(N)
                if preset == "uniform":
                    row[keys] = 1 / len(keys)
                else:
                    row[{"identity": query, "first": keys[0], "last": keys[-1]}[preset]] = 1
                weights[0, query] = row
        return fill

    def given_row(weights: Array, _: Array) -> None:
        weights[0, 10] = [0, 0, 0, 0, 0, 0, 0.05, 0.35, 0.45, 0.10, 0.05]

    def mean_of_head(rows: Array) -> None:
        columns = head_columns(rows, head_count - 1, dim)
        columns[3:9] = columns.mean(0)

    def patch(site: str, layer: int, begin: int, end: int) -> Edits:
        source = clean[site, layer].reshape(N, -1)
        def copy(rows: Array) -> None:
            rows[begin:end] = source[begin:end]
        return Edits(sites={(site, layer): copy})

    def patch_head(rows: Array) -> None:
        head_columns(rows, 0, dim)[:] = head_columns(clean["mixed", last].reshape(N, -1), 0, dim)

    def shifted_patch(rows: Array) -> None:
        rows[8:10] = clean["residual", 1].reshape(N, -1)[2:4]

    def project(rows: Array) -> None:
        rows[2:] -= np.outer(rows[2:] @ unit, unit)

    return {
        "none": Edits(),
        "dial": Edits(scores={0: lambda s: on(s, np.s_[head_count - 1], lambda x: 2.5 * x)}),
        "dial_flat": Edits(scores={i: lambda s: on(s, np.s_[:, 6:], lambda x: np.where(np.isinf(x), x, 0))
                                   for i in range(last + 1)}),
        "bias": Edits(scores={last: lambda s: on(s, np.s_[:, :, 2:4], lambda x: x + 1.5)}),
        "knock_out": Edits(scores={0: lambda s: on(s, np.s_[0, 5:, [0, 5, 6]], lambda x: x - np.inf)}),
        "cut_row": Edits(scores={last: lambda s: on(s, np.s_[0, 6], lambda x: x - np.inf)}),
        "weights": Edits(weights={1: given_row}),
        "uniform": Edits(weights={0: rows_like("uniform")}),
        "identity": Edits(weights={0: rows_like("identity")}),
        "last_word": Edits(weights={0: rows_like("last")}),
        "first_word": Edits(weights={0: rows_like("first")}),
        "scale": Edits(sites={("mixed", 0): lambda r: on(head_columns(r, 0, dim), np.s_[:], lambda x: 0.25 * x)}),
        "zero": Edits(sites={("mlp_out", 0): lambda r: on(r, np.s_[4:7], lambda x: 0 * x)}),
        "mean": Edits(sites={("mixed", 0): mean_of_head}),
        "patch_residual": patch("residual", 1, 4, 7),
        "patch_query": patch("query", last, 0, N),
        "patch_key": patch("key", 0, 3, 6),
        "patch_value": patch("value", last, 0, 9),
        "patch_attention": patch("attention_out", 0, 0, N),
        "patch_mlp": patch("mlp_out", last, 6, 7),
        "patch_head": Edits(sites={("mixed", last): patch_head}),
        "patch_shifted": Edits(sites={("residual", 1): shifted_patch}),
        "add": Edits(sites={("residual", 1): lambda r: on(r, np.s_[2:], lambda x: x + 0.7 * wave)}),
        "add_last": Edits(sites={("residual", last + 1): lambda r: on(r, np.s_[:], lambda x: x - 0.3 * wave)}),
        "project_out": Edits(sites={("attention_out", 1): project}),
        "mask": Edits(causal={0: not model.causal}),
        "masks": Edits(causal={i: not model.causal for i in range(last + 1)}),
    }


def answers(name: str) -> safetensors_io.Tensors:
    model = models.load(CHECKPOINTS / name)
    check_reference(name, model)
    _, clean = edited_run(model, OTHER_IDS, Edits())
    tensors = {"input_ids": IDS, "other_ids": OTHER_IDS, "positions": np.array(POSITIONS)}
    for case, edits in cases(model, clean).items():
        logits, _ = edited_run(model, IDS, edits)
        tensors[case] = logits[list(POSITIONS)]
        if case == "none" and np.abs(logits - models.run(model, IDS).logits).max() > 1e-9:
            sys.exit(f"{name}: without edits the run is not the model's")
        if case != "none" and np.abs(tensors[case] - tensors["none"]).max() < 1e-3:
            sys.exit(f"{name}: {case} changes next to nothing")
    return tensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    for name in NAMES:
        path = HERE / "goldens" / f"{name}-edits.safetensors"
        tensors = answers(name)
        if arguments.check:
            check(path, tensors)
        else:
            safetensors_io.write(path, tensors)
        print(f"{name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
