"""Folders without tokenizer.json: SentencePiece models of encoders that renumber their pieces.

Writes the model file, tokenizer_config.json and ids.json, which holds the reference's ids for each
of the shared texts, with special tokens.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors
from transformers import XLMRobertaTokenizer

from charsmap import build_charsmap
from tokenizer_answers import shared_texts
from tokenizer_kinds import CHARSMAP, MARK, t5_style
from tokenizer_styles import special

UNKNOWN, CONTROL, USER_DEFINED, NORMAL = 2, 3, 4, 1
N_IDS = 700

Piece = tuple[str, float, int]


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def sentencepiece_model(pieces: list[Piece], charsmap: bytes) -> bytes:
    """A unigram model in SentencePiece's file format."""
    out = b"".join(
        _bytes(1, _bytes(1, text.encode()) + _float(2, score) + _number(3, kind))
        for text, score, kind in pieces
    )
    return out + _bytes(2, _number(3, 1)) + _bytes(3, _bytes(2, charsmap))


def _float32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def _trained() -> list[Piece]:
    """Pieces of text, with scores as the file can hold them."""
    vocab = json.loads(t5_style(N_IDS).to_str())["model"]["vocab"][3:]
    pieces = [(text, _float32(score), NORMAL) for text, score in vocab]
    return [*pieces, ("1,", -1.0, NORMAL), ("<user>", 0.0, USER_DEFINED)]


def _marked(tokenizer: Tokenizer) -> Tokenizer:
    """Words are separated by whitespace and begin with a mark."""
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(MARK, "always")]
    )
    tokenizer.decoder = decoders.Metaspace(MARK, "always")
    return tokenizer


def _precompiled() -> normalizers.Normalizer:
    return normalizers.Precompiled(build_charsmap(CHARSMAP))


def _around(tokenizer: Tokenizer, cls: str, sep: str) -> Tokenizer:
    ids = [(token, tokenizer.token_to_id(token)) for token in (cls, sep)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}", pair=f"{cls} $A {sep} $B {sep}", special_tokens=ids
    )
    return tokenizer


def xlm_roberta(pieces: list[Piece]) -> Tokenizer:
    """What transformers makes of the file: four tokens of its own, and one at the end."""
    vocab = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    vocab += [(text, score) for text, score, _ in pieces[3:]] + [("<mask>", 0.0)]
    tokenizer = XLMRobertaTokenizer(
        vocab=vocab,
        mask_token=special("<mask>", lstrip=True),
        _spm_precompiled_charsmap=build_charsmap(CHARSMAP),
    ).backend_tokenizer
    tokenizer.add_tokens([AddedToken("<user>", normalized=False)])
    return tokenizer


def camembert(pieces: list[Piece]) -> Tokenizer:
    """As the published file: five tokens of its own in place of the unknown one."""
    first = ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED")
    vocab = [(token, 0.0) for token in first]
    vocab += [(text, score) for text, score, _ in pieces[1:]] + [("<mask>", 0.0)]
    tokenizer = _marked(Tokenizer(models.Unigram(vocab, unk_id=3)))
    tokenizer.normalizer = _precompiled()
    tokenizer.add_special_tokens(
        [special(t, lstrip=t == "<mask>") for t in ("<pad>", "<unk>", "<s>", "</s>", "<mask>")]
    )
    tokenizer.add_tokens([AddedToken("<user>", normalized=False)])
    return _around(tokenizer, "<s>", "</s>")


def albert(pieces: list[Piece]) -> Tokenizer:
    """As the published file: text is prepared first, and numbers with a comma are cut."""

    def score_of(text: str, score: float) -> float:
        return score - 100 if len(text) > 1 and text[-1] == "," and text[-2].isdigit() else score

    vocab = [(text, score_of(text, score)) for text, score, _ in pieces]
    tokenizer = _marked(Tokenizer(models.Unigram(vocab, unk_id=1)))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.Replace("''", '"'),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            _precompiled(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    names = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
    tokenizer.add_special_tokens([special(name, lstrip=name == "[MASK]") for name in names])
    tokenizer.add_tokens([AddedToken("<user>", normalized=False)])
    return _around(tokenizer, "[CLS]", "[SEP]")


FAIRSEQ_FIRST = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
ALBERT_FIRST = [
    ("<pad>", 0.0, CONTROL),
    ("<unk>", 0.0, UNKNOWN),
    *((name, 0.0, CONTROL) for name in ("[CLS]", "[SEP]", "[MASK]")),
]

Build = Callable[[list[Piece]], Tokenizer]
FOLDERS: tuple[tuple[str, str, dict[str, Any], list[Piece], Build], ...] = (
    (
        "xlm-roberta",
        "sentencepiece.bpe.model",
        {
            "tokenizer_class": "XLMRobertaTokenizer",
            "mask_token": {"content": "<mask>", "lstrip": True},
        },
        FAIRSEQ_FIRST,
        xlm_roberta,
    ),
    (
        "camembert",
        "sentencepiece.bpe.model",
        {"tokenizer_class": "CamembertTokenizerFast"},
        FAIRSEQ_FIRST,
        camembert,
    ),
    ("albert", "spiece.model", {"tokenizer_class": "AlbertTokenizer"}, ALBERT_FIRST, albert),
)


def ids_json(answer: Callable[[str], list[int]], versions: dict[str, str]) -> str:
    """The ids of every shared text, one text a line."""
    lines = ",\n".join(
        json.dumps(answer(data.decode("utf-8", "replace")), separators=(",", ":"))
        for _, data in shared_texts()
    )
    return f'{{"versions":{json.dumps(versions)},\n"ids":[\n{lines}\n]}}\n'


def make_files(folder: Path) -> dict[str, int]:
    """Writes every folder; returns the number of texts of each."""
    counts = {}
    trained = _trained()
    for name, file, config, first, build in FOLDERS:
        path = folder / name
        path.mkdir(parents=True, exist_ok=True)
        pieces = [*first, *trained]
        (path / file).write_bytes(sentencepiece_model(pieces, build_charsmap(CHARSMAP)))
        (path / "tokenizer_config.json").write_text(json.dumps(config) + "\n", encoding="ascii")
        tokenizer = build(pieces)
        versions = {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__}
        text = ids_json(lambda text, t=tokenizer: t.encode(text).ids, versions)
        (path / "ids.json").write_text(text, encoding="ascii")
        counts[name] = len(json.loads(text)["ids"])
    return counts


if __name__ == "__main__":
    print(make_files(Path(__file__).parent / "tokenizers" / "files"))
