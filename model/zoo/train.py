#!/usr/bin/env python3
"""Trains the zoo's decoder on a corpus and writes it as a Hugging Face folder.

Progress is shown on standard error. The state is saved in --work-dir every --save-every steps; the
same command continues from it. Same seed, same data, same number of threads: same model.
"""

import argparse
import contextlib
import json
import math
import sys
import time
from pathlib import Path
from typing import ContextManager, Iterator, List, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import progress
import safetensors_file
from bpe import Tokenizer
from llama import Config, Llama

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
HF_NAMES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}


def pack_rows(documents: Iterator[List[int]], end_of_text: int, length: int) -> np.ndarray:
    """Rows [n, length] of documents joined by end-of-text; every row starts with a document.

    A document that a row cuts off is the first of the next row, where it is whole.
    """
    rows, row = [], []
    for ids in documents:
        if row:
            row.append(end_of_text)
        row.extend(ids)
        if len(row) >= length:
            rows.append(row[:length])
            row = ids[:length] if len(row) > length else []
    return np.array(rows, dtype=np.uint16)


def load_rows(corpus: Path, tokenizer: Tokenizer, length: int, cache: Path) -> np.ndarray:
    """Tokenises a corpus once; the rows are cached until the corpus changes."""
    if cache.exists() and cache.stat().st_mtime > corpus.stat().st_mtime:
        return np.load(cache)
    with corpus.open(encoding="utf-8") as lines:
        documents = (tokenizer.encode(line.rstrip("\n")) for line in lines)
        rows = pack_rows(documents, tokenizer.end_of_text, length)
    with cache.open("wb") as out:
        np.save(out, rows)
    return rows


class Batches:
    """Shuffled batches, a function of seed and step only, so that training can resume."""

    def __init__(self, rows: np.ndarray, batch: int, seed: int, end_of_text: int) -> None:
        self.rows, self.batch, self.seed, self.end_of_text = rows, batch, seed, end_of_text
        self.per_epoch = len(rows) // batch
        self._epoch, self._order = -1, np.arange(0)

    def get(self, step: int) -> Tuple[Tensor, Tensor, Tensor]:
        """(inputs, targets, allowed): half of the rows keep their documents apart.

        A row kept apart looks to the model as if each document stood alone, as a prompt does; in
        the others documents see their predecessors, so that long contexts are trained too.
        """
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.rows))
        chosen = self._order[index * self.batch:(index + 1) * self.batch]
        ids = torch.from_numpy(self.rows[chosen].astype(np.int64))
        inputs, targets = ids[:, :-1], ids[:, 1:]
        ends = (inputs == self.end_of_text).long()
        documents = ends.cumsum(1) - ends
        allowed = documents[:, :, None] == documents[:, None, :]
        allowed[self.batch // 2:] = True
        return inputs, targets, allowed


def learning_rate(step: int, args: argparse.Namespace) -> float:
    """Linear warm-up, a plateau, and a cosine down to zero over the last --cool-down steps.

    On the plateau the schedule does not depend on the number of steps: a run can be made longer.
    """
    if step < args.warm_up:
        return args.lr * (step + 1) / args.warm_up
    cooling = max(min(args.cool_down, args.steps * 2 // 3), 1)  # Short runs cool down too.
    share = max(step - (args.steps - cooling), 0) / cooling
    return args.lr * 0.5 * (1 + math.cos(math.pi * share))


def autocast(precision: str) -> ContextManager:
    if precision == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def loss_of(model: Llama, batch: Tuple[Tensor, Tensor, Tensor], precision: str) -> Tensor:
    inputs, targets, allowed = batch
    with autocast(precision):
        logits = model(inputs, allowed)
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def faster_precision(model: Llama, batch: Tuple[Tensor, Tensor, Tensor]) -> str:
    """Times one step in each precision (bf16 wins by far where the CPU has AMX)."""
    seconds = {}
    for precision in ("bf16", "f32"):
        for _ in range(2):  # The first call pays for the set-up.
            began = time.monotonic()
            loss_of(model, batch, precision).backward()
            seconds[precision] = time.monotonic() - began
        model.zero_grad(set_to_none=True)
        print(f"one step in {precision}: {seconds[precision]:.2f} s", file=sys.stderr)
    return min(seconds, key=seconds.get)


def make_optimizer(model: Llama, weight_decay: float) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.ndim == 2]
    norms = [p for p in model.parameters() if p.ndim != 2]
    groups = [{"params": matrices, "weight_decay": weight_decay},
              {"params": norms, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), eps=1e-8)


class Training:
    """A model, its optimiser and how far they are; saved to and restored from the work folder."""

    def __init__(self, model: Llama, args: argparse.Namespace) -> None:
        self.model, self.args = model, args
        self.optimizer = make_optimizer(model, args.weight_decay)
        self.path: Path = args.work_dir / "checkpoint.pt"
        self.step, self.seconds, self.loss = 0, 0.0, float("nan")
        self.precision = args.precision
        self.shape = [vars(model.config), args.batch, args.seed, args.lr, args.warm_up]

    def restore(self) -> None:
        if not self.path.exists():
            return
        state = torch.load(self.path)
        if state["shape"] != self.shape:
            sys.exit(f"{self.path} belongs to other settings: remove it, or use them again")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.loss, self.precision = state["progress"]
        print(f"continuing after step {self.step}", file=sys.stderr)

    def save(self) -> None:
        partial = self.path.with_name(self.path.name + ".part")
        torch.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                    "progress": (self.step, self.seconds, self.loss, self.precision),
                    "shape": self.shape}, partial)
        partial.replace(self.path)

    def _update(self, batch: Tuple[Tensor, Tensor, Tensor]) -> float:
        args = self.args
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, args)
        loss = loss_of(self.model, batch, self.precision)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()

    def run(self, batches: Batches) -> None:
        """Trains to the last step, saving on the way."""
        if self.precision == "auto":
            self.precision = faster_precision(self.model, batches.get(0))
        with progress.Bar("training", self.args.steps, self.step) as bar:
            while self.step < self.args.steps:
                began = time.monotonic()
                loss = self._update(batches.get(self.step))
                self.loss = loss if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss
                self.step += 1
                self.seconds += time.monotonic() - began
                bar.advance(1, f"step {self.step}/{self.args.steps}  loss {self.loss:.3f}")
                if self.step % self.args.save_every == 0 or self.step == self.args.steps:
                    self.save()


