"""Identity-balanced batches: P identities with K images each (Hermans et al. 2017)."""

import torch
from torch import Tensor

from benchbox.errors import BenchboxError


def identity_batches(
    labels: Tensor, *, identities: int, images: int, generator: torch.Generator
) -> list[Tensor]:
    """Return one epoch of batches as index tensors, each with P identities × K images.

    As torchreid's RandomIdentitySampler: an identity's images are shuffled and cut into groups
    of K (an identity with fewer than K images is filled by repetition, a rest shorter than K is
    dropped); batches draw P identities that still have a group, until fewer than P have one.

    Args:
        labels: (N,) class indices of the training images.
        identities: P.
        images: K.
        generator: the epoch's source of randomness.

    Raises:
        BenchboxError: the training set has fewer than P identities.
    """
    groups: list[list[Tensor]] = []
    for label in sorted(set(labels.tolist())):
        members = (labels == label).nonzero().squeeze(1)
        if len(members) < images:
            fill = torch.randint(len(members), (images - len(members),), generator=generator)
            members = torch.cat([members, members[fill]])
        shuffled = members[torch.randperm(len(members), generator=generator)]
        groups.append([g for g in shuffled.split(images) if len(g) == images])
    if len(groups) < identities:
        raise BenchboxError(
            f"the training set has {len(groups)} identities, but a batch needs "
            f"batch_identities = {identities}; lower batch_identities."
        )
    batches: list[Tensor] = []
    remaining = list(range(len(groups)))
    while len(remaining) >= identities:
        chosen = torch.randperm(len(remaining), generator=generator)[:identities].tolist()
        batches.append(torch.cat([groups[remaining[i]].pop() for i in chosen]))
        remaining = [i for i in remaining if groups[i]]
    return batches
