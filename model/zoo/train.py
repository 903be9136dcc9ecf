#!/usr/bin/env python3
"""Trains one model of the zoo on a corpus and writes it as a Hugging Face folder.

Progress is shown on standard error. The state is saved in --work-dir/MODEL every --save-every
steps; the same command continues from it. Same seed, data and number of threads: same model.
Steps, rates and sizes that are not given are the model's own (settings.py).
"""

import argparse
import contextlib
import hashlib
import json
import math
import sys
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import ContextManager, Union

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import bert
import llama
import mixing
import progress
import safetensors_file
from bpe import Tokenizer
from documents import Batch, load_tokens, pack_rows, split_documents
from masked_word import MaskedWordBatches, sentences_only
from next_word import NextWordBatches
from settings import PATTERNS, SETTINGS, Settings, choose

Model = Union[mixing.Mixing, llama.Llama, bert.Bert]
Batches = Union[NextWordBatches, MaskedWordBatches]

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
HF_NAMES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}


def make_model(name: str, vocabulary: int, s: Settings) -> Model:
    if name in PATTERNS:
        pattern = PATTERNS[name]
        return mixing.Mixing(mixing.Config(
            pattern.mixing, pattern.position_encoding, vocabulary, s.hidden, s.context))
    sizes = dict(vocab_size=vocabulary, hidden_size=s.hidden, intermediate_size=s.ffn,
                 num_hidden_layers=s.layers, num_attention_heads=s.heads,
                 max_position_embeddings=s.context)
    if name == "encoder":
        return bert.Bert(bert.Config(**sizes))
    return llama.Llama(llama.Config(
        **sizes, num_key_value_heads=s.kv_heads, head_dim=s.hidden // s.heads))


def parameter_count(model: Model) -> int:
    return sum(p.numel() for p in model.parameters())


def make_batches(name: str, tokens: np.ndarray, tokenizer: Tokenizer, s: Settings,
                 seed: int) -> Batches:
    end = tokenizer.end_of_text
    documents = split_documents(tokens, end)
    if name == "encoder":
        documents = sentences_only(documents, tokenizer)
        return MaskedWordBatches(documents, s.batch * s.context, s.context, seed, end,
                                 tokenizer.mask, len(tokenizer))
    rows = pack_rows(documents, end, s.context + 1)
    return NextWordBatches(rows, s.batch, seed, end, s.apart)


def learning_rate(step: int, s: Settings) -> float:
    """Linear warm-up, a plateau, and a cosine down to zero over the last --cool-down steps.

    On the plateau the schedule does not depend on the number of steps: a run can be made longer.
    """
    if step < s.warm_up:
        return s.lr * (step + 1) / s.warm_up
    cooling = max(min(s.cool_down, s.steps * 2 // 3), 1)  # Short runs cool down too.
    share = max(step - (s.steps - cooling), 0) / cooling
    return s.lr * 0.5 * (1 + math.cos(math.pi * share))


def autocast(precision: str) -> ContextManager:
    if precision == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def loss_of(model: Model, batch: Batch, precision: str) -> Tensor:
    with autocast(precision):
        logits = model.predict(batch)
    return F.cross_entropy(logits.float(), batch.targets)


def faster_precision(model: Model, batch: Batch) -> str:
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


def make_optimizer(model: Model, weight_decay: float) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.ndim == 2]
    norms = [p for p in model.parameters() if p.ndim != 2]
    groups = [{"params": matrices, "weight_decay": weight_decay},
              {"params": norms, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), eps=1e-8)


class Training:
    """A model, its optimiser and how far they are; saved to and restored from the work folder."""

    def __init__(self, model: Model, settings: Settings, args: argparse.Namespace) -> None:
        self.model, self.settings, self.args = model, settings, args
        self.optimizer = make_optimizer(model, settings.weight_decay)
        self.path: Path = args.work_dir / args.model / "checkpoint.pt"
        self.step, self.tokens, self.seconds, self.loss = 0, 0, 0.0, float("nan")
        self.precision = args.precision
        self.shape = [args.model, vars(model.config), settings.batch, args.seed, settings.lr,
                      settings.warm_up]

    def restore(self) -> None:
        if not self.path.exists():
            return
        state = torch.load(self.path)
        if state["shape"] != self.shape:
            sys.exit(f"{self.path} belongs to other settings: remove it, or use them again")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.tokens, self.seconds, self.loss, self.precision = state["progress"]
        print(f"continuing after step {self.step}", file=sys.stderr)

    def save(self) -> None:
        partial = self.path.with_name(self.path.name + ".part")
        torch.save({
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "progress": (self.step, self.tokens, self.seconds, self.loss, self.precision),
            "shape": self.shape}, partial)
        partial.replace(self.path)

    def _update(self, batch: Batch) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.settings)
        loss = loss_of(self.model, batch, self.precision)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.tokens += batch.tokens
        return loss.item()

    def run(self, batches: Batches) -> None:
        """Trains to the last step, saving on the way."""
        steps = self.settings.steps
        if self.precision == "auto":
            self.precision = faster_precision(self.model, batches.get(0))
        with progress.Bar(self.args.model, steps, self.step) as bar:
            while self.step < steps:
                began = time.monotonic()
                loss = self._update(batches.get(self.step))
                self.loss = loss if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss
                self.step += 1
                self.seconds += time.monotonic() - began
                bar.advance(1, f"step {self.step}/{steps}  loss {self.loss:.3f}")
                if self.step % self.args.save_every == 0 or self.step == steps:
                    self.save()


def generation_config(name: str, end_of_text: int) -> dict:
    """Defaults of generation; the rungs below the decoder have no begin-of-text token."""
    start = {"bos_token_id": end_of_text} if name == "decoder" else {}
    return {**start, "eos_token_id": end_of_text, "pad_token_id": end_of_text, "do_sample": False}


def write_json(path: Path, data: dict) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def write_folder(training: Training, folder: Path, tokenizer: Path, end_of_text: int) -> None:
    """Writes the weights, config.json, generation_config.json and the tokenizer's two files."""
    model, args = training.model, training.args
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.to(DTYPES[args.dtype]) for name, t in model.state_dict().items()}
    safetensors_file.write(folder / "model.safetensors", tensors)
    write_json(folder / "config.json",
               model.config.to_hugging_face(end_of_text, HF_NAMES[args.dtype]))
    if args.model != "encoder":  # An encoder fills masks; it generates nothing.
        write_json(folder / "generation_config.json", generation_config(args.model, end_of_text))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        data = (tokenizer.parent / name).read_bytes()
        (folder / name).write_bytes(data)


def write_record(training: Training, tokens: int, folder: Path) -> None:
    """training.json: what the model card needs to know about the training."""
    args, model, settings = training.args, training.model, training.settings
    write_json(folder / "training.json", {
        "model": args.model, "parameters": parameter_count(model),
        "file_bytes": (folder / "model.safetensors").stat().st_size, "stored_as": args.dtype,
        "vocabulary": model.config.vocab_size, "corpus_seed": args.corpus_seed,
        "corpus_sha256": hashlib.sha256(args.corpus.read_bytes()).hexdigest(),
        "corpus_tokens": tokens, "seed": args.seed, "steps": training.step,
        "batch_rows": settings.batch, "row_tokens": settings.context, "lr": settings.lr,
        "warm_up": settings.warm_up, "cool_down": settings.cool_down,
        "weight_decay": settings.weight_decay, "apart": settings.apart,
        "trained_tokens": training.tokens, "train_loss": round(training.loss, 4),
        "seconds": round(training.seconds), "precision": training.precision,
        "threads": args.threads,
    })


def settings_table() -> str:
    """The settings of every model, for --help."""
    lines = ["settings of the models:"]
    for name, settings in SETTINGS.items():
        facts = ", ".join(f"{key} {value:g}" for key, value in asdict(settings).items()
                          if key in ("steps", "batch", "lr", "cool_down", "hidden"))
        lines.append(f"  {name:<14} {facts}")
    return "\n".join(lines)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=settings_table(),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(SETTINGS), default="decoder",
                        help="which rung of the ladder (default: decoder)")
    parser.add_argument("--corpus", type=Path, required=True, help="training text")
    parser.add_argument("--corpus-seed", type=int, default=1, help="recorded only (default: 1)")
    parser.add_argument("--tokenizer", type=Path, required=True,
                        help="tokenizer.json, with tokenizer_config.json beside it")
    parser.add_argument("--out", type=Path, required=True, help="Hugging Face folder to write")
    parser.add_argument("--work-dir", type=Path, required=True, help="checkpoints and caches")
    for setting in fields(Settings):
        parser.add_argument("--" + setting.name.replace("_", "-"), type=setting.type,
                            help=setting.metadata["help"])
    parser.add_argument("--seed", type=int, default=1, help="of weights and batches (default: 1)")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch (default: 2)")
    parser.add_argument("--precision", choices=["auto", "f32", "bf16"], default="auto",
                        help="arithmetic of the matrix products; auto times both (default: auto)")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="f16",
                        help="stored weights (default: f16)")
    parser.add_argument("--save-every", type=int, default=250,
                        help="steps between checkpoints (default: 250)")
    parser.add_argument("--export-only", action="store_true",
                        help="write the folder from the latest checkpoint and stop")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    settings = choose(args.model, {f.name: getattr(args, f.name) for f in fields(Settings)})
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    (args.work_dir / args.model).mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(args.tokenizer)
    tokens = load_tokens(args.corpus, tokenizer, args.work_dir / "tokens.npy")
    training = Training(make_model(args.model, len(tokenizer), settings), settings, args)
    print(f"{args.model}: {parameter_count(training.model):,} parameters, {tokens.size:,} tokens",
          file=sys.stderr)
    training.restore()
    if not args.export_only:
        training.run(make_batches(args.model, tokens, tokenizer, settings, args.seed))
    write_folder(training, args.out, args.tokenizer, tokenizer.end_of_text)
    write_record(training, tokens.size, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
