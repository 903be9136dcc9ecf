#!/usr/bin/env python3
"""Generates the English corpus of the zoo: one document a line, from a seed, on either side of the
split.

Training text and held-out text use the same words. A held-out document is built from combinations
that training never sees (see split.py); `--check` reads a training file back and proves it.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Iterator, List

import lexicon as lex
import progress
import roles
from grammar import agreement_document
from scenes import SCENES, repeated_words
from split import NoChoice, Writer, is_held_out

REPEATED_SHARE = 0.14
LOWER_CASE_SHARE = 0.5

_SENTENCE_START = re.compile(r'(^"?|[.?!] "?)([a-z])')
_NOUN_OF_FORM = {form: n.singular for n in lex.NOUNS.values() for form in (n.singular, n.plural)}
_MAIN_VERB_OF_FORM = {
    form: verb.base
    for options in lex.MAIN_VERBS.values()
    for verb, _ in options
    for form in (verb.base, verb.third)
}
_PREPOSITIONS = "|".join(sorted({prep for prep, _, _ in lex.FRAMES}))
_ATTACHED = re.compile(rf"(?=\b(\w+) (?:{_PREPOSITIONS}) the (?:\w+ )?(\w+)\b)")
_ADJACENT = re.compile(r"(?=\b(\w+) (\w+)\b)")
_FIT = re.compile(r"\b(\w+) (?:would|did) not fit in the (\w+)")
_NAME = re.compile(r"\b(?:" + "|".join(lex.NAMES) + r")\b")


def finish(sentences: List[str], lower_case: bool) -> str:
    """Joins sentences, with capitals; `lower_case` leaves the first letter of the document."""
    text = ". ".join(sentences)
    first = text[:1]
    text = _SENTENCE_START.sub(lambda m: m.group(1) + m.group(2).upper(), text)
    if lower_case and first.isalpha():
        text = first + text[1:]
    return text


def lexicon_words() -> List[str]:
    """Every noun, adjective, verb form and number, for lists of random words."""
    verbs = [v for options in lex.MAIN_VERBS.values() for v, _ in options]
    words = set(_NOUN_OF_FORM) | set(lex.COLOURS) | set(lex.SIZES) | set(lex.NUMBERS)
    words |= {form for v in verbs for form in (v.base, v.third, v.past)}
    words |= {a for adjectives in lex.NOUN_ADJECTIVES.values() for a in adjectives}
    words |= set("the a is are was were in on to of near and it they he she not this very".split())
    return sorted(words)


_WORDS = lexicon_words()


def violations(text: str) -> List[str]:
    """The held-out combinations that a draft of the training side is thrown away for."""
    found = []
    for kind, pattern in (("noun-attractor", _ATTACHED), ("fit", _FIT)):
        for one, two in pattern.findall(text):
            pair = _NOUN_OF_FORM.get(one.lower()), _NOUN_OF_FORM.get(two)
            if None not in pair and is_held_out(kind, *pair):
                found.append(f"{kind}: {pair[0]}, {pair[1]}")
    for one, two in _ADJACENT.findall(text):
        pair = _NOUN_OF_FORM.get(one.lower()), _MAIN_VERB_OF_FORM.get(two)
        if None not in pair and is_held_out("noun-verb", *pair):
            found.append(f"noun-verb: {pair[0]}, {pair[1]}")
    names = sorted(set(_NAME.findall(text)))
    for i, one in enumerate(names):
        for two in names[i + 1:]:
            if is_held_out("name-name", one, two):
                found.append(f"name-name: {one}, {two}")
    return found


def _draft(writer: Writer) -> str:
    draw = writer.rng.random()
    if draw < REPEATED_SHARE:
        return repeated_words(writer, _WORDS, 3, 25)
    draw -= REPEATED_SHARE
    lower_case = writer.chance(LOWER_CASE_SHARE)
    for share, scene in SCENES:
        if draw < share:
            return finish(scene(writer), lower_case) + "."
        draw -= share
    return finish(agreement_document(writer), lower_case) + "."


def document(writer: Writer) -> str:
    """One document of the writer's side; drafts that cross the split are thrown away."""
    while True:
        writer.used.clear()
        try:
            text = _draft(writer)
        except NoChoice:
            continue
        if writer.held_out or not violations(text):
            return text


def documents(seed: int, held_out: bool, words: int) -> Iterator[str]:
    """Documents with about `words` words altogether."""
    writer = Writer(seed, held_out)
    with progress.Bar("held-out" if held_out else "corpus", words) as bar:
        while words > 0:
            text = document(writer)
            words -= text.count(" ") + 1
            bar.advance(text.count(" ") + 1)
            yield text


def check(path: Path) -> int:
    """Counts the documents of a training file that contain a held-out combination."""
    crossed = 0
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            found = violations(line) + [f"{kind}: {sorted(pairs)}"
                                        for kind, pairs in roles.held_out(line).items()]
            crossed += bool(found)
            for violation in found:
                print(f"{path}: {violation}: {line.strip()}", file=sys.stderr)
    return crossed


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="text file to write, one document a line")
    parser.add_argument("--seed", type=int, default=1, help="seed of all choices (default: 1)")
    parser.add_argument("--words", type=int, default=1_000_000, help="length (default: 1000000)")
    parser.add_argument("--held-out", action="store_true", help="write the other side of the split")
    parser.add_argument("--check", type=Path, metavar="FILE",
                        help="prove that a training file contains no held-out combination")
    args = parser.parse_args()
    if (args.out is None) == (args.check is None):
        parser.error("give --out to write a corpus, or --check to check one")
    return args


def main() -> int:
    args = parse_args()
    if args.check:
        crossed = check(args.check)
        print(f"{args.check}: {crossed} documents with held-out combinations")
        return 1 if crossed else 0
    partial = args.out.with_name(args.out.name + ".part")
    with partial.open("w", encoding="utf-8") as out:
        for text in documents(args.seed, args.held_out, args.words):
            out.write(text + "\n")
    partial.replace(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
