"""The check of adversarial images: inside their ball, inside [0, 1], and finite in the model."""

from torch import Tensor

from benchbox.errors import BenchboxError

ROUNDING = 1e-6
"""Slack of the ball check: float32 cannot represent x ± eps exactly. A step is 4,000 times it."""


def require_valid(
    clean: Tensor, adversarial: Tensor, outputs: Tensor, *, eps: float, attack: str, first: int
) -> None:
    """Raise unless an attack kept its budget and the model gives its images finite outputs.

    Args:
        clean: (B, 3, H, W) images in [0, 1].
        adversarial: (B, 3, H, W) what the attack made of them.
        outputs: (B, D) the model's embeddings or logits of ``adversarial``.
        eps: radius of the L∞ ball, in [0, 1].
        attack: its name, for the message.
        first: the number of the first of these images among all that are attacked.

    Raises:
        BenchboxError: an image leaves its ball or [0, 1], or its outputs are not finite; the
            first one is named.
    """
    moved = (adversarial - clean).abs().flatten(1).amax(1)
    low, high = adversarial.flatten(1).amin(1), adversarial.flatten(1).amax(1)
    # A NaN fails every comparison, so the conditions are written to be true only when all is well.
    inside = (moved <= eps + ROUNDING) & (low >= 0) & (high <= 1)
    finite = outputs.isfinite().all(1)
    for good, fault in (
        (inside, "leaves its ball or [0, 1]"),
        (finite, "has no finite output of the model"),
    ):
        if not bool(good.all()):
            image = first + int((~good).nonzero()[0])
            raise BenchboxError(
                f"attack {attack} at eps {eps * 255:g}/255: adversarial image {image} {fault}; "
                "the attack or the model is broken, no number is reported."
            )
