"""What reads of a run must say, in float64 from the formulas of the papers and tools they come from."""

import numpy as np

import models
from models import Array, Run, softmax

Tensors = dict[str, Array]


def per_layer(run: Run, values) -> Array:
    return np.stack([values(layer) for layer in range(len(run.layers))])


def contributions(run: Run, layer: int) -> Array:
    """weight * v W_O of each query, key and head, before the inner norm: [n, n, heads, width]."""
    at = run.layers[layer]
    f = np.einsum("jhd,hdw->jhw", at.v, run.model.layers[layer].w_o)
    return np.einsum("hij,jhw->ijhw", at.weights, f)


def attention_stages(run: Run) -> Tensors:
    stages = {name: per_layer(run, lambda l, name=name: getattr(run.layers[l], name))
              for name in ("raw", "scaled", "capped", "masked", "weights")}
    # Kobayashi et al. 2020: the length of weight * v W_O.
    weighted = per_layer(run, lambda l: np.linalg.norm(contributions(run, l), axis=-1).transpose(2, 0, 1))
    return stages | {"value_weighted": weighted,
                     "contribution": weighted / weighted.sum(-1, keepdims=True)}


def sites(run: Run) -> Tensors:
    flat = lambda name: per_layer(run, lambda l: getattr(run.layers[l], name).reshape(len(run.ids), -1))
    return {"residual": np.stack(run.residual), "query": flat("q"), "mixed": flat("mixed"),
            "attention_out": flat("attention_out"), "residual_mid": flat("mid"), "mlp_out": flat("mlp_out")}


def head_stats(run: Run) -> Array:
    """Entropy, e^entropy, maximum, first, self, previous, mean distance: [layers, heads, n, 7]."""
    a = attention_stages(run)["weights"]
    n = a.shape[-1]
    entropy = -(a * np.log(np.where(a > 0, a, 1))).sum(-1)
    distance = np.abs(np.arange(n)[:, None] - np.arange(n)[None, :])
    previous = np.concatenate([np.zeros_like(a[..., :1, 0]), np.diagonal(a, -1, -2, -1)], axis=-1)
    return np.stack([entropy, np.exp(entropy), a.max(-1), a[..., 0], np.diagonal(a, 0, -2, -1), previous,
                     (a * distance).sum(-1)], axis=-1)


def patterns(ids: Array) -> Tensors:
    """TransformerLens, head_detector: previous, duplicate and, one column to the right, induction."""
    n = len(ids)
    duplicate = np.tril(ids[:, None] == ids[None, :], -1).astype(float)
    induction = np.zeros((n, n))
    induction[:, 1:] = duplicate[:, :-1]
    return {"previous": np.eye(n, k=-1), "duplicate": duplicate, "induction": induction}


def detection(run: Run) -> Tensors:
    a = attention_stages(run)["weights"]
    n = a.shape[-1]
    result: Tensors = {}
    for name, d in patterns(run.ids).items():
        result[f"tl_mul_{name}"] = (a * d).sum((-1, -2)) / a.sum((-1, -2))
        result[f"tl_abs_{name}"] = 1 - np.abs(a - d).mean((-1, -2)) * n
        kept = np.ones((n, n)) - np.eye(n)
        kept[:, 0] = 0
        result[f"tl_mul_{name}_excluded"] = (a * kept * d).sum((-1, -2)) / (a * kept).sum((-1, -2))
        result[f"tl_abs_{name}_excluded"] = 1 - (np.abs(a - d) * kept).mean((-1, -2)) * n
    # HeadVis, compute-head-metrics.
    result["headvis_previous"] = np.diagonal(a, -1, -2, -1).sum(-1) / (n - 1)
    repeated = [q for q in range(n) if run.ids[q] in run.ids[:q]]
    total = np.zeros(a.shape[:2])
    for q in repeated:
        for k in range(q):
            if run.ids[k] == run.ids[q]:
                total += np.where(a[:, :, q, k + 1] >= 0.01, a[:, :, q, k + 1], 0)
    result["headvis_induction"] = total / len(repeated)
    return result


def logit_lens(run: Run, token: int, top: int) -> Tensors:
    """Every layer's stream through the model's own head."""
    model = run.model
    log_p = []
    for x in run.residual:
        logits = models.cap(models.unembed(model, x), model.logit_cap)
        log_p.append(np.log(softmax(logits)))
    log_p = np.stack(log_p)  # [layers + 1, n, vocabulary]
    order = np.argsort(-log_p, axis=-1, kind="stable")
    return {"lens_top": order[..., :top],
            "lens_top_log_probability": np.take_along_axis(log_p, order, -1)[..., :top],
            "lens_log_probability": log_p[..., token],
            "lens_rank": (order == token).argmax(-1) + 1,
            "lens_entropy": -(np.exp(log_p) * log_p).sum(-1),
            "lens_kl": (np.exp(log_p[-1]) * (log_p[-1] - log_p)).sum(-1)}


