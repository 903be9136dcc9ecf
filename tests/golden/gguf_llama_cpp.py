"""What llama.cpp itself answers from a GGUF file, by way of libllama.

llama.cpp looks GELU up in a table of 16-bit values of its tanh form, so that its answers of models
with a GELU are up to 1e-2 off. Nothing else is: with the same table in its place, transformers
answers from the folder within 1e-4, and the script fails where it does not.
"""

import ctypes
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

from gguf_models import model_class
from gguf_pairs import Pair

LIBRARY = "libllama.so.0"
N_TOKENS = 24
TOLERANCE = 1e-4
ACTIVATIONS = ("act", "act_fn", "activation", "activation_fn", "gelu_impl", "intermediate_act_fn")
F32 = 0  # enum ggml_type
WITHOUT_POOLING = 0  # enum llama_pooling_type
WITHOUT_FLASH_ATTENTION = 0  # enum llama_flash_attn_type


class ModelParams(ctypes.Structure):
    """struct llama_model_params, of which nothing is changed; with room to spare."""

    _fields_ = [("bytes", ctypes.c_uint64 * 64)]


class ContextParams(ctypes.Structure):
    """struct llama_context_params of llama.cpp 0.7.0; with room to spare."""

    _fields_ = [
        ("n_ctx", ctypes.c_uint32),
        ("n_batch", ctypes.c_uint32),
        ("n_ubatch", ctypes.c_uint32),
        ("n_seq_max", ctypes.c_uint32),
        ("n_rs_seq", ctypes.c_uint32),
        ("n_outputs_max", ctypes.c_uint32),
        ("n_outputs_max_per_seq", ctypes.c_uint32),
        ("n_threads", ctypes.c_int32),
        ("n_threads_batch", ctypes.c_int32),
        ("ctx_type", ctypes.c_int32),
        ("rope_scaling_type", ctypes.c_int32),
        ("pooling_type", ctypes.c_int32),
        ("attention_type", ctypes.c_int32),
        ("flash_attn_type", ctypes.c_int32),
        ("rope_and_yarn", ctypes.c_float * 6),
        ("yarn_orig_ctx", ctypes.c_uint32),
        ("defrag_thold", ctypes.c_float),
        ("cb_eval", ctypes.c_void_p),
        ("cb_eval_user_data", ctypes.c_void_p),
        ("type_k", ctypes.c_int32),
        ("type_v", ctypes.c_int32),
        ("moe_cache_size", ctypes.c_size_t),
        ("abort_callback", ctypes.c_void_p),
        ("abort_callback_data", ctypes.c_void_p),
        ("embeddings", ctypes.c_bool),
        ("offload_kqv", ctypes.c_bool),
        ("no_perf", ctypes.c_bool),
        ("op_offload", ctypes.c_bool),
        ("swa_full", ctypes.c_bool),
        ("kv_unified", ctypes.c_bool),
        ("rest", ctypes.c_uint64 * 32),
    ]


class Batch(ctypes.Structure):
    """struct llama_batch."""

    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.POINTER(ctypes.c_float)),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


def load_library() -> ctypes.CDLL:
    """libllama with the signatures that are used here; it logs nothing."""
    library = ctypes.CDLL(LIBRARY)
    library.llama_model_default_params.restype = ModelParams
    library.llama_context_default_params.restype = ContextParams
    library.llama_model_load_from_file.argtypes = [ctypes.c_char_p, ModelParams]
    library.llama_model_load_from_file.restype = ctypes.c_void_p
    library.llama_init_from_model.argtypes = [ctypes.c_void_p, ContextParams]
    library.llama_init_from_model.restype = ctypes.c_void_p
    library.llama_batch_init.restype = Batch
    library.llama_decode.argtypes = [ctypes.c_void_p, Batch]
    for name in ("llama_get_logits_ith", "llama_get_embeddings_ith"):
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_int32]
        getattr(library, name).restype = ctypes.POINTER(ctypes.c_float)
    for name in ("llama_free", "llama_model_free"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
    library.silence = log(lambda *_: None)
    library.llama_log_set.argtypes = [log, ctypes.c_void_p]
    library.llama_log_set(library.silence, None)
    library.llama_backend_init()
    return library


def _batch(library: ctypes.CDLL, ids: np.ndarray) -> Batch:
    batch = library.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i] = int(token), i
        batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = 1, 0, 1
    return batch


