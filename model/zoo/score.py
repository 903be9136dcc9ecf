#!/usr/bin/env python3
"""Measures every figure of the zoo's model cards through a running server.

The items are held-out combinations of words (items.py), the figures and what is required of them
are in figures.py. `--check` compares with the committed scores.json and cards, `--update` writes
them. Example: score.py --server-program build/release/server/heed-server --check --require
"""

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional

import card
import figures
import measures
import progress
import wire
from subject import Subject

ITEMS, SEED = 500, 1000
LEAST_ITEMS = 20  # Of fewer, often none has three attractors that all pull the other way.
Scores = Dict[str, object]


def item_count(text: str) -> int:
    """The argument of --items."""
    count = int(text) if text.isdecimal() else 0
    if count < LEAST_ITEMS:
        raise argparse.ArgumentTypeError(f"{text!r} is too few: {LEAST_ITEMS} items or more")
    return count


def check_items(subject: Subject, values: measures.Figures) -> None:
    """A share of no items is an error that says what to do."""
    for key in figures.without_items(values):
        raise wire.WireError(f"{subject.name}: {figures.FIGURES[key].label}: none of the "
                             f"{subject.count} items is of this kind; give more with --items")


def measure(subject: Subject) -> Scores:
    """Everything that a card shows of one model."""
    plan = measures.PLAN[subject.name]
    values: measures.Figures = {}
    with progress.Bar(subject.name, len(plan) + 1) as bar:
        for step in plan:
            values.update(step(subject))
            check_items(subject, values)
            bar.advance(1, step.__name__)
        scores: Scores = {
            "model": subject.name, "digest": subject.model.identity.digest,
            "seed": subject.seed, "items": subject.count,
            "figures": {key: values[key] for key in figures.FIGURES if key in values},
            "next_words": measures.next_words(subject)}
        if subject.name == "decoder":
            scores["greedy"] = measures.greedy(subject)
        if subject.name == "weighted":
            scores["words"] = measures.heavy_words(subject)
        bar.advance(1, "examples")
    return scores


def compare(measured: Scores, committed: Scores) -> List[str]:
    """Each figure that is not what is measured, with both values."""
    name, found = committed["model"], []
    ours, theirs = measured["figures"], committed["figures"]
    for key in {**ours, **theirs}:
        if key not in ours or key not in theirs:
            where = "measured" if key not in ours else "in scores.json"
            found.append(f"{name}: {key} is not {where}")
        elif figures.differs(figures.FIGURES[key].kind, ours[key], theirs[key]):
            found.append(f"{name}: {figures.FIGURES[key].label}: scores.json says "
                         f"{json.dumps(theirs[key])}, measured {json.dumps(ours[key])}")
    for key in ("digest", "greedy", "words"):
        if measured.get(key) != committed.get(key):
            found.append(f"{name}: {key}: scores.json says {json.dumps(committed.get(key))}, "
                         f"measured {json.dumps(measured.get(key))}")
    return found + _compare_words(name, measured["next_words"], committed["next_words"])


def _compare_words(name: str, ours: dict, theirs: dict) -> List[str]:
    """Words of nearly the same probability may change places, also with one not shown."""
    if ours.keys() != theirs.keys():
        return [f"{name}: scores.json shows other prompts than {', '.join(ours)}"]
    found = []
    for prompt in ours:
        least = min(ours[prompt].values())
        for word, probability in theirs[prompt].items():
            now = ours[prompt].get(word, least)
            if figures.differs("number", now, probability):
                found.append(f"{name}: {prompt!r}: scores.json says {word} {probability}, "
                             f"measured {now}")
    return found


def shortfalls(scores: Scores) -> List[str]:
    """Each required score that is not reached."""
    name, values = scores["model"], scores["figures"]
    short = (figures.shortfall(name, key, value) for key, value in values.items())
    return [line for line in short if line] + figures.missing_requirements(name, list(values))


def show(scores: Scores) -> None:
    """The figures of one model, for people."""
    print(f"\n{scores['model']} ({scores['items']} items, seed {scores['seed']})")
    for key, value in scores["figures"].items():
        short = figures.shortfall(scores["model"], key, value)
        print(f"  {figures.show(key, value):>26}  {figures.FIGURES[key].label}"
              f"{'   NOT REACHED' if short else ''}")


def load(zoo: Path, name: str) -> Optional[Scores]:
    path = zoo / name / "scores.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def save(zoo: Path, scores: Scores) -> None:
    text = json.dumps(scores, indent=1, ensure_ascii=False) + "\n"
    (zoo / scores["model"] / "scores.json").write_text(text, encoding="utf-8")


def chosen_models(args: argparse.Namespace, loaded: Dict[str, object]) -> List[str]:
    """The models to measure: those named, or every rung; a rung that is not served is an error."""
    names = args.only or figures.LADDER
    absent = [name for name in names if name not in loaded]
    if absent:
        raise wire.WireError(f"not served: {', '.join(absent)}; served: {', '.join(loaded)}")
    return names


def run(args: argparse.Namespace, address: str) -> List[str]:
    """Measures and shows; returns what is wrong."""
    client = wire.Client(address, wire.Messages())
    loaded, wrong, began = client.models(), [], time.monotonic()
    for name in chosen_models(args, loaded):
        committed = load(args.zoo, name) if args.check else None
        if args.check and committed is None:
            wrong.append(f"{name}: there is no scores.json; write it with --update")
            continue
        like = committed or {"seed": args.seed, "items": args.items}
        scores = measure(Subject(client, loaded[name], args.zoo / name, like["seed"],
                                 like["items"]))
        show(scores)
        wrong += compare(scores, committed) if committed else []
        wrong += shortfalls(scores) if args.require else []
        if args.update:
            save(args.zoo, scores)
    print(f"\n{client.calls} calls in {time.monotonic() - began:.1f} s", file=sys.stderr)
    return wrong


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--server", metavar="HOST:PORT", help="a server that is running")
    where.add_argument("--server-program", type=Path, metavar="PATH",
                       help="heed-server to start on a free port with the models of --zoo")
    parser.add_argument("--zoo", type=Path, default=Path(__file__).resolve().parent,
                        help="folder of the models and their cards (default: this script's)")
    parser.add_argument("--only", action="append", choices=figures.LADDER, metavar="MODEL",
                        help="measure this model only; may be repeated")
    parser.add_argument("--items", type=item_count, default=ITEMS,
                        help=f"items a figure, {LEAST_ITEMS} or more (default: {ITEMS})")
    parser.add_argument("--seed", type=int, default=SEED,
                        help=f"seed of the items (default: {SEED})")
    parser.add_argument("--require", action="store_true",
                        help="exit code 1 when a required score is not reached")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true",
                        help="exit code 1 when scores.json or a card says something else; items "
                        "and seed are those of scores.json")
    action.add_argument("--update", action="store_true", help="write scores.json and the cards")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        with contextlib.ExitStack() as stack:
            address = args.server or stack.enter_context(
                wire.ServerProcess(args.server_program, args.zoo)).address
            wrong = run(args, address)
        if args.update:
            card.write(args.zoo)
        if args.check:
            wrong += card.differences(args.zoo)
    except (wire.WireError, OSError) as error:
        print(f"score.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    for line in wrong:
        print(f"score.py: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
