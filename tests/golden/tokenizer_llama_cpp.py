"""What llama.cpp makes of the shared texts with the golden vocabularies in GGUF files.

Writes tokenizers/llama_cpp/<kind>.json: the ids of each text with special tokens; for other
pre-tokenizers than the first of a kind, only those of the texts on which they differ, by the text's
number. libllama is asked through its C interface.
"""

import ctypes
import json
import tempfile
from pathlib import Path
from typing import Any

import gguf

from tokenizer_answers import shared_texts
from tokenizer_kinds import BYTE_PIECES

HERE = Path(__file__).parent
MARK = "\u2581"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6

# As many of the structure's bytes as any version has, and where vocab_only stands.
PARAMS_BYTES = 256
VOCAB_ONLY = 72

PRE_TOKENIZERS = (
    "gpt-2",
    "default",
    "llama-bpe",
    "dbrx",
    "qwen2",
    "stablelm2",
    "starcoder",
    "falcon",
    "deepseek-coder",
    "deepseek-v3",
    "bloom",
    "tekken",
    "gpt-4o",
)


class _Params(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_ubyte * PARAMS_BYTES)]


def _library() -> ctypes.CDLL:
    ctypes.CDLL("libggml.so.0").ggml_backend_load_all()
    library = ctypes.CDLL("libllama.so.0")
    library.llama_model_default_params.restype = _Params
    library.llama_model_load_from_file.restype = ctypes.c_void_p
    library.llama_model_load_from_file.argtypes = [ctypes.c_char_p, _Params]
    library.llama_model_get_vocab.restype = ctypes.c_void_p
    library.llama_model_get_vocab.argtypes = [ctypes.c_void_p]
    library.llama_tokenize.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int32,
        ctypes.POINTER(ctypes.c_int32),
        ctypes.c_int32,
        ctypes.c_bool,
        ctypes.c_bool,
    ]
    return library


class Vocabulary:
    """A vocabulary that libllama has loaded."""

    def __init__(self, library: ctypes.CDLL, path: Path):
        params = library.llama_model_default_params()
        params.bytes[VOCAB_ONLY] = 1
        model = library.llama_model_load_from_file(str(path).encode(), params)
        if not model:
            raise ValueError(f"libllama does not load {path}")
        self._library = library
        self._vocab = library.llama_model_get_vocab(model)

    def ids(self, data: bytes) -> list[int]:
        text = data.decode("utf-8", "replace").encode()
        room = 4 * len(text) + 16
        ids = (ctypes.c_int32 * room)()
        n = self._library.llama_tokenize(self._vocab, text, len(text), ids, room, True, True)
        if n < 0:
            raise ValueError("more tokens than expected")
        return list(ids[:n])


def _tokenizer(name: str) -> dict[str, Any]:
    return json.loads((HERE / "tokenizers" / name / "tokenizer.json").read_text("utf-8"))


def _types(value: dict[str, Any], pieces: list[str]) -> list[int]:
    types = [NORMAL] * len(pieces)
    for token in value["added_tokens"]:
        types[token["id"]] = CONTROL if token["special"] else USER_DEFINED
    return types


def _pieces(value: dict[str, Any]) -> list[str]:
    vocab = value["model"]["vocab"]
    pieces = dict(enumerate(piece for piece, _ in vocab)) if isinstance(vocab, list) else {
        i: piece for piece, i in vocab.items()
    }
    pieces |= {token["id"]: token["content"] for token in value["added_tokens"]}
    return [pieces[i] for i in range(len(pieces))]


def _writer(path: Path, model: str, arch: str) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, arch)
    writer.add_context_length(64)
    writer.add_embedding_length(8)
    writer.add_block_count(1)
    writer.add_head_count(1)
    writer.add_feed_forward_length(8)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_layer_norm_eps(1e-5)
    writer.add_tokenizer_model(model)
    return writer


