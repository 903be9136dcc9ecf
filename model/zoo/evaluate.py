#!/usr/bin/env python3
"""Measures a decoder on held-out word combinations: a table on standard output, JSON on request.

All sentences come from the held-out side of the split, so no combination in them was trained on.
Everything is computed in f32 from the files in the folder, as a server would load them.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

import corpus
import grammar
import llama
import progress
import scenes
from bpe import Tokenizer
from split import NoChoice, Writer

BATCH = 50
SHOWN = ["the keys to the cabinet", "the key to the cabinets", "The dogs near the house",
         "the big cat sat on the", "Alice gave Bob a book, and",
         "The trophy would not fit in the suitcase because it was too big. It was the"]


@dataclass
class Model:
    """What is measured: the network, its tokenizer, and forward passes without gradients."""

    net: llama.Llama
    tokenizer: Tokenizer

    def forward(self, rows: Sequence[List[int]]) -> Tuple[Tensor, List[Tensor]]:
        """Logits and attention of rows padded on the right (which a causal model never sees)."""
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        keep: List[Tensor] = []
        with torch.no_grad():
            return self.net(ids, keep=keep), keep

    def last_log_probabilities(self, texts: Sequence[str]) -> Tensor:
        """Log-probabilities of the token after each text. [n_texts, vocab]"""
        rows = [self.tokenizer.encode(text) for text in texts]
        logits, _ = self.forward(rows)
        last = torch.tensor([len(row) - 1 for row in rows])
        return logits[torch.arange(len(rows)), last].log_softmax(-1)

    def token(self, word: str) -> int:
        """The single token of a word inside a sentence."""
        (token,) = self.tokenizer.encode(" " + word)
        return token


def draw(writer: Writer, make: Callable[[Writer], object]) -> object:
    """Makes an item, starting again when the split leaves no choice."""
    while True:
        try:
            return make(writer)
        except NoChoice:
            continue


def batches(items: Sequence) -> Iterator[Sequence]:
    for begin in range(0, len(items), BATCH):
        yield items[begin:begin + BATCH]


def choice_accuracy(model: Model, items: Sequence[Tuple[str, str, str]]) -> float:
    """Share of (prefix, right, wrong) whose right word gets more probability."""
    hits = 0
    for chunk in batches(items):
        scores = model.last_log_probabilities([prefix for prefix, _, _ in chunk])
        for row, (_, right, wrong) in zip(scores, chunk):
            hits += bool(row[model.token(right)] > row[model.token(wrong)])
    return hits / len(items)


def agreement_items(seed: int, attractors: int, count: int,
                    prepositional_only: bool = False) -> List[grammar.Agreement]:
    """Held-out subjects; they end in an attractor or in the verb of a relative clause."""
    def make(writer: Writer) -> grammar.Agreement:
        names = grammar.cast(writer, 2)
        return grammar.agreement(writer, attractors, names, prepositional_only)

    writer = Writer(seed + attractors, held_out=True)
    return [draw(writer, make) for _ in range(count)]


def as_choice(item: grammar.Agreement, lower_case: bool) -> Tuple[str, str, str]:
    prefix = corpus.finish([item.prefix], lower_case)
    return prefix, item.verb, item.verbs[not item.phrase.plural]


def all_differ(item: grammar.Agreement) -> bool:
    """True when every attractor has the other number than the head: the hard case."""
    words, phrase = item.phrase.words, item.phrase
    plurals = {noun.plural for noun in grammar.lex.NOUNS.values()}
    return all((words[i] in plurals) != phrase.plural for i in phrase.attractors)


def measure_agreement(model: Model, count: int, seed: int) -> Dict[str, float]:
    scores = {}
    for attractors in range(4):
        items = agreement_items(seed, attractors, count)
        choices = [as_choice(item, i % 2 == 0) for i, item in enumerate(items)]
        scores[f"agreement_{attractors}"] = choice_accuracy(model, choices)
        if attractors:
            hard = [c for c, item in zip(choices, items) if all_differ(item)]
            scores[f"agreement_{attractors}_all_differ"] = choice_accuracy(model, hard)
    return scores


def measure_pronouns(model: Model, count: int, seed: int) -> Dict[str, float]:
    """Pronouns of two people, and the trophy-and-suitcase templates."""
    writer = Writer(seed + 10, held_out=True)
    scores = {}
    for name, make in (("pronouns", scenes.pronoun_item), ("does_not_fit", scenes.fit_item)):
        items = [draw(writer, make) for _ in range(count)]
        choices = [(corpus.finish(item[0].split(". "), i % 2 == 0), item[1], item[2])
                   for i, item in enumerate(items)]
        scores[name] = choice_accuracy(model, choices)
    return scores


def measure_heads(model: Model, attractors: int, count: int, seed: int) -> List[List[float]]:
    """Per layer and head: how often the last attractor's position (it predicts the verb) looks
    more at the head noun than at any attractor."""
    items = agreement_items(seed + 20, attractors, count, prepositional_only=True)
    wins = torch.zeros(model.net.config.num_hidden_layers, model.net.config.num_attention_heads)
    for chunk in batches(items):
        texts = [corpus.finish([item.prefix], i % 2 == 0) for i, item in enumerate(chunk)]
        rows = [model.tokenizer.encode(text) for text in texts]
        _, layers = model.forward(rows)
        weights = torch.stack(layers)  # [layer, item, head, query, key]
        for i, item in enumerate(chunk):
            phrase = item.phrase
            assert len(rows[i]) == len(phrase.words), "every word is one token"
            row = weights[:, i, :, phrase.attractors[-1]]
            rivals = row[..., phrase.attractors].amax(-1)
            wins += row[..., phrase.head] > rivals
    return (wins / count).tolist()


def measure_induction(model: Model, count: int, seed: int, span: int = 25) -> Dict[str, object]:
    """Random words, said twice: attention to the word after the previous occurrence, and loss."""
    writer = Writer(seed + 30)
    texts = [" ".join(writer.sample(corpus.lexicon_words(), span) * 2) for _ in range(count)]
    rows = [model.tokenizer.encode(text) for text in texts]
    logits, layers = model.forward(rows)
    now = torch.arange(span, 2 * span - 1)
    heads = [layer[:, :, now, now - span + 1].mean((0, 2)).tolist() for layer in layers]
    ids = torch.tensor(rows)
    losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    losses = losses.view(count, -1)
    return {"heads": heads, "best": max(map(max, heads)),
            "loss_first": losses[:, :span - 1].mean().item(),
            "loss_repeat": losses[:, span:].mean().item()}


def measure_loss(model: Model, count: int, writer: Writer) -> float:
    """Mean loss per token of documents read one by one, end-of-text included."""
    total, tokens = 0.0, 0
    end = [model.tokenizer.end_of_text]
    rows = [(model.tokenizer.encode(corpus.document(writer)) + end)[:256] for _ in range(count)]
    for chunk in batches(sorted(rows, key=len)):
        logits, _ = model.forward(chunk)
        for row, scores in zip(chunk, logits):
            targets = torch.tensor(row[1:])
            loss = F.cross_entropy(scores[:len(row) - 1], targets, reduction="sum")
            total, tokens = total + loss.item(), tokens + len(targets)
    return total / tokens


def greedy(model: Model, prompt: str, limit: int = 40) -> str:
    """The most probable continuation of a prompt, up to the end of the text."""
    ids = model.tokenizer.encode(prompt)
    for _ in range(limit):
        logits, _ = model.forward([ids])
        token = int(logits[0, -1].argmax())
        if token == model.tokenizer.end_of_text:
            break
        ids.append(token)
    return model.tokenizer.decode(ids)


def next_words(model: Model, prompt: str, count: int = 6) -> List[Tuple[str, float]]:
    probabilities = model.last_log_probabilities([prompt])[0].exp()
    values, ids = probabilities.topk(count)
    return [(model.tokenizer.decode([i]).strip(), round(p, 3))
            for i, p in zip(ids.tolist(), values.tolist())]


def measure(model: Model, count: int, seed: int) -> Dict[str, object]:
    """Every figure of the model card."""
    steps: List[Tuple[str, Callable[[], object]]] = [
        ("agreement", lambda: measure_agreement(model, count, seed)),
        ("coreference", lambda: measure_pronouns(model, count, seed)),
        ("head_noun_1", lambda: measure_heads(model, 1, count, seed)),
        ("head_noun_2", lambda: measure_heads(model, 2, count, seed)),
        ("induction", lambda: measure_induction(model, max(count // 10, 10), seed)),
        ("loss_held_out", lambda: measure_loss(model, count, Writer(seed + 40, held_out=True))),
        ("loss_training_side", lambda: measure_loss(model, count, Writer(seed + 41))),
        ("next_words", lambda: {p: next_words(model, p) for p in SHOWN}),
        ("greedy", lambda: {p: greedy(model, p) for p in SHOWN}),
    ]
    results: Dict[str, object] = {"items": count, "seed": seed}
    with progress.Bar("evaluate", len(steps)) as bar:
        for name, step in steps:
            results[name] = step()
            bar.advance(1, name)
    return results


def best_head(table: List[List[float]]) -> Tuple[float, int, int]:
    """(score, layer, head) of the best head."""
    return max((s, layer, head) for layer, row in enumerate(table) for head, s in enumerate(row))


def summary(results: Dict[str, object]) -> List[Tuple[str, str]]:
    """The scores as (name, value) lines, for people and for the model card."""
    agreement, coreference = results["agreement"], results["coreference"]
    lines = [(f"agreement, {n} attractor{'s' * (n != 1)}", f"{agreement[f'agreement_{n}']:.1%}")
             for n in range(4)]
    lines += [(f"agreement, {n} attractor{'s' * (n != 1)}, all of the other number",
               f"{agreement[f'agreement_{n}_all_differ']:.1%}") for n in range(1, 4)]
    lines += [("pronouns of two people", f"{coreference['pronouns']:.1%}"),
              ("what did not fit (trophy and suitcase)", f"{coreference['does_not_fit']:.1%}")]
    for n in (1, 2):
        score, layer, head = best_head(results[f"head_noun_{n}"])
        lines.append((f"head noun beats {'the' if n == 1 else 'both'} attractor{'s' * (n != 1)}, "
                      f"best head (layer {layer}, head {head})", f"{score:.1%}"))
    induction = results["induction"]
    _, layer, head = best_head(induction["heads"])
    lines += [(f"induction, best head (layer {layer}, head {head})", f"{induction['best']:.2f}"),
              ("loss on random words, first time / repeated",
               f"{induction['loss_first']:.2f} / {induction['loss_repeat']:.2f}"),
              ("validation loss, held-out combinations", f"{results['loss_held_out']:.3f}"),
              ("loss on fresh text of the training side", f"{results['loss_training_side']:.3f}")]
    return lines


def show(results: Dict[str, object]) -> None:
    lines = summary(results)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name:<{width}}  {value}")
    for n in (1, 2):
        print(f"\nhead noun over attractors ({n}), rows are layers, columns heads")
        for row in results[f"head_noun_{n}"]:
            print("  " + "  ".join(f"{score:.2f}" for score in row))
    for prompt in SHOWN:
        words = "  ".join(f"{word} {p:.3f}" for word, p in results["next_words"][prompt])
        print(f"\n{prompt}\n  next: {words}\n  {results['greedy'][prompt]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="Hugging Face folder with its tokenizer.json")
    parser.add_argument("--items", type=int, default=500, help="items a score (default: 500)")
    parser.add_argument("--seed", type=int, default=1000, help="seed of the items (default: 1000)")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch (default: 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results here too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = Model(llama.load(args.folder), Tokenizer(args.folder / "tokenizer.json"))
    results = measure(model, args.items, args.seed)
    show(results)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
