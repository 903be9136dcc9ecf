"""Measures the zoo's figures (`figures.py`) through a running server.

One function measures a group of figures; PLAN says which model gets which.
"""

import json
import math
import struct
from array import array
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Sequence, Tuple

import items
from card_texts import EXAMPLE
from figures import APART, within
from split import Writer
from subject import Subject
from wire import WireError, floats

Figures = Dict[str, object]
PROMPTS = 50  # For what is exact and needs no large sample.
SHUFFLES = 4
SPAN = 25
MASKED_SHARE = 0.15
SHOWN = ["the keys to the cabinet", "the key to the cabinets", "The dogs near the house",
         "the big cat sat on the", "the small dog ran to the", "the dog bit the man. The",
         "Alice gave Bob a book, and",
         "The trophy would not fit in the suitcase because it was too big. It was the"]
SHOWN_MASKED = ["the keys to the cabinet [MASK] old.", "the key to the cabinets [MASK] old.",
                "the [MASK] to the cabinet were old.", "the dog bit the man. The [MASK] was hurt.",
                "Alice gave Bob a book, and he thanked [MASK].",
                "[MASK] gave Bob a book, and he thanked her.",
                "The trophy would not fit in the suitcase because it was too big. "
                "It was the [MASK] that was too big."]


def share(hits: Iterable[bool]) -> Dict[str, int]:
    outcomes = list(hits)
    return {"hits": sum(outcomes), "of": len(outcomes)}


def largest_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return max(map(abs, map(float.__sub__, ours, theirs)))


def pairwise(values: Iterator) -> Iterator[Tuple]:
    """(first, second), (third, fourth), ..."""
    return zip(values, values)


# --- Choices between two words --------------------------------------------------------------


def right_ones(subject: Subject, choices: Sequence[items.Choice]) -> List[bool]:
    """Whether the right word got more probability."""
    requests = (subject.question(subject.asked(c), texts=subject.words((c.right, c.wrong)))
                for c in choices)
    answers = (reply.predictions[0].candidates for reply in subject.client.predict(requests))
    return [right.probability > wrong.probability for right, wrong in answers]


def agreement(subject: Subject) -> Figures:
    found: Figures = {}
    for attractors in range(4):
        choices = items.agreement_choices(subject.seed, attractors, subject.count)
        hits = right_ones(subject, choices)
        found[f"agreement_{attractors}"] = share(hits)
        if attractors:
            hard = (hit for hit, choice in zip(hits, choices) if choice.hard)
            found[f"agreement_{attractors}_hard"] = share(hard)
    return found


def coreference(subject: Subject) -> Figures:
    pronouns = items.pronoun_choices(subject.seed, subject.count)
    fit = items.fit_choices(subject.seed, subject.count)
    return {"pronouns": share(right_ones(subject, pronouns)),
            "does_not_fit": share(right_ones(subject, fit))}


# --- The order of the words -----------------------------------------------------------------


def deeds(subject: Subject) -> Figures:
    """Who was bitten? And who, when the two nouns are exchanged?"""
    choices = [choice for deed in items.deeds(subject.seed, subject.count)
               for choice in (deed.choice, deed.exchanged)]
    pairs = list(pairwise(iter(right_ones(subject, choices))))
    return {"deeds": share(asked for asked, _ in pairs),
            "deeds_both": share(asked and exchanged for asked, exchanged in pairs)}


def _order_differences(subject: Subject, keep_last: bool) -> List[float]:
    """Per prompt, the largest difference of a probability in any of some other orders."""
    writer = Writer(subject.seed + 15)
    texts = items.prefixes(subject.seed, PROMPTS, subject.tokenizer)
    rows = [row for text in texts
            for row in (text, *items.shuffles(text, keep_last, SHUFFLES, writer))]
    answers = [p for _, p in subject.distributions(rows)]
    groups = (answers[i:i + SHUFFLES + 1] for i in range(0, len(answers), SHUFFLES + 1))
    return [max(largest_difference(first, other) for other in others)
            for first, *others in groups]


def any_order(subject: Subject) -> Figures:
    """The last word moves too."""
    return {"blind_to_any_order": within("blind_to_any_order",
                                         max(_order_differences(subject, False)))}


