"""What attacks, guards and the evaluation take a model for."""

from collections.abc import Callable

from torch import Tensor

Embed = Callable[[Tensor], Tensor]
"""(B, 3, H, W) float32 in [0, 1] → (B, D): a model, with whatever guard stands before it.

An attack differentiates it; only then does it need a gradient to the pixels."""
