"""The AP of a ranking that knows nothing, and of one that is as wrong as can be."""

import torch
from torch import Tensor


def chance_ap(matches: Tensor, images: Tensor) -> Tensor:
    """Return the expected AP (step form) of a random ranking.

    With M matches among n images, the expected precision at a match that stands at rank r is
    (1 + (r − 1)(M − 1)/(n − 1)) / r, and every rank is equally likely:

        E = (1/n) · (H_n + (n − H_n)(M − 1)/(n − 1)),    H_n = 1 + 1/2 + … + 1/n.

    Args:
        matches: (B,) M, at least 1 where the result is to mean something.
        images: (B,) n, junk left out.
    """
    number, total = matches.double(), images.double().clamp(min=2)
    harmonic = torch.digamma(total + 1) - torch.digamma(torch.ones_like(total))
    return (harmonic + (total - harmonic) * (number - 1) / (total - 1)) / total


def least_ap(matches: Tensor, images: Tensor) -> Tensor:
    """Return the AP (step form) where all M matches rank behind the n − M others.

    The mean over i = 1 … M of i / (n − M + i) = 1 − (n − M)(H_n − H_{n−M}) / M.

    Args:
        matches: (B,) M, at least 1 where the result is to mean something.
        images: (B,) n, junk left out.
    """
    number, total = matches.double(), images.double()
    wrong = total - number
    harmonics = torch.digamma(total + 1) - torch.digamma(wrong + 1)
    return 1 - wrong * harmonics / number
