#!/usr/bin/env python3
"""Writes the zoo's model cards, and the table of results in its README.

Every figure comes from files: training.json (train.py), scores.json (score.py), rounding.json (what
fewer bits cost, where a model can be held in them) and the checkpoint itself, in each model's
folder. The words are in card_texts.py.
"""

import argparse
import json
import math
import struct
import sys
import textwrap
from pathlib import Path
from typing import Dict, List

import figures
from card_texts import CARD, EXAMPLE, READING, ROUNDING, TEXTS, TOKENIZER
from progress import clock

WIDTH = 100
FILES = ["model.safetensors", "config.json", "generation_config.json", "tokenizer.json",
         "tokenizer_config.json"]
TABLE_BEGIN, TABLE_END = "<!-- scores: written by card.py -->", "<!-- end of scores -->"
COLUMNS = {"loss": "loss_held_out", "agreement, 1 attractor": "agreement_1",
           "of the other number": "agreement_1_hard", "2 attractors": "agreement_2",
           "pronouns": "pronouns", "what did not fit": "does_not_fit",
           "who was bitten, in both orders": "deeds_both"}
CAPTION = """Loss is in nats a token on text of the held-out side; the encoder predicts no next word
(of masked ones, {masked_right} are its first choice). Where two words are offered, guessing gives
50 %, and 25 % in both orders. The cards say how each figure was measured."""


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _fill(text: str) -> str:
    """Paragraphs wrapped to the width; a number stays with its percent sign."""
    paragraphs = text.replace(" %", "\u00a0%").split("\n\n")
    wrapped = (textwrap.fill(p, WIDTH, break_long_words=False, break_on_hyphens=False)
               for p in paragraphs)
    return "\n\n".join(wrapped).replace("\u00a0", " ")


def parameter_count(path: Path) -> int:
    """Numbers in a .safetensors file."""
    with path.open("rb") as data:
        (length,) = struct.unpack("<Q", data.read(8))
        header = json.loads(data.read(length))
    header.pop("__metadata__", None)
    return sum(math.prod(entry["shape"]) for entry in header.values())


def architecture(config: dict) -> str:
    """The shape of the model in words, from its config.json."""
    if config["model_type"] == "heed_mixing":
        weights = {"last_word": "1 on the last word", "average": "1/T on each of T words",
                   "weighted": "softmax of one learned score a word",
                   "attention": "softmax(q·k / sqrt(d)), one head"}[config["mixing"]]
        where = "learned positions" if config["position_encoding"] == "learned" else "no positions"
        return (f"embedding, values mixed by one row of weights ({weights}), tied unembedding; "
                f"{where}; causal; no residual, norm or feed-forward layer")
    if config["model_type"] == "bert":
        return ("BERT-shaped (transformers' BertForMaskedLM): learned positions, LayerNorm after "
                "each sublayer, GELU, bidirectional, tied embeddings")
    return (f"Llama-shaped (transformers' LlamaForCausalLM): RMSNorm, rotary positions (halves "
            f"rotated, theta {config['rope_theta']:g}), SwiGLU, grouped-query attention, tied "
            "embeddings, causal")


