"""Single components of a tokenizer.json, with every option, and what the library does with them.

components.json holds for each kind a list of components as JSON, and for each component what it
makes of the texts (or, for decoders, of the lists of tokens) at the top of the file.
"""

import base64
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Tokenizer

from charsmap import build_charsmap
from tokenizer_kinds import CHARSMAP

Component = dict[str, Any]

TEXTS = (
    "the-final--countdown-",
    "--a- b",
    " Hello, \t World!!  ",
    "a\u0301\u0302b \u1ec7 \u0130 \ufb01 \u00c5 \u212b",
    "x1y22z333 \u0661\u0662\u00bd \u2167",
    "\u4e2d\u6587abc\u3042\u30ab\uac00 \u0416 \u0e01\u0e34",
    "it's I'LL we\u2019ve don't",
    "\u2581\u2581a \u2581 b_c__",
    "a\nb\r\n\nc \u00a0\u2003d\u2028\u0085\x0b",
    "\x00\x01\u200b\u200d\ufeff\ufffd\u00ad",
    "\U0001f468\u200d\U0001f469 \U0001f1e9\U0001f1ea\U00020000",
    "$1+2=<3>^`|~ \u00a3\u20ac \u00ab\u00d7\u00bb\u2014",
    "``quoted'' ABC\u00df\u1e9e",
    "aaabab",
    "    ",
    "z",
    "E Qa pL PH V \x0b\u2028",
    "\u4f60\u597d\u3002\u300c\u518d\u89c1\u300d\u3001\u30e9\u30fc\u30e1\u30f3\u3006\u3089\u30fc",
)
TOKENS = (
    ("\u2581the", "\u2581keys", "\u2581"),
    ("the", "##m", "##", "x", ".", "do", "not", "n't", "' ", " 's"),
    ("<0x41>", "<0xE2>", "<0x82>", "<0xAC>", "x", "<0xFF>", "<0xC3>", "<0xa9>", "<0x4>"),
    ("a</w>", "b", "c</w>", "</w>d", "e</w>"),
    ("h", "h", "<pad>", "h", "|", "|", "e", "<pad>", "<pad>", "e"),
    ("\u0120Hello", "\u010a", "\u00c3", "\u00a9", "\u20ac", "w"),
    ("  a  ", " ", "", "b  "),
    ("\u2581\u2581\u2581a", "\u2581b\u2581c"),
    ("_a_b", "HHH", "aHb"),
)

POSIX = (
    "alnum",
    "alpha",
    "ascii",
    "blank",
    "cntrl",
    "digit",
    "graph",
    "lower",
    "print",
    "punct",
    "space",
    "upper",
    "word",
    "xdigit",
)
STRINGS = ("-", " ", "ab", "a", "\u2581", "--")
REGEXES = (
    r"\s+",
    r"-",
    r"",
    r"a*",
    r"\w*",
    r"(?=b)",
    r"^",
    r"$",
    r"\b",
    r"(?i)A|L+",
    r"a|ab",
    r"[^\s\p{L}\p{N}]+",
    r"[^\S\n]+",
    r"[\S\n]",
    r"[a-w&&[^c-g]z]",
    r"[^a&&\w]",
    r"[\p{L}&&[^\p{Han}]]+|\p{Han}",
    r"[a[bc]\d]+",
    r"\h+",
    r"\H",
    r"[^\h\s]",
    r"(?m:a.b)",
    r"(?m-i:.+)",
    r".+",
    r"\p{N}{1,2}+",
    r"\p{L}++",
    r"l{,2}o",
    r"\p{^L}+",
    r"\P{L}+",
    r"[[:^space:]]+",
    r"[\w]+",
    r"\W",
    r"[^\w]",
    r"\p{^Punct}",
    r"\P{Alpha}+",
    r"[\p{Word}]",
    r"\B",
    *(f"[[:{name}:]]" for name in POSIX),
    *(rf"\p{{{name.title()}}}" for name in POSIX),
    r"[\u4e00-\u9fff]",
    r"\u4e2d",
    r"[]-]",
    r"[\w-]+",
    r"(?<=a)b|(?<!a)b",
    r"(?:(?!n).)+",
    r"\X",
    r"\R",
    r"\A.|.\z",
    r"(?>a+)b",
    r"(a)(?:b)\1?",
    r"[\p{Han}]+",
    r"\P{Hani}",
    r"\p{^Hiragana}+",
    r"\p{katakana}|[\P{Common}]+",
    r"[a[b]-z]",
    r"[[a]^b]",
    r"[\s^]+",
    r"[\S^]",
    r"[a-z&&^e]",
    r"[--a-c-n]",
    r"[\s-]",
    r"[\s-&&-\S ]",
    r"[\x2[=]0]",
    r"[\6[=]1]",
    r"[:alpha:]",
    r"\v|[\v]",
    r"[\V]|\V",
    r"\Ea|\Qa",
    r"[\pL]",
    r"\PH?",
)
BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")


