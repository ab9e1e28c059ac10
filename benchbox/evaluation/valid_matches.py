"""How many valid matches queries have."""

from collections import Counter
from collections.abc import Sequence

from benchbox.data.protocol import ReidDataset

PersonAndCamera = tuple[int, int]
"""Identity and camera of an image, as rankings see them."""


def people_and_cameras(
    dataset: ReidDataset,
) -> tuple[list[PersonAndCamera], list[PersonAndCamera]]:
    """Return identity and camera of the queries, (Q,), and of the gallery, (G,)."""
    query, gallery = (
        [(record.pid, camid) for record, camid in zip(split, camids, strict=True)]
        for split, camids in (
            (dataset.query, dataset.query_camids),
            (dataset.gallery, dataset.gallery_camids),
        )
    )
    return query, gallery


def matches_by_query(dataset: ReidDataset) -> dict[str, int]:
    """Return query → how many gallery images show its person on another camera.

    Queries without one are left out, as retrieval leaves them out. They stand in the dataset's
    order, named as in ``per_query.json``.
    """
    query, gallery = people_and_cameras(dataset)
    counts = zip(dataset.query, valid_matches(query, gallery), strict=True)
    return {record.key: count for record, count in counts if count}


def valid_matches(
    query: Sequence[PersonAndCamera], gallery: Sequence[PersonAndCamera]
) -> list[int]:
    """Return for every query how many gallery images show its person on another camera.

    Args:
        query: (Q,) identity and camera of each.
        gallery: (G,) likewise.
    """
    by_person = Counter(pid for pid, _ in gallery)
    by_camera = Counter(gallery)
    return [by_person[pid] - by_camera[pid, camid] for pid, camid in query]
