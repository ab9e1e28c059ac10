"""The attacks of the literature: guides × objective × start, over the one ascent loop."""

import math
import numbers
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor
from typing_extensions import override

from attacks.ascent import shared_gradients, sweep_budgets
from attacks.base import AnyAttack, Found, Knowledge, ThreatModel
from attacks.gradient import ObjectiveGradient
from attacks.guides import Guides, Own
from attacks.objective import Distance, push_and_pull
from attacks.start import Generators, uniform_noise
from benchbox.errors import BenchboxError
from benchbox.models.embed import Embed, evaluated, of_rows

Start = Literal["clean", "random", "random_if_lone"]


ROUNDING = 1e-6
"""How far outside [0, 1] a pixel may lie: float32 rounds there by 1e-7."""


@dataclass(frozen=True, kw_only=True)
class AscentAttack(AnyAttack[Guides]):
    """A metric attack on queries inside an L∞ ball (Eq. 3 of Zhou et al. 2025).

    A subclass gives ``name``, ``title`` and ``guides``, and where it differs ``start`` and
    ``objective``; the loop, the projection and the checks are here.

    Attributes:
        eps: radius of the ball, in [0, 1] on the pixel scale.
        steps: signed gradient steps.
        step_size: of one step, on the pixel scale.
        own: whether a query's own embedding and its padding copies count among its push guides
            (``"reference"``, as in the reference implementation) or not (``"exclude"``).
        distance: ``"squared"`` Euclidean as the reference implementation sums it, or
            ``"euclidean"`` as Eq. 3 writes it.
        generator: of random starts where a call gives none; by default each call draws from a
            fresh ``torch.Generator`` seeded 0. One per image makes an image's result independent
            of the batch it rides in.

    Raises:
        BenchboxError: a value is out of its range.
    """

    threat: ClassVar[ThreatModel] = "query"
    start: ClassVar[Start] = "clean"
    """From the image, from a uniform point of the ball, or the latter for lone queries only."""

    eps: float = 8 / 255
    steps: int = 16
    step_size: float = 1 / 255
    own: Own = "reference"
    distance: Distance = "squared"
    generator: Generators | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        require_budget(self.eps)
        require_steps(self.steps)
        if not _is_number(self.step_size) or not 0 < self.step_size <= 1:
            raise BenchboxError(f"step_size: expected a number in (0, 1], got {self.step_size!r}")
        for key, value, allowed in (("own", self.own, Own), ("distance", self.distance, Distance)):
            if value not in get_args(allowed):
                raise BenchboxError(
                    f"{key}: expected one of {', '.join(get_args(allowed))}, got {value!r}"
                )

    @override
    def gradients(self, eps: Sequence[float | Fraction]) -> float:
        """Return how many: ascents from the clean image share those before a ball binds."""
        if self.start == "random":
            return super().gradients(eps)
        taken = gradients = 0
        for budget in sorted(map(float, eps)):
            gradients += self.steps - taken
            taken = shared_gradients(budget, self.step_size, self.steps, torch.float32)
        return gradients

    @abstractmethod
    def guides(self, query_features: Any, query_pids: Any) -> Guides:
        """Return the guides of all attacked queries, from their clean embeddings.

        Args:
            query_features: (N, D) tensor or array, finite.
            query_pids: (N,) integers.

        Raises:
            BenchboxError: features or pids do not fit, or are not finite.
        """

    @override
    def prepare(self, known: Knowledge) -> Guides:
        """Return the guides of all queries; nothing but the query set is looked at."""
        return self.guides(known.query.features, known.query.pids)

    def objective(self, embeddings: Tensor, guides: Guides) -> Tensor:
        """Return the (B,) values to increase, one per query and each from its own row only."""
        return push_and_pull(embeddings, guides, distance=self.distance)

    def __call__(
        self,
        embed: Embed,
        images: Tensor,
        guides: Guides,
        *,
        generator: Generators | None = None,
    ) -> Tensor:
        """Return adversarial versions of a batch, within ``eps`` of it and in [0, 1], detached.

        Args:
            embed: differentiable, images (B, 3, H, W) in [0, 1] to embeddings (B, D). A module is
                held in evaluation mode and has its own mode again afterwards; its parameters
                receive no gradient.
            images: (B, 3, H, W) float32 or float64 in [0, 1]; what rounding put up to 1e-6 outside
                is clamped.
            guides: of these B images, ``attack.guides(...)[batch]``.
            generator: of random starts: one, or one per image.

        Raises:
            BenchboxError: images, guides or embeddings do not fit or are not finite.
        """
        return self.sweep(embed, images, guides, eps=[self.eps], generator=generator)[0]

    def sweep(
        self,
        embed: Embed,
        images: Tensor,
        guides: Guides,
        *,
        eps: Sequence[float],
        generator: Generators | None = None,
    ) -> list[Tensor]:
        """Return what a call at each budget returns, bit for bit, from fewer gradients.

        Queries that start clean share their first gradients between the budgets; randomly
        started ones share only the draw, scaled by each budget.

        Args:
            embed: as for a call.
            images: as for a call.
            guides: as for a call.
            eps: the budgets; the attack's own ``eps`` is not used.
            generator: as for a call.

        Raises:
            BenchboxError: as for a call.
        """
        for budget in eps:
            require_budget(budget)
        images = unit_images(images, aimed=len(guides))
        if generator is None:
            generator = self.generator
        # Tensors made here must be ordinary ones even where the caller is in inference mode.
        with evaluated(embed), torch.inference_mode(mode=False), torch.enable_grad():
            clean = images.detach().clone()
            guides = guides.to(clean.device)
            results = [torch.empty_like(clean) for _ in eps]
            starts_random = self._starts_random(guides)
            for is_random in (False, True):
                rows = (starts_random == is_random).nonzero().flatten()
                if not len(rows):
                    continue
                gradient = ObjectiveGradient(of_rows(embed, rows), self.objective, guides[rows])
                swept = sweep_budgets(
                    clean[rows],
                    gradient,
                    noise=uniform_noise(clean, rows.tolist(), generator) if is_random else None,
                    budgets=eps,
                    steps=self.steps,
                    step_size=self.step_size,
                )
                gradient.require_finite()
                for result, ascended in zip(results, swept, strict=True):
                    result[rows] = ascended
        return results

    @override
    def search(
        self,
        embed: Embed,
        images: Tensor,
        aim: Guides,
        *,
        eps: Sequence[float],
        generator: Generators | None = None,
        exact: Embed | None = None,
    ) -> list[Found]:
        """Return what `sweep` returns; ``exact`` is not needed, for nothing is chosen here."""
        part = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        swept = self.sweep(embed, images, aim, eps=eps, generator=generator)
        return [Found(adversarial, adversarial, part) for adversarial in swept]

    def _starts_random(self, guides: Guides) -> Tensor:
        """Return (B,) bool: which queries start from a random point of their ball."""
        if self.start == "random_if_lone":
            return guides.lone
        return torch.full_like(guides.lone, self.start == "random")


