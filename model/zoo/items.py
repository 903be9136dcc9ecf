"""The questions that the zoo's models are scored with, from the held-out side of the split.

Every word of an item occurs in training; the combination that it asks about does not (`split.py`).
Items depend on nothing but a seed.
"""

from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, Sequence, Tuple, TypeVar

import corpus
import grammar
import roles
import scenes
from bpe import Tokenizer
from split import NoChoice, Writer

T = TypeVar("T")
BANK = {"bank", " bank"}
MONEY_WORDS = set("money coin coins clerk paid pay lent counted".split())
RIVER_WORDS = set("""river water boat boats duck ducks frog frogs swam swim grass stone washed
    flowers feathers""".split())


@dataclass(frozen=True)
class Choice:
    """Which of two words comes after `prefix`? `rest` follows the word in the document."""

    prefix: str
    right: str
    wrong: str
    rest: str = ""
    hard: bool = False  # Every attractor pulls the other way.

    def masked(self, mask: str) -> str:
        """The whole sentence with a mask in the word's place."""
        tail = f" {self.rest.strip()}" if self.rest.strip() else ""
        return f"{self.prefix} {mask}{tail}."


def draw(writer: Writer, make: Callable[[Writer], T]) -> T:
    """Makes an item, starting again when the split leaves no choice."""
    while True:
        writer.used.clear()
        try:
            return make(writer)
        except NoChoice:
            continue


def _finish(prefix: str, lower_case: bool) -> str:
    return corpus.finish(prefix.split(". "), lower_case)


# --- Agreement and coreference --------------------------------------------------------------


def agreements(seed: int, attractors: int, count: int,
               prepositional_only: bool = False) -> List[grammar.Agreement]:
    """Held-out subjects; they end in an attractor or in the verb of a relative clause."""
    def make(writer: Writer) -> grammar.Agreement:
        names = grammar.cast(writer, 2)
        return grammar.agreement(writer, attractors, names, prepositional_only)

    writer = Writer(seed + attractors, held_out=True)
    return [draw(writer, make) for _ in range(count)]


def _all_differ(item: grammar.Agreement) -> bool:
    """True when every attractor has the other number than the head: the hard case."""
    words, phrase = item.phrase.words, item.phrase
    plurals = {noun.plural for noun in grammar.lex.NOUNS.values()}
    return all((words[i] in plurals) != phrase.plural for i in phrase.attractors)


def _main_verb_agreement(writer: Writer) -> grammar.Agreement:
    """Without an attractor only the noun with its verb can be a new combination."""
    item = grammar.agreement(writer, 0, grammar.cast(writer, 2))
    if not any(kind == "noun-verb" for kind, _, _ in writer.used):
        raise NoChoice("a verb that goes with every noun")
    return item


def agreement_choices(seed: int, attractors: int, count: int) -> List[Choice]:
    """The two forms of one verb after a subject with that many attractors."""
    if attractors == 0:
        writer = Writer(seed, held_out=True)
        asked = [draw(writer, _main_verb_agreement) for _ in range(count)]
    else:
        asked = agreements(seed, attractors, count)
    return [
        Choice(_finish(item.prefix, i % 2 == 0), item.verb, item.verbs[not item.phrase.plural],
               item.rest, attractors > 0 and _all_differ(item))
        for i, item in enumerate(asked)
    ]


def pronoun_choices(seed: int, count: int) -> List[Choice]:
    """Whom does the pronoun mean, of two people?"""
    return _scene_choices(scenes.pronoun_item, seed + 10, count)


def fit_choices(seed: int, count: int) -> List[Choice]:
    """The trophy, or the suitcase?"""
    return _scene_choices(scenes.fit_item, seed + 11, count)


def _scene_choices(make: Callable, seed: int, count: int) -> List[Choice]:
    writer = Writer(seed, held_out=True)
    items = [draw(writer, make) for _ in range(count)]
    return [Choice(_finish(item[0], i % 2 == 0), item[1], item[2], item[3])
            for i, item in enumerate(items)]


# --- The order of the words -----------------------------------------------------------------


@dataclass(frozen=True)
class Deed:
    """`the dog bit the man. The` ... `man` was hurt: only the order says who was bitten."""

    choice: Choice
    exchanged: Choice  # The same words with the two nouns in each other's place.


def _deed(writer: Writer) -> Deed:
    lines = scenes.deed_document(writer)
    if not lines[0].startswith("the "):
        # `dog bites man`: the first word has no space before it and is another token than
        # elsewhere, so even a bag of words can tell which noun comes first.
        raise NoChoice("a headline")
    ((_, agent, patient),) = (used for used in writer.used if used[0] == "agent-patient")
    swap = {agent: patient, patient: agent}
    other = " ".join(swap.get(word, word) for word in lines[0].split())
    end = lines[1].split(", and ")[0].removeprefix(f"the {patient} ")
    lower_case = writer.chance(0.5)
    texts = [_finish(f"{first}. the", lower_case) for first in (lines[0], other)]
    return Deed(Choice(texts[0], patient, agent, end), Choice(texts[1], agent, patient, end))


def deeds(seed: int, count: int) -> List[Deed]:
    """Who was bitten, chased, washed? Agent and patient were never combined in training."""
    writer = Writer(seed + 12, held_out=True)
    return [draw(writer, _deed) for _ in range(count)]


