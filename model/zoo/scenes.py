"""Pronouns, things that do not fit, banks, who bites whom, small scenes and short stories.

A scene is a list of lines; a line is one template or a choice of templates. Slots are filled once
per document, so that a name, a colour or a place that comes back is the same one.
"""

from typing import Callable, Dict, List, Sequence, Tuple

import lexicon as lex
from grammar import cast
from split import Writer, is_held_out
from stories import PLOTS, Line

Slots = Dict[str, str]

GIFTS = """book letter box cup flower apple ball hat coin clock basket toy drum doll bag cake ring
    scarf kite map lamp drawing feather candle pear""".split()
_BY_NAME = {p.name: p for p in lex.PERSONS}


def article(words: str) -> str:
    """The words with `a` or `an` before them."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def person_slots(key: str, person: lex.Person) -> Slots:
    """{a}, {a_he}, {a_him}, {a_his}, {a_self} for key `a`."""
    return {key: person.name, f"{key}_he": person.he, f"{key}_him": person.him,
            f"{key}_his": person.his, f"{key}_self": person.himself}


def tell(writer: Writer, lines: Sequence[Line], slots: Slots) -> List[str]:
    """Picks one template per line and fills the slots."""
    chosen = (line if isinstance(line, str) else writer.pick(line) for line in lines)
    return [template.format(**slots) for template in chosen if template]


def _two_people(writer: Writer, opposite: bool = True) -> Tuple[lex.Person, lex.Person]:
    """A pair on this side of the split, of different pronouns when `opposite`."""
    while True:
        one, two = (_BY_NAME[name] for name in cast(writer, 2))
        if not opposite or one.he != two.he:
            return one, two


def _third_person(writer: Writer, one: lex.Person, two: lex.Person) -> lex.Person:
    """Someone else, on the training side no held-out partner of either."""
    while True:
        three = writer.pick(lex.PERSONS)
        held_out = any(is_held_out("name-name", three.name, p.name) for p in (one, two))
        if three not in (one, two) and (writer.held_out or not held_out):
            return three


# --- Pronouns -------------------------------------------------------------------------------

_GIVING = [
    ("{a} gave {b} {a_thing}, and {b_he} thanked", "{a_him}"),
    ("{a} gave {b} {a_thing}, and {a_he} asked", "{b_him}", " to keep it"),
    ("{a} showed {b} {a_thing}, and {b_he} asked", "{a_him}", " where it came from"),
    ("{a} sent {b} {a_thing}, and {b_he} wrote a letter to", "{a_him}"),
    ("{a} brought {b} {a_thing}, and {b_he} smiled at", "{a_him}"),
    ("{a} sold {b} {a_thing}, and {b_he} paid", "{a_him}", " for it"),
    ("{a} made {a_thing} for {b}, and {b_he} thanked", "{a_him}"),
    ("{a} met {b} in the {place}. {b_he} was glad to see", "{a_him}"),
    ("{a} waited for {b} by the {place}. when {b_he} came, {b_he} smiled at", "{a_him}"),
    ("{a} helped {b}, and in the evening {b_he} thanked", "{a_him}"),
    ("{a} called {b}, but {b_he} did not hear", "{a_him}"),
    ("{a} looked for {b} in the {place}, but {a_he} could not find", "{b_him}"),
    ("{a} thanked {b} for the {thing} and put it in", "{a_his}", " bag"),
    ("{a} said goodbye to {b} and went back to", "{a_his}", " house"),
    ("{a} took the {thing} from {b} and held it in", "{a_his}", " hand"),
    ("{a} ran after {b} but lost", "{a_his}", " hat in the wind"),
    ("while {b} was asleep, {a} cleaned", "{a_his}", " shoes"),
    ("{a} saw {b} and then looked at", "{a_self}", " in the mirror"),
    ("{a} did not wait for {b} and went to the {place} by", "{a_self}"),
    ("{a} told {b} about", "{a_self}"),
]
_AFTER_GIVING = [
    "", "{a} and {b} are good friends", "then {a} went home", "{b} was happy all day",
    "the next day {b} came to see {a}", "{a} was happy too", "later {a} told {c} about it",
]


def pronoun_item(writer: Writer) -> Tuple[str, str, str, str, Slots]:
    """(prefix, right pronoun, wrong pronoun, rest, slots) of a sentence about two people."""
    template = writer.pick(_GIVING)
    one, two = _two_people(writer)
    thing = writer.partner("name-object", one.name, GIFTS)
    slots = {**person_slots("a", one), **person_slots("b", two), "thing": thing,
             "a_thing": article(thing), "place": writer.pick(lex.OUTDOORS + ["school", "bridge"])}
    slots["c"] = _third_person(writer, one, two).name
    right = template[1].format(**slots)
    wrong = template[1].format(**person_slots("a", two), **person_slots("b", one))
    rest = template[2] if len(template) > 2 else ""
    return template[0].format(**slots), right, wrong, rest, slots


def pronoun_document(writer: Writer) -> List[str]:
    """`Alice gave Bob a book, and he thanked her.`"""
    prefix, right, _, rest, slots = pronoun_item(writer)
    tail = writer.pick(_AFTER_GIVING).format(**slots)
    return [s for s in f"{prefix} {right}{rest}".split(". ") + [tail] if s]


_NUMBER_PRONOUN = [
    ("{a} looked for the {noun} and found", " under the {place}"),
    ("{a} took the {noun} and put", " in a bag"),
    ("{a} washed the {noun} and showed", " to {b}"),
    ("{a} bought the {noun} and gave", " to {b}"),
    ("{a} lost the {noun}, but {b} found", " near the {place}"),
    ("the {noun} belonged to {a}, but {b} wanted to have", ""),
]


def thing_pronoun_document(writer: Writer) -> List[str]:
    """`Alice looked for the keys and found them under the chair.`"""
    one, two = _two_people(writer, opposite=False)
    thing = writer.partner("name-object", one.name, lex.SMALL_THINGS)
    plural = writer.chance(0.5)
    prefix, rest = writer.pick(_NUMBER_PRONOUN)
    noun = lex.NOUNS[thing].form(plural)
    if writer.chance(0.3):
        noun = writer.pick(lex.NOUN_ADJECTIVES["thing"]) + " " + noun
    sentence = f"{prefix} {'them' if plural else 'it'}{rest}"
    return [sentence.format(a=one.name, b=two.name, noun=noun,
                            place=writer.pick(["chair", "table", "tree", "bed", "bridge"]))]


# --- Things that do not fit -----------------------------------------------------------------

_CONTENT = """trophy book lamp picture vase drum doll hat coat clock kite umbrella statue cake ball
    bell box sword toy photograph""".split()
_HOLDERS = "suitcase bag box drawer basket chest cabinet car shelf wagon bottle desk".split()
_FIT = [
    "the {x} would not fit in the {y} because it was too",
    "the {x} did not fit in the {y} because it was too",
    "{a} could not put the {x} in the {y} because it was too",
]
_FIT_ANSWERS = [
    ("so the thing that was too {size} was the", ""), ("what was too {size}? it was the", ""),
    ("{a} said that the problem was the", ""), ("so {a} looked for a {comparative}", ""),
    ("it was the", " that was too {size}"),
]
_OPPOSITES = {"big": "smaller", "large": "smaller", "small": "bigger", "tiny": "larger"}


def fit_item(writer: Writer) -> Tuple[str, str, str, str, Slots]:
    """(prefix, the noun meant, the other noun, rest, slots): the trophy and the suitcase."""
    x = writer.pick(_CONTENT)
    y = writer.partner("fit", x, _HOLDERS)
    size = writer.pick(sorted(_OPPOSITES))
    slots = {"x": x, "y": y, "a": writer.pick(lex.NAMES), "size": size,
             "comparative": _OPPOSITES[size]}
    right, wrong = (x, y) if size in ("big", "large") else (y, x)
    answer, rest = writer.pick(_FIT_ANSWERS)
    prefix = f"{writer.pick(_FIT)} {size}. {answer}"
    return prefix.format(**slots), right, wrong, rest.format(**slots), slots


def fit_document(writer: Writer) -> List[str]:
    """`The trophy would not fit in the suitcase because it was too big. ...`"""
    prefix, right, _, rest, slots = fit_item(writer)
    tail = writer.pick([
        "", "so {a} left the {x} at home", "{a} carried the {x} instead",
        "in the end the {x} stayed on the table", "{a} was sad, but only for a moment",
    ]).format(**slots)
    return [s for s in (prefix + " " + right + rest).split(". ") + [tail] if s]


# --- The two banks --------------------------------------------------------------------------

_MONEY_BANK = [
    ["{a} took the money to the bank", "{a} put some coins in the bank",
     "{a} went to the bank to get some money", "the clerk at the bank counted the money",
     "{a} paid {n} coins at the bank", "the bank was full of money",
     "the bank lent {a} the money for a new {thing}", "at the bank {a} asked for {n} coins"],
    ["the clerk counted the coins and smiled", "the clerk was kind and counted the money",
     "then {a} bought {a_thing} with the money", "the bank opened at nine, and the clerk was busy",
     "{a} wanted to pay for {a_thing}", "{a_he} needed the coins for {a_thing}"],
    ["", "{b} waited outside the bank with the bag of money", "the bank closed in the evening",
     "{a_he} put the rest of the money in {a_his} bag"],
]
_RIVER_BANK = [
    ["{a} sat on the bank of the river", "{a} walked along the bank and looked at the water",
     "the boat lay on the bank of the river", "the ducks slept on the bank near the water",
     "there were flowers on the bank of the river", "the bank was wet, and the water was cold",
     "{a} and {b} swam to the other bank", "on the bank of the river {a} found {n} feathers"],
    ["the water was cold, and the frogs sang in the grass", "{n} ducks swam in the river",
     "{a_he} saw a boat on the water", "{b} threw a stone into the water",
     "the grass on the bank was green and wet", "a frog jumped from the bank into the river"],
    ["", "{a} and {b} ate apples on the bank and watched the boats",
     "in the evening the river was quiet", "then {a_he} washed {a_his} hands in the river"],
]


def bank_document(writer: Writer) -> List[str]:
    """A few sentences about a bank of money or the bank of a river."""
    one, two = _two_people(writer, opposite=False)
    thing = writer.pick(["coat", "lamp", "boat", "hat", "table", "bed", "clock", "car"])
    slots = {**person_slots("a", one), "b": two.name, "n": writer.pick(lex.NUMBERS),
             "thing": thing, "a_thing": article(thing)}
    return tell(writer, writer.pick([_MONEY_BANK, _RIVER_BANK]), slots)


# --- Who bites whom -------------------------------------------------------------------------

# (verb, what became of the object, what the subject did)
_DEEDS = [
    ("bite", "was hurt", "was sorry"), ("chase", "ran away", "came home tired"),
    ("push", "fell into the water", "laughed"), ("help", "was glad", "was proud"),
    ("follow", "did not look back", "stayed close behind"), ("find", "was safe again", "was proud"),
    ("feed", "was not hungry any more", "was proud"), ("hear", "was very loud", "could not sleep"),
    ("kick", "was hurt", "was sorry"), ("wash", "was clean again", "was wet too"),
    ("carry", "was home soon", "was strong"), ("draw", "looked good on paper", "was proud"),
]
_ACTORS = lex.ANIMALS + "man woman boy girl child king queen farmer teacher".split()


def deed_document(writer: Writer) -> List[str]:
    """`Dog bites man. The man was hurt.`: only the order of the words says who did what."""
    base, patient_end, agent_end = writer.pick(_DEEDS)
    agent = writer.pick(_ACTORS)
    patient = writer.partner("agent-patient", agent, _ACTORS)
    verb = lex.verb(base)
    form = writer.rng.random()
    if form < 0.35:
        first = f"{agent} {verb.third} {patient}"
    elif form < 0.7:
        first = f"the {agent} {verb.past} the {patient}"
    else:
        first = f"the {patient} was {_PARTICIPLES.get(base, verb.past)} by the {agent}"
    ends = [f"the {patient} {patient_end}", f"the {agent} {agent_end}"]
    if writer.chance(0.5):
        ends = [f"{ends[0]}, and {ends[1]}"]
    elif writer.chance(0.5):
        ends = ends[:1]
    return [first] + ends


_PARTICIPLES = {"bite": "bitten", "draw": "drawn", "feed": "fed"}


# --- Big cats, small dogs, colours that come back -------------------------------------------

# size -> verb -> where: the last word alone (`the`) does not say how the sentence goes on.
_HABITS: Dict[str, List[Tuple[str, List[str]]]] = {
    "cat": [("sat on the", ["mat", "chair", "bed", "wall"]), ("slept on the", ["sofa", "bed"]),
            ("jumped over the", ["wall", "basket"])],
    "dog": [("ran to the", ["door", "gate", "garden"]), ("slept under the", ["table", "tree"]),
            ("sat by the", ["door", "gate"])],
    "bird": [("flew to the", ["tree", "nest", "tower"]), ("sat in the", ["tree", "nest"])],
    "horse": [("ran across the", ["field", "bridge"]), ("stood in the", ["barn", "field"])],
    "duck": [("swam across the", ["lake", "pond", "river"]), ("sat by the", ["pond", "lake"])],
    "mouse": [("hid under the", ["floor", "bed", "chest"]), ("ran into the", ["wall", "box"])],
    "frog": [("jumped into the", ["pond", "lake", "water"]), ("sat on the", ["leaf", "stone"])],
    "cow": [("stood in the", ["field", "barn"]), ("walked to the", ["river", "farm"])],
    "fox": [("ran into the", ["forest", "field"]), ("hid behind the", ["tree", "barn"])],
    "bear": [("walked into the", ["forest", "river"]), ("slept under the", ["tree", "hill"])],
}

_ANIMAL_ADJECTIVES = lex.SIZES[:5] + lex.COLOURS[4:7] + ["old"]


def habit_document(writer: Writer) -> List[str]:
    """`The big cat sat on the mat. The small dog ran to the door.`"""
    sentences = []
    for animal in writer.sample(sorted(_HABITS), writer.pick((1, 1, 2))):
        adjective = writer.partner("size-animal", animal, _ANIMAL_ADJECTIVES)
        deed, places = writer.pick(_HABITS[animal])
        sentences.append(f"the {adjective} {animal} {deed} {writer.pick(places)}")
        if writer.chance(0.4):
            state = writer.pick(["tired", "happy", "hungry", "cold"])
            sentences.append(f"the {animal} was {state}")
    return sentences


_COLOUR_SCENES: List[List[Line]] = [
    ["{a} had {c1_thing} and {b} had {c2_thing}",
     ["{a} liked {c1} things, and {b} did not", "they put the {things} on the table", ""],
     ["in the evening {a} took the {c1} {thing} and {b} took the {c2} {thing}",
      "{b} lost the {c2} {thing}, so {a} gave {b_him} the {c1} {thing}",
      "{a} could not find the {c1} {thing}, but {b} still had the {c2} {thing}"]],
    ["the {thing} of {a} was {c1}", "the {thing} of {b} was {c2}",
     ["{c} found the {c1} {thing} and gave it to {a}",
      "{c} found the {c2} {thing} and gave it to {b}"]],
    ["{a} put the {c1} {thing} in the {place} and the {c2} {thing} in the {place2}",
     ["later {a_he} went to the {place} and took out the {c1} {thing}",
      "later {a_he} went to the {place2} and took out the {c2} {thing}",
      "the {c2} {thing} was in the {place2}, and the {c1} {thing} was in the {place}"]],
    ["there were two {things} in the {place}: a {c1b} one and a {c2b} one",
     ["{a} took the {c1b} one, so {b} took the {c2b} one",
      "{b} wanted the {c2b} one, so {a} took the {c1b} one"]],
    [["{a} had a big {thing} and a small {thing}"],
     ["{a_he} gave the small {thing} to {b} and kept the big one",
      "{a_he} gave the big {thing} to {b} and kept the small one",
      "the big {thing} was {c1}, and the small {thing} was {c2}"],
     ["", "{b} was happy and thanked {a_him}"]],
    ["{a} painted the {thing} {c1} and the {thing2} {c2}",
     ["now {a_he} had {c1_thing} and {c2_thing2}",
      "{b} liked the {c1} {thing}, not the {c2} {thing2}"]],
]


def colour_document(writer: Writer) -> List[str]:
    """A scene in which a colour and a place come back."""
    return tell(writer, writer.pick(_COLOUR_SCENES), scene_slots(writer))


def scene_slots(writer: Writer) -> Slots:
    """Three people, two things with colours, two places, an animal, a day and a number."""
    one, two = _two_people(writer, opposite=writer.chance(0.7))
    three = _third_person(writer, one, two)
    thing = writer.partner("name-object", one.name, GIFTS)
    thing2 = writer.partner("name-object", two.name, [g for g in GIFTS if g != thing])
    c1, c2 = writer.sample(lex.COLOURS[:9], 2)
    c1b, c2b = writer.sample([c for c in lex.COLOURS if c[0] not in "aeiou"], 2)
    inside = ["box", "drawer", "basket", "bag", "chest", "cabinet", "car", "kitchen"]
    place, place2 = writer.sample([p for p in inside if p not in (thing, thing2)], 2)
    outdoors = writer.pick(["garden", "field", "forest", "market", "village"])
    animal = writer.pick(["dog", "cat", "puppy", "rabbit", "goat", "horse"])
    return {
        **person_slots("a", one), **person_slots("b", two), **person_slots("c", three),
        "animal_colour": writer.pick(["black", "white", "brown", "grey"]),
        "animal_colour": writer.pick(["black", "white", "brown", "grey"]),
        "thing": thing, "things": lex.NOUNS[thing].plural, "thing2": thing2,
        "a_thing": article(thing), "a_thing2": article(thing2), "c1": c1, "c2": c2,
        "c1b": c1b, "c2b": c2b, "c1_thing": article(f"{c1} {thing}"),
        "c2_thing": article(f"{c2} {thing}"), "c2_thing2": article(f"{c2} {thing2}"),
        "place": place, "place2": place2, "out": outdoors, "animal": animal,
        "size": writer.pick(["big", "small", "little", "large"]), "day": writer.pick(lex.DAYS),
        "n": writer.pick(lex.NUMBERS), "a_animal": article(animal),
        "animal_place": "bed" if animal in ("dog", "cat", "puppy", "rabbit") else "barn",
    }


def story_document(writer: Writer) -> List[str]:
    """A short story in which names, colours and sizes come back."""
    slots = scene_slots(writer)
    ruler = writer.pick([("king", "he", "his"), ("queen", "she", "her")])
    slots.update(zip(("ruler", "r_he", "r_his"), ruler), foe=writer.pick(["wolf", "bear", "fox"]))
    slots["open"] = writer.pick(["cabinet", "house", "chest", "tower", "room", "barn"])
    return tell(writer, writer.pick(PLOTS), slots)


# --- Lists that repeat ----------------------------------------------------------------------


def name_list_document(writer: Writer) -> List[str]:
    """Names in an order that comes back: `First came Alice, Bob and Tom. ...`"""
    names = cast(writer, writer.pick((3, 4, 5)))
    listed = ", ".join(names[:-1]) + " and " + names[-1]
    first, again = writer.pick([
        ("first came", "the next day there came again"),
        ("in the garden were", "later there came home"),
        ("the letter was for", "so there were cakes for"),
        ("the teacher called", "then the teacher called again"),
    ])
    return [f"{first} {listed}", f"{again} {listed}"]


def repeated_words(writer: Writer, vocabulary: Sequence[str], low: int, high: int) -> str:
    """A random span of words, repeated: nothing but copying predicts the second half."""
    span = [writer.pick(vocabulary) for _ in range(writer.rng.randint(low, high))]
    return " ".join(span * writer.pick((2, 3, 4)))


SCENES: List[Tuple[float, Callable[[Writer], List[str]]]] = [
    (0.09, pronoun_document),
    (0.04, thing_pronoun_document),
    (0.08, fit_document),
    (0.06, bank_document),
    (0.06, deed_document),
    (0.06, habit_document),
    (0.06, colour_document),
    (0.20, story_document),
    (0.03, name_list_document),
]
