"""The one training loop: batches, losses, schedule, mixed precision, checkpoints, resume, log."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from benchbox.errors import BenchboxError
from benchbox.files.progress import Notice, Progress, silent, unheard
from benchbox.models.reid import ReidModel
from benchbox.training.augmentation import augment
from benchbox.training.averaging import averaged
from benchbox.training.checkpoint import Checkpoint
from benchbox.training.probing import probe, rank1_by_chance
from benchbox.training.recipe import Batch, Companion, Recipe, Training
from benchbox.training.sampling import identity_batches
from benchbox.training.schedule import rate_factor
from benchbox.training.seeding import seeded
from benchbox.training.training_set import TrainingSet

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def train(
    recipe: Recipe,
    model: ReidModel,
    data: TrainingSet,
    *,
    seed: int,
    folder: Path,
    device: torch.device,
    progress: Progress = silent,
    notice: Notice = unheard,
) -> list[dict[str, Any]]:
    """Train ``model`` in place by ``recipe`` and return the log, one entry an epoch.

    After each epoch a checkpoint and ``log.jsonl`` are written to ``folder``. When the folder
    holds a checkpoint, training goes on behind it and ends with the weights an uninterrupted
    run would have: all randomness is seeded from (seed, epoch, step) and the rate is a function
    of progress.

    Args:
        recipe: losses, hyperparameters, and what it keeps beside the model.
        model: carries the start weights; left on ``device`` in training mode.
        data: the training images.
        seed: of batches, augmentation and whatever the recipe draws.
        folder: of checkpoint and log.
        device: where to train.
        progress: told after each step.
        notice: told when the model tells a batch's identities apart no better than chance, which
            a healthy one does from its first epoch on; said once each time it falls there.

    Raises:
        BenchboxError: a loss is not finite, or a checkpoint cannot be written.
    """
    training = recipe.training
    # Channels-last is 1.4 times as fast here on a CPU, and what tensor cores want on a GPU.
    model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    work = _Work(
        recipe=recipe,
        model=model,
        data=data,
        seed=seed,
        device=device,
        optimizer=_optimizer(model, training),
        scaler=torch.amp.GradScaler(device.type, enabled=training.precision == "fp16"),
        companion=recipe.companion(model, data, seed=seed, device=device),
        average=averaged(model, decay=training.ema) if training.ema else None,
    )
    checkpoint = Checkpoint(folder / "checkpoint.pt", folder / "log.jsonl", work.parts())
    history = checkpoint.restore(device)
    for epoch in range(len(history), training.epochs):
        history.append(work.epoch(epoch, progress, _progress_text(history)))
        checkpoint.save(history)
        if _by_chance(history[-1]) and not (epoch and _by_chance(history[-2])):
            notice(_collapse(history[-1]))
    if work.average is not None:
        model.load_state_dict(work.average.module.state_dict())
    return history


@dataclass(frozen=True)
class _Work:
    """What one training works with."""

    recipe: Recipe
    model: ReidModel
    data: TrainingSet
    seed: int
    device: torch.device
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    companion: Companion | None
    average: AveragedModel | None

    def parts(self) -> dict[str, Companion]:
        """Return what a checkpoint must hold."""
        parts: dict[str, Companion] = {
            "model": self.model,
            "optimizer": self.optimizer,
            "scaler": self.scaler,
        }
        further = {"companion": self.companion, "average": self.average}
        return parts | {name: part for name, part in further.items() if part is not None}

    def epoch(self, epoch: int, progress: Progress, text: str) -> dict[str, Any]:
        """Train for one epoch, telling ``progress`` that ``text``, and return the log's line."""
        started = time.monotonic()
        training = self.recipe.training
        batches = identity_batches(
            self.data.labels,
            identities=training.batch_identities,
            images=training.batch_images,
            generator=seeded(self.seed, self.recipe.start, epoch),
        )
        sums: dict[str, Tensor] = {}
        for step, rows in enumerate(batches):
            position = epoch + step / len(batches)
            for group in self.optimizer.param_groups:
                group["lr"] = training.lr * rate_factor(training, position)
            batch = self.batch(rows, epoch, step, done=position / training.epochs)
            for name, value in self.step(batch, epoch).items():
                sums[name] = sums.get(name, torch.zeros((), device=self.device)) + value
            progress((position + 1 / len(batches)) / training.epochs, text)
        means = {name: value.item() / len(batches) for name, value in sums.items()}
        _require_finite(means, self.recipe.name, epoch)
        with _autocast(training, self.device):
            metrics = probe(self.recipe, self.model, batch)
        seconds = round(time.monotonic() - started, 3)
        mean, deviation = rank1_by_chance(batch.labels)
        chance = {"chance_rank1": mean, "chance_rank1_std": deviation}
        return {"epoch": epoch + 1, **means, **metrics, **chance, "seconds": seconds}

    def batch(self, rows: Tensor, epoch: int, step: int, *, done: float) -> Batch:
        """Return the augmented batch at ``rows``, its randomness that of the step."""
        names = (self.seed, self.recipe.start, epoch, step)
        policy = self.recipe.training.augmentation

        def augmented(pixels: Tensor) -> Tensor:
            # Examples get the draws of their images, so each stays a perturbation of its image.
            images = augment(pixels[rows].to(self.device), policy, seeded(*names, "augmentation"))
            return images.contiguous(memory_format=torch.channels_last)

        data = self.data
        return Batch(
            images=augmented(data.images),
            labels=data.labels[rows].to(self.device),
            generator=seeded(*names),
            rows=rows,
            done=done,
            examples=None if data.examples is None else augmented(data.examples),
            companion=self.companion,
        )

    def step(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Take one optimiser step and return the losses, detached and still on the device."""
        training = self.recipe.training
        try:
            with _autocast(training, self.device):
                losses = self.recipe.step(self.model, batch)
        except BenchboxError as error:  # such as an attack on a model that has diverged
            raise BenchboxError(f"recipe {self.recipe.name}, epoch {epoch + 1}: {error}") from error
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self.scaler.scale(total))
        if training.clip_norm:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), training.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return {name: value.detach() for name, value in losses.items()}


def _progress_text(history: list[dict[str, Any]]) -> str:
    """Return what to say of an epoch: its number, and how the batch before it was recognised."""
    text = f"epoch {len(history) + 1}"
    if history:
        text += f", clean {history[-1]['clean_rank1']:.0%}"
        robust = history[-1].get("robust_rank1")
        text += "" if robust is None else f", robust {robust:.0%}"
    return text


def _by_chance(entry: dict[str, Any]) -> bool:
    """Return whether Rank-1 in an epoch's last batch is within a deviation of chance.

    Logs of earlier versions do not say what chance is.
    """
    if "chance_rank1" not in entry:
        return False
    return bool(entry["clean_rank1"] <= entry["chance_rank1"] + entry["chance_rank1_std"])


def _collapse(entry: dict[str, Any]) -> str:
    return (
        f"epoch {entry['epoch']}: clean Rank-1 in a batch is {entry['clean_rank1']:.0%}, chance is "
        f"{entry['chance_rank1']:.0%}: the model tells nobody apart. If that stays so, it has "
        "collapsed: lower lr, or set clip_norm."
    )


def _autocast(training: Training, device: torch.device) -> torch.autocast:
    dtype = _AUTOCAST.get(training.precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def _optimizer(model: ReidModel, training: Training) -> torch.optim.Optimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[training.optimizer]
    optimizer: torch.optim.Optimizer = kind(
        parameters, lr=training.lr, weight_decay=training.weight_decay, fused=True
    )
    return optimizer


def _require_finite(means: dict[str, float], recipe: str, epoch: int) -> None:
    for name, value in means.items():
        if not torch.isfinite(torch.tensor(value)):
            raise BenchboxError(
                f"recipe {recipe}: the {name} loss is {value} in epoch {epoch + 1}; lower lr, "
                "set clip_norm, or train in fp32."
            )