def prefixes(seed: int, count: int, tokenizer: Tokenizer) -> List[List[int]]:
    """Beginnings of held-out documents, 6 to 12 tokens, as token ids."""
    writer = Writer(seed + 13, held_out=True)
    found: List[List[int]] = []
    while len(found) < count:
        ids = tokenizer.encode(corpus.document(writer))[:6 + len(found) % 7]
        if len(ids) >= 6 and len(set(ids[:-1])) > 1:
            found.append(ids)
    return found


def shuffles(ids: Sequence[int], keep_last: bool, count: int, writer: Writer) -> List[List[int]]:
    """Other orders of the same tokens."""
    end = len(ids) - keep_last
    found: List[List[int]] = []
    while len(found) < count:
        order = writer.sample(range(end), end)
        other = [ids[i] for i in order] + list(ids[end:])
        if other != list(ids):
            found.append(other)
    return found


def same_last_word(seed: int, count: int,
                   tokenizer: Tokenizer) -> List[Tuple[List[int], List[int]]]:
    """Pairs of different texts that end in the same token."""
    writer = Writer(seed + 14, held_out=True)
    seen: Dict[int, List[int]] = {}
    pairs: List[Tuple[List[int], List[int]]] = []
    while len(pairs) < count:
        ids = tokenizer.encode(corpus.document(writer))
        ids = ids[:3 + int(writer.rng.random() * 10)]
        other = seen.pop(ids[-1], None)
        if other is None:
            seen[ids[-1]] = ids
        elif other != ids:
            pairs.append((other, ids))
    return pairs


# --- Documents, repeated words, masks -------------------------------------------------------


def documents(seed: int, count: int, held_out: bool) -> List[str]:
    """Whole documents of either side."""
    writer = Writer(seed + (40 if held_out else 41), held_out)
    return [corpus.document(writer) for _ in range(count)]


def repeated_words(seed: int, count: int, span: int) -> List[str]:
    """Random words, said twice."""
    writer = Writer(seed + 30)
    return [" ".join(writer.sample(corpus.lexicon_words(), span) * 2) for _ in range(count)]


@dataclass(frozen=True)
class Masked:
    """Token ids with some replaced by the mask, and what stood there."""

    ids: List[int]
    hidden: Dict[int, int]  # position -> token id


def masked_documents(seed: int, texts: Sequence[str], share: float, mask_id: int,
                     tokenizer: Tokenizer, longest: int) -> Iterator[Masked]:
    """Documents with a share of their tokens hidden, at least one."""
    writer = Writer(seed + 42)
    for text in texts:
        ids = tokenizer.encode(text)[:longest]
        chosen = writer.sample(range(len(ids)), max(1, round(share * len(ids))))
        hidden = {i: ids[i] for i in sorted(chosen)}
        yield Masked([mask_id if i in hidden else token for i, token in enumerate(ids)], hidden)


# --- The two banks --------------------------------------------------------------------------


def _words(text: str) -> List[str]:
    return text.lower().replace(".", " ").replace(",", " ").split()


def is_money(text: str) -> bool:
    """True for a bank of money. A bank document holds words of one kind only."""
    words = set(_words(text))
    money, river = bool(words & MONEY_WORDS), bool(words & (RIVER_WORDS - {"boat"}))
    if money == river:
        raise ValueError(f"neither or both kinds of bank: {text}")
    return money


@dataclass(frozen=True)
class Banks:
    """Texts about money and about rivers, each with the word `bank`."""

    money: List[str]
    river: List[str]


def _banks(seed: int, count: int, wanted: Callable[[str], bool], lower_case: bool) -> Banks:
    writer = Writer(seed, held_out=True)
    banks = Banks([], [])
    while min(len(banks.money), len(banks.river)) < count:
        lines = draw(writer, scenes.bank_document)
        text = corpus.finish(lines, lower_case and writer.chance(0.5)) + "."
        if not roles.held_out(text):  # Neither name shows: training may hold the same text.
            continue
        side = banks.money if is_money(text) else banks.river
        if wanted(text) and len(side) < count and text not in side:
            side.append(text)
    return banks


def bank_documents(seed: int, count: int) -> Banks:
    """All kinds of held-out bank documents."""
    return _banks(seed + 50, count, lambda text: True, lower_case=True)


def banks_decided_later(seed: int, count: int) -> Banks:
    """Documents that all begin with `The bank`: nothing before the word says which bank it is."""
    return _banks(seed + 51, count, lambda text: text.startswith("The bank "), lower_case=False)


_FREE_BEGINNINGS = [
    "Emma and Tom were near the bank, and",
    "Jack wanted to see the bank, because",
    "The old man liked the bank, and",
    "The girl waited by the bank while",
    "Nora asked where the bank was, so",
    "They were glad to find the bank, but",
]
_FREE_MONEY = [
    "the clerk counted the coins", "the money was for a new house", "they paid with nine coins",
]
_FREE_RIVER = [
    "the ducks swam in the cold water", "the river was green and quiet",
    "the frogs sang in the grass",
]


def free_banks() -> Banks:
    """Sentences outside of the grammar; the beginnings are the same for both kinds."""
    return Banks([f"{a} {b}." for a in _FREE_BEGINNINGS for b in _FREE_MONEY],
                 [f"{a} {b}." for a in _FREE_BEGINNINGS for b in _FREE_RIVER])
