"""The EDM formulation on the library's preconditioning: the loss and the sampler."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from defenses.ddd.conditional_unet import ConditionalUNet
from defenses.ddd.diffusion import Diffusion


@dataclass(frozen=True, slots=True)
class Examples:
    """What the diffusion model learns from.

    Attributes:
        images: (N, 3, H, W) training images in [-1, 1].
        identity: (N,) index of each image's identity.
        camera: (N,) index of each image's camera.
    """

    images: Tensor
    identity: Tensor
    camera: Tensor


def edm_loss(
    model: ConditionalUNet,
    settings: Diffusion,
    batch: Examples,
    *,
    normals: tuple[Tensor, Tensor],
    scheduler: Any,
) -> Tensor:
    """Return E λ(σ) ‖D(y + σn; σ) − y‖² of Karras et al. 2022, Eq. 2 and 8, a mean over pixels.

    λ(σ) = (σ² + σ_data²) / (σ σ_data)², so that every noise level weighs the same at the start.

    Args:
        model: F_θ.
        settings: p_mean, p_std, sigma_data, precision.
        batch: y with identity and camera.
        normals: standard normal draws: (B, 1, 1, 1) for ln σ, and n, shaped as the images.
        scheduler: the library's, for the preconditioning c_in, c_noise, c_skip and c_out.
    """
    sigma = (settings.p_mean + settings.p_std * normals[0]).exp()
    noisy = batch.images + sigma * normals[1]
    output = network_output(
        model,
        settings,
        scheduler.precondition_inputs(noisy, sigma),
        scheduler.precondition_noise(sigma.flatten()),
        batch.identity,
        batch.camera,
    )
    denoised = scheduler.precondition_outputs(noisy, output, sigma)
    weight = (sigma**2 + settings.sigma_data**2) / (sigma * settings.sigma_data) ** 2
    loss: Tensor = (weight * (denoised - batch.images) ** 2).mean()
    return loss


@torch.no_grad()
def sample(
    model: ConditionalUNet, settings: Diffusion, *, noise: Tensor, identity: Tensor, camera: Tensor
) -> Tensor:
    """Return images as uint8 (B, 3, H, W), from σ_max to 0 along Karras's noise levels.

    With guidance w the network's output is F(nobody) + w (F(identity) − F(nobody)).

    Args:
        model: trained.
        settings: the sampler, its steps and the guidance.
        noise: (B, 3, H, W), standard normal.
        identity: (B,) indices.
        camera: (B,) indices.
    """
    scheduler = settings.scheduler()
    scheduler.set_timesteps(settings.sampler_steps, device=noise.device)
    nobody = torch.full_like(identity, model.nobody)
    images = noise * scheduler.sigmas[0].item()
    with sdpa_kernel(SDPBackend.MATH):
        for level in scheduler.timesteps:
            scaled = scheduler.scale_model_input(images, level)
            levels = level.expand(len(images))
            output = network_output(model, settings, scaled, levels, identity, camera)
            if settings.guidance != 1:
                free = network_output(model, settings, scaled, levels, nobody, camera)
                output = free + settings.guidance * (output - free)
            images = scheduler.step(output, level, images, return_dict=False)[0]
    pixels: Tensor = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels


def network_output(
    model: ConditionalUNet,
    settings: Diffusion,
    scaled: Tensor,
    noise_level: Tensor,
    identity: Tensor,
    camera: Tensor,
) -> Tensor:
    """Return F_θ in float32, computed in the precision of ``settings``."""
    half = settings.precision == "bf16"
    with torch.autocast(scaled.device.type, dtype=torch.bfloat16, enabled=half):
        output: Tensor = model(scaled, noise_level, identity, camera)
    return output.float()
