"""The universal perturbation: one δ for all queries, made on training images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar, Self

import torch
from torch import Tensor
from typing_extensions import override

from attacks.ascent_attack import AscentAttack, require_budget, require_steps, unit_images
from attacks.base import AnyAttack, Found, Knowledge, ThreatModel
from attacks.gradient import ObjectiveGradient
from attacks.metric_ifgsm import MetricIFGSM
from attacks.start import Generators, one_each
from benchbox.data.images import to_unit
from benchbox.errors import BenchboxError
from benchbox.models.embed import Embed, Rows, evaluated, of_rows


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrainingKnowledge(Knowledge):
    """What somebody knows who has the model and images it was trained on.

    Attributes:
        embed: the model, bound to those images if it takes more than pixels.
        images: (N, 3, H, W) uint8, or float in [0, 1].
        pids: (N,) int64, their identities.
        seed: of the order of the images and of where δ starts.
        device: where ``embed`` lives.
    """

    embed: Embed
    images: Tensor
    pids: Tensor
    seed: int
    device: torch.device


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """The perturbations for B queries, all of which get the same.

    Attributes:
        delta: a budget in [0, 1] to δ, (3, H, W); each is made once, when it is first asked for.
        lone: (B,) bool, all False: no query guides anything.
    """

    delta: Callable[[float], Tensor]
    lone: Tensor

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.lone)

    def __getitem__(self, rows: Rows) -> Self:
        """Return the perturbations for some queries."""
        return replace(self, lone=self.lone[rows])

    def to(self, device: torch.device | str) -> Self:
        """Return the same for ``device``; δ moves to the images it is laid over."""
        return replace(self, lone=self.lone.to(device))


@dataclass(frozen=True, kw_only=True)
class Universal(AnyAttack[Overlay]):
    """Lays one perturbation over all queries, made on training images and never on a query.

    After Moosavi-Dezfooli et al. 2017 and Ding et al. 2021; see `universal_perturbation`. What is
    raised is the distance of each training image to those of its identity (`MetricIFGSM`).

    Attributes:
        eps: radius of the ball, in [0, 1] on the pixel scale, where a call names no other.
        epochs: passes over the training images.
        step_size: of one batch's step, on the pixel scale.
        batch_size: training images a step.

    Raises:
        BenchboxError: a value is out of its range.
    """

    name: ClassVar[str] = "universal"
    title: ClassVar[str] = "Universal"
    threat: ClassVar[ThreatModel] = "query"
    knows: ClassVar[str] = "training images"
    """In the place of the query set that its threat model would allow."""

    eps: float = 8 / 255
    epochs: int = 5
    step_size: float = 1 / 255
    batch_size: int = 32

    def __post_init__(self) -> None:
        require_budget(self.eps)
        require_budget(self.step_size)
        require_steps(self.epochs, name="epochs")
        require_steps(self.batch_size - 1, name="batch_size − 1")

    @property
    @override
    def passes(self) -> float:
        """Of a training image: queries cost nothing."""
        return float(self.epochs)

    @override
    def prepare(self, known: Knowledge) -> Overlay:
        if not isinstance(known, TrainingKnowledge):
            raise BenchboxError("universal: it is made on training images and must be given them")

        @cache
        def delta(eps: float) -> Tensor:
            return universal_perturbation(
                known.embed,
                MetricIFGSM(),
                known.images,
                known.pids,
                eps=eps,
                epochs=self.epochs,
                step_size=self.step_size,
                batch_size=self.batch_size,
                generator=torch.Generator().manual_seed(known.seed),
                device=known.device,
            )

        return Overlay(delta, torch.zeros(len(known.query.pids), dtype=torch.bool))

    @override
    def search(
        self,
        embed: Embed,
        images: Tensor,
        aim: Overlay,
        *,
        eps: Sequence[float],
        generator: Generators | None = None,
        exact: Embed | None = None,
    ) -> list[Found]:
        """Return the images under δ; the model was asked when δ was made, and is not again."""
        images = unit_images(images, aimed=len(aim))
        one_each(generator, len(images))
        part = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        found = []
        for budget in eps:
            require_budget(budget)
            under = perturbed(images, aim.delta(budget).to(images))
            found.append(Found(under, under, part))
        return found


def universal_perturbation(
    embed: Embed,
    attack: AscentAttack,
    images: Tensor,
    pids: Tensor,
    *,
    eps: float,
    epochs: int,
    step_size: float,
    batch_size: int,
    generator: torch.Generator,
    device: torch.device | None = None,
) -> Tensor:
    """Return one perturbation δ that raises an attack's objective on all images at once.

    Moosavi-Dezfooli et al. 2017 look for one δ that fools a classifier on most images; for ReID,
    Ding et al. 2021 (MUAP) raise a metric objective instead of crossing class borders. Here each
    batch of training images moves δ by one signed step of its summed objective,

        δ ← clip(δ + step_size · sign Σ_b ∇ f(x_b + δ), −eps, eps),

    with x_b + δ kept in [0, 1]. The attack's guides come from the clean images given.

    Args:
        embed: differentiable, images (B, 3, H, W) in [0, 1] to embeddings (B, D).
        attack: whose guides and objective are used; its budget, steps and start are not.
        images: (N, 3, H, W) uint8 or in [0, 1], training images.
        pids: (N,) int64, their identities.
        eps: radius of the L∞ ball, in [0, 1].
        epochs: passes over the images.
        step_size: of one batch's step, on the pixel scale.
        batch_size: images at a time.
        generator: of the batches' order and of δ's start, uniform in ±eps.
        device: where ``embed`` lives; None is where the images are.

    Returns:
        (3, H, W) in ±eps.

    Raises:
        BenchboxError: no images, or the embeddings do not fit or are not finite.
    """
    require_budget(eps)
    if images.ndim != 4 or not len(images) or len(images) != len(pids):
        raise BenchboxError(
            f"universal perturbation: expected images (N, 3, H, W) and as many pids, "
            f"got {tuple(images.shape)} and {len(pids)}"
        )

    def unit(rows: Tensor) -> Tensor:
        batch = images[rows.to(images.device)].to(device)
        return batch if batch.is_floating_point() else to_unit(batch)

    with evaluated(embed), torch.inference_mode(mode=False):
        batches = torch.split(torch.arange(len(images)), batch_size)
        with torch.no_grad():
            features = torch.cat([of_rows(embed, rows)(unit(rows)) for rows in batches])
        guides = attack.guides(features, pids.to(features.device))
        noise = torch.empty(images.shape[1:]).uniform_(-eps, eps, generator=generator)
        delta = noise.to(unit(batches[0]))
        for _ in range(epochs):
            order = torch.randperm(len(images), generator=generator)
            for rows in torch.split(order, batch_size):
                gradient = ObjectiveGradient(of_rows(embed, rows), attack.objective, guides[rows])
                with torch.enable_grad():
                    slope = gradient(perturbed(unit(rows), delta)).sum(dim=0)
                gradient.require_finite()
                delta = (delta + step_size * slope.sign()).clamp(-eps, eps)
    return delta


def perturbed(images: Tensor, delta: Tensor) -> Tensor:
    """Return images (B, 3, H, W) with one perturbation (3, H, W) on all, kept in [0, 1]."""
    return (images + delta).clamp(0, 1)
