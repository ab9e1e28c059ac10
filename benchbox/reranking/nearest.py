"""The nearest of each image, ties by place, from one chunk of distances."""

import torch
from torch import Tensor


def nearest_places(distances: Tensor, k: int) -> Tensor:
    """Return the places of the k smallest of each row, as a stable sort would have them.

    Args:
        distances: (B, N).
        k: at most N.

    Returns:
        (B, k) int64, the smallest first; of equals, the earlier place first.
    """
    values, places = torch.topk(distances, k, dim=1, largest=False)
    places = places.sort(dim=1).values
    order = distances.gather(1, places).argsort(dim=1, stable=True)
    places = places.gather(1, order)
    # Where the last of them has equals that were left out, topk took any of these.
    cut = (distances <= values[:, -1:]).sum(1) > k
    for row in cut.nonzero()[:, 0].tolist():
        places[row] = distances[row].argsort(stable=True)[:k]
    return places