def require_budget(eps: float) -> None:
    """Check a budget.

    Raises:
        BenchboxError: it is not a number in [0, 1].
    """
    if not _is_number(eps) or not 0 <= eps <= 1:
        raise BenchboxError(f"eps: expected a number in [0, 1], such as 8/255, got {eps!r}")


def require_steps(steps: int, *, name: str = "steps") -> None:
    """Check a number of steps, or of what ``name`` says.

    Raises:
        BenchboxError: it is not a whole number from 0 up.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise BenchboxError(f"{name}: expected a whole number from 0 up, got {steps!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def unit_images(images: Tensor, *, aimed: int) -> Tensor:
    """Return a checked copy of a batch, detached, every pixel in [0, 1].

    What left that range by rounding, as when images were normalised and back, is clamped.

    Args:
        images: (B, 3, H, W) float32 or float64.
        aimed: the number of guides or aims that came with them.

    Raises:
        BenchboxError: they do not fit, or a pixel is outside [0, 1].
    """
    if images.ndim != 4 or images.dtype not in (torch.float32, torch.float64):
        raise BenchboxError(
            "images: expected float32 or float64 of shape (B, 3, H, W), "
            f"got {images.dtype} {tuple(images.shape)}"
        )
    if len(images) != aimed:
        raise BenchboxError(
            f"guides: {aimed} for {len(images)} images; select the batch's, guides[batch]"
        )
    if images.numel() and not bool(((images >= -ROUNDING) & (images <= 1 + ROUNDING)).all()):
        raise BenchboxError("images: a pixel is outside [0, 1] or not finite; attack raw pixels")
    return images.detach().clamp(0, 1)
