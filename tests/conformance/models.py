"""Forward passes of five families in float64, from their papers' formulas, keeping every site.

Vectors are rows. A layer is what Layer says: the stream x becomes after(x + inside(half(before(x)))) for
the attention half and then for the feed-forward half, or x + both where they read side by side.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import numpy as np

import safetensors_io

Array = np.ndarray
Map = Callable[[Array], Array]


def identity(x: Array) -> Array:
    return x


def softmax(scores: Array) -> Array:
    """Over the last axis; a row of -inf becomes zeros."""
    top = scores.max(-1, keepdims=True)
    e = np.exp(scores - np.where(np.isinf(top), 0, top))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def erf(x: Array) -> Array:
    return np.vectorize(math.erf)(x)


def gelu_erf(x: Array) -> Array:
    return x * (1 + erf(x / math.sqrt(2))) / 2


def gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


@dataclass
class Norm:
    """LayerNorm, or RMSNorm where it does not centre."""

    weight: Array
    bias: Array
    eps: float
    centres: bool

    def statistics(self, x: Array) -> tuple[Array, Array]:
        mean = x.mean(-1, keepdims=True) if self.centres else np.zeros((*x.shape[:-1], 1))
        return mean, np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + self.eps)

    def __call__(self, x: Array) -> Array:
        mean, scale = self.statistics(x)
        return (x - mean) / scale * self.weight + self.bias

    def frozen(self, whole: Array) -> Map:
        """The linear map that the norm was for the vectors `whole`, without its bias."""
        _, scale = self.statistics(whole)
        def apply(part: Array) -> Array:
            centred = part - part.mean(-1, keepdims=True) if self.centres else part
            return centred * self.weight / scale
        return apply


@dataclass
class Layer:
    """One layer's facts and weights; W_O is [n_heads, head_dim, width]."""

    before: Map
    qkv: Callable[[Array], tuple[Array, Array, Array]]  # [n, heads, head_dim] each, rotated
    w_o: Array
    b_o: Array
    before_mlp: Map
    mlp: Map
    window: int = 0
    inside: Norm | None = None
    inside_mlp: Norm | None = None
    after: Norm | None = None
    after_mlp: Norm | None = None


@dataclass
class Model:
    embed: Map
    layers: list[Layer]
    scale: float
    final_norm: Norm | None
    unembedding: Array  # [vocabulary, width]
    causal: bool = True
    parallel: bool = False
    attention_cap: float = 0
    logit_cap: float = 0
    transform: Map = identity  # a masked language model's head
    unembedding_bias: Array | float = 0.0


@dataclass
class LayerRun:
    """What a layer left. Scores and weights are [heads, queries, keys]."""

    q: Array  # [n, heads, head_dim], and so k and v, which are repeated where heads share them
    k: Array
    v: Array
    raw: Array
    scaled: Array
    capped: Array
    masked: Array
    weights: Array
    mixed: Array  # [n, heads, head_dim]
    product: Array  # what the output projection gives, before the inner norm
    attention_out: Array
    mid_sum: Array  # before a norm of the sum
    mid: Array
    mlp_out: Array
    end_sum: Array


@dataclass
class Run:
    model: Model
    ids: Array
    residual: list[Array]
    layers: list[LayerRun] = field(default_factory=list)
    logits: Array = field(default_factory=lambda: np.zeros(0))
    uncapped: Array = field(default_factory=lambda: np.zeros(0))


def visible(model: Model, layer: Layer, n: int) -> Array:
    """Which keys each query sees, [queries, keys]."""
    query, key = np.arange(n)[:, None], np.arange(n)[None, :]
    seen = key <= query if model.causal else np.ones((n, n), bool)
    if layer.window:
        seen &= query - key < layer.window
    return seen


def unembed(model: Model, x: Array) -> Array:
    """Logits before a cap."""
    h = model.final_norm(x) if model.final_norm else x
    return model.transform(h) @ model.unembedding.T + model.unembedding_bias


def cap(scores: Array, limit: float) -> Array:
    return limit * np.tanh(scores / limit) if limit else scores


