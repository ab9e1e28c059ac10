"""What a log should say: how well a batch's identities are told apart, clean and attacked."""

import torch
from torch import Tensor

from benchbox.models.reid import ReidModel
from benchbox.training.recipe import Batch, Recipe


def probe(recipe: Recipe, model: ReidModel, batch: Batch) -> dict[str, float]:
    """Return ``clean_rank1`` and, where the recipe attacks, ``robust_rank1``, in [0, 1].

    What the recipe itself has to say comes with it. Each image of the batch is a query, the clean
    images of the others are its gallery; cameras do not matter. The attack is the recipe's own.
    The model is evaluated, and left in training mode with its statistics unmoved.
    """
    attacked = recipe.attacked(model, batch)
    model.eval()
    with torch.no_grad():
        gallery = model(batch.images).float()
        metrics = {"clean_rank1": _share(nearest_is_same(gallery, gallery, batch.labels))}
        if attacked is not None:
            queries = model(attacked).float()
            metrics["robust_rank1"] = _share(nearest_is_same(queries, gallery, batch.labels))
    model.train()
    return metrics | recipe.metrics(batch)


def rank1_by_chance(labels: Tensor) -> tuple[float, float]:
    """Return a batch's Rank-1 if neighbours were drawn, and its standard deviation, in [0, 1].

    Each of B images draws its nearest among the B − 1 others, of which some are of its identity.

    Args:
        labels: (B,) of at least two images.
    """
    same = (labels[:, None] == labels).sum(1) - 1
    share = same.double() / (len(labels) - 1)
    deviation = (share * (1 - share)).sum().sqrt() / len(labels)
    return share.mean().item(), deviation.item()


def nearest_is_same(queries: Tensor, gallery: Tensor, labels: Tensor) -> Tensor:
    """Return (B,) bool: is a query's nearest gallery image, its own aside, of its identity?

    Args:
        queries: (B, D).
        gallery: (B, D), row i the clean version of query i.
        labels: (B,).
    """
    away = torch.cdist(queries, gallery).fill_diagonal_(torch.inf)
    return labels[away.argmin(1)] == labels


def _share(hits: Tensor) -> float:
    return hits.float().mean().item()