def answer(path: Path, ids: np.ndarray, width: int, wants_states: bool) -> np.ndarray:
    """Logits, or an encoder's final hidden states, of every position: [n_tokens, width]."""
    library = load_library()
    model = library.llama_model_load_from_file(
        str(path).encode(), library.llama_model_default_params()
    )
    if not model:
        raise ValueError(f"llama.cpp does not load {path}")
    params = library.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = len(ids)
    params.n_threads = params.n_threads_batch = 1
    params.pooling_type, params.flash_attn_type = WITHOUT_POOLING, WITHOUT_FLASH_ATTENTION
    params.type_k, params.type_v, params.embeddings = F32, F32, wants_states
    context = library.llama_init_from_model(model, params)
    batch = _batch(library, ids)
    if not context or library.llama_decode(context, batch) != 0:
        raise ValueError(f"llama.cpp does not run {path}")
    get = library.llama_get_embeddings_ith if wants_states else library.llama_get_logits_ith
    rows = [np.ctypeslib.as_array(get(context, i), (width,)).copy() for i in range(len(ids))]
    library.llama_free(context)
    library.llama_model_free(model)
    return np.stack(rows)


class GeluTable(nn.Module):
    """GELU as llama.cpp computes it: from 16 bits, to 16 bits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The values' GELU."""
        rounded = nn.functional.gelu(x.half().float(), approximate="tanh").half().float()
        return torch.where(x <= -10, 0.0, torch.where(x >= 10, x, rounded))


@torch.no_grad()
def expected(pair: Pair, folder: Path, ids: np.ndarray) -> np.ndarray:
    """What transformers answers from the folder, with the table for the GELUs that llama.cpp has.

    That is all of them but ModernBERT's.
    """
    model = model_class(pair).from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32
    )
    for module in model.eval().modules():
        for name in ACTIVATIONS:
            activation = getattr(module, name, None)
            is_gelu = activation is not None and "GELU" in type(activation).__name__.upper()
            if is_gelu and pair.config["model_type"] != "modernbert":
                setattr(module, name, GeluTable())
    output = model(input_ids=torch.from_numpy(ids)[None], output_hidden_states=True)
    values = output.logits if pair.is_decoder else output.hidden_states[-1]
    return values[0].numpy()


def make_llama_cpp(pairs: Iterable[Pair], folder: Path) -> dict[str, float]:
    """Writes llama_cpp.safetensors: input_ids, and the answers of every pair's GGUF file.

    Returns how far transformers' answers are.
    """
    golden: dict[str, np.ndarray] = {}
    differences: dict[str, float] = {}
    for pair in pairs:
        vocab_size = pair.config["vocab_size"]
        # The first ids have a meaning to some models: RoBERTa counts no position for padding.
        ids = np.array([5 + (7 * i * i + 3 * i) % (vocab_size - 5) for i in range(N_TOKENS)])
        width = vocab_size if pair.is_decoder else pair.width
        values = answer(folder / pair.name / "model.gguf", ids, width, not pair.is_decoder)
        golden[f"{pair.name}.input_ids"] = ids
        golden[f"{pair.name}.{'logits' if pair.is_decoder else 'states'}"] = values
        difference = float(np.abs(values - expected(pair, folder / pair.name, ids)).max())
        # 16-bit weights are multiplied with activations rounded to 16 bits.
        if difference > TOLERANCE and pair.storage == torch.float32:
            raise ValueError(f"{pair.name}: llama.cpp and transformers differ by {difference}")
        differences[pair.name] = difference
    save_file(golden, folder / "llama_cpp.safetensors")
    return differences
