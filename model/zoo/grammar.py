"""Subject-verb agreement: noun phrases with attractors, and the sentences built on them."""

from dataclasses import dataclass, field
from typing import Dict, List, Tuple

import lexicon as lex
from split import NoChoice, Writer, is_held_out

_FRAMES_BY_HEAD: Dict[str, List[Tuple[str, List[str]]]] = {}
for _prep, _heads, _tails in lex.FRAMES:
    for _head in _heads:
        _FRAMES_BY_HEAD.setdefault(_head, []).append((_prep, _tails))
_HEADS = sorted(_FRAMES_BY_HEAD)
_OBJECT_CLAUSE_SUBJECTS = lex.PEOPLE
_BE = {False: ("is", "are"), True: ("was", "were")}


@dataclass
class Phrase:
    """A subject under construction. Positions index `words`."""

    words: List[str]
    noun: lex.Noun
    plural: bool
    head: int
    attractors: List[int] = field(default_factory=list)
    last: str = ""

    def add_noun(self, writer: Writer, word: str) -> None:
        """Appends `the (adjective) noun` in a random number as one more attractor."""
        noun = lex.NOUNS[word]
        self.words.append("the")
        if writer.chance(0.08):
            self.words.append(writer.pick(lex.NOUN_ADJECTIVES[noun.kind]))
        self.words.append(noun.form(writer.chance(0.5)))
        self.attractors.append(len(self.words) - 1)
        self.last = word


@dataclass
class Agreement:
    """One agreement sentence up to its verb, the two forms of the verb, and what follows it."""

    phrase: Phrase
    verbs: Tuple[str, str]  # (singular, plural)
    rest: str
    past: bool

    @property
    def prefix(self) -> str:
        return " ".join(self.phrase.words)

    @property
    def verb(self) -> str:
        return self.verbs[self.phrase.plural]


def _start(writer: Writer, head: str) -> Phrase:
    noun = lex.NOUNS[head]
    plural = writer.chance(0.5)
    words = ["the"]
    if writer.chance(0.08):
        words = [writer.pick(["these", "those"] if plural else ["this", "that"])]
    if writer.chance(0.12):
        words.append(writer.pick(lex.NOUN_ADJECTIVES[noun.kind]))
    words.append(noun.form(plural))
    return Phrase(words, noun, plural, len(words) - 1, last=head)


def _add_prepositional(writer: Writer, phrase: Phrase, head: str) -> None:
    """`... to the cabinet`: attaches to the previous noun, the split holds against the head."""
    frames = _FRAMES_BY_HEAD.get(phrase.last) or [("near", lex.LANDMARKS)]
    prep, tails = writer.pick(frames)
    tails = [t for t in tails if t != phrase.last]
    phrase.words.append(prep)
    phrase.add_noun(writer, writer.partner("noun-attractor", head, tails))


def _clause_verb(writer: Writer, verb: lex.Verb, plural: bool) -> str:
    return verb.past if writer.chance(0.5) else verb.present(plural)


def _add_object_clause(writer: Writer, phrase: Phrase, head: str) -> None:
    """`... that the boys found`: the attractor is the subject of the clause."""
    person = phrase.noun.kind == "person"
    phrase.words.append("who" if person and writer.chance(0.5) else "that")
    attractor = writer.partner("noun-attractor", head, _OBJECT_CLAUSE_SUBJECTS)
    phrase.add_noun(writer, attractor)
    plural = phrase.words[-1] == lex.NOUNS[attractor].plural
    verb = writer.pick(lex.OBJECT_CLAUSE_VERBS[phrase.noun.kind])
    phrase.words.append(_clause_verb(writer, verb, plural))


def _add_subject_clause(writer: Writer, phrase: Phrase, head: str) -> None:
    """`... who like the dog`: the clause's own verb agrees with the head too."""
    person = phrase.noun.kind == "person"
    phrase.words.append("who" if person else "that")
    verb = writer.pick(lex.SUBJECT_CLAUSE_VERBS[phrase.noun.kind])
    phrase.words.append(_clause_verb(writer, verb, phrase.plural))
    liked = lex.ANIMALS + ["house", "garden", "boat", "teacher", "child", "river", "farmer", "car"]
    phrase.add_noun(writer, writer.partner("noun-attractor", head, liked))


def subject(writer: Writer, attractors: int, prepositional_only: bool = False) -> Phrase:
    """A subject with the given number of attractors (0-3)."""
    head = writer.pick(_HEADS)
    phrase = _start(writer, head)
    while len(phrase.attractors) < attractors:
        first = not phrase.attractors
        kind = phrase.noun.kind
        last = len(phrase.attractors) == attractors - 1
        clause = not prepositional_only and writer.chance(0.3)
        if clause and first and kind in lex.SUBJECT_CLAUSE_VERBS and writer.chance(0.6):
            _add_subject_clause(writer, phrase, head)
        elif clause and first and last:  # Nothing can follow the verb of an object clause.
            _add_object_clause(writer, phrase, head)
        else:
            _add_prepositional(writer, phrase, head)
    return phrase


def cast(writer: Writer, count: int) -> List[str]:
    """Names for one document: on the training side no two of them are a held-out pair."""
    names = [writer.pick(lex.PERSONS).name]
    names.append(writer.partner("name-name", names[0], lex.NAMES))
    while len(names) < count:
        name = writer.pick(lex.NAMES)
        held_out = any(is_held_out("name-name", name, other) for other in names)
        if name not in names and (writer.held_out or not held_out):
            names.append(name)
    return names


