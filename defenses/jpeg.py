"""JPEG: perturbations are lost where a file has no room for them."""

from dataclasses import dataclass

from torch import Tensor

from benchbox.data.jpeg import straight_through_jpeg
from benchbox.errors import BenchboxError
from defenses.base import Defense
from defenses.origin import Vanilla


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """Write each image as a JPEG and read it again.

    The backward pass is straight-through: the identity (BPDA, Athalye et al. 2018), under which
    Guo et al.'s own numbers fell to nothing.

    Source: Guo et al. 2018, "Countering Adversarial Images using Input Transformations", quality
    75; Dziugaite et al. 2016 before them.

    Attributes:
        quality: on libjpeg's scale, 1 to 100.

    Raises:
        BenchboxError: the quality is out of its range.
    """

    quality: int = 75

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise BenchboxError(f"jpeg: expected a quality from 1 to 100, got {self.quality!r}")

    def __call__(self, images: Tensor) -> Tensor:
        """Return the images as their JPEGs show them."""
        return straight_through_jpeg(images, quality=self.quality)


JPEG = Defense(name="jpeg", title="JPEG", recipe=Vanilla(), guard=Jpeg(), source="Guo et al. 2018")
