"""Where learned position embeddings start: on waves, so that distances can be read from them."""

import torch
from torch import Tensor


def waves(context: int, width: int, size: float) -> Tensor:
    """Sines and cosines of falling frequency [context, width], of root mean square `size`.

    Positions that start at random must each be learned from the texts that are long enough. From
    waves, a head that looks one word back does so everywhere.
    """
    rates = 10000.0 ** (-torch.arange(0, width, 2).float() / width)
    angles = torch.arange(context).float()[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1) * size * 2 ** 0.5