def blind_order(subject: Subject) -> Figures:
    return {"blind_to_order": within("blind_to_order", max(_order_differences(subject, True)))}


def order(subject: Subject) -> Figures:
    found = sorted(_order_differences(subject, True))
    return {"order_apart": share(difference > APART for difference in found),
            "order_median": round(found[len(found) // 2], 4)}


def _pairs(subject: Subject) -> List[Tuple[List[int], List[int]]]:
    example = tuple(subject.tokenizer.encode(text) for text in EXAMPLE)
    return [example, *items.same_last_word(subject.seed, subject.count, subject.tokenizer)]


def same_after_same_word(subject: Subject) -> Figures:
    """The first pair is the well-known one."""
    rows = (row for pair in _pairs(subject) for row in pair)
    answers = pairwise(data for data, _ in subject.distributions(rows))
    return {"same_after_same_word": share(one == two for one, two in answers)}


def apart(subject: Subject) -> Figures:
    rows = (row for pair in _pairs(subject) for row in pair)
    found = [largest_difference(one, two)
             for one, two in pairwise(p for _, p in subject.distributions(rows))]
    return {"example_difference": round(found[0], 4),
            "apart": share(difference > APART for difference in found)}


# --- Weights --------------------------------------------------------------------------------


def _rows(subject: Subject) -> Iterator[Tuple[List[int], int, array]]:
    """(ids, query position, weights) of all rows of some prompts to a model with one head."""
    texts = items.prefixes(subject.seed, PROMPTS, subject.tokenizer)
    for ids, answer in zip(texts, subject.attention(texts)):
        for query, row in zip(answer.queries, answer.rows[0, 0]):
            yield ids, query, row


def one_hot_rows(subject: Subject) -> Figures:
    return {"one_hot_rows": share(
        all(weight == (1.0 if key == query else 0.0) for key, weight in enumerate(row))
        for _, query, row in _rows(subject))}


def uniform_rows(subject: Subject) -> Figures:
    worst = max(abs(weight - (key <= query) / (query + 1))
                for _, query, row in _rows(subject) for key, weight in enumerate(row))
    return {"uniform_rows": within("uniform_rows", worst)}


def read_vector(path: Path, name: str) -> List[float]:
    """One tensor of a .safetensors file with F16 or F32 numbers."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    entry = json.loads(data[8:8 + length]).get(name)
    if entry is None or entry["dtype"] not in ("F16", "F32"):
        raise WireError(f"{path}: no tensor {name} in F16 or F32")
    begin, end = (8 + length + offset for offset in entry["data_offsets"])
    code = {"F16": "e", "F32": "f"}[entry["dtype"]]
    return list(struct.unpack(f"<{(end - begin) // struct.calcsize(code)}{code}", data[begin:end]))


def _word_scores(subject: Subject) -> List[float]:
    return read_vector(subject.folder / "model.safetensors", "word_scores.weight")


def softmax_rows(subject: Subject) -> Figures:
    """The weights against the softmax of the word scores in the file."""
    scores = _word_scores(subject)
    worst = 0.0
    for ids, query, row in _rows(subject):
        powers = [math.exp(scores[token]) for token in ids[:query + 1]]
        expected = [power / sum(powers) for power in powers] + [0.0] * (len(ids) - query - 1)
        worst = max(worst, largest_difference(list(row), expected))
    return {"softmax_rows": within("softmax_rows", worst)}


def head_nouns(subject: Subject) -> Figures:
    """At the last attractor, which predicts the verb: does a head look more at the head noun than
    at any attractor?"""
    return {f"head_noun_{n}": _head_noun(subject, n) for n in (1, 2)}


def _head_noun(subject: Subject, attractors: int) -> object:
    asked = items.agreements(subject.seed + 20, attractors, subject.count, True)
    texts = [item.prefix for item in asked]
    queries = [[item.phrase.attractors[-1]] for item in asked]
    model = subject.model
    hits = [[0] * model.head_count for _ in range(model.layer_count)]
    for item, answer in zip(asked, subject.attention(texts, queries)):
        for (layer, head), (row,) in answer.rows.items():
            rivals = max(row[key] for key in item.phrase.attractors)
            hits[layer][head] += row[item.phrase.head] > rivals
    return {"hits": hits, "of": len(asked)}


def induction(subject: Subject) -> Figures:
    """Random words said twice: the weight on the word after the previous occurrence."""
    texts = items.repeated_words(subject.seed, PROMPTS, SPAN)
    model = subject.model
    table = [[0.0] * model.head_count for _ in range(model.layer_count)]
    queries = list(range(SPAN, 2 * SPAN - 1))
    for answer in subject.attention(texts, [queries] * len(texts)):
        for (layer, head), rows in answer.rows.items():
            table[layer][head] += sum(r[q - SPAN + 1] for q, r in zip(queries, rows)) / len(rows)
    return {"induction": [[round(sum_ / len(texts), 4) for sum_ in row] for row in table]}


# --- Losses ---------------------------------------------------------------------------------


def _losses(subject: Subject, rows: Iterable[List[int]]) -> Iterator[List[float]]:
    """Of each row of ids, the loss of every token but the first."""
    messages = subject.messages
    requests = (messages.PredictRequest(
        model=subject.name, prompt=subject.prompt(row), positions=messages.Positions(all=True),
        candidates=messages.CandidateSelector(top_k=1)) for row in rows)
    for reply in subject.client.predict(requests):
        yield [-p.actual.log_probability for p in reply.predictions[:-1]]


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return round(sum(listed) / len(listed), 4)


def losses(subject: Subject) -> Figures:
    """Documents are read one by one, end-of-text included."""
    end, longest = subject.tokenizer.end_of_text, subject.model.context_window

    def loss(held_out: bool) -> float:
        texts = items.documents(subject.seed, subject.count, held_out)
        rows = ([*subject.tokenizer.encode(text), end][:longest] for text in texts)
        return _mean(value for row in _losses(subject, rows) for value in row)

    return {"loss_held_out": loss(True), "loss_training_side": loss(False)}


def repeated_loss(subject: Subject) -> Figures:
    texts = items.repeated_words(subject.seed, PROMPTS, SPAN)
    found = list(_losses(subject, (subject.tokenizer.encode(text) for text in texts)))
    return {"loss_random": _mean(v for row in found for v in row[:SPAN - 1]),
            "loss_repeated": _mean(v for row in found for v in row[SPAN:])}


def masked_tokens(subject: Subject) -> Figures:
    loss, right = _masked(subject, held_out=True)
    _, right_training_side = _masked(subject, held_out=False)
    return {"masked_loss": loss, "masked_right": right,
            "masked_right_training_side": right_training_side}


def _masked(subject: Subject, held_out: bool) -> Tuple[float, Dict[str, int]]:
    texts = items.documents(subject.seed, subject.count, held_out)
    asked = list(items.masked_documents(
        subject.seed, texts, MASKED_SHARE, subject.mask_id, subject.tokenizer,
        subject.model.context_window))
    requests = (subject.question(m.ids, ids=subject.messages.TokenIds(
        ids=sorted(set(m.hidden.values())))) for m in asked)
    found = []
    for masked, reply in zip(asked, subject.client.predict(requests)):
        for prediction in reply.predictions:
            hidden = masked.hidden[prediction.position]
            found += [c for c in prediction.candidates if c.token.id == hidden]
    return _mean(-c.log_probability for c in found), share(c.rank == 1 for c in found)


# --- The two banks --------------------------------------------------------------------------


def _bank_vectors(subject: Subject, texts: Sequence[str]) -> List[array]:
    """The vector of the first `bank` of each text, of length 1."""
    messages = subject.messages
    requests = (messages.EmbedRequest(model=subject.name, token_vectors=True,
                                      prompts=[subject.prompt(text)]) for text in texts)
    found = []
    for text, reply in zip(texts, subject.client.embed(requests)):
        (answer,) = reply.embeddings
        where = [i for i, t in enumerate(answer.prompt.tokens) if t.text in items.BANK]
        if not where:
            raise WireError(f"no token of \"{text}\" is `bank`")
        width = answer.token_vectors.shape[1]
        vector = floats(answer.token_vectors)[where[0] * width:(where[0] + 1) * width]
        length = math.sqrt(sum(x * x for x in vector))
        found.append(array("d", (x / length for x in vector)))
    return found


def _sum(vectors: Sequence[array]) -> List[float]:
    return [sum(column) for column in zip(*vectors)]


def _dot(one: Sequence[float], two: Sequence[float]) -> float:
    return sum(map(float.__mul__, one, two))


def cosine_gap(money: Sequence[array], river: Sequence[array]) -> float:
    """Mean cosine of two different vectors of one kind, less that of one of each kind."""
    sums = [_sum(money), _sum(river)]
    within_kind = sum(_dot(total, total) - len(kind) for total, kind in zip(sums, (money, river)))
    pairs = sum(len(kind) * (len(kind) - 1) for kind in (money, river))
    return within_kind / pairs - _dot(*sums) / (len(money) * len(river))


def _gap(subject: Subject, banks: items.Banks) -> float:
    vectors = _bank_vectors(subject, banks.money), _bank_vectors(subject, banks.river)
    return round(cosine_gap(*vectors), 4)


def bank(subject: Subject) -> Figures:
    seed = subject.seed
    return {"bank_gap": _gap(subject, items.bank_documents(seed, PROMPTS)),
            "bank_gap_later": _gap(subject, items.banks_decided_later(seed, PROMPTS)),
            "bank_gap_free": _gap(subject, items.free_banks())}


def bank_of_causal(subject: Subject) -> Figures:
    """What comes later cannot reach it: all vectors after the same beginning are the same."""
    banks = items.banks_decided_later(subject.seed, PROMPTS)
    first, *others = _bank_vectors(subject, banks.money + banks.river)
    worst = max(largest_difference(first, other) for other in others)
    return {"bank_same_later": within("bank_same_later", worst)}


# --- What it says ---------------------------------------------------------------------------


def next_words(subject: Subject) -> Dict[str, Dict[str, float]]:
    """The most probable next words (or words for the mask) of the examples."""
    shown = SHOWN_MASKED if subject.masked else SHOWN
    requests = (subject.question(text.replace("[MASK]", subject.mask_text), top_k=6)
                for text in shown)
    return {text: {c.token.text.strip(): round(c.probability, 4)
                   for c in reply.predictions[0].candidates}
            for text, reply in zip(shown, subject.client.predict(requests))}


def greedy(subject: Subject, limit: int = 40) -> Dict[str, str]:
    """The most probable continuation of the examples, up to the end of the text."""
    found = {}
    for text in SHOWN:
        request = subject.messages.GenerateRequest(
            model=subject.name, prompt=subject.prompt(text),
            stopping=subject.messages.StoppingParameters(max_tokens=limit))
        parts = subject.client.generate(request)
        found[text] = "".join(p.token.text_delta if p.HasField("token") else p.end.text_delta
                              for p in parts)
    return found


def heavy_words(subject: Subject, shown: int = 12, often: int = 5) -> Dict[str, List[str]]:
    """Of the words that held-out documents use often, those with the largest and smallest score."""
    scores = _word_scores(subject)
    texts = items.documents(subject.seed, subject.count, held_out=True)
    counts = Counter(token for text in texts for token in subject.tokenizer.encode(text))
    words = sorted((token for token, count in counts.items() if count >= often),
                   key=lambda token: (-scores[token], token))
    texts = [subject.tokenizer.decode([token]).strip() for token in words]
    return {"most": texts[:shown], "least": texts[:-shown - 1:-1]}


Measure = Callable[[Subject], Figures]
_CHOICES: List[Measure] = [agreement, coreference, deeds]
_CAUSAL: List[Measure] = [*_CHOICES, losses]
PLAN: Dict[str, List[Measure]] = {
    "last-word": [same_after_same_word, one_hot_rows, blind_order, *_CAUSAL],
    "average": [apart, any_order, blind_order, uniform_rows, *_CAUSAL],
    "weighted": [apart, any_order, blind_order, softmax_rows, *_CAUSAL],
    "attention": [apart, blind_order, head_nouns, *_CAUSAL],
    "attention-pos": [apart, order, head_nouns, *_CAUSAL],
    "decoder": [apart, order, head_nouns, induction, repeated_loss, bank_of_causal, *_CAUSAL],
    "encoder": [order, masked_tokens, bank, *_CHOICES],
}
