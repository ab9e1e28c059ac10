"""Sample the images a training set lacks from the diffusion model, batch by batch."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from benchbox.files.atomic import write_bytes
from benchbox.files.progress import Progress, silent
from benchbox.training.seeding import seeded
from defenses.ddd.balanced_set import Synthetic
from defenses.ddd.conditional_unet import ConditionalUNet
from defenses.ddd.diffusion import Diffusion
from defenses.ddd.edm import sample


def generate(
    model: ConditionalUNet,
    settings: Diffusion,
    paths: Mapping[Synthetic, Path],
    *,
    pids: Sequence[int],
    camids: Sequence[int],
    seed: int,
    batch_size: int,
    progress: Progress = silent,
) -> None:
    """Write each image to its path as a PNG; a batch whose images are all there is left out.

    An image's noise is drawn by its identity, camera and number, so that it is the same in any
    batch, up to the last bit of the arithmetic.

    Args:
        model: trained, on the device to work on.
        settings: of the model.
        paths: the images to make and their files.
        pids: the identities, by the model's index.
        camids: the cameras, by the model's index.
        seed: of the noise.
        batch_size: images at a time.
        progress: told after each batch.

    Raises:
        BenchboxError: a file cannot be written.
    """
    device = model.identity.weight.device
    wanted = list(paths)
    for start in range(0, len(wanted), batch_size):
        batch = wanted[start : start + batch_size]
        # Whole batches, even if some images are there: in a smaller one the others could differ
        # in the last bit from those of a run that was not killed.
        if not all(paths[image].is_file() for image in batch):
            images = sample(
                model,
                settings,
                noise=torch.stack([_noise(image, model.size, seed) for image in batch]).to(device),
                identity=torch.tensor([pids.index(i.pid) for i in batch], device=device),
                camera=torch.tensor([camids.index(i.camid) for i in batch], device=device),
            )
            for image, pixels in zip(batch, images.cpu(), strict=True):
                write_bytes(paths[image], _png(pixels))
        done = start + len(batch)
        progress(done / len(wanted), f"generated {done} of {len(wanted)} images")


def _noise(image: Synthetic, size: tuple[int, int], seed: int) -> Tensor:
    generator = seeded(seed, "noise", image.pid, image.camid, image.number)
    return torch.randn(3, *size, generator=generator)


def _png(pixels: Tensor) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(content, format="PNG")
    return content.getvalue()
