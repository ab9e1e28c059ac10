"""BS+MS: squeeze the bit depth first, then smooth with the median."""

from dataclasses import dataclass, field

from torch import Tensor

from defenses.base import Defense
from defenses.bit_squeezing import BitSqueezing
from defenses.median_smoothing import MedianSmoothing
from defenses.origin import Vanilla


@dataclass(frozen=True, kw_only=True)
class SqueezeThenSmooth:
    """Median smoothing of bit-squeezed images. The order matters; smoothing first does less.

    Source: Xu, Evans and Qi 2018 combine the two; the order is that of the name in the tables.

    Attributes:
        squeeze: the bit squeezing, applied to the image.
        smooth: the median smoothing, applied to the squeezed image.
    """

    squeeze: BitSqueezing = field(default_factory=BitSqueezing)
    smooth: MedianSmoothing = field(default_factory=MedianSmoothing)

    def __call__(self, images: Tensor) -> Tensor:
        """Return smooth(squeeze(images))."""
        return self.smooth(self.squeeze(images))


BS_MS = Defense(
    name="bs_ms",
    title="BS+MS",
    recipe=Vanilla(),
    guard=SqueezeThenSmooth(),
    source="Xu, Evans and Qi 2018",
)
