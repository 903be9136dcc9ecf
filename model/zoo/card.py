#!/usr/bin/env python3
"""Writes the decoder's model card from what training and evaluation recorded."""

import argparse
import json
import sys
from pathlib import Path

from evaluate import SHOWN, summary
from progress import clock

CARD = """\
# decoder

A small causal language model that ships with heed to show what attention does. It knows the
grammar and the few hundred words of a generated English corpus, and nothing else.

| | |
|---|---|
| architecture | Llama-shaped: RMSNorm, rotary positions (halves rotated, theta {theta:g}), SwiGLU, grouped-query attention, tied embeddings |
| size | {parameters:,} parameters: {layers} layers, width {hidden}, {heads} query heads over {kv_heads} key/value heads of {head_dim}, feed-forward {ffn} |
| context | {context} tokens; a text starts with its first word, without a begin-of-text token; it ends with `<|endoftext|>` |
| tokenizer | byte-level BPE, {vocabulary} tokens; every corpus word is one token, with and without its leading space; anything else falls back to pieces and bytes |
| files | `model.safetensors` ({stored}, {megabytes:.1f} MB), `config.json`, `generation_config.json`, `tokenizer.json`, `tokenizer_config.json` |

## Training

Data: {corpus_tokens:,} tokens written by `corpus.py` (seed {corpus_seed}): a grammar of our own, no outside
text. Subject-verb agreement with up to three attractors, pronouns, things that do not fit, two
kinds of bank, who bites whom, colours and places that come back, short stories, repeated lists.
About a third of the documents begin with a lower-case letter. Half of the rows keep their documents
apart (each sees only itself, as a prompt does), in the others a document sees those before it.

{steps:,} steps of {batch_rows} rows of {row_tokens} tokens ({trained_tokens:,} tokens, {epochs:.1f} passes), seed {seed},
AdamW (learning rate {lr:g}, cosine to zero over the last {cool_down:,} steps, weight decay {weight_decay:g}), {precision} matrix products, {threads} threads,
{time} on two shared CPU cores. Final training loss {train_loss:.3f} (of these rows, which also contain
documents that follow unrelated ones and lists of random words).

## Scores

Measured by `evaluate.py` on the files in this folder, in f32, {items} held-out items a line (seed {eval_seed}).
Held-out means: every word occurs in training, but this head noun was never combined with this
attractor, this noun with this verb, this name with that name or object, this thing with this
container (`split.py`). `the keys to the cabinet`, `the trophy ... the suitcase` and the pair Alice
and Bob are held out by name.

| score | value |
|---|---|
{scores}

Agreement compares the two forms of one verb (`is`/`are`, `was`/`were`, `look`/`looks`) after the
subject. Attractors come in both numbers; the "all of the other number" lines keep only subjects in
which every attractor pulls the wrong way. "Head noun beats" asks how often, at the last attractor
(the position that predicts the verb), one head gives the head noun more weight than any attractor.
Induction is the mean weight on the word that followed the previous occurrence, in random words said
twice.

What it says (most probable next words; greedy continuation):

{shown}

## Limits

* It has never seen text outside its grammar. Unknown words are spelled from pieces that carry no
  meaning; facts, arithmetic and instructions are out of reach.
* The grammar is closed: held-out sentences have new word combinations, not new constructions, and a
  score near 100 % says no more than that. Free text, such as Winograd sentences outside the
  templates, was not measured; expect chance.
* Attention is evidence, not explanation: a head that looks at `keys` shows where information could
  come from. Cut the edge and see whether the answer moves before believing it.

## Rebuild

`model/zoo/build.sh` writes the corpus, trains tokenizer and model, evaluates, and writes this card.
The corpus and the tokenizer come out byte for byte. The weights depend on the order of floating-point
sums, so another CPU, PyTorch or number of threads gives a slightly different model.
"""


def shown(results: dict) -> str:
    blocks = []
    for prompt in SHOWN:
        words = ", ".join(f"{word} {p:.2f}" for word, p in results["next_words"][prompt][:5])
        rest = results["greedy"][prompt][len(prompt):]
        blocks.append(f"* **{prompt}**{rest}  \n  next: {words}")
    return "\n".join(blocks)


def card(training: dict, results: dict, folder: Path, corpus_seed: int) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return CARD.format(
        **training, corpus_seed=corpus_seed, items=results["items"], eval_seed=results["seed"],
        epochs=training["trained_tokens"] / training["corpus_tokens"],
        time=clock(training["seconds"]), theta=config["rope_theta"],
        layers=config["num_hidden_layers"], hidden=config["hidden_size"],
        heads=config["num_attention_heads"], kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"], ffn=config["intermediate_size"],
        context=config["max_position_embeddings"], stored=training["stored_as"].upper(),
        megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
        scores="\n".join(f"| {name} | {value} |" for name, value in summary(results)),
        shown=shown(results))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="Hugging Face folder; README.md is written there")
    parser.add_argument("--training", type=Path, required=True, help="training.json of train.py")
    parser.add_argument("--evaluation", type=Path, required=True, help="--json of evaluate.py")
    parser.add_argument("--corpus-seed", type=int, required=True, help="seed given to corpus.py")
    args = parser.parse_args()
    training = json.loads(args.training.read_text(encoding="utf-8"))
    results = json.loads(args.evaluation.read_text(encoding="utf-8"))
    text = card(training, results, args.folder, args.corpus_seed)
    (args.folder / "README.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
