"""What a stage costs, in things that can be counted before it is done and measured beforehand."""

from dataclasses import dataclass

from benchbox.data.counting import Counts
from benchbox.models.folding import Precision

ASCENDED = 2 / 3
"""What a gradient to the pixels takes of a training pass: forward, and half of the way back."""
EMBEDDED = 1 / 3
"""What a forward pass takes of a training pass."""
PAIR = 1e-5
"""What a ranked pair takes of a training pass, roughly: a thousandth of a small network's, less of
a large one's. With a calibration all four are measured."""
DIFFUSION = "diffusion"
"""How a diffusion model's name begins, which no ReID network's does."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """How much a stage computes.

    Attributes:
        network: what images pass through: a network, its image size and its guard, in words, as a
            calibration names them; empty where no image does.
        trained: images that pass forward and backward with the weights' gradients, epochs and all.
            A gradient to the pixels inside a training step counts as `ASCENDED` of one.
        ascended: images that pass forward and backward to their pixels, steps and all.
        embedded: images that pass forward.
        pairs: of a query and a gallery image that are ranked.
        loads: how often the network is built and its weights are read.
    """

    network: str = ""
    trained: float = 0.0
    ascended: float = 0.0
    embedded: float = 0.0
    pairs: float = 0.0
    loads: int = 0

    @property
    def work(self) -> float:
        """All of it in training passes, roughly: for order, and where nothing else is known.

        It says nothing of networks of different size.
        """
        passes = self.trained + ASCENDED * self.ascended + EMBEDDED * self.embedded
        return passes + PAIR * self.pairs


def network_in_words(
    name: str,
    image_size: tuple[int, int],
    guard: object | None = None,
    *,
    precision: Precision = "fp32",
) -> str:
    """Return what images pass through, as calibrations name it: ``resnet50 256×128``."""
    height, width = image_size
    behind = f" behind {guard}" if guard is not None else ""
    return f"{name} {height}×{width}{behind}{'' if precision == 'fp32' else f', {precision}'}"


def images_an_epoch(counts: Counts, together: int) -> int:
    """Return about how many images an epoch of identity batches shows, from what it shows.

    Of each identity's images those that fill no group of K are left out, (K − 1) / 2 on average,
    and an identity that has fewer is filled up.

    Args:
        counts: of the dataset.
        together: K, images of an identity in a batch.
    """
    left_out = counts.train_ids * (together - 1) / 2
    return round(max(counts.train_images - left_out, counts.train_ids * together))
