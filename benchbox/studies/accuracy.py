"""Which images a model with a given head classifies rightly, clean and under white-box PGD."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attacks.in_training import frozen
from attacks.pgd import classifier_pgd
from benchbox.data.images import to_unit
from benchbox.evaluation.validity import require_valid
from benchbox.files.progress import Progress, silent
from benchbox.models.reid import ReidModel
from benchbox.training.seeding import seeded
from benchbox.training.training_set import TrainingSet


@dataclass(frozen=True, kw_only=True)
class Pgd:
    """PGD on the classifier, 20 steps of 2/255 inside 8/255 from a random start by default.

    These are the values of Madry et al. 2018 for CIFAR-10; Zhou et al. 2025 do not state theirs.

    Attributes:
        eps: radius of the L∞ ball, in [0, 1].
        steps: how many gradient steps it takes.
        step_size: how far one step moves each pixel, in [0, 1].
    """

    eps: float = 8 / 255
    steps: int = 20
    step_size: float = 2 / 255


class Logits(nn.Module):
    """G = H(E(·)): a model whose forward pass gives the logits."""

    def __init__(self, model: ReidModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, classes) of images (B, 3, H, W) in [0, 1]."""
        return self.model.features(images).logits


def correct(
    model: ReidModel,
    data: TrainingSet,
    attack: Pgd | None,
    *,
    seed: int,
    batch_size: int,
    device: torch.device,
    progress: Progress = silent,
) -> Tensor:
    """Return (N,) bool: is an image still recognised after the attack on this very model?

    The attack sees encoder and head as they are measured (white box) and ascends on a frozen
    copy with folded batch norms; what it returns is checked and classified by the model itself.

    Args:
        model: in evaluation mode, on ``device``.
        data: the test images.
        attack: None measures the clean images.
        seed: of the random starts, which are drawn image by image in the order of ``data``: they
            depend neither on the batch size nor on the head, so heads are compared on the same.
        batch_size: images at a time.
        device: where the model lives.
        progress: told after each attacked batch; clean images take no time beside them.

    Raises:
        BenchboxError: an adversarial image leaves its ball or [0, 1], or logits are not finite.
    """
    generator = seeded("classifier study", "start of PGD", seed)
    ascend_on = None if attack is None else frozen(Logits(model))
    hits = []
    for start in range(0, len(data.images), batch_size):
        rows = slice(start, start + batch_size)
        clean = to_unit(data.images[rows].to(device))
        labels = data.labels[rows].to(device)
        images = clean
        if attack is not None and ascend_on is not None:
            images = classifier_pgd(
                ascend_on,
                clean,
                labels,
                eps=attack.eps,
                steps=attack.steps,
                step_size=attack.step_size,
                generator=generator,
            )
        with torch.no_grad():
            logits = model.features(images).logits
        eps = attack.eps if attack else 0.0
        require_valid(clean, images, logits, eps=eps, attack="PGD", first=start)
        hits.append((logits.argmax(1) == labels).cpu())
        if attack is not None:
            done = min(1.0, (start + batch_size) / len(data.images))
            progress(done, "attacking the test images")
    return torch.cat(hits)
