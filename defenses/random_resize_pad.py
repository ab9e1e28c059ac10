"""Random resizing and padding: an attack cannot know where its pixels will land."""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchbox.errors import BenchboxError
from defenses.base import Defense
from defenses.origin import Vanilla


@dataclass(frozen=True, kw_only=True)
class RandomResizePad:
    """Shrink each image by a random factor and place it at random on black of the full size.

    The draws come from torch's own generator, anew for each image and each look at it. The
    gradient is exact: it flows back through the pixels that were taken. Attacks average it over
    draws (expectation over transformation, Athalye et al. 2018) or meet another draw at each step.

    Source: Xie et al. 2018, "Mitigating Adversarial Effects Through Randomization": images of 299
    pixels are resized to 299 … 330 by nearest neighbours and padded to 331. Where we deviate: they
    keep their size, as networks of a fixed input want it, so that all sizes are divided by
    331 / 299; and draws are per image, not per batch.

    Attributes:
        least: the smallest share of the size that an image is shrunk to.

    Raises:
        BenchboxError: the share is out of its range.
    """

    least: float = 299 / 331

    def __post_init__(self) -> None:
        if not 0 < self.least <= 1:
            raise BenchboxError(f"random_resize_pad: expected least in (0, 1], got {self.least!r}")

    def __call__(self, images: Tensor) -> Tensor:
        """Return images of the same shape, each with draws of its own."""
        count, _, height, width = images.shape
        share, down, across = torch.rand(3, count)
        share = self.least + (1 - self.least) * share
        rows, in_rows = _taken_from(height, share, down)
        columns, in_columns = _taken_from(width, share, across)
        image = torch.arange(count)[:, None, None]
        # Advanced indices put their dimensions first: (B, H, W, 3).
        shrunk = images[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        inside = in_rows[:, None, :, None] & in_columns[:, None, None, :]
        return shrunk * inside.to(images)


def _taken_from(size: int, share: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, size) the row that each row of the result shows, and whether it shows one.

    Args:
        size: of the image, in rows (or columns).
        share: (B,) that the image is shrunk to.
        where: (B,) in [0, 1), where in the room that is left it begins.
    """
    inner = (share * size).round().clamp(min=1).long()
    begin = (where * (size - inner + 1)).long()
    place = torch.arange(size) - begin[:, None]
    shows = (place >= 0) & (place < inner[:, None])
    return (place * size // inner[:, None]).clamp(0, size - 1), shows


RANDOM_RESIZE_PAD = Defense(
    name="random_resize_pad",
    title="Random resize + pad",
    recipe=Vanilla(),
    guard=RandomResizePad(),
    source="Xie et al. 2018",
)
