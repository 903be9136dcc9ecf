"""Builders of small byte-level BPE tokenizers in the shapes that public models use."""

import json

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

from corpus import training_text

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")


def special(content: str, **flags: bool) -> AddedToken:
    """A special token; never normalized unless asked."""
    return AddedToken(content, **({"normalized": False, "special": True} | flags))


def _train(tokenizer: Tokenizer, n_ids: int, first: list[AddedToken], n_reserved: int) -> Tokenizer:
    """Trains merges until the vocabulary and `n_reserved` tokens to be added later make `n_ids`."""
    trainer = trainers.BpeTrainer(
        vocab_size=n_ids - n_reserved,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=first,
    )
    tokenizer.train_from_iterator(training_text(), trainer)
    return tokenizer


def _split_then_bytes(pattern: str) -> pre_tokenizers.PreTokenizer:
    """The pre-tokenizer of the newer models: a regular expression first, bytes after it."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False),
        ]
    )


def gpt2_style(n_ids: int) -> Tokenizer:
    """GPT-2: the built-in pattern, one special token at the end, nothing added around the text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, n_ids, [], 1)
    tokenizer.add_special_tokens([special("<|endoftext|>")])
    return tokenizer


def _byte_level(text: str) -> str:
    """The text in the byte alphabet of byte-level tokenizers."""
    (piece,) = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(
        text
    )
    return piece[0]


def _with_words(tokenizer: Tokenizer, words: tuple[str, ...]) -> Tokenizer:
    """The tokenizer with more vocabulary entries, to which no merges lead."""
    value = json.loads(tokenizer.to_str())
    vocab = value["model"]["vocab"]
    for word in words:
        vocab[_byte_level(word)] = len(vocab)
    return Tokenizer.from_str(json.dumps(value))


def llama3_style(n_ids: int, whole_words: tuple[str, ...] = ()) -> Tokenizer:
    """Llama-3: a split pattern, whole words taken without merging, `<|begin_of_text|>` in front."""
    names = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|eot_id|>")
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = _split_then_bytes(LLAMA3_PATTERN)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer = _with_words(
        _train(tokenizer, n_ids, [], len(names) + len(whole_words)), whole_words
    )
    tokenizer.add_special_tokens([special(name) for name in names])
    begin = (names[0], tokenizer.token_to_id(names[0]))
    template = processors.TemplateProcessing(
        single=f"{names[0]} $A", pair=f"{names[0]} $A {names[0]}:1 $B:1", special_tokens=[begin]
    )
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), template]
    )
    return tokenizer


# The last two give away where a regular expression engine cuts: U+180E is no whitespace, so it is
# a piece with the space before it; U+017F equals s when case is ignored, so the last is two pieces.
WHOLE_WORDS = (
    " heedful",
    "zephyr",
    " quokkas",
    " \u0442\u0438\u0448\u0438\u043d\u0430",
    " \u180e",
    "'\u017fo",
)


def llama3_with_whole_words(n_ids: int) -> Tokenizer:
    """The Llama-3 style with words that only ignore_merges finds."""
    return llama3_style(n_ids, WHOLE_WORDS)


def bert_style(n_ids: int) -> Tokenizer:
    """A byte-level tokenizer with BERT's special tokens and template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    flags: dict[str, dict[str, bool]] = {"[MASK]": {"lstrip": True}}
    _train(tokenizer, n_ids, [special(name, **flags.get(name, {})) for name in names], 0)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def qwen_style(n_ids: int) -> Tokenizer:
    """Qwen-2: text is brought to NFC, digits stand alone, nothing is added around the text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _split_then_bytes(QWEN_PATTERN)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, n_ids, [], 5)
    tokenizer.add_special_tokens(
        [special(f"<|{name}|>") for name in ("endoftext", "im_start", "im_end")]
    )
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in ("<think>", "</think>")])
    return tokenizer


# Every flag of an added token: swallowed whitespace, word boundaries, tokens that begin or overlap
# others, content that equals the text only when both are normalized, content that is already in the
# vocabulary. Tokens that begin with whitespace are all `normalized` and rstrip tokens are not: the
# library panics when the whitespace that an rstrip token swallows is a token of the same pass.
AWKWARD_TOKENS = (
    special("<mask>", lstrip=True),
    special("<tool>", rstrip=True),
    special("<sep>", lstrip=True, rstrip=True),
    special("<whole>", single_word=True),
    special("<norm>", normalized=True),
    AddedToken("<|end", normalized=False),
    AddedToken("<|end|>", normalized=False),
    AddedToken("<|end|>of", normalized=True),
    AddedToken("  ", normalized=True),
    AddedToken("    ", normalized=True),
    AddedToken("        ", normalized=True),
    AddedToken("\t\t", normalized=True),
    AddedToken("\n\n", normalized=True, lstrip=True),
    AddedToken("heed", normalized=True, single_word=True),
    AddedToken("caf\u00e9", normalized=True),
    AddedToken("re\u0301sume\u0301", normalized=True),
    AddedToken("\u212bngstr\u00f6m", normalized=False),
    AddedToken("na\u00efve", normalized=False, single_word=True, lstrip=True),
    AddedToken("abc", normalized=False),
    AddedToken("bcde", normalized=False),
    AddedToken("cd", normalized=True),
    AddedToken("ing", normalized=True),
    AddedToken("gap ", normalized=False),
    AddedToken("\u6771\u4eac", normalized=False),
    AddedToken("\U0001f44d", normalized=False, rstrip=True),
    AddedToken("\u00e9", normalized=True, single_word=True),
)


def awkward_style(n_ids: int) -> Tokenizer:
    """Added tokens with all flags, a prefix space, trimmed offsets, NFC, a token on both sides."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, n_ids, [special("<s>"), special("</s>")], len(AWKWARD_TOKENS))
    tokenizer.add_tokens(list(AWKWARD_TOKENS))
    template = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B:1 </s>:1",
        special_tokens=[("<s>", 0), ("</s>", 1)],
    )
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=True), template]
    )
    return tokenizer
