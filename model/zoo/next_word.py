"""Batches for the models that predict the next word: packed rows, shifted by one."""

import numpy as np
import torch
from torch import Tensor

from documents import Batch


def document_starts(ends: Tensor) -> Tensor:
    """Index of the first token of each token's document; `ends` [rows, t] marks end-of-text."""
    index = torch.arange(ends.shape[1]).expand_as(ends)
    begins = torch.zeros_like(index)
    begins[:, 1:] = torch.where(ends[:, :-1], index[:, 1:], torch.zeros_like(index[:, 1:]))
    return begins.cummax(1).values


class NextWordBatches:
    """Shuffled batches, a function of seed and step only, so that training can resume."""

    def __init__(self, rows: np.ndarray, batch: int, seed: int, end_of_text: int,
                 apart: float) -> None:
        self.rows, self.batch, self.seed, self.end_of_text = rows, batch, seed, end_of_text
        self.apart = round(batch * apart)
        self.per_epoch = len(rows) // batch
        self._epoch, self._order = -1, np.arange(0)

    def get(self, step: int) -> Batch:
        """The first rows of a batch keep their documents apart.

        A row kept apart looks to the model as if each document stood alone, as a prompt does; in
        the others documents see their predecessors, so that long contexts are trained too.
        """
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.rows))
        chosen = self._order[index * self.batch:(index + 1) * self.batch]
        ids = torch.from_numpy(self.rows[chosen].astype(np.int64))
        inputs, targets = ids[:, :-1], ids[:, 1:]
        starts = document_starts(inputs == self.end_of_text)
        starts[self.apart:] = 0
        allowed = starts[:, :, None] == starts[:, None, :]
        positions = torch.arange(inputs.shape[1]) - starts
        return Batch(inputs, targets.reshape(-1), inputs.numel(), allowed, positions)
