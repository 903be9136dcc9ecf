"""Builders of small tokenizers of every kind of model: WordPiece, Unigram, BPE and WordLevel."""

import base64
import json
from collections.abc import Callable
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from charsmap import build_charsmap
from corpus import training_text
from tokenizer_styles import special

MARK = "\u2581"
BYTE_PIECES = [f"<0x{byte:02X}>" for byte in range(256)]

# What SentencePiece's own map does, in small: compatibility forms, whitespace, controls, and
# sequences that are composed.
CHARSMAP = (
    {chr(0xFF01 + i): chr(0x21 + i) for i in range(94)}
    | {chr(code): "" for code in (*range(1, 9), *range(14, 32), 127)}
    | {space: " " for space in "\t\n\r\u00a0\u2003\u3000\u200b\u2028\ufeff"}
    | {"\u2122": "TM", "\ufb01": "fi", "\u00bd": "1\u20442", "\u2460": "1", "\u2026": "..."}
    | {"e\u0301": "\u00e9", "o\u0308": "\u00f6", "A\u030a": "\u00c5", "\u212b": "\u00c5"}
    | {"\uff76": "\u30ab", "\uff8a\uff9f": "\u30d1", "\u3392": "MHz", "\u00ad": ""}
)


def _edited(tokenizer: Tokenizer, edit: Callable[[dict[str, Any]], None]) -> Tokenizer:
    """The tokenizer after `edit` changed its JSON form."""
    value = json.loads(tokenizer.to_str())
    edit(value)
    return Tokenizer.from_str(json.dumps(value))


def _precompiled() -> dict[str, str]:
    blob = base64.b64encode(build_charsmap(CHARSMAP)).decode("ascii")
    return {"type": "Precompiled", "precompiled_charsmap": blob}


def wordpiece_style(n_ids: int) -> Tokenizer:
    """BERT uncased, with the truncation and padding that some published files have baked in."""
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=True)
    first = [special(name, lstrip=name == "[MASK]") for name in names]
    trainer = trainers.WordPieceTrainer(
        vocab_size=n_ids, show_progress=False, special_tokens=first, limit_alphabet=280
    )
    tokenizer.train_from_iterator(training_text(), trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding(length=128, pad_id=0, pad_token="[PAD]")
    return tokenizer


def cased_style(n_ids: int) -> Tokenizer:
    """WordPiece that keeps case and accents, with a short limit on words and no cleaning up."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=12))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, handle_chinese_chars=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.CharDelimiterSplit(" "), pre_tokenizers.Punctuation("contiguous")]
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    trainer = trainers.WordPieceTrainer(
        vocab_size=n_ids, show_progress=False, special_tokens=[special("[UNK]")]
    )
    tokenizer.train_from_iterator(training_text(), trainer)
    return tokenizer


def _train_unigram(tokenizer: Tokenizer, n_ids: int, first: list[AddedToken]) -> Tokenizer:
    trainer = trainers.UnigramTrainer(
        vocab_size=n_ids,
        show_progress=False,
        special_tokens=first,
        unk_token="<unk>",
        max_piece_length=12,
    )
    tokenizer.train_from_iterator(training_text(), trainer)
    return tokenizer


def t5_style(n_ids: int) -> Tokenizer:
    """T5: a precompiled map, whitespace split, then a mark before every word."""
    names = ("<pad>", "</s>", "<unk>")
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(MARK, "always")]
    )
    tokenizer.decoder = decoders.Metaspace(MARK, "always")
    _train_unigram(tokenizer, n_ids - 4, [special(name) for name in names])
    tokenizer.add_special_tokens([special(f"<extra_id_{i}>", rstrip=i == 1) for i in range(4)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return _edited(tokenizer, lambda value: value.update(normalizer=_precompiled()))


def albert_style(n_ids: int) -> Tokenizer:
    """Many normalizers before a Unigram with byte fallback; the mark only at the beginning."""
    names = ("<pad>", "<unk>", "[CLS]", "[SEP]", "<mask>")
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.Nmt(),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(MARK, "first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(MARK, "first")]
    )
    first = [special(name, lstrip=name == "<mask>") for name in names]
    _train_unigram(tokenizer, n_ids - 256, first)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )

    def edit(value: dict[str, Any]) -> None:
        value["model"]["byte_fallback"] = True
        value["model"]["vocab"] += [[piece, -20.0] for piece in BYTE_PIECES]
        value["normalizer"]["normalizers"].append(_precompiled())

    return _edited(tokenizer, edit)


def llama2_style(n_ids: int) -> Tokenizer:
    """Llama 2: SentencePiece BPE as the library writes it, with bytes for unknown characters."""
    names = ("<unk>", "<s>", "</s>")
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(MARK, "always")
    trainer = trainers.BpeTrainer(
        vocab_size=n_ids - 256,
        show_progress=False,
        special_tokens=[special(name) for name in names],
        limit_alphabet=200,
    )
    tokenizer.train_from_iterator(training_text(), trainer)

    def edit(value: dict[str, Any]) -> None:
        value["pre_tokenizer"] = None
        vocab = value["model"]["vocab"]
        vocab |= {piece: len(vocab) + byte for byte, piece in enumerate(BYTE_PIECES)}

    tokenizer = _edited(tokenizer, edit)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(MARK, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def clip_style(n_ids: int) -> Tokenizer:
    """BPE whose last pieces of words have a suffix, as CLIP's first form had it."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True)]
    )
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=n_ids,
        show_progress=False,
        special_tokens=[special("<unk>"), special("<|end|>")],
        end_of_word_suffix="</w>",
        limit_alphabet=250,
    )
    tokenizer.train_from_iterator(training_text(), trainer)
    return tokenizer


def word_style(n_ids: int) -> Tokenizer:
    """WordLevel after several cuts; no decoder, so words come back with spaces between them."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Digits(False),
            pre_tokenizers.Punctuation("merged_with_previous"),
        ]
    )
    trainer = trainers.WordLevelTrainer(
        vocab_size=n_ids, show_progress=False, special_tokens=[special("<unk>"), special("<eos>")]
    )
    tokenizer.train_from_iterator(training_text(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", pair="$A <eos> $B <eos>", special_tokens=[("<eos>", 1)]
    )
    return tokenizer


def speech_style(n_ids: int) -> Tokenizer:
    """Characters, decoded as the output of a speech model is."""
    alphabet = "abcdefghijklmnopqrstuvwxyz'.,?!"
    vocab = {piece: i for i, piece in enumerate(["<pad>", "<unk>", "|", *alphabet])}
    if len(vocab) > n_ids:
        raise ValueError(f"{n_ids} ids do not hold the {len(vocab)} of this tokenizer")
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(" ", "|")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.FixedLength(1)
    tokenizer.decoder = decoders.CTC()
    tokenizer.add_special_tokens([special("<pad>"), special("<unk>")])
    return tokenizer
