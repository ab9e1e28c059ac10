"""Purification: noise drowns the perturbation, and a diffusion model takes the noise away."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchbox.errors import BenchboxError, unknown_name
from benchbox.models.weights import load_weights, stored_shape
from defenses.base import Defense
from defenses.ddd.balancing import Balancing
from defenses.ddd.conditional_unet import ConditionalUNet
from defenses.ddd.edm import network_output
from defenses.origin import Vanilla

Backward = Literal["full", "straight_through"]


@dataclass(frozen=True, kw_only=True)
class Purification:
    """Diffuse each image up to a noise level and follow the model back (DiffPure).

    y_σ = y + σ n, n ~ N(0, 1), then the probability-flow ODE dy/dσ = (y − D(y; σ)) / σ from σ down
    to 0 in Euler steps (Karras et al. 2022, Algorithm 1 without its second-order correction), D
    being the denoiser of DDD's diffusion model, told no identity and a camera that is drawn, for a
    guard does not know it. Images are brought to the model's size and back.

    Source: Nie et al. 2022, "Diffusion Models for Adversarial Purification": diffusion time 0.1
    at 8/255 on CIFAR-10, which is σ = √(exp(0.1095) − 1) = 0.34 here; 0.15 on ImageNet, σ = 0.52.
    Where we deviate: the model is DDD's, trained on the training split; the way back is the ODE's
    in a few steps (theirs is the SDE's, in a hundred and more), so that its gradient can be kept:
    attacks get the full one, or the straight-through one as a check. Noise and camera come from
    torch's own generator, anew for each look: attacks average over draws (EOT), or meet another
    one at each step.

    Attributes:
        sigma: the noise level, for images in [-1, 1].
        steps: of Euler's method.
        backward: ``full`` differentiates through all steps; ``straight_through`` takes the
            identity for the gradient.
        balancing: makes the diffusion model. With the settings of ``[recipe.ddd.balancing]`` it
            is the one that DDD trains, once for both.

    Raises:
        BenchboxError: a value is out of its range.
    """

    sigma: float = 0.34
    steps: int = 5
    backward: Backward = "full"
    balancing: Balancing = field(default_factory=Balancing)

    def __post_init__(self) -> None:
        if self.backward not in get_args(Backward):
            raise unknown_name("backward", self.backward, get_args(Backward))
        lowest, highest = self.balancing.diffusion.sigma_min, self.balancing.diffusion.sigma_max
        if not lowest < self.sigma <= highest or self.steps < 1:
            raise BenchboxError(
                f"purification: expected sigma above {lowest:g} and up to {highest:g}, and 1 step "
                f"or more, got {self.sigma!r} and {self.steps!r}"
            )

    @property
    def preparation(self) -> Balancing:
        """What makes the diffusion model."""
        return self.balancing

    def ready(self, folder: Path, *, size: tuple[int, int], device: torch.device) -> "Purifier":
        """Return the guard with the diffusion model that lies in a folder.

        Args:
            folder: of the artefact of ``balancing``.
            size: (height, width) of the images that will be purified.
            device: the device to work on.

        Raises:
            BenchboxError: the weights do not fit, or the model cannot make images for that size.
        """
        weights, diffusion = folder / "diffusion.safetensors", self.balancing.diffusion
        model = ConditionalUNet(
            diffusion,
            identities=stored_shape(weights, "identity.weight")[0] - 1,
            cameras=stored_shape(weights, "camera.weight")[0],
            size=diffusion.size(size),
            seed=0,
        )
        load_weights(model, weights)
        return Purifier(model.to(device).eval().requires_grad_(requires_grad=False), self)

    def __call__(self, images: Tensor) -> Tensor:  # noqa: ARG002 - as guards are called
        """Refuse: there is no diffusion model yet.

        Raises:
            BenchboxError: always.
        """
        raise BenchboxError(
            "purification: its diffusion model is made by a run, from the training split; call "
            "ready(folder, …) with the folder that holds it."
        )


@dataclass(frozen=True, eq=False)
class Purifier:
    """A purification with its diffusion model.

    Attributes:
        model: trained, frozen, in evaluation mode.
        settings: the noise level, steps and backward pass.
    """

    model: ConditionalUNet
    settings: Purification

    def __call__(self, images: Tensor) -> Tensor:
        """Return purified images of the same shape."""
        if self.settings.backward == "full":
            return self._purified(images)
        with torch.no_grad():
            purified = self._purified(images)
        return purified + (images - images.detach())

    def _purified(self, images: Tensor) -> Tensor:
        # The model's size is the images', halved some number of times.
        factor = images.shape[2] // self.model.size[0]
        clean = F.avg_pool2d(2 * images - 1, factor)
        noise = torch.randn(clean.shape).to(clean)
        denoised = self.way_back(clean + self.settings.sigma * noise)
        for dimension in (2, 3) if factor > 1 else ():
            denoised = _stretched(denoised, dimension, factor)
        return ((denoised + 1) / 2).clamp(0, 1)

    def way_back(self, noisy: Tensor) -> Tensor:
        """Return images without noise from noisy ones, (B, 3, h, w) at σ in [-1, 1]."""
        settings = self.settings
        diffusion = replace(settings.balancing.diffusion, sampler="euler", sigma_max=settings.sigma)
        scheduler = diffusion.scheduler()
        scheduler.set_timesteps(settings.steps, device=noisy.device)
        count, cameras = len(noisy), len(self.model.camera.weight)
        nobody = torch.full((count,), self.model.nobody, device=noisy.device)
        camera = torch.randint(cameras, (count,)).to(noisy.device)
        # The plain kernel of attention is the one whose gradient is the same every time on a GPU.
        with sdpa_kernel(SDPBackend.MATH):
            for level, sigma, below in zip(
                scheduler.timesteps, scheduler.sigmas[:-1], scheduler.sigmas[1:], strict=True
            ):
                output = network_output(
                    self.model,
                    diffusion,
                    scheduler.precondition_inputs(noisy, sigma),
                    level.expand(count),
                    nobody,
                    camera,
                )
                denoised = scheduler.precondition_outputs(noisy, output, sigma)
                noisy = noisy + (below - sigma) * (noisy - denoised) / sigma
        return noisy


def _stretched(images: Tensor, dimension: int, factor: int) -> Tensor:
    """Return images ``factor`` times as long in one dimension, interpolated linearly.

    As a product, because the gradient of CUDA's own interpolation is not deterministic.
    """
    ones = torch.eye(images.shape[dimension])[None]
    weights = F.interpolate(ones, factor * ones.shape[2], mode="linear")[0].to(images)
    return torch.movedim(torch.movedim(images, dimension, -1) @ weights, -1, dimension)


PURIFICATION = Defense(
    name="purification",
    title="Purification",
    recipe=Vanilla(),
    guard=Purification(),
    source="Nie et al. 2022 (DiffPure), with DDD's diffusion model",
)
