"""Train the diffusion model: EDM's loss, moving average, checkpoints that resume bit for bit."""

import copy
import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchbox.errors import BenchboxError
from benchbox.files.progress import Progress, silent
from benchbox.training.checkpoint import Checkpoint, History
from benchbox.training.recipe import Companion
from benchbox.training.seeding import seeded
from defenses.ddd.conditional_unet import ConditionalUNet
from defenses.ddd.diffusion import Diffusion
from defenses.ddd.edm import Examples, edm_loss

_CHECKPOINTS = 50  # in a whole training; the log has a line for each


def train_diffusion(
    settings: Diffusion,
    examples: Examples,
    *,
    seed: int,
    scratch: Path,
    device: torch.device,
    progress: Progress = silent,
) -> tuple[ConditionalUNet, History]:
    """Return the trained model, its weights averaged, and the log.

    A checkpoint and ``diffusion.jsonl`` are written to ``scratch`` fifty times. When it holds a
    checkpoint, training goes on behind it and ends with the weights an uninterrupted run would
    have: each step draws from a generator seeded by (seed, step).

    Args:
        settings: the model and its training.
        examples: images with identity and camera; every index up to the highest should occur.
        seed: of start weights, batches and noise.
        scratch: of checkpoint and log.
        device: where to train.
        progress: told after each step.

    Raises:
        BenchboxError: the loss is not finite, or a checkpoint cannot be written.
    """
    run = _Run(settings, examples, seed=seed, device=device)
    checkpoint = Checkpoint(scratch / "diffusion.pt", scratch / "diffusion.jsonl", run.parts)
    history = checkpoint.restore(device)
    done = history[-1]["step"] if history else 0
    every = math.ceil(settings.steps / _CHECKPOINTS)
    total = torch.zeros((), device=device)
    # The plain kernel of attention is the one whose gradient is the same every time on a GPU.
    with sdpa_kernel(SDPBackend.MATH):
        for step in range(done, settings.steps):
            total += run.step(step)
            if (step + 1) % every == 0 or step + 1 == settings.steps:
                loss = total.item() / (step + 1 - done)
                _require_finite(loss, step)
                history.append({"step": step + 1, "loss": loss, "lr": _rate(settings, step)})
                checkpoint.save(history)
                done = step + 1
                total.zero_()
            progress((step + 1) / settings.steps, f"diffusion step {step + 1}/{settings.steps}")
    return run.average, history


class _Run:
    """The state of one training: model, average and optimiser."""

    def __init__(
        self,
        settings: Diffusion,
        examples: Examples,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self._settings, self._seed, self._device = settings, seed, device
        height, width = examples.images.shape[2:]
        model = ConditionalUNet(
            settings,
            identities=int(examples.identity.max()) + 1,
            cameras=int(examples.camera.max()) + 1,
            size=(height, width),
            seed=seed,
        )
        model.start_from(examples.images, examples.identity, examples.camera)
        self._examples = Examples(
            *(part.to(device) for part in (examples.images, examples.identity, examples.camera))
        )
        self._model = model.to(device).train()
        self.average = copy.deepcopy(self._model).eval().requires_grad_(requires_grad=False)
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=settings.lr, fused=True)
        self._scheduler = settings.scheduler()
        self.parts: dict[str, Companion] = {
            "model": self._model,
            "average": self.average,
            "optimizer": self._optimizer,
        }

    def step(self, step: int) -> Tensor:
        """Take one step of the optimiser and return the loss, detached."""
        settings, generator = self._settings, seeded(self._seed, "diffusion", step)
        size = settings.batch_size
        chosen = torch.randint(len(self._examples.images), (size,), generator=generator)
        mirrored = torch.rand(size, generator=generator) < settings.flip
        withheld = torch.rand(size, generator=generator) < settings.drop_identity
        levels = torch.randn(size, 1, 1, 1, generator=generator)
        noise = torch.randn(size, *self._examples.images.shape[1:], generator=generator)
        chosen, mirrored, withheld, levels, noise = (
            draw.to(self._device) for draw in (chosen, mirrored, withheld, levels, noise)
        )
        images, identity = self._examples.images[chosen], self._examples.identity[chosen]
        batch = Examples(
            images=torch.where(mirrored[:, None, None, None], images.flip(3), images),
            identity=identity.masked_fill(withheld, self._model.nobody),
            camera=self._examples.camera[chosen],
        )
        loss = edm_loss(
            self._model, settings, batch, normals=(levels, noise), scheduler=self._scheduler
        )
        for group in self._optimizer.param_groups:
            group["lr"] = _rate(settings, step)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._optimizer.step()
        self._average(step)
        return loss.detach()

    def _average(self, step: int) -> None:
        """Move the average: its half-life is in images, and short in the beginning (Karras)."""
        seen = (step + 1) * self._settings.batch_size
        half_life = min(self._settings.ema_images, seen / 20)
        kept = 0.5 ** (self._settings.batch_size / half_life)
        pairs = zip(self.average.parameters(), self._model.parameters(), strict=True)
        with torch.no_grad():
            for mean, weight in pairs:
                mean.lerp_(weight, 1 - kept)


def _rate(settings: Diffusion, step: int) -> float:
    """Return the rate of a step: linear over the first twentieth, then a cosine to 0."""
    share, warm_up = (step + 0.5) / settings.steps, 1 / 20
    if share <= warm_up:
        return settings.lr * share / warm_up
    return settings.lr * (1 + math.cos(math.pi * (share - warm_up) / (1 - warm_up))) / 2


def _require_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise BenchboxError(
            f"diffusion: the loss is {loss} by step {step + 1}; lower lr, or use precision fp32."
        )
