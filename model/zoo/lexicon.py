"""The words of the corpus: nouns, verbs, names, adjectives and who may combine with what.

Everything here is data. `grammar.py` and `scenes.py` turn it into sentences.
"""

from dataclasses import dataclass

IRREGULAR_PLURALS = {
    "man": "men", "woman": "women", "child": "children", "mouse": "mice", "shelf": "shelves",
    "knife": "knives", "wolf": "wolves", "leaf": "leaves", "scarf": "scarves",
}
IRREGULAR_PASTS = {
    "lie": "lay", "stand": "stood", "hang": "hung", "sing": "sang", "sleep": "slept", "run": "ran",
    "eat": "ate", "drink": "drank", "sit": "sat", "bite": "bit", "see": "saw", "know": "knew",
    "find": "found", "buy": "bought", "make": "made", "lose": "lost", "sell": "sold",
    "draw": "drew", "swim": "swam", "hide": "hid", "fall": "fell", "cost": "cost", "have": "had",
    "carry": "carried", "hear": "heard", "feed": "fed", "cry": "cried",
}


def plural_of(word: str) -> str:
    """English plural of a singular noun of this lexicon."""
    if word in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[word]
    if word.endswith(("s", "x", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


@dataclass(frozen=True)
class Noun:
    """A countable noun with both of its forms; `kind` is thing, place, person or animal."""

    singular: str
    plural: str
    kind: str

    def form(self, plural: bool) -> str:
        return self.plural if plural else self.singular


@dataclass(frozen=True)
class Verb:
    """A regular or irregular verb: base (plural present), third person singular, past."""

    base: str
    third: str
    past: str

    def present(self, plural: bool) -> str:
        return self.base if plural else self.third


@dataclass(frozen=True)
class Person:
    """A named character and the pronouns that refer to them."""

    name: str
    he: str
    him: str
    his: str
    himself: str


def _third(base: str) -> str:
    if base == "have":
        return "has"
    if base.endswith(("s", "x", "ch", "sh", "o")):
        return base + "es"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return base + "s"


def _past(base: str) -> str:
    if base in IRREGULAR_PASTS:
        return IRREGULAR_PASTS[base]
    return base + "d" if base.endswith("e") else base + "ed"


def verb(base: str) -> Verb:
    """Builds all forms of a verb from its base."""
    return Verb(base, _third(base), _past(base))


_NOUNS_BY_KIND = {
    "thing": """key book letter box cup plate lamp picture map flower apple pear ball hat coat shoe
        ring coin clock bottle basket chair table cabinet drawer shelf door window gate bell toy
        drum kite doll spoon knife glass bag suitcase trophy chest desk bed sofa mat rug cake stone
        leaf nest egg feather story song statue vase candle rope wheel ladder umbrella scarf crown
        sword ticket drawing painting photograph boat car wagon""",
    "place": """house garden tree bridge road river town room shop school farm field hill wall
        tower lake castle market kitchen barn station village forest path pond""",
    "person": """man woman boy girl child teacher doctor farmer baker king queen sailor driver
        painter nurse guard student friend neighbour clerk singer gardener pilot cook captain""",
    "animal": "dog cat bird horse cow goat duck fox rabbit mouse lion bear frog pig wolf puppy",
}
NOUNS = {
    word: Noun(word, plural_of(word), kind)
    for kind, words in _NOUNS_BY_KIND.items()
    for word in words.split()
}
PEOPLE = _NOUNS_BY_KIND["person"].split()
ANIMALS = _NOUNS_BY_KIND["animal"].split()
PLACES = _NOUNS_BY_KIND["place"].split()
FEMALE_NOUNS = {"woman", "girl", "queen"}
MALE_NOUNS = {"man", "boy", "king"}

WOMEN = "Alice Anna Clara Ella Emma Grace Julia Lucy Maria Nora Sara Zoe".split()
MEN = "Bob Ben David Frank Henry Jack Leo Max Oliver Peter Sam Tom".split()
PERSONS = [Person(n, "she", "her", "her", "herself") for n in WOMEN] + [
    Person(n, "he", "him", "his", "himself") for n in MEN
]
NAMES = [p.name for p in PERSONS]

COLOURS = "red blue green yellow black white brown pink purple orange".split()
SIZES = "big small large little tiny huge tall short".split()
NUMBERS = "two three four five six seven eight nine ten".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
NOUN_ADJECTIVES = {
    "thing": "old new small big red blue green yellow black white heavy broken pretty".split(),
    "place": "old new small big quiet dark pretty busy green".split(),
    "person": "old young tall kind clever quiet brave happy".split(),
    "animal": "old young big small brown black white hungry quick gentle".split(),
}

SMALL_THINGS = """key book letter box cup plate lamp picture flower apple ball hat coin clock bottle
    basket bell toy drum doll spoon knife glass bag cake stone feather vase candle scarf crown map
    drawing photograph ring kite rope""".split()
SURFACES = "table shelf desk chair bed sofa mat rug wall cabinet chest".split()
CONTAINERS = "box drawer basket bag cabinet chest suitcase car room kitchen shop house".split()
OUTDOORS = "garden field forest barn village town market pond farm".split()
LANDMARKS = """house tree bridge river road wall tower gate door window lake barn castle school
    shop station hill table cabinet statue man woman boy girl teacher horse dog guard""".split()
OPENABLE = """cabinet door box house drawer car gate chest room shop suitcase castle barn tower
    school boat""".split()
DEPICTED = """cat dog king queen river town house horse bird lion bear castle bridge boat tree
    flower child woman man garden hill tower wolf""".split()
WEARABLES = "hat coat scarf umbrella bag basket ball kite dog book box letter ring drum".split()

# (preposition, nouns it may follow, nouns it may precede): how noun phrases grow attractors.
FRAMES = [
    ("to", ["key"], OPENABLE),
    ("to", ["road", "path", "door", "gate", "bridge", "ticket"],
     "town village castle farm school lake garden tower station market house barn shop".split()),
    ("of", ["picture", "drawing", "painting", "photograph", "map", "statue", "story"], DEPICTED),
    ("on", SMALL_THINGS, SURFACES),
    ("in", SMALL_THINGS, CONTAINERS),
    ("in", ANIMALS + PEOPLE, OUTDOORS + ["house", "kitchen", "shop", "boat", "school", "room"]),
    ("near", PEOPLE + ANIMALS + PLACES + SURFACES + ["boat", "car", "wagon", "ladder"], LANDMARKS),
    ("behind", PEOPLE + ANIMALS + PLACES + OPENABLE, LANDMARKS),
    ("beside", PEOPLE + ANIMALS + SMALL_THINGS + SURFACES + ["statue", "boat"], LANDMARKS),
    ("with", PEOPLE, WEARABLES),
    ("from", ["letter", "story", "song", "picture", "ticket", "coin"],
     PEOPLE + ["town", "village"]),
    ("for", ["letter", "cake", "ring", "book", "toy", "kite", "coat", "shoe", "doll"], PEOPLE),
    ("about", ["book", "story", "song", "letter"], PEOPLE + ANIMALS + ["river", "castle", "boat"]),
]

# Verbs of relative clauses: by the kind of the object, and by the kind of the subject.
OBJECT_CLAUSE_VERBS = {
    "thing": [verb(v) for v in "like want need find buy make lose sell carry paint".split()],
    "place": [verb(v) for v in "like see know visit love".split()],
    "person": [verb(v) for v in "like know help see visit follow".split()],
    "animal": [verb(v) for v in "like feed see follow love find".split()],
}
SUBJECT_CLAUSE_VERBS = {
    "person": [verb(v) for v in "like know help see paint watch love clean visit".split()],
    "animal": [verb(v) for v in "like chase watch follow see love".split()],
}

# Main verbs in the present, each with the words that may finish the sentence.
MAIN_VERBS = {
    "thing": [
        (verb("look"), ["old", "new", "clean", "pretty", "heavy", "very old", "almost new"]),
        (verb("belong"), ["to {name}", "to the queen", "to the captain", "to {name} and {name2}"]),
        (verb("seem"), ["too heavy", "too small", "quite new", "very old", "strong enough"]),
        (verb("need"), ["a new home", "some paint", "a little care", "to be clean"]),
        (verb("lie"), ["on the floor", "under the window", "in the corner", "in the sun"]),
    ],
    "place": [
        (verb("look"), ["beautiful in the snow", "very old", "quiet at night", "pretty in spring"]),
        (verb("seem"), ["quiet today", "far away", "very old", "dark at night"]),
        (verb("stand"), ["in the sun", "in the rain", "far from the sea"]),
        (verb("belong"), ["to {name}", "to the king", "to the queen", "to an old family"]),
    ],
    "person": [
        (verb("walk"), ["to the market every day", "home in the evening", "along the river"]),
        (verb("live"), ["in a small house", "near the sea", "in the old town", "by the lake"]),
        (verb("work"), ["on the farm", "every day", "in the big shop", "until the evening"]),
        (verb("sing"), ["in the evening", "an old song", "for {name}"]),
        (verb("wait"), ["for {name}", "for the bus", "by the gate", "for the rain to stop"]),
        (verb("laugh"), ["at the joke", "very loudly", "with {name}"]),
        (verb("know"), ["{name} very well", "the way home", "many songs"]),
        (verb("want"), ["some bread", "to go home", "a cup of tea", "to help {name}"]),
        (verb("like"), ["warm bread", "old songs", "the sea", "{name} very much"]),
    ],
    "animal": [
        (verb("run"), ["through the grass", "very fast", "after {name}", "to the gate"]),
        (verb("sleep"), ["in the sun", "all day", "under the table", "in the barn"]),
        (verb("eat"), ["the grass", "bread from the hand of {name}", "in the evening"]),
        (verb("drink"), ["from the river", "cold water", "a lot of water"]),
        (verb("play"), ["in the snow", "with {name}", "all morning", "in the long grass"]),
        (verb("like"), ["{name} very much", "warm milk", "the sun", "to play"]),
        (verb("hide"), ["under the bed", "behind the wall", "in the dark"]),
    ],
}
BE_REST = {
    "thing": ["on the table", "on the floor", "under the bed", "in the drawer", "near the door",
              "in the corner", "old", "new", "lost", "dirty", "clean", "heavy", "broken", "missing",
              "very old", "ready", "not here", "still there", "quite small", "beautiful"],
    "place": ["very old", "empty", "quiet", "beautiful", "far away", "full of people", "dark",
              "not far from here", "covered with snow", "busy today", "closed", "open"],
    "person": ["tired", "happy", "kind", "hungry", "late", "ready", "in the garden", "at home",
               "very busy", "sad", "in the kitchen", "angry with {name}", "afraid of the dark",
               "proud of {name}", "not at home", "very clever", "waiting for {name}", "ill"],
    "animal": ["hungry", "asleep", "thirsty", "wet", "in the barn", "under the tree", "very quick",
               "afraid of the storm", "tired", "happy", "gentle", "not afraid of {name}", "lost",
               "in the garden", "running home", "cold"],
}
HAVE_REST = {
    "thing": ["been here for years", "been on the shelf since {day}", "no name on {it}",
              "a small crack", "been lost before"],
    "place": ["been here for years", "been empty since {day}", "no visitors in winter",
              "been closed since {day}"],
    "person": ["been here since {day}", "no money today", "a good friend in {name}",
               "been ill since {day}", "a lot of work", "been kind to {name}"],
    "animal": ["been asleep since {day}", "warm fur", "no food", "been here since {day}",
               "a warm bed"],
}
