"""The numbers that papers print about a dataset, and how a copy differs from them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from benchbox.data.protocol import ImageRecord, ReidDataset


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


def counts_of(dataset: ReidDataset) -> Counts:
    """Return the numbers of a dataset that was read."""
    return count(
        train=dataset.train, query=dataset.query, gallery=dataset.gallery, junk=dataset.junk
    )


def differences(counts: Counts, official: Counts) -> list[str]:
    """Return one line for each number that is not the official one."""
    return [
        f"{_LABELS[field.name]}: {getattr(counts, field.name):,}, "
        f"officially {getattr(official, field.name):,}"
        for field in fields(Counts)
        if getattr(counts, field.name) != getattr(official, field.name)
    ]
