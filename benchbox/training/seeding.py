"""Randomness as a pure function of names, so that a resumed run draws what it would have drawn."""

import hashlib

import torch


def seeded(*parts: object) -> torch.Generator:
    """Return a CPU generator seeded by a digest of ``parts``: the same parts, the same draws."""
    name = "/".join(str(part) for part in parts)
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> 1
    return torch.Generator().manual_seed(seed)
