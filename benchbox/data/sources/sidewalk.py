"""Sidewalk: rendered pedestrians, made on first use, the same pixels on every machine."""

from dataclasses import dataclass
from pathlib import Path

from benchbox.data import sidewalk
from benchbox.data.counting import Counts
from benchbox.data.layouts.market_folders import MarketFolders
from benchbox.data.protocol import ReidDataset
from benchbox.data.sources.source import Source
from benchbox.errors import BenchboxError, unknown_name
from benchbox.files.printable import printable
from benchbox.files.progress import Progress, silent


@dataclass(frozen=True, kw_only=True)
class SidewalkSource(Source):
    """One of Sidewalk's two domains."""

    @property
    def how_to_get(self) -> str:
        """One sentence that says how it comes to be."""
        return (
            f"{self.name}: rendered on first use; `benchbox data make {self.name} --size tiny "
            f"--out DATA_ROOT/{self.name}-tiny` does it beforehand."
        )

    def places(self, data_root: Path, *, size: str) -> list[Path]:
        """Return where a Sidewalk of that size is, or will be once it is rendered."""
        if size not in sidewalk.SIZES:
            raise unknown_name("Sidewalk size", size, sidewalk.SIZES)
        return [data_root / f"{self.name}-{size}"]

    def digest_of(self, *, size: str) -> str | None:
        """Return the recorded digest."""
        return sidewalk.recorded_digest(self.name, size=size)

    def counts_of(self, *, size: str) -> Counts:
        """Return the numbers it is rendered with."""
        spec = sidewalk.spec_of(self.name, size)
        return Counts(
            train_ids=spec.train_ids,
            train_images=spec.train_images,
            query_ids=spec.test_ids,
            query_images=spec.queries,
            gallery_images=spec.gallery,
            test_files=spec.gallery,
            cameras=spec.cameras,
        )

    def prepare(self, folder: Path, *, size: str, workers: int, progress: Progress) -> None:
        """Render the set, unless the folder says that it holds it already."""
        wanted = {"domain": self.name, "size": size, "seed": 0, "version": sidewalk.VERSION}
        held = sidewalk.manifest(folder)
        if held is None or any(held.get(key) != value for key, value in wanted.items()):
            # Renders where nothing is, and refuses where something else is. A finished folder is
            # not passed to it, because a data root shared by many is often read-only.
            sidewalk.make(self.name, folder, size=size, workers=workers, progress=progress)

    def read(self, folder: Path, *, progress: Progress = silent) -> ReidDataset:
        """Return the dataset, whose digest is the one recorded of its kind.

        Raises:
            BenchboxError: it is faulty, or not the recorded one.
        """
        dataset = super().read(folder, progress=progress)
        held = sidewalk.manifest(folder) or {}
        size = str(held.get("size"))
        seed = held.get("seed", 0)
        recorded = sidewalk.recorded_digest(self.name, size=size, seed=seed) if held else None
        expected = recorded or held.get("digest")
        if dataset.digest != expected:
            raise BenchboxError(
                f"{printable(folder)}: not the recorded {self.name} ({size}): its digest is "
                f"{dataset.digest}, expected {expected}. It was changed; remove the folder to have "
                "it rendered again."
            )
        return dataset


def _domain(name: str, title: str) -> SidewalkSource:
    return SidewalkSource(
        name=name,
        title=title,
        layout=MarketFolders(),
        obtain="rendered on first use",
        citation="benchbox",
        licence="MIT, as benchbox; shows nobody",
    )


DOMAINS = (_domain("sidewalk-a", "Sidewalk-A"), _domain("sidewalk-b", "Sidewalk-B"))
