"""Training augmentation of a whole batch, every choice drawn per image from one generator."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_IMAGENET_MEAN = (0.485, 0.456, 0.406)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to a training image (Luo et al. 2019, "Bag of Tricks", unless said).

    Attributes:
        flip: probability of a horizontal flip.
        pad: pixels of black added on each side before a random crop back to size (10 at 256×128).
        jitter: standard deviation of the logarithm of a per-image, per-channel gain (ours).
        erasing: probability of random erasing (Zhong et al. 2020), filled with ImageNet's mean.
    """

    flip: float = 0.5
    pad: int = 10
    jitter: float = 0.0
    erasing: float = 0.5


def augment(images: Tensor, policy: Augmentation, generator: torch.Generator) -> Tensor:
    """Return augmented float32 images in [0, 1].

    Torchvision's transforms draw from the global generator and apply one choice to a whole batch;
    here each image has its own draws from ``generator`` (a CPU generator, so that the device
    does not change them), which is what makes a resumed training equal an uninterrupted one.

    Args:
        images: (B, 3, H, W) uint8.
        policy: what to do.
        generator: on the CPU.
    """
    batch, _, height, width = images.shape
    device = images.device
    flipped = (torch.rand(batch, generator=generator) < policy.flip).to(device)
    result = torch.where(flipped[:, None, None, None], images.flip(-1), images)
    if policy.pad:
        shifts = torch.randint(2 * policy.pad + 1, (2, batch), generator=generator).to(device)
        rows = shifts[0][:, None] + torch.arange(height, device=device)
        columns = shifts[1][:, None] + torch.arange(width, device=device)
        padded = F.pad(result, (policy.pad,) * 4)
        image = torch.arange(batch, device=device)[:, None, None]
        # Advanced indices around a slice put their dimensions first: (B, H, W, 3).
        result = padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    unit = result.to(torch.float32) / 255
    if policy.jitter:
        gain = (torch.randn(batch, 3, 1, 1, generator=generator) * policy.jitter).exp()
        unit = (unit * gain.to(device)).clamp(0, 1)
    if policy.erasing:
        unit = _erase(unit, policy.erasing, generator)
    return unit.contiguous()


def _erase(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Fill one random rectangle per chosen image: 2–40% of its area, aspect 0.3–3.33."""
    batch, _, height, width = images.shape
    device = images.device
    draws = torch.rand(5, batch, generator=generator)
    area = (0.02 + 0.38 * draws[1]) * height * width
    aspect = 0.3 * (3.33 / 0.3) ** draws[2]  # log-uniform, so tall and wide are equally likely
    box_height = (area * aspect).sqrt().clamp(max=height - 1)
    box_width = (area / aspect).sqrt().clamp(max=width - 1)
    top = (draws[3] * (height - box_height))[:, None]
    left = (draws[4] * (width - box_width))[:, None]
    row = torch.arange(height)[None, :]
    column = torch.arange(width)[None, :]
    in_rows = (row >= top) & (row < top + box_height[:, None])
    in_columns = (column >= left) & (column < left + box_width[:, None])
    chosen = draws[0] < probability
    hole = (chosen[:, None, None] & in_rows[:, :, None] & in_columns[:, None, :]).to(device)
    fill = torch.tensor(_IMAGENET_MEAN, device=device)[None, :, None, None]
    return torch.where(hole[:, None], fill, images)