def _fill(writer: Writer, rest: str, plural: bool, names: List[str]) -> str:
    it = "them" if plural else "it"
    return rest.format(name=names[0], name2=names[1], day=writer.pick(lex.DAYS), it=it)


def _be_rest(writer: Writer, phrase: Phrase) -> str:
    """The end of `X is ...`; a thing that has a place already does not get a second one."""
    options = lex.BE_REST[phrase.noun.kind]
    placed = {"on", "in", "near", "behind", "beside"} & set(phrase.words)
    if placed or phrase.noun.singular not in lex.SMALL_THINGS:
        options = [o for o in options if o.split()[0] not in ("on", "in", "under", "near")]
    return writer.pick(options)


def agreement(writer: Writer, attractors: int, names: List[str],
              prepositional_only: bool = False) -> Agreement:
    """A subject with a verb that must agree with its head, and a fitting end."""
    phrase = subject(writer, attractors, prepositional_only)
    kind = phrase.noun.kind
    draw = writer.rng.random()
    past = draw < 0.42
    if draw < 0.70:
        verbs, rest = _BE[past], _be_rest(writer, phrase)
    elif draw < 0.78:
        verbs, rest = ("has", "have"), writer.pick(lex.HAVE_REST[kind])
    else:
        options = {v.base: (v, rests) for v, rests in lex.MAIN_VERBS[kind]}
        base = writer.partner("noun-verb", phrase.noun.singular, sorted(options))
        verb, rests = options[base]
        verbs, rest = (verb.third, verb.base), writer.pick(rests)
    return Agreement(phrase, verbs, _fill(writer, rest, phrase.plural, names), past)


_AFTER = {
    ("thing", False): [
        "{name} wants to keep {them}", "nobody knows where {they} {come} from",
        "{name} looks at {them} every day", "{name} puts {them} away",
        "{name} takes {them} home and shows {them} to {name2}", "{they} {are} not for sale",
        "everyone likes {them}", "{name} likes {them} very much", "{they} {look} good in the light",
    ],
    ("thing", True): [
        "{name} looked for {them} and found {them} in the garden",
        "nobody knew where {they} {were}",
        "{name} wanted to keep {them}", "{name} put {them} away in the evening",
        "{name} took {them} home and showed {them} to {name2}", "{they} {were} not for sale",
        "everyone liked {them}", "{name} gave {them} to {name2}", "nobody wanted to buy {them}",
    ],
    ("place", False): [
        "{name} goes there every day", "{name} and {name2} like to walk there",
        "{they} {are} not far from the sea", "everyone in the town knows {them}",
        "many people come to see {them}", "{name} paints {them} every summer",
    ],
    ("place", True): [
        "{name} went there every day", "{name} and {name2} liked to walk there",
        "{they} {were} not far from the sea", "everyone in the town knew {them}",
        "many people came to see {them}", "{name} painted {them} in the summer",
    ],
    ("person", False): [
        "{name} brings {them} some bread", "{name} and {name2} often talk to {them}",
        "everyone knows {them}", "{name} says hello to {them}", "{name} waits for {them} at home",
    ],
    ("person", True): [
        "{name} brought {them} some bread", "{name} and {name2} talked to {them}",
        "everyone knew {them}", "{name} said hello to {them}", "{name} waited for {them} at home",
    ],
    ("animal", False): [
        "{name} gives {them} some food", "{name} and {name2} play with {them}",
        "{they} {want} to go home", "{they} often {come} to the house", "{name} calls {them}",
        "{name} looks after {them}", "{they} {know} the way home",
    ],
    ("animal", True): [
        "{name} gave {them} some food", "{name} and {name2} played with {them}",
        "{they} {were} glad to see {name}", "{they} {were} hungry in the morning",
        "{name} called {them}", "{name} looked after {them}",
    ],
}
_NUMBERED = {
    "come": ("comes", "come"), "are": ("is", "are"), "were": ("was", "were"),
    "look": ("looks", "look"), "want": ("wants", "want"), "know": ("knows", "know"),
}


def _pronouns(phrase: Phrase) -> Tuple[str, str]:
    """(they, them) for the head of the phrase."""
    if phrase.plural:
        return "they", "them"
    word = phrase.noun.singular
    if word in lex.FEMALE_NOUNS:
        return "she", "her"
    if word in lex.MALE_NOUNS:
        return "he", "him"
    return "it", "it"


def follow_up(writer: Writer, item: Agreement, names: List[str]) -> str:
    """A second sentence whose pronoun agrees with the head of the first."""
    kind = item.phrase.noun.kind
    they, them = _pronouns(item.phrase)
    neutral = kind == "person" and they == "it"  # `the teacher`: no pronoun is certain.
    slots = {name: forms[item.phrase.plural] for name, forms in _NUMBERED.items()}
    if neutral:
        them = "the " + item.phrase.noun.singular
        they = them
    template = writer.pick(_AFTER[kind, item.past])
    return template.format(name=names[0], name2=names[1], they=they, them=them, **slots)


def agreement_document(writer: Writer) -> List[str]:
    """One or two sentences about a subject with 0-3 attractors."""
    attractors = writer.pick((0,) * 5 + (1,) * 10 + (2,) * 4 + (3,))
    names = cast(writer, 2)
    item = agreement(writer, attractors, names)
    sentences = [f"{item.prefix} {item.verb} {item.rest}"]
    if writer.chance(0.75):
        sentences.append(follow_up(writer, item, names))
    return sentences
