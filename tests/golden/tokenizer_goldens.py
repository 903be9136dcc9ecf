"""The golden tokenizers, their own cases, and what the tokenizers library answers for all cases."""

import base64
import json
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate, zip_longest
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Tokenizer

from tokenizer_cases import Case, cases_for
from tokenizer_styles import awkward_style, gpt2_style, llama3_with_whole_words, qwen_style

AWKWARD_CASES = {
    "flags_lstrip": "one   <mask> two<mask>three \n\t<mask>  four <mask><mask>",
    "flags_rstrip": "one <tool>   two<tool>three<tool> \n\t four <tool> <tool>",
    "flags_both": "one   <sep>   two<sep>three <sep>  <sep> \n <sep>",
    "flags_single_word": "<whole> a<whole> <whole>b _<whole> \u00e9<whole> (<whole>) 1<whole>",
    "flags_single_word_text": "heed heeding heed, heed. unheed heed_ Heed",
    "flags_single_word_unicode": "\u00a0heed\u3000heed \u6d77heed heed\u0301 \u00e9heed \u200dheed",
    "flags_special_normalized": "<norm>a <norm\u0301> a<norm>",
    "prefixes": "<|end <|end| <|end|> <|end|>o <|end|>of <|end|>off <|endof",
    "overlaps": "abcde abcd bcde abcbcde cde abcabcd",
    "normalization_composed": "caf\u00e9 caf\u00e9s r\u00e9sum\u00e9 \u00c5ngstr\u00f6m na\u00efve",
    "normalization_decomposed": "cafe\u0301 cafe\u0301s re\u0301sume\u0301 A\u030angstro\u0308m",
    "normalization_singleton": "\u212bngstr\u00f6m \u212bngstro\u0308m",
    "normalization_across": "caf<tool>e\u0301 e\u0301 \u00e9 e\u0301\u0301",
    "single_word_lstrip": "a   na\u00efve b  na\u00efvet\u00e9 xna\u00efve   na\u00efve",
    "spaces_tokens": "a  b   c    d     e      f       g        h         i" + " " * 21 + "j",
    "tabs_tokens": "a\t\tb\t\t\tc\t\t  d \t\t\n\n e",
    "blank_lines": "a\n\nb \n\n\nc  \n\n  d\n\n\n\n",
    "in_vocabulary": "singing ing ring",
    "content_with_spaces": "mind the gap here gap  gap  gap gap",
    "cjk_inside": "\u4eca\u65e5\u6771\u4eac\u3078 \u6771\u4eac\u6771 \u6771 \u4eac",
    "emoji_rstrip": "\U0001f44d  ok \U0001f44d\U0001f3fd \U0001f44d\U0001f44d",
    "prefix_space": "word",
    "prefix_space_present": " word",
    "prefix_space_after_token": "<sep>word<|end|>word <|end|> word",
    "template_text": "<s> a </s>",
}

LLAMA3_CASES = {
    "whole_words": "a heedful zephyr sees quokkas, \u0442\u0438\u0448\u0438\u043d\u0430",
    "whole_words_alone": "zephyr\nzephyr zephyr",
    "whole_words_longer": "heedful zephyrs, quokka heedfully; zephyr1",
    "conversation": "<|begin_of_text|><|start_header_id|>user\n\nhello<|eot_id|>",
}
QWEN_CASES = {
    "conversation": "<|im_start|>user\nhello<|im_end|>\n<|im_start|>reader\n<think>\n\n</think>\n",
    "composition_across_token": "e<think>\u0301 e\u0301<think>",
}
GPT2_CASES = {"document_end": "One ends.<|endoftext|>Another begins. <|endoftext|>\n<|endof text|>"}


@dataclass(frozen=True)
class TokenizerGolden:
    """One tokenizer folder to make.

    `string_merges` writes merges as old files have them, `escaped` writes pure ASCII.
    """

    name: str
    build: Callable[[int], Tokenizer]
    n_ids: int
    own_cases: dict[str, str]
    string_merges: bool = False
    escaped: bool = False


TOKENIZERS = (
    TokenizerGolden("gpt2-style", gpt2_style, 1200, GPT2_CASES, string_merges=True),
    TokenizerGolden("llama3-style", llama3_with_whole_words, 1400, LLAMA3_CASES),
    TokenizerGolden("qwen-style", qwen_style, 1400, QWEN_CASES),
    TokenizerGolden("awkward", awkward_style, 1200, AWKWARD_CASES, escaped=True),
)

RULES = {
    "text_base64": "the input bytes; all results are for these bytes decoded as UTF-8, with one "
    "U+FFFD for each maximal ill-formed part, as Python does with errors=replace",
    "ids": "encoded without special tokens around the text; added tokens inside it are recognised",
    "ids_with_special": "encoded with the special tokens of the post-processor",
    "ids_specials_as_text": "as ids, but special tokens inside the text are plain text; absent "
    "where equal to ids",
    "byte_offsets_with_special": "[begin, end) for each of ids_with_special, in bytes of the "
    "decoded text written as UTF-8; whole code points, so the parts of one character share its "
    "range; [0, 0] for tokens that are not from the text",
    "decoded_base64": "ids decoded without special tokens, as UTF-8",
    "decoded_all_base64": "ids_with_special decoded with special tokens, as UTF-8",
}


