"""The images of a test set as stages read them: file by file, never all at once."""

from benchbox.evaluation.streaming import FileImages
from benchbox.runs.stages.data import Data, TestSplit
from benchbox.runs.workplace import Workplace

BESIDE_A_CPU = 2
"""Threads that decode: every core has a worker of its own already."""

BESIDE_A_GPU = 8
"""A GPU waits for its images; more threads than this wait for Python's lock."""


def streamed(data: Data, place: Workplace, split: TestSplit) -> FileImages:
    """Return a split's images, each decoded when it is used and forgotten afterwards.

    Training sets, which are read in another order every epoch, are held: `Data.training_set`.
    """
    threads = BESIDE_A_CPU if place.device.type == "cpu" else BESIDE_A_GPU
    return FileImages(data.records(place, split), data.image_size, data.interpolation, threads)
