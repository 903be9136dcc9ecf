"""Texts that all tokenizers share, and what the tokenizers library answers for each of them.

A compact form of the cases beside it: texts.json holds the texts once, and the answers.json of a
tokenizer one line for each text, in the same order.
"""

import base64
import json
import platform
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Tokenizer

from tokenizer_cases import INVALID_UTF8, TEXTS, Case, random_text
from tokenizer_goldens import byte_offsets, ids_specials_as_text, save_tokenizer
from tokenizer_kinds import (
    albert_style,
    cased_style,
    clip_style,
    llama2_style,
    speech_style,
    t5_style,
    word_style,
    wordpiece_style,
)

RANDOM_SEED = 12
N_RANDOM_TEXTS = 272
N_RANDOM_BYTES = 40

# Tokens of all tokenizers, as fragments of random texts.
TOKENS = (
    "[CLS]",
    "[SEP]",
    " [MASK]",
    "[UNK]",
    "<s>",
    "</s>",
    "<unk>",
    "<pad>",
    " <mask>",
    "<extra_id_0>",
    "<extra_id_1>  ",
    "<|end|>",
    "<|endoftext|>",
    "<eos>",
    "<0x41>",
    "\u2581",
    "\u2581the",
    "##ing",
    "</w>",
    "|",
)

KINDS = {
    "word_100": "a" * 100,
    "word_101": "a" * 101,
    "word_100_of_two_bytes": "\u00e9" * 100,
    "word_101_with_end": "the " + "x" * 101 + ", the",
    "word_12": "abcdefghijkl abcdefghijklm",
    "cleanup": "Hello , world . Is it ? No ! I do not , I 'm not n't we 've they 're it 's ' x '",
    "cleanup_edges": " . .. ,, ' ' do not donot do n't \u2019s",
    "uncased": "\u0130stanbul ISTANBUL \u1e9e \u00c9COLE \u01c4 \u03a3\u03a3 \u212a",
    "accents": "a\u0301\u0302\u0303b \u1ec7\u0323 n\u0303 \u0915\u093e\u0902 \u0e01\u0e34\u0e48",
    "ideographs_beside_words": "abc\u4e2d\u6587def \u4e2d \U0002b740\U0002b820\U0002b920\uf900x",
    "ideographs_and_marks": "\u4e2d\u0301\u6587\u20dd\u3042\u3099",
    "metaspaces": "\u2581\u2581a \u2581 b\u2581c  \u2581",
    "spaces_before_tokens": "   <s>  a  </s>  b   [MASK]   c <mask>  ",
    "token_first": "<s>hello </s>world",
    "token_text": "[CLS] the [SEP] <unk> [UNK] <pad> <eos> <|end|> <extra_id_0>",
    "byte_tokens_text": "<0x41><0xE2><0x82> <0xZZ> <0x4>",
    "map_expansions": "\u2122\u2122 \ufb01\ufb01 \u00bd\u2460\u2026 \u3392x",
    "map_removals": "a\u0001b \u0002\u0003 c\u00ad\u00add \u007f",
    "map_removals_after_expansion": "\u2122\u001eg \u00bd\u001e",
    "map_sequences": "e\u0301 e\u0301\u0301 o\u0308o\u0308 A\u030ax "
    "\uff8a\uff9f\uff76\uff76 e\u0300",
    "map_whitespace": "a\u200bb\u3000\u3000c\ufeffd\u2028e\t\tf\n\ng\r\nh",
    "fullwidth": "\uff28\uff45\uff4c\uff4c\uff4f\uff0c\uff37\uff4f\uff52\uff4c\uff44\uff01",
    "nmt_spaces": "a\u200cb\u200fc\u1680d\u2029e\ufffdf\u009fg\u008fh",
    "digits_everywhere": "\u0661\u0662 \u00b2\u00b3 x1y22z333 \u2167 \U0001d7d8",
    "punctuation_everywhere": "a\u3002b\u00bfc\u2014d\u00a7e+f=g$h^i`j~k|l<m>n\u20aco\u00d7p",
    "quotes": "``quoted'' `` '' \u201cx\u201d",
    "repeated_letters": "hhhheeeelllloooo  wwoorrlldd||a| |",
    "long_unknown": "\u16a0\u16a1\u16a2\u16a3" * 30,
    "unknown_between": "the\u16a0\u16a1 \u16a2 keys\u16a3the",
    "marks_of_words": "a</w> </w>b ##a a##b #a",
}


@dataclass(frozen=True)
class AnswersGolden:
    """One tokenizer with answers to the shared texts; `build` is absent where another makes it."""

    name: str
    build: Callable[[int], Tokenizer] | None = None
    n_ids: int = 0


