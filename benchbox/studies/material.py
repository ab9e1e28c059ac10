"""What the study works on: images of known classes, divided into training and test images."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchbox.data.finding import open_dataset
from benchbox.data.images import load_images
from benchbox.files.progress import Progress, silent
from benchbox.runs.provenance import describe
from benchbox.studies.cifar import load_cifar
from benchbox.studies.identities import SHARE, hold_out_images
from benchbox.studies.shapes import SHAPES, VERSION, render_shapes
from benchbox.training.training_set import TrainingSet, class_labels

STAND_IN = "Stand-in (10 shapes)"


@dataclass(frozen=True)
class Material:
    """Images of known classes.

    Attributes:
        title: the name that tables print.
        train: what models and heads are fitted on.
        test: images of the same classes, none of them in ``train``.
        classes: how many classes there are.
        identity: what names these images on every machine, as JSON.
        source: where the images come from, for the record, as JSON.
    """

    title: str
    train: TrainingSet
    test: TrainingSet
    classes: int
    identity: dict[str, Any]
    source: dict[str, Any]

    @property
    def sizes(self) -> str:
        """Return the numbers of images in words."""
        return f"{len(self.train.images)} training and {len(self.test.images)} test images"


def stand_in(*, train_each: int, test_each: int) -> Material:
    """Return the rendered stand-in with so many images per class."""
    train = render_shapes("train", each=train_each)
    test = render_shapes("test", each=test_each)
    source = {"rendered": "benchbox.studies.shapes", "version": VERSION, "classes": list(SHAPES)}
    return _of_sets(STAND_IN, train, test, source)


def cifar10(folder: Path) -> Material:
    """Return CIFAR-10 from the user's folder.

    Raises:
        BenchboxError: see `load_cifar`.
    """
    train, test = load_cifar(folder)
    return _of_sets("CIFAR-10", train, test, {"verified": "MD5 of the published files"})


def identities(
    name: str,
    *,
    data_root: Path | None,
    sidewalk_size: str,
    image_size: tuple[int, int],
    progress: Progress = silent,
) -> Material:
    """Return a ReID dataset's training identities as classes, some images of each held out.

    Query and gallery are not opened as images: their identities are none of the classes.

    Args:
        name: of the dataset registry, or ``path:FOLDER``.
        data_root: where datasets are.
        sidewalk_size: of the rendered datasets.
        image_size: (height, width) in pixels.
        progress: told while images are rendered or hashed.

    Raises:
        BenchboxError: the dataset is not there or faulty, or has too few images.
    """
    dataset = open_dataset(
        name, data_root=data_root, sidewalk_size=sidewalk_size, progress=progress
    )
    train, test = hold_out_images(dataset.train)
    # Every identity stays in training, so a sorted pid has the same place in either list.
    label = {pid: index for index, pid in enumerate(dataset.train_pids)}
    size = f" ({sidewalk_size})" if name.startswith("sidewalk") else ""
    return Material(
        title=f"{dataset.name}{size}, identities",
        train=TrainingSet(load_images(train, size=image_size), class_labels(train)),
        test=TrainingSet(
            load_images(test, size=image_size),
            torch.tensor([label[record.pid] for record in test]),
        ),
        classes=len(label),
        identity={"dataset": dataset.digest, "held_out": SHARE, "image_size": list(image_size)},
        source=describe(dataset),
    )


def _of_sets(title: str, train: TrainingSet, test: TrainingSet, source: dict[str, Any]) -> Material:
    digest = hashlib.sha256()
    for part in (train, test):
        digest.update(f"{tuple(part.images.shape)}:".encode())
        digest.update(part.images.numpy().tobytes())
        digest.update(part.labels.to(torch.uint8).numpy().tobytes())
    classes = int(train.labels.max()) + 1
    return Material(title, train, test, classes, {"images": digest.hexdigest()}, source)
