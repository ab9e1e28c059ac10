"""A dataset as stages know it: by name and digest; the images come from the workplace."""

from dataclasses import dataclass
from typing import Literal

from benchbox.data.counting import Counts
from benchbox.data.images import Interpolation
from benchbox.data.official import OFFICIAL_COUNTS
from benchbox.data.protocol import ImageRecord, SameCamera
from benchbox.data.streaming import FileImages
from benchbox.runs.workplace import Workplace
from benchbox.training.training_set import TrainingSet, class_labels

MARKET = OFFICIAL_COUNTS["market1501"]
Split = Literal["train", "query", "gallery"]
TestSplit = Literal["query", "gallery"]

BESIDE_A_CPU = 2
"""Threads that decode: every core has a worker of its own already."""

BESIDE_A_GPU = 8
"""A GPU waits for its images; more threads than this wait for Python's lock."""


@dataclass(frozen=True)
class Data:
    """A dataset as stages know it.

    Attributes:
        name: its name in the registry of datasets.
        digest: digest of its files' names and contents.
        image_size: (height, width) fed to the network.
        interpolation: the filter of the resizing.
        same_camera: the dataset's rule about a query's own camera.
        counts: how many images it has, for estimates; where nobody knows yet, Market-1501's.
    """

    name: str
    digest: str
    image_size: tuple[int, int]
    interpolation: Interpolation = "bilinear"
    same_camera: SameCamera = "ignore"
    counts: Counts = MARKET

    def records(self, place: Workplace, split: Split) -> tuple[ImageRecord, ...]:
        """Return the records of a split."""
        records: tuple[ImageRecord, ...] = getattr(place.dataset(self.name), split)
        return records

    def camids(self, place: Workplace, split: TestSplit) -> tuple[int, ...]:
        """Return the cameras of a split as rankings are to see them."""
        dataset = place.dataset(self.name)
        return dataset.query_camids if split == "query" else dataset.gallery_camids

    def test_images(self, place: Workplace, split: TestSplit) -> FileImages:
        """Return a split's images, each decoded when it is used and forgotten afterwards."""
        threads = BESIDE_A_CPU if place.device.type == "cpu" else BESIDE_A_GPU
        return FileImages(self.records(place, split), self.image_size, self.interpolation, threads)

    def training_set(self, place: Workplace) -> TrainingSet:
        """Return the decoded training split, held in memory, with its class labels."""
        images = place.images(self.name, "train", self.image_size, self.interpolation)
        return TrainingSet(images, class_labels(self.records(place, "train")))