ANSWERS = (
    AnswersGolden("gpt2-style"),
    AnswersGolden("wordpiece-style", wordpiece_style, 900),
    AnswersGolden("cased-style", cased_style, 800),
    AnswersGolden("t5-style", t5_style, 700),
    AnswersGolden("albert-style", albert_style, 900),
    AnswersGolden("llama2-style", llama2_style, 900),
    AnswersGolden("clip-style", clip_style, 700),
    AnswersGolden("word-style", word_style, 500),
    AnswersGolden("speech-style", speech_style, 40),
)

RULES = {
    "answers": "one for each text of ../texts.json: ids with the special tokens of the "
    "post-processor; offsets; decoded; decoded_all; ids_specials_as_text or null",
    "n_before, n_after": "how many of the ids are not from the text, at either end",
    "offsets": "for each id two numbers: where its range begins, counted from the end of the one "
    "before, and its length; in bytes of the text with U+FFFD for what is not UTF-8",
    "decoded": "the ids from the text, decoded without special tokens",
    "decoded_all": "all ids, decoded with special tokens",
    "ids_specials_as_text": "the ids from the text when special tokens in it are plain text; null "
    "where that makes no difference",
}


def _random_texts() -> Iterator[Case]:
    rng = random.Random(RANDOM_SEED)
    for i in range(N_RANDOM_TEXTS):
        yield f"shared_{i:03}", random_text(rng, list(TOKENS)).encode()
    for i in range(N_RANDOM_BYTES):
        yield f"shared_bytes_{i:02}", bytes(rng.choices(range(256), k=rng.randint(1, 24)))


def shared_texts() -> list[Case]:
    """At least 500 texts, each with a name of its own."""
    named = [(n, t.encode()) for texts in (*TEXTS, KINDS) for n, t in texts.items()]
    cases = [*named, *INVALID_UTF8.items(), *_random_texts()]
    if len({name for name, _ in cases}) != len(cases) or len(cases) < 500:
        raise ValueError("too few texts, or two with the same name")
    return cases


def _relative(offsets: list[list[int]]) -> list[int]:
    """Ranges as the distance from the end of the one before, and the length."""
    flat, previous = [], 0
    for begin, end in offsets:
        flat += [begin - previous, end - begin]
        previous = end
    return flat


def _around(full: list[int], plain: list[int]) -> tuple[int, int]:
    """How many ids stand before and after the ids of the text."""
    n_added = len(full) - len(plain)
    for before in range(n_added + 1):
        if full[before : before + len(plain)] == plain:
            return before, n_added - before
    raise ValueError("the ids with special tokens do not hold those without")


def _answer(tokenizer: Tokenizer, data: bytes) -> list[Any]:
    text = data.decode("utf-8", "replace")
    full, plain = tokenizer.encode(text), tokenizer.encode(text, add_special_tokens=False)
    as_text = ids_specials_as_text(tokenizer, text)
    return [
        full.ids,
        _relative(byte_offsets(text, full.offsets)),
        tokenizer.decode(plain.ids, skip_special_tokens=True) if plain.ids else "",
        tokenizer.decode(full.ids, skip_special_tokens=False) if full.ids else "",
        None if as_text == plain.ids else as_text,
    ]


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def answers_json(tokenizer: Tokenizer) -> str:
    """The whole of an answers.json: one text a line."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    probe = tokenizer.encode("a"), tokenizer.encode("a", add_special_tokens=False)
    before, after = _around(probe[0].ids, probe[1].ids)
    head = {
        "versions": {
            "tokenizers": tokenizers.__version__,
            "python": platform.python_version(),
        },
        "rules": RULES,
        "n_before": before,
        "n_after": after,
    }
    lines = ",\n".join(_compact(_answer(tokenizer, data)) for _, data in shared_texts())
    return f'{_compact(head)[:-1]},\n"answers":[\n{lines}\n]}}\n'


def _write_texts(folder: Path) -> None:
    texts = [
        _compact([name, base64.b64encode(data).decode("ascii")]) for name, data in shared_texts()
    ]
    lines = ",\n".join(texts)
    (folder / "texts.json").write_text(f'{{"texts":[\n{lines}\n]}}\n', encoding="ascii")


def make_answers(folder: Path) -> dict[str, int]:
    """Writes texts.json and every answers.json; returns the number of answers of each, by name."""
    _write_texts(folder)
    counts = {}
    for golden in ANSWERS:
        path = folder / golden.name
        path.mkdir(parents=True, exist_ok=True)
        if golden.build is not None:
            save_tokenizer(golden.build(golden.n_ids), path / "tokenizer.json")
        tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
        text = answers_json(tokenizer)
        (path / "answers.json").write_text(text, encoding="utf-8")
        counts[golden.name] = len(json.loads(text)["answers"])
    return counts


def check_answers(golden: AnswersGolden, folder: Path) -> int:
    """How many committed answers the library gives differently now."""
    committed = json.loads((folder / "answers.json").read_text(encoding="utf-8"))["answers"]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    now = json.loads(answers_json(tokenizer))["answers"]
    return sum(one != other for one, other in zip_longest(committed, now))