def attribution(run: Run, position: int, token: int) -> Tensors:
    """Direct logit attribution with the norms at the scale that they had."""
    model, i = run.model, position
    last = run.residual[-1][i]
    u = model.unembedding[token]
    final = model.final_norm.frozen(last)
    share = lambda part: final(part) @ u
    by_source, bias = [], []
    for l, at in enumerate(run.layers):
        inside = model.layers[l].inside
        inner = inside.frozen(at.product[i]) if inside else models.identity
        by_source.append(share(inner(contributions(run, l)[i])).T)  # [heads, n]
        bias.append(share(at.attention_out[i]) - by_source[-1].sum())
    return {"dla_embedding": np.array([share(run.residual[0][i])]),
            "dla_attention": np.array([share(at.attention_out[i]) for at in run.layers]),
            "dla_mlp": np.array([share(at.mlp_out[i]) for at in run.layers]),
            "dla_by_source": np.stack(by_source),
            "dla_attention_bias": np.array(bias),
            "dla_final_bias": np.array([model.final_norm.bias @ u + np.broadcast_to(
                model.unembedding_bias, len(model.unembedding))[token]]),
            "dla_logit": np.array([run.uncapped[i, token]])}


def layer_matrices(run: Run, fusion: str, residual_weight: float) -> list[Array]:
    matrices = []
    for at in run.layers:
        a = at.weights.max(0) if fusion == "max" else at.weights.mean(0)
        mixed = (1 - residual_weight) * a + residual_weight * np.eye(len(a))
        matrices.append(mixed / mixed.sum(-1, keepdims=True))
    return matrices


def rollout(run: Run, fusion: str, residual_weight: float) -> Array:
    product = np.eye(len(run.ids))
    for matrix in layer_matrices(run, fusion, residual_weight):
        product = matrix @ product
    return product


def max_flow(capacity: Array, source: int, sink: int) -> float:
    """Edmonds and Karp: augment along shortest paths."""
    left, total = capacity.copy(), 0.0
    while True:
        parent, queue = {source: source}, [source]
        while queue and sink not in parent:
            node = queue.pop(0)
            for other in np.nonzero(left[node] > 1e-13)[0]:
                if int(other) not in parent:
                    parent[int(other)] = node
                    queue.append(int(other))
        if sink not in parent:
            return total
        path, node = [], sink
        while node != source:
            path.append((parent[node], node))
            node = parent[node]
        amount = min(left[edge] for edge in path)
        for a, b in path:
            left[a, b] -= amount
            left[b, a] += amount
        total += amount


def flow(run: Run, query: int) -> Array:
    n, matrices = len(run.ids), layer_matrices(run, "mean", 0.5)
    capacity = np.zeros(((len(matrices) + 1) * n,) * 2)
    for l, matrix in enumerate(matrices):
        capacity[(l + 1) * n : (l + 2) * n, l * n : (l + 1) * n] = matrix
    flows = np.array([max_flow(capacity, len(matrices) * n + query, j) for j in range(n)])
    return flows / flows.sum()


def decomposition(run: Run) -> Tensors:
    """Kobayashi et al. 2020 and 2021, and ALTI (Ferrando et al. 2022)."""
    n = len(run.ids)
    diagonal = np.arange(n)
    results: dict[str, list[Array]] = {}
    def add(name: str, value: Array) -> None:
        results.setdefault(name, []).append(value)
    for l, at in enumerate(run.layers):
        layer = run.model.layers[l]
        def frozen(norm, whole):  # over queries: [n, keys, width]
            return norm.frozen(whole[:, None, :]) if norm else models.identity
        part = frozen(layer.inside, at.product)(contributions(run, l).sum(2))
        whole = part.copy()
        whole[diagonal, diagonal] += run.residual[l]
        normed = frozen(layer.after, at.mid_sum)(whole)
        for name, parts in (("attention_norm", part), ("residual_norm", whole),
                            ("residual_norm_norm", normed)):
            own = np.linalg.norm(parts[diagonal, diagonal], axis=-1)
            others = np.linalg.norm(parts.sum(1) - parts[diagonal, diagonal], axis=-1)
            add(name, np.linalg.norm(parts, axis=-1))
            add(name + "_mixing", others / (others + own))
        distance = np.abs(at.mid[:, None, :] - normed).sum(-1)
        alti = np.maximum(0, np.abs(at.mid).sum(-1)[:, None] - distance)
        add("alti", alti / alti.sum(-1, keepdims=True))
    return {name: np.stack(values) for name, values in results.items()}


def shapes_of(x: Array, dimensions: int) -> Tensors:
    """Norms, cosines and principal components of the rows of x."""
    norms = np.linalg.norm(x, axis=-1)
    centred = x - x.mean(0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(-1)[:, None], -1))
    axes = (axes * signs)[:dimensions]
    return {"norms": norms, "cosines": x @ x.T / np.outer(norms, norms), "pca": centred @ axes.T,
            "pca_explained": singular[:dimensions] ** 2 / (singular**2).sum()}
