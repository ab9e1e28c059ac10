"""The network of the diffusion model: the library's UNet, conditioned on identity and camera."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchbox.training.seeding import seeded
from defenses.ddd.diffusion import Diffusion, diffusers_library

_MAP = (8, 4)  # height and width of the maps that identity and camera give to the network


class ConditionalUNet(nn.Module):
    """The library's UNet2DModel, told identity and camera in two ways.

    The sum of two embeddings joins that of the noise level, as in class-conditional diffusion.
    Two maps of 3×8×4, stretched to the image, join its channels: they say what is where, which
    the sum cannot, and make a model of few steps usable. Maps are parameters too; they start as
    the mean image of the identity and of the camera (:meth:`start_from`), so that identities
    dressed alike start alike. Index ``identities`` is nobody, for guidance.

    Args:
        settings: the network's widths and depths.
        identities: how many identities there are.
        cameras: how many cameras there are.
        size: (height, width) of the images in pixels.
        seed: settles the initial weights.
    """

    def __init__(
        self,
        settings: Diffusion,
        *,
        identities: int,
        cameras: int,
        size: tuple[int, int],
        seed: int,
    ) -> None:
        super().__init__()
        self.nobody = identities
        width, cells = 4 * settings.channels[0], 3 * _MAP[0] * _MAP[1]
        # Only the CPU's generator takes part; torch.manual_seed would reseed the GPUs' as well.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seeded(seed, "diffusion").initial_seed())
            self.unet = _unet(settings)
            self.identity = nn.Embedding(identities + 1, width)
            self.camera = nn.Embedding(cameras, width)
            self.identity_map = nn.Embedding(identities + 1, cells)
            self.camera_map = nn.Embedding(cameras, cells)
        nn.init.zeros_(self.identity_map.weight)
        nn.init.zeros_(self.camera_map.weight)
        # As a product, because the gradient of CUDA's own interpolation is not deterministic.
        ones = torch.eye(_MAP[0] * _MAP[1]).view(-1, 1, *_MAP)
        stretch = F.interpolate(ones, size, mode="bilinear").flatten(1)
        self.register_buffer("stretch", stretch, persistent=False)
        self.size = size

    @torch.no_grad()
    def start_from(self, images: Tensor, identity: Tensor, camera: Tensor) -> None:
        """Start the maps as mean images, standardised over all images.

        Args:
            images: (N, 3, H, W) in [-1, 1].
            identity: (N,) indices.
            camera: (N,) indices.
        """
        small = F.adaptive_avg_pool2d(images, _MAP).flatten(1)
        small = (small - small.mean(0)) / small.std()
        for table, index in ((self.identity_map, identity), (self.camera_map, camera)):
            for row in sorted(set(index.tolist())):
                table.weight[row] = small[index == row].mean(0)

    def forward(
        self, images: Tensor, noise_level: Tensor, identity: Tensor, camera: Tensor
    ) -> Tensor:
        """Return the raw network output F_θ of EDM, (B, 3, H, W).

        Args:
            images: (B, 3, H, W), noisy, scaled by c_in.
            noise_level: (B,) c_noise.
            identity: (B,) indices.
            camera: (B,) indices.
        """
        maps = [
            (table(index).unflatten(1, (3, -1)) @ self.stretch).unflatten(2, self.size)
            for table, index in ((self.identity_map, identity), (self.camera_map, camera))
        ]
        inputs = torch.cat([images, *maps], 1)
        embedding = self.identity(identity) + self.camera(camera)
        (output,) = self.unet(inputs, noise_level, class_labels=embedding, return_dict=False)
        raw: Tensor = output
        return raw


def _unet(settings: Diffusion) -> nn.Module:
    levels, plain = len(settings.channels), len(settings.channels) - settings.attention
    # At least four channels per group, at most 32 groups (Karras), the same at every level.
    smallest, shared = min(settings.channels), math.gcd(*settings.channels)
    groups = max(g for g in range(1, min(32, smallest // 4) + 1) if shared % g == 0)
    unet: nn.Module = diffusers_library().UNet2DModel(
        in_channels=9,
        out_channels=3,
        block_out_channels=settings.channels,
        layers_per_block=settings.layers,
        down_block_types=[
            "AttnDownBlock2D" if i >= plain else "DownBlock2D" for i in range(levels)
        ],
        up_block_types=[
            "AttnUpBlock2D" if i >= plain else "UpBlock2D" for i in reversed(range(levels))
        ],
        add_attention=settings.attention > 0,
        norm_num_groups=groups,
        attn_norm_num_groups=groups,
        resnet_time_scale_shift="scale_shift",
        class_embed_type="identity",
    )
    return unet
