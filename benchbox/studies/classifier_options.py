"""What the classifier study may be asked for, and what it does by default."""

from dataclasses import dataclass, field
from pathlib import Path

from benchbox.errors import BenchboxError
from benchbox.studies.accuracy import Pgd
from benchbox.studies.plain_classifier import CrossEntropy, MadryAT
from benchbox.training.augmentation import Augmentation
from benchbox.training.recipe import Recipe, Training
from defenses.at_pgd import ATPGD
from defenses.origin import Vanilla


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """What `study_classifier` works on. Device and batch size change no number.

    Attributes:
        cifar: folder that holds ``cifar-10-batches-py``; None takes the rendered stand-in.
        models: the models of classification, each ``small`` or a timm ResNet; empty means
            ``small`` on the stand-in and ``resnet18`` on CIFAR-10.
        epochs: how long the adversarial training for classification is; 0 means 10 on the
            stand-in and 30 on CIFAR-10.
        train_each: images per class the stand-in trains on; ``test_each`` likewise.
        dataset: whose identities are the classes: a name of the dataset registry, or
            ``path:FOLDER``.
        sidewalk_size: which size of the rendered pedestrians, such as ``tiny``.
        reid_model: the model that learns identities, a name of the model registry.
        reid_epochs: how long the adversarial training for identities is.
        image_size: (height, width) in pixels of the images of identities.
        pgd: the attack that accuracies are measured under.
        weight_decay: λ of the fitted classifier, the usual 5e-4 of CIFAR-10 and ReID training.
        seeds: the seeds; each trains one of every model.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: images at a time when measuring; 0 means 100 on a CPU, 500 on a GPU.
        data_root: where datasets are; None means $BENCHBOX_DATA or the user's cache.

    Raises:
        BenchboxError: a value is out of its range.
    """

    cifar: Path | None = None
    models: tuple[str, ...] = ()
    epochs: int = 0
    train_each: int = 200
    test_each: int = 100
    dataset: str = "sidewalk-a"
    sidewalk_size: str = "tiny"
    reid_model: str = "small"
    reid_epochs: int = 24
    image_size: tuple[int, int] = (64, 32)
    pgd: Pgd = field(default_factory=Pgd)
    weight_decay: float = 5e-4
    seeds: tuple[int, ...] = (0,)
    device: str = "auto"
    batch_size: int = 0
    data_root: Path | None = None

    def __post_init__(self) -> None:
        for name, low in (
            ("epochs", 0),
            ("train_each", 1),
            ("test_each", 1),
            ("reid_epochs", 1),
            ("batch_size", 0),
        ):
            if getattr(self, name) < low:
                raise BenchboxError(
                    f"{name} = {getattr(self, name)}: expected a number of at least {low}."
                )
        if not self.weight_decay > 0:
            raise BenchboxError(
                f"weight_decay = {self.weight_decay}: expected a number above 0; without it a "
                "classifier that separates its training images has no optimum."
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise BenchboxError(f"seeds = {list(self.seeds)}: expected one or more, all different.")

    @property
    def plain_models(self) -> tuple[str, ...]:
        """The models for classification."""
        return self.models or (("small",) if self.cifar is None else ("resnet18",))

    def classification(self) -> tuple[Recipe | None, MadryAT]:
        """Return the training on clean images, if there is one, and the adversarial training.

        CIFAR-10: from scratch, PGD with 7 steps of 2/255 inside 8/255 as Madry et al. 2018, in
        batches of 120 with the usual flips and shifts, one cycle of AdamW over 30 epochs. Zhou et
        al. 2025 do not state their schedule; this one is ours.

        Stand-in: what a slow core does in two minutes. A small network does not get off the
        ground under attack in so few epochs, so it learns the clean images first.
        """
        if self.cifar is not None:
            training = Training(
                epochs=self.epochs or 30,
                batch_identities=10,
                batch_images=12,
                optimizer="adamw",
                lr=1e-3,
                weight_decay=0.05,
                schedule="one_cycle",
                clip_norm=5.0,
                label_smoothing=0.0,
                augmentation=Augmentation(pad=4, erasing=0.0),
            )
            return None, MadryAT(training=training)
        clean = _short(8, lr=3e-3, smoothing=0.0, identities=10)
        adversarial = _short(self.epochs or 10, lr=1.5e-3, smoothing=0.0, identities=10)
        return (
            CrossEntropy(training=clean),
            MadryAT(start="vanilla", training=adversarial, steps=3, step_size=_LARGE_STEP),
        )

    def identities(self) -> tuple[Recipe, ATPGD]:
        """Return the training on clean images and AT_PGD, both in the manner of `make demo`."""
        clean = _short(15, lr=2e-3, smoothing=0.1, identities=16, jitter=0.1)
        adversarial = _short(self.reid_epochs, lr=2e-3, smoothing=0.1, identities=16, jitter=0.1)
        return (
            Vanilla(training=clean),
            ATPGD(start="vanilla", training=adversarial, steps=3, step_size=_LARGE_STEP),
        )


_LARGE_STEP = 10 / 765
"""Three such steps go through a ball of 8/255 as far as 16 of 1/255 do, for a fifth of the time."""


def _short(
    epochs: int, *, lr: float, smoothing: float, identities: int, jitter: float = 0.0
) -> Training:
    return Training(
        epochs=epochs,
        batch_identities=identities,
        batch_images=4,
        optimizer="adamw",
        lr=lr,
        schedule="one_cycle",
        clip_norm=5.0,
        label_smoothing=smoothing,
        augmentation=Augmentation(pad=2, jitter=jitter, erasing=0.0),
    )