def write_folder(training: Training, folder: Path, end_of_text: int, dtype: str) -> None:
    """Writes model.safetensors, config.json and generation_config.json."""
    model = training.model
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.to(DTYPES[dtype]) for name, t in model.state_dict().items()}
    safetensors_file.write(folder / "model.safetensors", tensors)
    config = model.config.to_hugging_face(end_of_text, HF_NAMES[dtype])
    generation = {"bos_token_id": end_of_text, "eos_token_id": end_of_text, "do_sample": False}
    for name, data in (("config.json", config), ("generation_config.json", generation)):
        (folder / name).write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def write_record(training: Training, rows: np.ndarray, path: Path) -> None:
    """What the model card needs to know about the training."""
    args, model = training.args, training.model
    path.write_text(json.dumps({
        "parameters": model.parameter_count(), "vocabulary": model.config.vocab_size,
        "seed": args.seed, "steps": training.step, "batch_rows": args.batch,
        "row_tokens": model.config.max_position_embeddings,
        "corpus_tokens": int(rows.size), "lr": args.lr, "cool_down": args.cool_down,
        "weight_decay": args.weight_decay,
        "trained_tokens": training.step * args.batch * model.config.max_position_embeddings,
        "train_loss": round(training.loss, 4), "seconds": round(training.seconds),
        "precision": training.precision, "threads": args.threads, "stored_as": args.dtype,
    }, indent=2) + "\n", encoding="utf-8")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="training text")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json")
    parser.add_argument("--out", type=Path, required=True, help="Hugging Face folder to write")
    parser.add_argument("--work-dir", type=Path, required=True, help="checkpoints and caches")
    parser.add_argument("--steps", type=int, default=3200, help="optimiser steps")
    parser.add_argument("--batch", type=int, default=8, help="rows a step")
    parser.add_argument("--context", type=int, default=256, help="tokens a row")
    parser.add_argument("--hidden", type=int, default=192, help="width of the model")
    parser.add_argument("--ffn", type=int, default=512, help="width of the feed-forward layers")
    parser.add_argument("--layers", type=int, default=4, help="number of layers")
    parser.add_argument("--heads", type=int, default=6, help="query heads")
    parser.add_argument("--kv-heads", type=int, default=3, help="key and value heads")
    parser.add_argument("--lr", type=float, default=2.5e-3, help="peak learning rate")
    parser.add_argument("--warm-up", type=int, default=100, help="steps of linear warm-up")
    parser.add_argument("--cool-down", type=int, default=1800, help="steps of the final cosine")
    parser.add_argument("--weight-decay", type=float, default=0.1, help="AdamW weight decay")
    parser.add_argument("--seed", type=int, default=1, help="seed of weights and batches")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--precision", choices=["auto", "f32", "bf16"], default="auto",
                        help="arithmetic of the matrix products; auto times both")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="f16", help="stored weights")
    parser.add_argument("--save-every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--export-only", action="store_true",
                        help="write the folder from the latest checkpoint and stop")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.work_dir.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(args.tokenizer)
    rows = load_rows(args.corpus, tokenizer, args.context + 1, args.work_dir / "rows.npy")
    config = Config(
        vocab_size=len(tokenizer), hidden_size=args.hidden, intermediate_size=args.ffn,
        num_hidden_layers=args.layers, num_attention_heads=args.heads,
        num_key_value_heads=args.kv_heads, head_dim=args.hidden // args.heads,
        max_position_embeddings=args.context)
    training = Training(Llama(config), args)
    print(f"{training.model.parameter_count():,} parameters, {rows.size:,} tokens", file=sys.stderr)
    training.restore()
    if not args.export_only:
        training.run(Batches(rows, args.batch, args.seed, tokenizer.end_of_text))
    write_folder(training, args.out, tokenizer.end_of_text, args.dtype)
    write_record(training, rows, args.work_dir / "training.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
