"""Batches for the encoder: texts with masked words, some of them cut off like a prompt."""

from dataclasses import dataclass
from typing import List

import numpy as np
import torch

from bpe import Tokenizer
from documents import Batch

CUT_SHARE = 0.4  # Of the single documents: cut off at a random word.
JOIN_CHANCE = 0.04  # Of starting a full row of several documents, so that late positions train.
MASKED_SHARE = (0.15, 0.5)  # Of the words of a text; each text draws its own share in between.
RANDOM_SHARE, KEPT_SHARE = 0.15, 0.1  # Of the chosen words: replaced by another, left as they are.
POOL = 4096  # Texts among which those of similar length are put together.


def sentences_only(documents: List[np.ndarray], tokenizer: Tokenizer) -> List[np.ndarray]:
    """The documents that end in a full stop: not the lists of random words.

    What is masked in a list cannot be known but by copying, so lists would teach an encoder little
    and drown what the sentences teach.
    """
    (full_stop,) = tokenizer.encode(".")
    return [document for document in documents if document[-1] == full_stop]


@dataclass
class Text:
    """One row of a batch before padding."""

    documents: List[int]
    length: int
    prompt: bool = False  # Only the last word is masked, as in a prompt that waits for its end.


class MaskedWordBatches:
    """Shuffled batches of about `tokens` tokens, a function of seed and step only."""

    def __init__(self, documents: List[np.ndarray], tokens: int, context: int, seed: int,
                 end_of_text: int, mask: int, vocabulary: int) -> None:
        self.documents, self.tokens, self.context, self.seed = documents, tokens, context, seed
        self.end_of_text, self.mask, self.vocabulary = end_of_text, mask, vocabulary
        self._epoch, self._first_step = -1, 0
        self._batches: List[List[Text]] = []

    def _texts(self, rng: np.random.Generator) -> List[Text]:
        """Every document once: whole, cut off, or in a row with others."""
        texts: List[Text] = []
        joined: List[int] = []
        length = 0
        order = rng.permutation(len(self.documents))
        draws = rng.random((len(order), 3))
        for document, (join, cut, prompt) in zip(order.tolist(), draws.tolist()):
            size = len(self.documents[document])
            if joined or join < JOIN_CHANCE:
                joined.append(document)
                length += size + 1
                if length > self.context:
                    texts.append(Text(joined, self.context))
                    joined, length = [], 0
            elif cut < CUT_SHARE and size > 2:
                # The quotient is uniform again: one draw decides whether to cut and where.
                cut_length = 2 + int(cut / CUT_SHARE * (min(size, self.context) - 1))
                texts.append(Text([document], cut_length, prompt < 0.5))
            else:
                texts.append(Text([document], min(size, self.context)))
        return texts

    def _plan(self, epoch: int) -> List[List[Text]]:
        """Batches of texts of similar length, in random order."""
        rng = np.random.default_rng([self.seed, epoch])
        texts = self._texts(rng)
        batches: List[List[Text]] = []
        for begin in range(0, len(texts), POOL):
            batch: List[Text] = []
            for text in sorted(texts[begin:begin + POOL], key=lambda text: text.length):
                if batch and (len(batch) + 1) * text.length > self.tokens:
                    batches.append(batch)
                    batch = []
                batch.append(text)
            batches.append(batch)
        return [batches[i] for i in rng.permutation(len(batches))]

    def _ids(self, text: Text) -> np.ndarray:
        parts: List[np.ndarray] = []
        for document in text.documents:
            parts += [self.documents[document], np.array([self.end_of_text], np.uint16)]
        return np.concatenate(parts)[:text.length].astype(np.int64)

    def _choose(self, texts: List[Text], real: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Which tokens must be predicted. [rows, length]"""
        share = rng.uniform(*MASKED_SHARE, size=(len(texts), 1))
        prompts = np.array([text.prompt for text in texts])
        chosen = (rng.random(real.shape) < share) & real & ~prompts[:, None]
        chosen[prompts, np.array([text.length for text in texts])[prompts] - 1] = True
        if not chosen.any():
            chosen[0, 0] = True
        return chosen

    def _hide(self, ids: np.ndarray, chosen: np.ndarray, texts: List[Text],
              rng: np.random.Generator) -> np.ndarray:
        """The ids with the chosen words masked, replaced or kept; a prompt's end is masked."""
        draw = rng.random(ids.shape)
        draw[np.array([text.prompt for text in texts])] = 1.0
        replaced = chosen & (draw < RANDOM_SHARE)
        masked = chosen & (draw >= RANDOM_SHARE + KEPT_SHARE)
        hidden = np.where(masked, self.mask, ids)
        hidden[replaced] = rng.integers(self.mask + 1, self.vocabulary, replaced.sum())
        return hidden

    def get(self, step: int) -> Batch:
        while step >= self._first_step + len(self._batches) or step < self._first_step:
            restart = step < self._first_step
            self._first_step = 0 if restart else self._first_step + len(self._batches)
            self._epoch = 0 if restart else self._epoch + 1
            self._batches = self._plan(self._epoch)
        texts = self._batches[step - self._first_step]
        rng = np.random.default_rng([self.seed, 1 << 20, step])
        lengths = np.array([text.length for text in texts])
        real = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(real.shape, self.end_of_text, dtype=np.int64)
        ids[real] = np.concatenate([self._ids(text) for text in texts])
        chosen = self._choose(texts, real, rng)
        hidden = self._hide(ids, chosen, texts, rng)
        return Batch(torch.from_numpy(hidden), torch.from_numpy(ids[chosen]), int(lengths.sum()),
                     torch.from_numpy(real)[:, None, :], chosen=torch.from_numpy(chosen))
