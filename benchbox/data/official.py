"""Market-1501 and DukeMTMC-reID as published: where they come from, their official sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType

from benchbox.data.naming import Naming
from benchbox.data.protocol import ImageRecord, ReidDataset


@dataclass(frozen=True, slots=True)
class PublishedDataset:
    """A dataset that users bring themselves.

    Attributes:
        naming: the convention of its file names.
        folders: where archives and other toolboxes put it, below the data root.
        source: how a user gets it, in words.
    """

    naming: Naming
    folders: tuple[str, ...]
    source: str


PUBLISHED: Mapping[str, PublishedDataset] = MappingProxyType(
    {
        "market1501": PublishedDataset(
            naming="market",
            folders=(
                "Market-1501-v15.09.15",
                "market1501/Market-1501-v15.09.15",
                "market1501",
                "Market-1501",
                "Market1501",
            ),
            source="get the archive Market-1501-v15.09.15.zip from its authors' project page "
            "(https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html) and unpack it",
        ),
        "dukemtmcreid": PublishedDataset(
            naming="duke",
            folders=(
                "DukeMTMC-reID",
                "dukemtmc-reid/DukeMTMC-reID",
                "dukemtmc-reid",
                "dukemtmcreid/DukeMTMC-reID",
                "dukemtmcreid",
                "DukeMTMCreID",
            ),
            source="its authors withdrew it in 2019 to protect the privacy of the people in it, "
            "and benchbox neither distributes it nor says where to get it; if you hold a copy "
            "lawfully, respect its licence, your institution's rules and the people shown",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers papers print about a ReID dataset.

    Attributes:
        train_ids: training identities.
        train_images: training images.
        query_ids: identities searched for (the test identities).
        query_images: queries.
        gallery_images: gallery images with distractors, without junk.
        test_files: images in ``bounding_box_test``, junk included.
        cameras: cameras over all three lists.
    """

    train_ids: int
    train_images: int
    query_ids: int
    query_images: int
    gallery_images: int
    test_files: int
    cameras: int


_LABELS = {
    "train_ids": "training identities",
    "train_images": "training images",
    "query_ids": "query identities",
    "query_images": "query images",
    "gallery_images": "gallery images without junk",
    "test_files": "images in bounding_box_test",
    "cameras": "cameras",
}

OFFICIAL_COUNTS: dict[str, Counts] = {
    "market1501": Counts(
        train_ids=751,
        train_images=12_936,
        query_ids=750,
        query_images=3_368,
        gallery_images=15_913,
        test_files=19_732,
        cameras=6,
    ),
    "dukemtmcreid": Counts(
        train_ids=702,
        train_images=16_522,
        query_ids=702,
        query_images=2_228,
        gallery_images=17_661,
        test_files=17_661,
        cameras=8,
    ),
}
"""Zheng et al. 2015 (Market-1501) and Zheng et al. 2017 (DukeMTMC-reID)."""


def count(
    *,
    train: Sequence[ImageRecord],
    query: Sequence[ImageRecord],
    gallery: Sequence[ImageRecord],
    junk: int,
) -> Counts:
    """Return the numbers of a dataset; ``gallery`` is without its ``junk`` files."""
    return Counts(
        train_ids=len({record.pid for record in train}),
        train_images=len(train),
        query_ids=len({record.pid for record in query}),
        query_images=len(query),
        gallery_images=len(gallery),
        test_files=len(gallery) + junk,
        cameras=len({record.camid for split in (train, query, gallery) for record in split}),
    )


def differences(counts: Counts, official: Counts) -> list[str]:
    """Return one line for each number that is not the official one."""
    return [
        f"{_LABELS[field.name]}: {getattr(counts, field.name):,}, "
        f"officially {getattr(official, field.name):,}"
        for field in fields(Counts)
        if getattr(counts, field.name) != getattr(official, field.name)
    ]


def compare_with_official(dataset: ReidDataset) -> list[str]:
    """Return how ``dataset`` differs from the published one of its name, nothing if it does not.

    A dataset whose name has no published numbers has nothing to differ from.
    """
    official = OFFICIAL_COUNTS.get(dataset.name)
    if official is None:
        return []
    counts = count(
        train=dataset.train, query=dataset.query, gallery=dataset.gallery, junk=dataset.junk
    )
    return differences(counts, official)
