"""How a diffusion model in the EDM formulation (Karras et al. 2022) is built, trained, sampled."""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any, Literal

from benchbox.errors import BenchboxError
from benchbox.torchvision_import import ensure_torchvision


@dataclass(frozen=True, kw_only=True)
class Diffusion:
    """A diffusion model and how it is trained and sampled.

    The defaults are for Market-1501 on a GPU. On one core of a CPU, five minutes give people in
    the right colours (Sidewalk ``small``) with max_height 32, channels (24, 32, 64), layers 1,
    attention 0, steps 2000, batch_size 16, lr 3e-3, p_mean -0.6, p_std 1.3, sigma_data 0.34 (what
    Sidewalk's images have), sigma_max 40, sampler_steps 12 and precision fp32.

    "Karras" is Karras et al. 2022, Table 1 and appendix F; what is ours says why.

    Attributes:
        max_height: the largest height, in pixels, of the images it makes. The network's image
            size is halved until it is no higher. Ours: Market-1501's own images are 128 pixels
            high.
        channels: width of each level, first the full size, then half of it, and so on. Ours: 26
            million weights, half of Karras's smallest network, for a set a quarter of CIFAR-10's.
        layers: residual blocks per level.
        attention: how many of the deepest levels have self-attention. Karras has it at 16×16.
        steps: how many training steps. Ours: 200 passes over Market-1501.
        batch_size: images in a training step.
        lr: peak rate of Adam; linear warm-up over a twentieth of the steps, then a cosine to 0.
            2e-4 is Karras's for 64×64 images; the cosine is ours, as our trainings are short.
        p_mean: mean of ln σ in training (Karras).
        p_std: standard deviation of ln σ in training (Karras).
        sigma_data: standard deviation of the images in [-1, 1] (Karras).
        sigma_min: lowest noise level in sampling (Karras).
        sigma_max: highest noise level in sampling (Karras).
        sampler: ``dpm++`` (second order, multistep: one network call per step) or ``euler``.
        sampler_steps: noise levels in sampling. Karras: 18 with Heun's method, two calls each.
        ema_images: half-life of the weights' moving average, in images, at most a twentieth of
            those seen (Karras).
        flip: how often a training image is mirrored. Ours, as in ReID training.
        drop_identity: how often the identity is withheld, which guidance needs (Ho and Salimans
            2022).
        guidance: weight of the identity (Ho and Salimans 2022); 1 means none.
        precision: number format of the network; ``bf16`` means autocast.
    """

    max_height: int = 128
    channels: tuple[int, ...] = (64, 128, 256, 256)
    layers: int = 2
    attention: int = 1
    steps: int = 40_000
    batch_size: int = 64
    lr: float = 2e-4
    p_mean: float = -1.2
    p_std: float = 1.2
    sigma_data: float = 0.5
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sampler: Literal["dpm++", "euler"] = "dpm++"
    sampler_steps: int = 25
    ema_images: int = 500_000
    flip: float = 0.5
    drop_identity: float = 0.1
    guidance: float = 1.5
    precision: Literal["fp32", "bf16"] = "bf16"

    def __post_init__(self) -> None:
        if not self.channels or any(width % 8 for width in self.channels):
            raise BenchboxError(
                f"diffusion: channels = {list(self.channels)}: expected multiples of 8."
            )
        if min(self.steps, self.batch_size, self.sampler_steps, self.layers) < 1:
            raise BenchboxError(
                "diffusion: steps, batch_size, sampler_steps and layers are at least 1."
            )

    @property
    def cost(self) -> float:
        """Roughly the training's length in vanilla epochs of Market-1501.

        A step's image costs about as much as 3.5 images of a ResNet-50 at 256×128.
        """
        return 3.5 * self.steps * self.batch_size / 12_936

    @property
    def calls(self) -> int:
        """How often sampling one image runs the network."""
        return self.sampler_steps * (1 if self.guidance == 1 else 2)

    def size(self, network: tuple[int, int]) -> tuple[int, int]:
        """Return (height, width) of the images it makes for a network's image size.

        Raises:
            BenchboxError: the levels of the UNet cannot halve that size.
        """
        height, width = network
        while height > self.max_height and height % 2 == width % 2 == 0:
            height, width = height // 2, width // 2
        unit = 2 ** (len(self.channels) - 1)
        if height > self.max_height or height % unit or width % unit:
            raise BenchboxError(
                f"diffusion: images of {network[0]}x{network[1]} become {height}x{width} under "
                f"max_height = {self.max_height}, which {len(self.channels)} levels cannot "
                f"take: expected multiples of {unit}. Use fewer levels in "
                "channels, or another max_height."
            )
        return height, width

    def scheduler(self) -> Any:
        """Return the library's scheduler: preconditioning, noise levels and sampling steps."""
        library = diffusers_library()
        kinds = {
            "dpm++": library.EDMDPMSolverMultistepScheduler,
            "euler": library.EDMEulerScheduler,
        }
        return kinds[self.sampler](
            sigma_min=self.sigma_min, sigma_max=self.sigma_max, sigma_data=self.sigma_data
        )


def require_diffusers() -> None:
    """Check that diffusers is installed.

    Raises:
        BenchboxError: it is not; says how to get it.
    """
    if importlib.util.find_spec("diffusers") is None:
        raise BenchboxError("data balancing needs the library diffusers: pip install diffusers.")


def diffusers_library() -> Any:
    """Import diffusers, which takes seconds, where it is used."""
    require_diffusers()
    ensure_torchvision()
    return importlib.import_module("diffusers")
