"""What a query retrieves: the nearest gallery images of one embedding."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchbox.data.protocol import JUNK_PID
from benchbox.errors import BenchboxError
from benchbox.evaluation.feature_distances import RankedGallery, exact_products
from benchbox.evaluation.retrieval_inputs import read_features, read_labels


@dataclass(frozen=True, slots=True)
class Hit:
    """A gallery image in the order of its distance.

    Attributes:
        index: its position in the gallery.
        correct: whether it shows the query's identity.
        distance: Euclidean distance between its embedding and the query's.
    """

    index: int
    correct: bool
    distance: float


def retrieve(
    query_feature: Tensor,
    gallery_features: Tensor,
    *,
    pid: int,
    camid: int,
    gallery_pids: npt.ArrayLike | Tensor,
    gallery_camids: npt.ArrayLike | Tensor,
    k: int = 8,
) -> list[Hit]:
    """Return a query's ``k`` nearest gallery images, in the evaluator's order.

    Distances that rank are the evaluator's own (see `benchbox.evaluation.feature_distances`).
    Junk is left out: the query's own identity on its own camera, and pid -1. Equal distances
    rank by gallery order.

    Args:
        query_feature: (D,) embedding.
        gallery_features: (G, D) embeddings.
        pid: the query's identity.
        camid: the query's camera.
        gallery_pids: (G,) identities.
        gallery_camids: (G,) cameras.
        k: how many at most.

    Raises:
        BenchboxError: embeddings or labels do not fit, or are not finite.
    """
    gallery = read_features("gallery_features", gallery_features)
    query = read_features("query_feature", query_feature.reshape(1, -1)).to(gallery.device)
    if query.shape[1] != gallery.shape[1]:
        raise BenchboxError(
            f"query_feature has {query.shape[1]} dimensions, gallery_features {gallery.shape[1]}: "
            "both must come from the same model."
        )
    dtype = torch.promote_types(query.dtype, gallery.dtype)
    query, gallery = query.to(dtype), gallery.to(dtype)
    labels = read_labels((1, len(gallery)), [pid], gallery_pids, [camid], gallery_camids)
    with torch.no_grad(), exact_products(gallery.device):
        (chunk,) = RankedGallery.of(gallery, "euclidean").chunks(query, queries=1)
    same = labels.gallery_pids == pid
    junk = (same & (labels.gallery_camids == camid)) | (labels.gallery_pids == JUNK_PID)
    order = np.argsort(chunk[0].cpu().numpy(), kind="stable")
    nearest = order[~junk[order]][:k]
    distances = torch.linalg.vector_norm((gallery[nearest] - query).double(), dim=1)
    return [
        Hit(int(index), bool(same[index]), distance)
        for index, distance in zip(nearest, distances.tolist(), strict=True)
    ]