def _precompiled() -> Component:
    blob = base64.b64encode(build_charsmap(CHARSMAP)).decode("ascii")
    return {"type": "Precompiled", "precompiled_charsmap": blob}


def _patterns() -> list[Component]:
    return [{"String": text} for text in STRINGS] + [{"Regex": text} for text in REGEXES]


def _normalizers() -> Iterator[Component]:
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"):
        yield {"type": name}
    yield _precompiled()
    for left, right in product((True, False), repeat=2):
        yield {"type": "Strip", "strip_left": left, "strip_right": right}
    for prefix in ("\u2581", "", "ab "):
        yield {"type": "Prepend", "prepend": prefix}
    for clean, chinese, strip, lower in product(
        (True, False), (True, False), (None, True, False), (True, False)
    ):
        yield {
            "type": "BertNormalizer",
            "clean_text": clean,
            "handle_chinese_chars": chinese,
            "strip_accents": strip,
            "lowercase": lower,
        }
    for pattern in _patterns():
        yield {"type": "Replace", "pattern": pattern, "content": "<>"}
    yield {"type": "Sequence", "normalizers": []}
    yield {
        "type": "Sequence",
        "normalizers": [
            {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]},
            {"type": "Lowercase"},
        ],
    }


def _pre_tokenizers() -> Iterator[Component]:
    for name in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts"):
        yield {"type": name}
    for prefix, trim, regex in product((True, False), repeat=3):
        yield {
            "type": "ByteLevel",
            "add_prefix_space": prefix,
            "trim_offsets": trim,
            "use_regex": regex,
        }
    yield {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}
    for behavior in BEHAVIORS:
        yield {"type": "Punctuation", "behavior": behavior}
    yield {"type": "Punctuation"}
    for pattern, behavior, invert in product(_patterns(), BEHAVIORS, (True, False)):
        if "String" in pattern or pattern["Regex"] in REGEXES[:6]:
            yield {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
    for individual in (True, False):
        yield {"type": "Digits", "individual_digits": individual}
    for mark, scheme, split in product(
        ("\u2581", "_", "b"), ("always", "first", "never"), (True, False)
    ):
        yield {"type": "Metaspace", "replacement": mark, "prepend_scheme": scheme, "split": split}
    yield {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True}
    yield {"type": "Metaspace", "replacement": "\u2581", "str_rep": "\u2581"}
    for delimiter in (" ", "-", "\u4e2d"):
        yield {"type": "CharDelimiterSplit", "delimiter": delimiter}
    for length in (1, 2, 5, 1000):
        yield {"type": "FixedLength", "length": length}
    yield {"type": "FixedLength"}
    yield {"type": "Sequence", "pretokenizers": []}
    yield {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Punctuation", "behavior": "Contiguous"},
            {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": True,
            },
            {"type": "Digits", "individual_digits": False},
            {
                "type": "Split",
                "pattern": {"Regex": "[0-9][0-9]"},
                "behavior": "Isolated",
                "invert": False,
            },
        ],
    }
    yield {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first"},
        ],
    }


