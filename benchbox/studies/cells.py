"""One model of one seed of the classifier study: all that determines its result."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from benchbox.files.digests import digest_of
from benchbox.runs.code import code_digest
from benchbox.runs.stages.base import parameters
from benchbox.studies.accuracy import Pgd
from benchbox.studies.material import Material
from benchbox.training.recipe import Recipe
from defenses.at_pgd import ATPGD

_CODE = (
    "attacks",
    "benchbox.data",
    "benchbox.models",
    "benchbox.training",
    "benchbox.evaluation.embedding",
    "benchbox.evaluation.portions",
    "benchbox.evaluation.validity",
    "defenses.adversarial",
    "defenses.at_pgd",
    "defenses.origin",
    "benchbox.studies.accuracy",
    "benchbox.studies.cell_work",
    "benchbox.studies.cells",
    "benchbox.studies.heads",
    "benchbox.studies.identities",
    "benchbox.studies.plain_classifier",
    "benchbox.studies.shapes",
)
"""Whose change makes a result stale; tables and progress are not among them."""


@dataclass(frozen=True)
class StudyCell:
    """One model of one seed.

    Attributes:
        material: the images and their classes.
        backbone: a name of the model registry, or one `build_classifier` takes where ``plain``.
        plain: whether the model has a plain linear head at 32×32 instead of ReID's.
        clean: the recipe of a training on clean images beforehand; None for no such training.
        adversarial: the recipe of the adversarial training.
        pgd: the attack that accuracies are measured under.
        weight_decay: λ of the objective that the head is fitted again with.
        seed: settles initial weights, batches, augmentation and random starts.
    """

    material: Material
    backbone: str
    plain: bool
    clean: Recipe | None
    adversarial: ATPGD
    pgd: Pgd
    weight_decay: float
    seed: int

    @property
    def title(self) -> str:
        """The cell in words."""
        return f"{self.material.title} · {self.backbone} · seed {self.seed}"

    def settings(self) -> dict[str, Any]:
        """Return all that determines the result besides code, as JSON."""
        return {
            "images": self.material.identity,
            "backbone": self.backbone,
            "plain_head": self.plain,
            "clean": None if self.clean is None else parameters(self.clean),
            "adversarial": parameters(self.adversarial),
            "pgd": asdict(self.pgd),
            "weight_decay": self.weight_decay,
            "seed": self.seed,
        }

    @cached_property
    def key(self) -> str:
        """The digest that names the result."""
        return digest_of({"code": code_digest(_CODE), "settings": self.settings()})

    @property
    def costs(self) -> tuple[float, float, float]:
        """Rough costs of clean training, adversarial training and measuring, in image-steps."""
        images = len(self.material.train.images)
        clean = self.clean.training.epochs * images if self.clean else 0
        adversarial = self.adversarial.training.epochs * images * self.adversarial.step_cost
        # A gradient with respect to the pixels is two thirds of a training step; three heads.
        return clean, adversarial, 2 * self.pgd.steps * len(self.material.test.images)
