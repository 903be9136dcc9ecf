"""The zoo's training text never combines what the scores ask about.

usage: split_test.py ZOO_FOLDER [unittest arguments]
"""

import hashlib
import re
import sys
import unittest
from pathlib import Path
from typing import Iterator, List, Set, Tuple

ZOO = Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(ZOO))

import corpus  # noqa: E402
import figures  # noqa: E402
import items  # noqa: E402
import roles  # noqa: E402
import split  # noqa: E402
from bpe import Tokenizer  # noqa: E402

SEEDS = (1, 2, 3)
WORDS = 100_000
COUNT = 200
# Of the beginning of the text that the shipped models learned from.
CORPUS_SHA256 = "0bdf02b799bea0227acd6fe02b436240e9143cf96e000653cded24b80b86fc30"
# In these roles a combination can be read off wherever it was written.
VISIBLE = {"noun-attractor", "fit", "agent-patient", "size-animal"}


def documents(seed: int, held_out: bool, words: int = WORDS) -> Iterator[Tuple[str, Set]]:
    """(text, combinations that the writer recorded)"""
    writer = split.Writer(seed, held_out)
    while words > 0:
        text = corpus.document(writer)
        words -= text.count(" ") + 1
        yield text, set(writer.used)


def words_of(text: str) -> Set[str]:
    return set(re.findall(r"[A-Za-z]+", text.lower()))


def choice_texts(choices: List[items.Choice]) -> List[str]:
    return [choice.masked(choice.right) for choice in choices]


class Training(unittest.TestCase):
    def test_no_document_contains_a_held_out_combination(self) -> None:
        for seed in SEEDS:
            for text, used in documents(seed, held_out=False):
                self.assertEqual(roles.held_out(text), {}, text)
                self.assertEqual([u for u in used if split.is_held_out(*u)], [], text)

    def test_what_the_writer_combined_can_be_read_off_the_text(self) -> None:
        """So that finding nothing means something."""
        for held_out in (False, True):
            for text, used in documents(4, held_out):
                read = {c for c in roles.combinations(text) if c[0] in VISIBLE}
                self.assertEqual(read, {u for u in used if u[0] in VISIBLE}, text)
                verbs = {u for u in used if u[0] == "noun-verb"}
                self.assertLessEqual(verbs, roles.combinations(text), text)

    def test_the_text_is_what_the_shipped_models_learned_from(self) -> None:
        text = "\n".join(corpus.documents(1, False, 60_000))
        self.assertEqual(hashlib.sha256(text.encode()).hexdigest(), CORPUS_SHA256)


class HeldOut(unittest.TestCase):
    def check(self, texts: List[str], *kinds: str) -> None:
        self.assertTrue(texts)
        for text in texts:
            found = roles.held_out(text)
            for kind in kinds:
                self.assertIn(kind, found, text)

    def test_well_known_sentences_are_held_out_by_name(self) -> None:
        self.assertIn("noun-attractor", roles.held_out("The keys to the cabinet were old."))
        self.assertIn("fit", roles.held_out("The trophy would not fit in the suitcase."))
        self.assertIn("name-name", roles.held_out("Bob met Alice."))

    def test_agreement_items(self) -> None:
        self.check(choice_texts(items.agreement_choices(1000, 0, COUNT)), "noun-verb")
        for attractors in (1, 2, 3):
            for item in items.agreements(1000, attractors, COUNT):
                pairs = {c for c in roles.combinations(f"{item.prefix} {item.verb}.")
                         if c[0] == "noun-attractor"}
                self.assertTrue(pairs)
                self.assertTrue(all(split.is_held_out(*pair) for pair in pairs), item.prefix)

    def test_items_about_people_things_and_deeds(self) -> None:
        self.check(choice_texts(items.pronoun_choices(1000, COUNT)), "name-name")
        self.check(choice_texts(items.fit_choices(1000, COUNT)), "fit")
        self.check([deed.choice.masked(deed.choice.right) for deed in items.deeds(1000, COUNT)],
                   "agent-patient")

    def test_bank_items(self) -> None:
        for banks in (items.bank_documents(1000, 50), items.banks_decided_later(1000, 50)):
            self.check(banks.money + banks.river, "name-name")
        for text in items.banks_decided_later(1000, 50).money:
            self.assertTrue(text.startswith("The bank "), text)
        free = items.free_banks()
        beginnings = [{re.split(r"(?<=bank)", text)[0] for text in side}
                      for side in (free.money, free.river)]
        self.assertEqual(*beginnings)

    def test_every_word_occurs_in_training(self) -> None:
        known: Set[str] = set()
        for seed in SEEDS:
            known.update(*(words_of(text) for text, _ in documents(seed, held_out=False)))
        free = items.free_banks()
        texts = [text for text, _ in documents(1, held_out=True)] + free.money + free.river
        for text in texts:
            self.assertEqual(words_of(text) - known, set(), text)


class Tokenizers(unittest.TestCase):
    def test_all_models_share_one(self) -> None:
        files = {(ZOO / name / "tokenizer.json").read_bytes() for name in figures.LADDER}
        self.assertEqual(len(files), 1)

    def test_every_word_is_one_token(self) -> None:
        tokenizer = Tokenizer(ZOO / "decoder" / "tokenizer.json")
        words: Set[str] = set()
        for held_out in (False, True):
            for text, _ in documents(5, held_out):
                words.update(re.findall(r"[A-Za-z]+|[.,?!\"]+", text))
        for word in sorted(words):
            self.assertEqual(len(tokenizer.encode(word)), 1, word)
            if word.isalpha():
                self.assertEqual(len(tokenizer.encode(" " + word)), 1, word)


if __name__ == "__main__":
    unittest.main()
