"""How many valid matches the queries of a dataset have."""

from collections import Counter

from benchbox.data.protocol import ReidDataset


def matches_by_query(dataset: ReidDataset) -> dict[str, int]:
    """Return query → how many gallery images show its person on another camera.

    Queries without one are left out, as retrieval leaves them out. They stand in the dataset's
    order, named as in ``per_query.json``.
    """
    by_person = Counter(record.pid for record in dataset.gallery)
    by_camera = Counter((record.pid, record.camid) for record in dataset.gallery)
    found = {
        record.key: by_person[record.pid] - by_camera[record.pid, record.camid]
        for record in dataset.query
    }
    return {key: count for key, count in found.items() if count}
