#!/usr/bin/env python3
"""Makes the golden files of inspection: what every read must say about a short prompt on tiny checkpoints.

The checkpoints are those of tests/golden/models. The answers come from models.py and analyses.py, which know
nothing of heed: float64, from the formulas. Before anything is written the models are held to the logits and
weights that transformers gave. Needs NumPy only.

    inspect_goldens.py            make everything anew
    inspect_goldens.py --check    compare the committed files with what the formulas say now
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import analyses
import models
import safetensors_io

HERE = Path(__file__).resolve().parent
CHECKPOINTS = HERE.parent / "golden" / "models"
NAMES = ("gpt2-f32", "llama-gqa-f32", "neox-f16", "gemma2-f32", "bert-f32")
# Repeats for duplicate-token and induction heads.
IDS = np.array([5, 17, 9, 30, 5, 17, 9, 41, 5, 17, 30])
POSITION, TOKEN, TOP, DIMENSIONS = 9, 30, 3, 3
MAX_REFERENCE_DIFFERENCE = 1e-5


def check_reference(name: str, model: models.Model) -> None:
    golden = safetensors_io.read(CHECKPOINTS / name / "golden.safetensors")
    run = models.run(model, golden["input_ids"])
    worst = np.abs(run.logits - golden["logits"]).max()
    for index, layer in enumerate(run.layers):
        worst = max(worst, np.abs(layer.weights - golden[f"attentions.{index}"]).max())
    if worst > MAX_REFERENCE_DIFFERENCE:
        sys.exit(f"{name}: the formulas differ from transformers by {worst:g}")


def answers(name: str) -> safetensors_io.Tensors:
    model = models.load(CHECKPOINTS / name)
    check_reference(name, model)
    run = models.run(model, IDS)
    tensors = {"input_ids": IDS, "logits": run.logits[POSITION], "stats": analyses.head_stats(run),
               "rollout": analyses.rollout(run, "mean", 0.5),
               "rollout_max": analyses.rollout(run, "max", 0.25),
               "flow": analyses.flow(run, POSITION)}
    tensors |= analyses.attention_stages(run) | analyses.sites(run) | analyses.detection(run)
    tensors |= analyses.logit_lens(run, TOKEN, TOP) | analyses.decomposition(run)
    tensors |= analyses.shapes_of(run.residual[1], DIMENSIONS)
    if model.transform is models.identity:
        tensors |= analyses.attribution(run, POSITION, TOKEN)
    return tensors


def check(path: Path, tensors: safetensors_io.Tensors) -> None:
    committed = safetensors_io.read(path)
    if committed.keys() != tensors.keys():
        sys.exit(f"{path.name}: other tensors: {sorted(committed.keys() ^ tensors.keys())}")
    for name, values in tensors.items():
        if not np.allclose(committed[name], values, rtol=1e-6, atol=1e-6):
            sys.exit(f"{path.name}: {name} differs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    for name in NAMES:
        path = HERE / "goldens" / f"{name}.safetensors"
        tensors = answers(name)
        if arguments.check:
            check(path, tensors)
        else:
            path.parent.mkdir(exist_ok=True)
            safetensors_io.write(path, tensors)
        print(f"{name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
