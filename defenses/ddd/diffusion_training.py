"""Train the diffusion model: EDM's loss, moving average, checkpoints that resume bit for bit."""

import copy
import io
import json
import math
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchbox.errors import BenchboxError
from benchbox.files import write_bytes, write_text
from benchbox.training.preparation import Progress
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
    progress: Progress = lambda _share, _text: None,
) -> tuple[ConditionalUNet, list[dict[str, Any]]]:
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
    run = _Run(settings, examples, seed=seed, scratch=scratch, device=device)
    history = run.restore()
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
                run.save(history)
                done = step + 1
                total.zero_()
            progress((step + 1) / settings.steps, f"diffusion step {step + 1}/{settings.steps}")
    return run.average, history


class _Run:
    """The state of one training: model, average, optimiser, and where it is saved."""

    def __init__(
        self,
        settings: Diffusion,
        examples: Examples,
        *,
        seed: int,
        scratch: Path,
        device: torch.device,
    ) -> None:
        self._settings, self._seed, self._device = settings, seed, device
        self._path, self._log = scratch / "diffusion.pt", scratch / "diffusion.jsonl"
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

    def save(self, history: list[dict[str, Any]]) -> None:
        """Write all that the next step depends on, and the log."""
        state = {
            "model": self._model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "history": history,
        }
        # Through memory: given a path, torch answers a full disk with an error of its own.
        content = io.BytesIO()
        torch.save(state, content)
        write_bytes(self._path, content.getvalue())
        write_text(self._log, log_text(history))

    def restore(self) -> list[dict[str, Any]]:
        """Load the checkpoint, if there is one, and return its history, else an empty one."""
        if not self._path.is_file():
            return []
        try:
            state = torch.load(self._path, map_location=self._device, weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            # A damaged checkpoint costs the steps it held, never the run.
            self._path.unlink(missing_ok=True)
            return []
        self._model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        history: list[dict[str, Any]] = state["history"]
        return history


def log_text(history: list[dict[str, Any]]) -> str:
    """Return the log as one line of JSON an entry."""
    return "".join(json.dumps(entry) + "\n" for entry in history)


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
