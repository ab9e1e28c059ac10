"""One model of one seed: trained adversarially, its classifier fitted again, both measured."""

import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchbox.files.atomic import write_bytes, write_json
from benchbox.files.digests import digest_of
from benchbox.files.progress import Progress
from benchbox.models.registry import build_model
from benchbox.models.reid import ReidModel
from benchbox.models.weights import save_weights
from benchbox.runs.code import code_digest
from benchbox.runs.stages.base import parameters
from benchbox.runs.store import Store
from benchbox.studies.accuracy import Pgd, correct
from benchbox.studies.heads import Fit, Head, encode, fit_head, head_of, with_head, zeros_like
from benchbox.studies.material import Material
from benchbox.studies.plain_classifier import build_classifier
from benchbox.studies.results import KIND, FitRecord, Hits, Result, bits, read_result
from benchbox.training.loop import train
from benchbox.training.recipe import Recipe
from defenses.at_pgd import ATPGD

_CODE = (
    "attacks",
    "benchbox.data",
    "benchbox.models",
    "benchbox.training",
    "benchbox.evaluation.embedding",
    "benchbox.evaluation.validity",
    "defenses.adversarial",
    "defenses.at_pgd",
    "defenses.origin",
    *(
        f"benchbox.studies.{name}"
        for name in ("accuracy", "cells", "heads", "identities", "plain_classifier", "shapes")
    ),
)
"""Whose change makes a result stale; tables and progress are not among them."""


@dataclass(frozen=True)
class StudyCell:
    """One model of one seed.

    Attributes:
        material: images and classes.
        backbone: of the model registry, or of `build_classifier` where ``plain``.
        plain: a plain linear head at 32×32 instead of ReID's.
        clean: the training on clean images before; None for none.
        adversarial: the adversarial training.
        pgd: the attack that measures.
        weight_decay: of the fitted head.
        seed: of initialisation, batches, augmentation and random starts.
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

    def do(
        self, store: Store, *, device: torch.device, batch_size: int, progress: Progress
    ) -> Result:
        """Return the cell's result, from the store or by working it out.

        A killed attempt goes on behind its last finished epoch.

        Raises:
            BenchboxError: training diverged, or something cannot be written.
        """
        with store.claim(KIND, self.key):
            if store.manifest(KIND, self.key) is None:
                with store.building(KIND, self.key) as folder:
                    started = time.monotonic()
                    self._work(store.scratch(KIND, self.key), folder, device, batch_size, progress)
                    store.finish(
                        folder,
                        manifest={
                            "key": self.key,
                            "kind": KIND,
                            "title": self.title,
                            "settings": self.settings(),
                            "seconds": round(time.monotonic() - started, 3),
                            "device": str(device),
                        },
                    )
        return read_result(store, self.key, images=len(self.material.test.images))

    def _work(
        self,
        scratch: Path,
        folder: Path,
        device: torch.device,
        batch_size: int,
        progress: Progress,
    ) -> None:
        clean, adversarial, measuring = (cost / sum(self.costs) for cost in self.costs)
        model = self._start()
        if self.clean is not None:
            told = _within(progress, 0.0, clean, "clean training, ")
            self._train(self.clean, model, scratch / "clean", device, told)
        told = _within(progress, clean, adversarial, "adversarial training, ")
        self._train(self.adversarial, model, scratch / "adversarial", device, told)
        log = (scratch / "adversarial" / "log.jsonl").read_bytes()
        write_bytes(folder / "log.jsonl", log)
        model.eval()
        metadata = {"backbone": self.backbone, "key": self.key}
        save_weights(model, folder / "weights.safetensors", metadata=metadata)
        told = _within(progress, clean + adversarial, measuring)
        result = self._measure(model, device, batch_size, told)
        write_json(folder / "result.json", result.model_dump(mode="json"))

    def _train(
        self,
        recipe: Recipe,
        model: ReidModel,
        scratch: Path,
        device: torch.device,
        progress: Progress,
    ) -> None:
        data = self.material.train
        train(recipe, model, data, seed=self.seed, folder=scratch, device=device, progress=progress)

    def _start(self) -> ReidModel:
        if self.plain:
            return build_classifier(
                self.backbone, num_classes=self.material.classes, seed=self.seed
            )
        height, width = self.material.train.images.shape[2:]
        return build_model(
            self.backbone,
            num_classes=self.material.classes,
            seed=self.seed,
            image_size=(height, width),
        )

    def _measure(
        self, model: ReidModel, device: torch.device, batch_size: int, progress: Progress
    ) -> Result:
        """Fit the heads anew and return what each recognises."""
        progress(0.0, "fitting the classifier again")
        features = encode(
            model, self.material.train.images, batch_size=batch_size, device=device
        ).to(device)
        adversarial = head_of(model)

        def fitted(start: Head) -> Fit:
            # The loss is the one of the training, so that clean images are all that is new.
            return fit_head(
                features,
                self.material.train.labels.to(device),
                start,
                weight_decay=self.weight_decay,
                smoothing=self.adversarial.training.label_smoothing,
            )

        fits = {"fine_tuned": fitted(adversarial), "fresh": fitted(zeros_like(adversarial))}
        heads = {"adversarial": adversarial} | {name: fit.head for name, fit in fits.items()}
        hits: dict[str, Hits] = {}
        for number, (name, head) in enumerate(heads.items()):
            changed = with_head(model, head)
            told = _within(progress, number / len(heads), 1 / len(heads))
            clean, attacked = (
                correct(
                    changed,
                    self.material.test,
                    attack,
                    seed=self.seed,
                    batch_size=batch_size,
                    device=device,
                    progress=told,
                )
                for attack in (None, self.pgd)
            )
            hits[name] = Hits(clean=bits(clean), pgd=bits(attacked))
        return Result(
            adversarial=hits["adversarial"],
            fine_tuned=hits["fine_tuned"],
            fresh=hits["fresh"],
            fits={name: FitRecord.of(fit) for name, fit in fits.items()},
        )


def _within(progress: Progress, start: float, extent: float, prefix: str = "") -> Progress:
    """Return a progress for one part of the work, which begins at ``start``."""
    return lambda share, text: progress(start + share * extent, prefix + text)