def _to_json(tokenizer: Tokenizer, *, string_merges: bool = False, escaped: bool = False) -> str:
    value: dict[str, Any] = json.loads(tokenizer.to_str(pretty=False))
    if string_merges:
        value["model"]["merges"] = [" ".join(pair) for pair in value["model"]["merges"]]
    return json.dumps(value, ensure_ascii=escaped, separators=(",", ":")) + "\n"


def save_tokenizer(tokenizer: Tokenizer, path: Path, **form: bool) -> None:
    """Writes tokenizer.json compactly; `form` as in TokenizerGolden."""
    path.write_text(_to_json(tokenizer, **form), encoding="utf-8")


def _base64(text: bytes) -> str:
    return base64.b64encode(text).decode("ascii")


def byte_offsets(text: str, offsets: list[tuple[int, int]]) -> list[list[int]]:
    """Code point ranges of the text as byte ranges of its UTF-8 form."""
    at = [0, *accumulate(len(character.encode()) for character in text)]
    return [[at[begin], at[end]] for begin, end in offsets]


def ids_specials_as_text(tokenizer: Tokenizer, text: str) -> list[int]:
    tokenizer.encode_special_tokens = True
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = False
    return ids


def _answer(tokenizer: Tokenizer, case: Case) -> dict[str, Any]:
    """Everything the library says about one case, in the form of RULES."""
    name, data = case
    text = data.decode("utf-8", "replace")
    full, plain = tokenizer.encode(text), tokenizer.encode(text, add_special_tokens=False)
    answer = {
        "name": name,
        "text_base64": _base64(data),
        "ids_with_special": full.ids,
        "ids": plain.ids,
        "byte_offsets_with_special": byte_offsets(text, full.offsets),
        "decoded_base64": _base64(tokenizer.decode(plain.ids, skip_special_tokens=True).encode()),
        "decoded_all_base64": _base64(
            tokenizer.decode(full.ids, skip_special_tokens=False).encode()
        ),
    }
    as_text = ids_specials_as_text(tokenizer, text)
    return answer if as_text == plain.ids else answer | {"ids_specials_as_text": as_text}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def answers_json(tokenizer: Tokenizer, cases: Iterable[Case]) -> str:
    """The whole of a cases.json: one case a line."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    lines = ",\n".join(_compact(_answer(tokenizer, case)) for case in cases)
    versions = _compact({"tokenizers": tokenizers.__version__, "python": platform.python_version()})
    rules = json.dumps(RULES, indent=1)
    return f'{{"versions":{versions},\n"rules":{rules},\n"cases":[\n{lines}\n]}}\n'


def cases_json(tokenizer: Tokenizer, own: dict[str, str]) -> str:
    """A cases.json with every text that fits any tokenizer, and `own`."""
    return answers_json(tokenizer, cases_for(tokenizer, own))


def read_cases(text: str) -> list[dict[str, Any]]:
    """The cases of a cases.json."""
    return json.loads(text)["cases"]


def make_tokenizer(golden: TokenizerGolden, folder: Path) -> int:
    """Writes tokenizer.json and, from it, cases.json. Returns the number of cases."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tokenizer.json"
    save_tokenizer(
        golden.build(golden.n_ids), path, string_merges=golden.string_merges, escaped=golden.escaped
    )
    tokenizer = Tokenizer.from_file(str(path))
    ids = sorted(tokenizer.get_vocab(with_added_tokens=True).values())
    if ids != list(range(len(ids))):
        raise ValueError(f"{golden.name}: two tokens share an id, or an id is missing")
    text = cases_json(tokenizer, golden.own_cases)
    (folder / "cases.json").write_text(text, encoding="ascii")
    return len(json.loads(text)["cases"])


def check_tokenizer(golden: TokenizerGolden, folder: Path) -> int:
    """How many committed cases the library answers differently now."""
    committed = json.loads((folder / "cases.json").read_text(encoding="ascii"))["cases"]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    now = json.loads(cases_json(tokenizer, golden.own_cases))["cases"]
    return sum(one != other for one, other in zip_longest(committed, now))


def make_tokenizers(folder: Path) -> dict[str, int]:
    """Writes every tokenizer folder and returns the number of cases of each, by name."""
    return {golden.name: make_tokenizer(golden, folder / golden.name) for golden in TOKENIZERS}


def make_cases_of(source: Path, folder: Path) -> int:
    """Writes cases.json for a tokenizer from elsewhere. Returns the number of cases."""
    folder.mkdir(parents=True, exist_ok=True)
    text = cases_json(Tokenizer.from_file(str(source / "tokenizer.json")), {})
    (folder / "cases.json").write_text(text, encoding="ascii")
    return len(json.loads(text)["cases"])
