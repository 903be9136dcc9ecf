"""What the library decodes random ids to, for every golden tokenizer.

decodes.json holds for each folder the texts of N_SEQUENCES sequences of ids, special tokens left out
of every other one, from a generator that the test has too.
"""

import json
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer

N_SEQUENCES = 200
MAX_IDS = 12
SEED = 19


class Generator:
    """A linear congruential generator of 64 bits, of which the upper 31 are used."""

    def __init__(self) -> None:
        self._state = SEED

    def __call__(self, n: int) -> int:
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._state >> 33) % n


def _decode(tokenizer: Tokenizer, ids: list[int], skip_special: bool) -> str | None:
    """The text; none where the library panics."""
    try:
        return tokenizer.decode(ids, skip_special_tokens=skip_special)
    except BaseException:  # noqa: BLE001 - a panic is no Exception
        return None


def decodes(tokenizer: Tokenizer) -> list[str | None]:
    """Ids go up to one that no token has."""
    random = Generator()
    n_ids = tokenizer.get_vocab_size(with_added_tokens=True)
    texts = []
    for i in range(N_SEQUENCES):
        ids = [0] * (1 + random(MAX_IDS))
        ids = [random(n_ids + 1) for _ in ids]
        texts.append(_decode(tokenizer, ids, i % 2 == 0))
    return texts


def make_decodes(folder: Path) -> dict[str, int]:
    """Writes decodes.json; returns the number of texts of each tokenizer."""
    texts = {
        path.parent.name: decodes(Tokenizer.from_file(str(path)))
        for path in sorted(folder.glob("*/tokenizer.json"))
    }
    head = json.dumps({"tokenizers": tokenizers.__version__})
    lines = ",\n".join(
        f"{json.dumps(name)}:{json.dumps(value, separators=(',', ':'), ensure_ascii=False)}"
        for name, value in texts.items()
    )
    (folder / "decodes.json").write_text(
        f'{{"versions":{head},\n"decodes":{{\n{lines}\n}}}}\n', encoding="utf-8"
    )
    return {name: len(value) for name, value in texts.items()}


if __name__ == "__main__":
    print(make_decodes(Path(__file__).parent / "tokenizers"))
