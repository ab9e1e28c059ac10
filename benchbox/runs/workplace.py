"""Where a stage works: the store, the datasets, the device, and somebody to report to."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchbox.data.images import Interpolation, load_images
from benchbox.data.protocol import ReidDataset
from benchbox.files.progress import Notice, Progress, silent, unheard
from benchbox.runs.store import Store

_SPLITS_IN_MEMORY = 4
"""Decoded training sets a process keeps: Market-1501's takes 1.3 GB at 256×128."""


_Decoded = tuple[str, str, tuple[int, int], Interpolation]
"""Which decoded images: dataset, split, size and filter."""


@dataclass(frozen=True)
class Site:
    """What all workers of a run share; pickles.

    Attributes:
        store: root of the store.
        datasets: opened datasets by name.
        device: such as ``cpu`` or ``cuda:0``.
        batch_size: images at a time when embedding and attacking; recorded, not hashed.
        plugins: plugin files a worker loads before it unpickles a stage.
        builders: files with builders of given models, likewise.
    """

    store: Path
    datasets: Mapping[str, ReidDataset]
    device: str
    batch_size: int
    plugins: tuple[Path, ...] = ()
    builders: tuple[Path, ...] = ()


class Workplace:
    """A site in one process, with its cache of decoded images."""

    def __init__(self, site: Site, report: Progress = silent, notice: Notice = unheard) -> None:
        self.store = Store(site.store)
        self.device = torch.device(site.device)
        self.batch_size = site.batch_size
        self.report = report
        self.notice = notice
        self._datasets = site.datasets
        self._images: OrderedDict[_Decoded, Tensor] = OrderedDict()

    def dataset(self, name: str) -> ReidDataset:
        """Return an opened dataset."""
        return self._datasets[name]

    def images(
        self, name: str, split: str, size: tuple[int, int], interpolation: Interpolation
    ) -> Tensor:
        """Return a split's decoded images, (N, 3, H, W) uint8; the last few splits are kept."""
        wanted = (name, split, size, interpolation)
        if wanted not in self._images:
            records = getattr(self._datasets[name], split)
            self._images[wanted] = load_images(records, size=size, interpolation=interpolation)
        self._images.move_to_end(wanted)
        while len(self._images) > _SPLITS_IN_MEMORY:
            self._images.popitem(last=False)
        return self._images[wanted]
