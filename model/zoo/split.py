"""The line between training and held-out text: which word combinations training never sees.

Every word of the corpus occurs in training. A combination (a head noun with an attractor, a noun
with a verb, two names, a name with an object, two things that must fit) belongs to the held-out
side when a hash of its words says so, so the split is fixed by construction, needs no list, and is
the same for every seed. The well-known example sentences are held out by name: what a model says
about them is generalisation, not memory.
"""

import hashlib
import random
from functools import lru_cache
from typing import List, Sequence, Set, Tuple, TypeVar

HELD_OUT_SHARE = 0.12
ALWAYS_HELD_OUT = {
    ("noun-attractor", "key", "cabinet"),
    ("fit", "trophy", "suitcase"),
    ("name-name", "Alice", "Bob"),
}
T = TypeVar("T")


@lru_cache(maxsize=None)
def is_held_out(kind: str, first: str, second: str) -> bool:
    """True when training must never combine `first` with `second` in the role `kind`.

    Two names are held out in either order; all other roles are ordered.
    """
    if kind == "name-name" and second < first:
        first, second = second, first
    if (kind, first, second) in ALWAYS_HELD_OUT:
        return True
    digest = hashlib.blake2b(f"{kind}|{first}|{second}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") / 2**32 < HELD_OUT_SHARE


class NoChoice(Exception):
    """No combination of the wanted side exists here: the caller starts the document again."""


class Writer:
    """A seeded source of choices that stays on one side of the split.

    Attributes:
        held_out: the side. On the held-out side every combination is one training never saw.
        used: the combinations of the current document, for the check of the split.
    """

    def __init__(self, seed: int, held_out: bool = False) -> None:
        self.rng = random.Random(seed)
        self.held_out = held_out
        self.used: Set[Tuple[str, str, str]] = set()

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.rng.random() * len(options))]

    def sample(self, options: Sequence[T], count: int) -> List[T]:
        return self.rng.sample(options, count)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def partner(self, kind: str, first: str, options: Sequence[str]) -> str:
        """Picks a word that may stand with `first` on this side of the split."""
        for _ in range(40):
            second = self.pick(options)
            if second != first and is_held_out(kind, first, second) == self.held_out:
                self.used.add((kind, first, second))
                return second
        raise NoChoice(f"{kind}: {first}")
