"""Reads the combinations that the split is about off a text, without knowing how it was written.

A combination is two words in a role: the noun that a sentence begins with and what is attached to
it (its attractors), that noun and a verb in the present, two names of one document, a giver with
the gift, what does not fit with what it does not fit in, an animal with its size, who does
something with whom it is done to.
"""

import re
from typing import Dict, Iterator, List, Optional, Set, Tuple

import lexicon as lex
from split import is_held_out

Combination = Tuple[str, str, str]  # (kind, first, second)

_NOUN_OF = {form: n.singular for n in lex.NOUNS.values() for form in (n.singular, n.plural)}
_MAIN_VERB_OF = {
    form: verb.base
    for options in lex.MAIN_VERBS.values()
    for verb, _ in options
    for form in (verb.base, verb.third)
}
_CLAUSE_VERBS = {
    form
    for table in (lex.OBJECT_CLAUSE_VERBS, lex.SUBJECT_CLAUSE_VERBS)
    for verbs in table.values()
    for verb in verbs
    for form in (verb.base, verb.third, verb.past)
}
_DETERMINERS = {"the", "this", "that", "these", "those"}
_PREPOSITIONS = {prep for prep, _, _ in lex.FRAMES}
# What a preposition can attach to a subject; a story's `the horse in the picture` is none of it.
_ATTACHABLE = {(prep, tail) for prep, _, tails in lex.FRAMES for tail in tails}
_ADJECTIVES = {a for adjectives in lex.NOUN_ADJECTIVES.values() for a in adjectives}
_DEEDS = [form
          for base in "bite chase push help follow find feed hear kick wash carry draw".split()
          for form in (lex.verb(base).third, lex.verb(base).past)]
_PARTICIPLES = ["bitten", "drawn", "fed", *_DEEDS]
_HABITS = "sat slept jumped ran flew stood swam hid walked".split()
_ANIMAL_SIZES = "big small large little tiny black white brown old".split()

_ANY_NAME = rf"(?:{'|'.join(lex.NAMES)})"
_GIFTS = [re.compile(pattern) for pattern in (
    rf"\b({_ANY_NAME}) (?:gave|showed|sent|brought|sold) {_ANY_NAME} an? (\w+)\b",
    rf"\b({_ANY_NAME}) made an? (\w+) for {_ANY_NAME}\b",
    rf"\b({_ANY_NAME}) thanked {_ANY_NAME} for the (\w+) and put",
    rf"\b({_ANY_NAME}) took the (\w+) from {_ANY_NAME} and held",
)]
_FIT = [re.compile(r"\b[Tt]he (\w+) (?:would|did) not fit in the (\w+)"),
        re.compile(rf"\b{_ANY_NAME} could not put the (\w+) in the (\w+)")]
_SIZE = re.compile(rf"\b[Tt]he ({'|'.join(_ANIMAL_SIZES)}) ({'|'.join(lex.ANIMALS)}) "
                   rf"(?:{'|'.join(_HABITS)}) (?:on|over|to|under|by|in|across|into|behind) the\b")
_ACTIVE = [re.compile(rf"^{the}(\w+) (?:{'|'.join(_DEEDS)}) {the}(\w+)\b") for the in ("", "the ")]
_PASSIVE = re.compile(rf"^the (\w+) was (?:{'|'.join(_PARTICIPLES)}) by the (\w+)\b")


def _word(words: List[str], at: int) -> str:
    return words[at] if at < len(words) else ""


def _attached(words: List[str], at: int) -> Optional[int]:
    """Where the noun of `the (adjective) noun` stands that begins at `at`."""
    if _word(words, at) != "the":
        return None
    adjective = _word(words, at + 1) in _ADJECTIVES and _word(words, at + 1) not in _NOUN_OF
    noun = at + 1 + adjective
    return noun if _word(words, noun) in _NOUN_OF else None


def _next_attractor(words: List[str], at: int) -> Tuple[Optional[int], int]:
    """(the noun attached behind position `at`, the end of what is attached)."""
    first, second = _word(words, at + 1), _word(words, at + 2)
    if first in _PREPOSITIONS:
        noun = _attached(words, at + 2)
        if noun is not None and (first, _NOUN_OF[words[noun]]) in _ATTACHABLE:
            return noun, noun
    elif first in ("who", "that") and second in _CLAUSE_VERBS:  # ... who like the dog
        noun = _attached(words, at + 3)
        if noun is not None:
            return noun, noun
    elif first in ("who", "that"):  # ... that the boys found
        noun = _attached(words, at + 2)
        if noun is not None and _word(words, noun + 1) in _CLAUSE_VERBS:
            return noun, noun + 1
    return None, at


def _subject(words: List[str]) -> Iterator[Combination]:
    """The noun a sentence begins with, all that is attached to it, and a present verb behind."""
    start = 1 + (_word(words, 1) in _ADJECTIVES and _word(words, 1) not in _NOUN_OF)
    if words[0] not in _DETERMINERS or _word(words, start) not in _NOUN_OF:
        return
    head, end = _NOUN_OF[words[start]], start
    while True:
        noun, after = _next_attractor(words, end)
        if noun is None:
            break
        yield "noun-attractor", head, _NOUN_OF[words[noun]]
        end = after
    if _word(words, end + 1) in _MAIN_VERB_OF:
        yield "noun-verb", head, _MAIN_VERB_OF[words[end + 1]]


def _nouns(kind: str, pairs: Iterator[Tuple[str, str]]) -> Iterator[Combination]:
    return ((kind, one, two) for one, two in pairs if one in lex.NOUNS and two in lex.NOUNS)


def _sentence(text: str) -> Iterator[Combination]:
    lower = text[:1].lower() + text[1:]
    yield from _subject(lower.split(" "))
    for pattern in _ACTIVE:
        yield from _nouns("agent-patient", iter(pattern.findall(lower)))
    yield from _nouns("agent-patient", ((two, one) for one, two in _PASSIVE.findall(lower)))


def combinations(text: str) -> Set[Combination]:
    """Every combination that can be seen in a document."""
    found: Set[Combination] = set()
    for sentence in re.split(r'[.,?!"]+ ?', text.strip()):
        found.update(_sentence(sentence))
    names = sorted(set(re.findall(rf"\b{_ANY_NAME}\b", text)))
    found.update(("name-name", a, b) for i, a in enumerate(names) for b in names[i + 1:])
    for pattern in _GIFTS:
        found.update(("name-object", name, thing) for name, thing in pattern.findall(text)
                     if thing in lex.NOUNS)
    for pattern in _FIT:
        found.update(_nouns("fit", iter(pattern.findall(text))))
    found.update(("size-animal", animal, size) for size, animal in _SIZE.findall(text))
    return found


def held_out(text: str) -> Dict[str, Set[Combination]]:
    """The combinations in a text that training must not contain, by kind."""
    found: Dict[str, Set[Combination]] = {}
    for combination in combinations(text):
        if is_held_out(*combination):
            found.setdefault(combination[0], set()).add(combination)
    return found
