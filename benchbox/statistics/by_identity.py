"""Sums over the queries of each identity: what a cluster bootstrap draws."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def by_identity(
    values: NDArray[np.float64], identities: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the sums (K, …) of every identity's values and how many queries (K,) it has.

    Args:
        values: (Q, …) one or several per query.
        identities: (Q,) whom each shows; the sums stand in their ascending order.
    """
    place, sizes = np.unique(identities, return_inverse=True, return_counts=True)[1:]
    sums = np.zeros((len(sizes), *values.shape[1:]))
    np.add.at(sums, place, values)
    return sums, sizes