def size(config: dict, parameters: int) -> str:
    text = f"{parameters:,} parameters: "
    if config["model_type"] == "heed_mixing":
        return text + f"1 layer, width {config['hidden_size']}"
    heads = config["num_attention_heads"]
    text += f"{config['num_hidden_layers']} layers, width {config['hidden_size']}, {heads} "
    shared = config.get("num_key_value_heads", heads)
    text += f"query heads over {shared} key/value heads" if shared != heads else "heads"
    head_dim = config.get("head_dim", config["hidden_size"] // heads)
    return text + f" of {head_dim}, feed-forward {config['intermediate_size']}"


def files(folder: Path, config: dict) -> str:
    megabytes = (folder / "model.safetensors").stat().st_size / 1e6
    stored = {"float16": "F16", "float32": "F32", "bfloat16": "BF16"}[config["torch_dtype"]]
    names = [f"`{name}`" for name in FILES if (folder / name).exists()]
    return f"{names[0]} ({stored}, {megabytes:.1f} MB), " + ", ".join(names[1:])


TRAINING = """Data: {corpus_tokens:,} tokens written by `corpus.py` (seed {corpus_seed}): a grammar
of our own, no outside text. Subject-verb agreement with up to three attractors, pronouns, things
that do not fit, two kinds of bank, who bites whom, colours and places that come back, short
stories, repeated lists of random words{left_out}. About a third of the documents begin with a
lower-case letter.

{steps:,} steps, {trained_tokens:,} tokens seen ({epochs:.1f} passes), seed {seed}, AdamW (learning
rate {lr:g}, cosine to zero over the last {cool_down:,} steps, weight decay {weight_decay:g}),
{precision} matrix products, {threads} threads, {time} on two shared CPU cores. Final training loss
{train_loss:.3f}{of_what}."""


def training_text(training: dict, config: dict) -> str:
    masked = config["model_type"] == "bert"
    return _fill(TRAINING.format(
        **training, epochs=training["trained_tokens"] / training["corpus_tokens"],
        time=clock(training["seconds"]), of_what=" (of masked tokens)" if masked else "",
        left_out=" (left out of this training)" if masked else ""))


def shown(scores: dict) -> str:
    """The example prompts with the most probable words, and the decoder's continuations."""
    blocks = []
    for prompt, words in scores["next_words"].items():
        listed = ", ".join(f"`{word}` {p:.2f}" for word, p in list(words.items())[:5])
        rest = scores.get("greedy", {}).get(prompt)
        blocks.append(f"* **{prompt}**{rest}  \n  next: {listed}" if rest else
                      f"* **{prompt}** {listed}")
    return "\n".join(blocks)


def _what_is_shown(scores: dict, config: dict) -> str:
    if config["model_type"] == "bert":
        return "words for the mask"
    return "next words; greedy continuation" if "greedy" in scores else "next words"


def _first_choices(next_words: Dict[str, Dict[str, float]]) -> Dict[str, str]:
    found = {}
    for key, prompt in (("after_cat", EXAMPLE[0]), ("after_dog", EXAMPLE[1])):
        for word, probability in list(next_words.get(prompt, {}).items())[:1]:
            found[key] = f"`{word}` ({probability:.2f})"
    return found


def rounding(folder: Path) -> str:
    """What holding the weights in fewer bits costs, if that was measured."""
    path = folder / "rounding.json"
    if not path.exists():
        return ""
    measured = _read(path)
    rows = (f"| `{name}` | {cost['perplexity_more']:.1%} more | {cost['same_first_choice']:.1%} |"
            for name, cost in measured["formats"].items())
    return ROUNDING.format(rows="\n".join(rows).replace("%", " %"), places=measured["places"],
                           of=measured["of"])


def card(folder: Path) -> str:
    """The card of the model in a folder."""
    scores, config = _read(folder / "scores.json"), _read(folder / "config.json")
    text, values = TEXTS[scores["model"]], scores["figures"]
    words = {kind: ", ".join(f"`{word}`" for word in listed)
             for kind, listed in scores.get("words", {}).items()}
    known = {**{key: figures.show(key, value) for key, value in values.items()}, **words,
             **_first_choices(scores["next_words"])}
    lines = (f"| {figures.FIGURES[key].label} | {figures.show(key, value)} |"
             for key, value in values.items())
    return CARD.format(
        name=scores["model"], rung=text.rung, lead=_fill(text.lead.format(**known)),
        architecture=architecture(config), files=files(folder, config),
        size=size(config, parameter_count(folder / "model.safetensors")),
        context=config["max_position_embeddings"], vocabulary=config["vocab_size"],
        tokenizer=TOKENIZER,
        shows=_fill(text.shows.format(**known)), to_try=text.to_try.strip(),
        training=training_text(_read(folder / "training.json"), config),
        items=scores["items"], seed=scores["seed"], scores="\n".join(lines),
        reading=_fill(READING + ("\n\n" + text.reading if text.reading else "")),
        what=_what_is_shown(scores, config), shown=shown(scores), rounding=rounding(folder),
        limits=text.limits).replace("\n\n\n", "\n\n")


def _cell(values: dict, key: str) -> str:
    return figures.show(key, values[key]) if key in values else "–"


def ladder_table(zoo: Path) -> str:
    """What each step gains, as a table."""
    head = ["rung", "model", *COLUMNS, "order counts"]
    rows = [head, ["---"] * len(head)]
    for name in figures.LADDER:
        values = _read(zoo / name / "scores.json")["figures"]
        blind = "blind_to_order" in values
        rows.append([str(TEXTS[name].rung), f"[{name}]({name}/README.md)",
                     *(_cell(values, key) for key in COLUMNS.values()), "no" if blind else "yes"])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n{_fill(CAPTION.format(masked_right=_cell(values, 'masked_right')))}"


def zoo_readme(zoo: Path) -> str:
    """The zoo's README with the table between its two marks written anew."""
    text = (zoo / "README.md").read_text(encoding="utf-8")
    before, rest = text.split(TABLE_BEGIN, 1)
    _, after = rest.split(TABLE_END, 1)
    return f"{before}{TABLE_BEGIN}\n\n{ladder_table(zoo)}\n\n{TABLE_END}{after}"


def rendered(zoo: Path) -> Dict[Path, str]:
    """Every file that this program writes; models without scores have no card yet."""
    ready = [name for name in figures.LADDER if (zoo / name / "scores.json").exists()]
    found = {zoo / name / "README.md": card(zoo / name) for name in ready}
    if ready == figures.LADDER and (zoo / "README.md").exists():
        found[zoo / "README.md"] = zoo_readme(zoo)
    return found


def write(zoo: Path) -> None:
    for path, text in rendered(zoo).items():
        path.write_text(text, encoding="utf-8")


def differences(zoo: Path) -> List[str]:
    """Each file that is not what would be written."""
    found = []
    for path, text in rendered(zoo).items():
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = zip(there.splitlines() + [""], text.splitlines() + [""])
        if there != text:
            line = next((f": {a!r} should be {b!r}" for a, b in lines if a != b), "")
            found.append(f"{path} is not what card.py writes{line}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", type=Path, default=Path(__file__).resolve().parent,
                        help="folder of the models (default: this script's)")
    parser.add_argument("--check", action="store_true",
                        help="write nothing; exit code 1 when a card is not what would be written")
    args = parser.parse_args()
    if not args.check:
        write(args.zoo)
        return 0
    found = differences(args.zoo)
    for line in found:
        print(f"card.py: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