def _decoders() -> Iterator[Component]:
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": True,
        "use_regex": True,
    }
    yield byte_level
    for prefix, cleanup in product(("##", "", "h"), (True, False)):
        yield {"type": "WordPiece", "prefix": prefix, "cleanup": cleanup}
    for mark, scheme in product(("\u2581", "_"), ("always", "first", "never")):
        yield {"type": "Metaspace", "replacement": mark, "prepend_scheme": scheme, "split": True}
    yield {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": False}
    for suffix in ("</w>", "b"):
        yield {"type": "BPEDecoder", "suffix": suffix}
    yield {"type": "ByteFallback"}
    yield {"type": "Fuse"}
    for content, start, stop in product((" ", "H", "\u2581"), (0, 1, 3), (0, 1, 3)):
        yield {"type": "Strip", "content": content, "start": start, "stop": stop}
    for pattern in [{"String": "\u2581"}, {"String": "H"}, {"Regex": r"\s+"}, {"Regex": "h?"}]:
        yield {"type": "Replace", "pattern": pattern, "content": " "}
    for pad, delimiter, cleanup in product(("<pad>", "h"), ("|", "e"), (True, False)):
        yield {
            "type": "CTC",
            "pad_token": pad,
            "word_delimiter_token": delimiter,
            "cleanup": cleanup,
        }
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    replace = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
    fuse, fallback = {"type": "Fuse"}, {"type": "ByteFallback"}
    strip_end = {"type": "Strip", "content": " ", "start": 0, "stop": 2}
    for steps in (
        [],
        [replace, fallback, fuse, strip],
        [replace, fallback, fuse],
        [fallback, replace, fuse, strip_end],
        [fuse, strip, strip_end],
        [strip, fuse, fuse],
        [byte_level, strip],
        [fuse, {"type": "WordPiece", "prefix": "##", "cleanup": True}],
        [fallback, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first"}],
    ):
        yield {"type": "Sequence", "decoders": steps}


def _with(**parts: Component) -> Tokenizer | None:
    """A tokenizer with one component; none where the library refuses it."""
    model = {"type": "WordLevel", "vocab": {"<unk>": 0}, "unk_token": "<unk>"}
    value = {"version": "1.0", "added_tokens": [], "model": model} | parts
    try:
        return Tokenizer.from_str(json.dumps(value))
    except Exception:  # noqa: BLE001 - the library raises no other
        return None


def _answers(part: str, component: Component) -> list[Any] | None:
    tokenizer = _with(**{part: component})
    if tokenizer is None:
        return None
    step = getattr(tokenizer, part)
    if part == "normalizer":
        return [step.normalize_str(text) for text in TEXTS]
    if part == "pre_tokenizer":
        return [_pieces(step, text) for text in TEXTS]
    return [_text(step, tokens) for tokens in TOKENS]


def _rows() -> Iterator[tuple[str, Component, list[Any]]]:
    parts = {
        "normalizer": _normalizers(),
        "pre_tokenizer": _pre_tokenizers(),
        "decoder": _decoders(),
    }
    for part, components in parts.items():
        for component in components:
            answers = _answers(part, component)
            if answers is not None:
                yield part, component, answers


def _text(step: Any, tokens: tuple[str, ...]) -> str | None:
    """The decoded text; none where the library panics."""
    try:
        return step.decode(list(tokens))
    except BaseException:  # noqa: BLE001 - a panic is no Exception
        return None


def _pieces(step: Any, text: str) -> list[Any]:
    """Each piece with the range it comes from, in characters."""
    return [[piece, *offsets] for piece, offsets in step.pre_tokenize_str(text)]


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def make_components(path: Path) -> int:
    """Writes components.json; returns the number of components."""
    rows = list(_rows())
    head = {"versions": {"tokenizers": tokenizers.__version__}, "texts": TEXTS, "tokens": TOKENS}
    lines = ",\n".join(_compact(row) for row in rows)
    path.write_text(f'{_compact(head)[:-1]},\n"components":[\n{lines}\n]}}\n', encoding="utf-8")
    return len(rows)


if __name__ == "__main__":
    print(make_components(Path(__file__).parent / "tokenizers" / "components.json"))