def _close(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def write_gpt2(path: Path, name: str, pre: str) -> None:
    """A byte-level vocabulary with a named pre-tokenizer."""
    value = _tokenizer(name)
    pieces = _pieces(value)
    writer = _writer(path, "gpt2", "llama")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(pieces)
    writer.add_token_types(_types(value, pieces))
    merges = value["model"]["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_add_bos_token(False)
    _close(writer)


def write_llama(path: Path) -> None:
    """SentencePiece BPE: the score of a piece is its id with a minus."""
    value = _tokenizer("llama2-style")
    pieces = _pieces(value)
    types = _types(value, pieces)
    types[0] = UNKNOWN
    for i, piece in enumerate(pieces):
        types[i] = BYTE if piece in BYTE_PIECES else types[i]
    writer = _writer(path, "llama", "llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(pieces)
    writer.add_token_scores([-float(i) if t == NORMAL else 0.0 for i, t in enumerate(types)])
    writer.add_token_types(types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    _close(writer)


def write_bert(path: Path) -> None:
    """WordPiece as the converter writes it: marks where words begin, no prefix inside."""
    value = _tokenizer("wordpiece-style")
    pieces = _pieces(value)
    types = _types(value, pieces)
    for i, piece in enumerate(pieces):
        if types[i] == NORMAL:
            pieces[i] = piece[2:] if piece.startswith("##") else MARK + piece
    writer = _writer(path, "bert", "bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(pieces)
    writer.add_token_types(types)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_eos_token_id(3)
    writer.add_mask_token_id(4)
    _close(writer)


def write_t5(path: Path) -> None:
    """SentencePiece unigram with a precompiled map."""
    import base64

    value = _tokenizer("t5-style")
    pieces = _pieces(value)
    types = _types(value, pieces)
    types[2] = UNKNOWN
    scores = [score for _, score in value["model"]["vocab"]]
    writer = _writer(path, "t5", "t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(pieces)
    writer.add_token_scores(scores + [0.0] * (len(pieces) - len(scores)))
    writer.add_token_types(types)
    writer.add_unk_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_remove_extra_whitespaces(True)
    writer.add_precompiled_charsmap(
        base64.b64decode(value["normalizer"]["precompiled_charsmap"])
    )
    _close(writer)


def _write(path: Path, head: dict[str, Any], lines: list[str]) -> None:
    body = ",\n".join(lines)
    path.write_text(f'{json.dumps(head)[:-1]},\n"ids":[\n{body}\n]}}\n', encoding="ascii")


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def make_llama_cpp(folder: Path) -> dict[str, int]:
    """Writes one file for each kind; returns the number of answers in each."""
    folder.mkdir(parents=True, exist_ok=True)
    library = _library()
    texts = [data for _, data in shared_texts()]
    counts = {}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "vocab.gguf"
        for kind, write in (("llama", write_llama), ("bert", write_bert), ("t5", write_t5)):
            write(path)
            vocabulary = Vocabulary(library, path)
            lines = [_compact(vocabulary.ids(text)) for text in texts]
            _write(folder / f"{kind}.json", {"reference": "llama.cpp 0.7.0"}, lines)
            counts[kind] = len(lines)
        first: list[list[int]] = []
        for pre in PRE_TOKENIZERS:
            write_gpt2(path, "gpt2-style", pre)
            vocabulary = Vocabulary(library, path)
            answers = [vocabulary.ids(text) for text in texts]
            if not first:
                first = answers
                lines = [_compact(ids) for ids in answers]
            else:
                lines = [
                    _compact([i, ids])
                    for i, ids in enumerate(answers)
                    if ids != first[i]
                ]
            _write(folder / f"gpt2_{pre}.json", {"reference": "llama.cpp 0.7.0"}, lines)
            counts[f"gpt2 {pre}"] = len(lines)
    return counts


if __name__ == "__main__":
    print(make_llama_cpp(HERE / "tokenizers" / "llama_cpp"))