def run_layer(model: Model, layer: Layer, x: Array) -> tuple[LayerRun, Array]:
    read = layer.before(x)
    q, k, v = layer.qkv(read)
    k, v = (np.repeat(kv, q.shape[1] // kv.shape[1], axis=1) for kv in (k, v))
    raw = np.einsum("ihd,jhd->hij", q, k)
    scaled = raw * model.scale
    capped = cap(scaled, model.attention_cap)
    masked = np.where(visible(model, layer, len(x)), capped, -np.inf)
    weights = softmax(masked)
    mixed = np.einsum("hij,jhd->ihd", weights, v)
    product = np.einsum("ihd,hdw->iw", mixed, layer.w_o) + layer.b_o
    attention_out = layer.inside(product) if layer.inside else product
    mid_sum = x + attention_out
    mid = layer.after(mid_sum) if layer.after else mid_sum
    mlp_out = layer.mlp(layer.before_mlp(x if model.parallel else mid))
    if layer.inside_mlp:
        mlp_out = layer.inside_mlp(mlp_out)
    end_sum = mid + mlp_out
    end = layer.after_mlp(end_sum) if layer.after_mlp else end_sum
    return LayerRun(q, k, v, raw, scaled, capped, masked, weights, mixed, product, attention_out,
                    mid_sum, mid, mlp_out, end_sum), end


def run(model: Model, ids: Array) -> Run:
    x = model.embed(ids)
    result = Run(model, ids, [x])
    for layer in model.layers:
        layer_run, x = run_layer(model, layer, x)
        result.layers.append(layer_run)
        result.residual.append(x)
    result.uncapped = unembed(model, x)
    result.logits = cap(result.uncapped, model.logit_cap)
    return result


def rotate(x: Array, dims: int, theta: float) -> Array:
    """Rotary positions of the first `dims` dimensions, in pairs (i, i + dims / 2)."""
    half = dims // 2
    angles = np.arange(len(x))[:, None, None] * theta ** (-np.arange(half) / half)
    low, high = x[..., :half], x[..., half:dims]
    turned = [low * np.cos(angles) - high * np.sin(angles), high * np.cos(angles) + low * np.sin(angles)]
    return np.concatenate([*turned, x[..., dims:]], axis=-1)


def heads(x: Array, count: int) -> Array:
    return x.reshape(len(x), count, -1)


def split_o(w: Array, count: int) -> Array:
    """[out, in] to [heads, head_dim, out]."""
    return w.T.reshape(count, -1, w.shape[0])


def gpt2(config: dict, t: safetensors_io.Tensors) -> Model:
    count, eps = config["n_head"], config["layer_norm_epsilon"]
    wte, wpe = t["transformer.wte.weight"], t["transformer.wpe.weight"]

    def layer(i: int) -> Layer:
        at = lambda name: t[f"transformer.h.{i}.{name}"]
        norm = lambda name: Norm(at(name + ".weight"), at(name + ".bias"), eps, True)
        def qkv(x: Array) -> tuple[Array, Array, Array]:
            q, k, v = np.split(x @ at("attn.c_attn.weight") + at("attn.c_attn.bias"), 3, axis=-1)
            return heads(q, count), heads(k, count), heads(v, count)
        def mlp(x: Array) -> Array:
            up = gelu_tanh(x @ at("mlp.c_fc.weight") + at("mlp.c_fc.bias"))
            return up @ at("mlp.c_proj.weight") + at("mlp.c_proj.bias")
        return Layer(norm("ln_1"), qkv, split_o(at("attn.c_proj.weight").T, count),
                     at("attn.c_proj.bias"), norm("ln_2"), mlp)

    final = Norm(t["transformer.ln_f.weight"], t["transformer.ln_f.bias"], eps, True)
    return Model(lambda ids: wte[ids] + wpe[: len(ids)], [layer(i) for i in range(config["n_layer"])],
                 1 / math.sqrt(config["n_embd"] / count), final, wte)


def llama(config: dict, t: safetensors_io.Tensors) -> Model:
    count, kv_count, dim = (config[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim"))
    rms = lambda weight: Norm(weight, np.zeros_like(weight), config["rms_norm_eps"], False)

    def layer(i: int) -> Layer:
        at = lambda name: t[f"model.layers.{i}.{name}.weight"]
        turn = lambda x: rotate(x, dim, config["rope_theta"])
        def qkv(x: Array) -> tuple[Array, Array, Array]:
            q, k, v = (x @ at(f"self_attn.{name}_proj").T for name in "qkv")
            return turn(heads(q, count)), turn(heads(k, kv_count)), heads(v, kv_count)
        def mlp(x: Array) -> Array:
            return (silu(x @ at("mlp.gate_proj").T) * (x @ at("mlp.up_proj").T)) @ at("mlp.down_proj").T
        return Layer(rms(at("input_layernorm")), qkv, split_o(at("self_attn.o_proj"), count),
                     np.zeros(config["hidden_size"]), rms(at("post_attention_layernorm")), mlp)

    table = t["model.embed_tokens.weight"]
    return Model(lambda ids: table[ids], [layer(i) for i in range(config["num_hidden_layers"])],
                 1 / math.sqrt(dim), rms(t["model.norm.weight"]), t["lm_head.weight"])


def gpt_neox(config: dict, t: safetensors_io.Tensors) -> Model:
    count, width = config["num_attention_heads"], config["hidden_size"]
    dim = width // count
    turned = int(dim * config["rotary_pct"])

    def layer(i: int) -> Layer:
        at = lambda name: t[f"gpt_neox.layers.{i}.{name}"]
        norm = lambda name: Norm(at(name + ".weight"), at(name + ".bias"), config["layer_norm_eps"], True)
        turn = lambda x: rotate(x, turned, config["rotary_emb_base"])
        linear = lambda name, x: x @ at(name + ".weight").T + at(name + ".bias")
        def qkv(x: Array) -> tuple[Array, Array, Array]:
            packed = linear("attention.query_key_value", x).reshape(len(x), count, 3, dim)
            return turn(packed[:, :, 0]), turn(packed[:, :, 1]), packed[:, :, 2]
        mlp = lambda x: linear("mlp.dense_4h_to_h", gelu_erf(linear("mlp.dense_h_to_4h", x)))
        return Layer(norm("input_layernorm"), qkv, split_o(at("attention.dense.weight"), count),
                     at("attention.dense.bias"), norm("post_attention_layernorm"), mlp)

    table = t["gpt_neox.embed_in.weight"]
    final = Norm(t["gpt_neox.final_layer_norm.weight"], t["gpt_neox.final_layer_norm.bias"],
                 config["layer_norm_eps"], True)
    return Model(lambda ids: table[ids], [layer(i) for i in range(config["num_hidden_layers"])],
                 1 / math.sqrt(dim), final, t["embed_out.weight"], parallel=config["use_parallel_residual"])


def gemma2(config: dict, t: safetensors_io.Tensors) -> Model:
    count, kv_count, dim = (config[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim"))
    rms = lambda weight: Norm(1 + weight, np.zeros_like(weight), config["rms_norm_eps"], False)

    def layer(i: int) -> Layer:
        at = lambda name: t[f"model.layers.{i}.{name}.weight"]
        turn = lambda x: rotate(x, dim, config["rope_theta"])
        def qkv(x: Array) -> tuple[Array, Array, Array]:
            q, k, v = (x @ at(f"self_attn.{name}_proj").T for name in "qkv")
            return turn(heads(q, count)), turn(heads(k, kv_count)), heads(v, kv_count)
        def mlp(x: Array) -> Array:
            gate = gelu_tanh(x @ at("mlp.gate_proj").T)
            return (gate * (x @ at("mlp.up_proj").T)) @ at("mlp.down_proj").T
        return Layer(rms(at("input_layernorm")), qkv, split_o(at("self_attn.o_proj"), count),
                     np.zeros(config["hidden_size"]), rms(at("pre_feedforward_layernorm")), mlp,
                     window=config["sliding_window"] if i % 2 == 0 else 0,
                     inside=rms(at("post_attention_layernorm")),
                     inside_mlp=rms(at("post_feedforward_layernorm")))

    table = t["model.embed_tokens.weight"]
    return Model(lambda ids: table[ids] * math.sqrt(config["hidden_size"]),
                 [layer(i) for i in range(config["num_hidden_layers"])],
                 1 / math.sqrt(config["query_pre_attn_scalar"]), rms(t["model.norm.weight"]), table,
                 attention_cap=config["attn_logit_softcapping"], logit_cap=config["final_logit_softcapping"])


def bert(config: dict, t: safetensors_io.Tensors) -> Model:
    count, eps = config["num_attention_heads"], config["layer_norm_eps"]

    def norm(name: str) -> Norm:
        return Norm(t[name + ".weight"], t[name + ".bias"], eps, True)
    def linear(name: str, x: Array) -> Array:
        return x @ t[name + ".weight"].T + t[name + ".bias"]

    def layer(i: int) -> Layer:
        at = f"bert.encoder.layer.{i}."
        def qkv(x: Array) -> tuple[Array, Array, Array]:
            q, k, v = (linear(at + "attention.self." + name, x) for name in ("query", "key", "value"))
            return heads(q, count), heads(k, count), heads(v, count)
        mlp = lambda x: linear(at + "output.dense", gelu_erf(linear(at + "intermediate.dense", x)))
        return Layer(identity, qkv, split_o(t[at + "attention.output.dense.weight"], count),
                     t[at + "attention.output.dense.bias"], identity, mlp,
                     after=norm(at + "attention.output.LayerNorm"), after_mlp=norm(at + "output.LayerNorm"))

    words = t["bert.embeddings.word_embeddings.weight"]
    head = "cls.predictions.transform."
    def embed(ids: Array) -> Array:
        positions = t["bert.embeddings.position_embeddings.weight"][: len(ids)]
        types = t["bert.embeddings.token_type_embeddings.weight"][0]
        return norm("bert.embeddings.LayerNorm")(words[ids] + positions + types)
    return Model(embed, [layer(i) for i in range(config["num_hidden_layers"])],
                 1 / math.sqrt(config["hidden_size"] / count), None, words, causal=False,
                 transform=lambda x: norm(head + "LayerNorm")(gelu_erf(linear(head + "dense", x))),
                 unembedding_bias=t["cls.predictions.bias"])


FAMILIES = {"gpt2": gpt2, "llama": llama, "gpt_neox": gpt_neox, "gemma2": gemma2, "bert": bert}


def load(folder: Path) -> Model:
    config = json.loads((folder / "config.json").read_text())
    return FAMILIES[config["model_type"]](config, safetensors_io.read_folder(folder))
