"""Whether queries can be ranked at all: their names tell it before anything is trained."""

from collections import defaultdict
from collections.abc import Sequence

from benchbox.data.protocol import DISTRACTOR_PID, ImageRecord, SameCamera


def unmatched_queries(
    query: Sequence[ImageRecord], gallery: Sequence[ImageRecord], rule: SameCamera
) -> list[ImageRecord]:
    """Return the queries without a valid match: no gallery image of theirs that counts."""
    cameras = defaultdict(set)
    for record in gallery:
        cameras[record.pid].add(record.camid)
    return [
        record
        for record in query
        if not (cameras[record.pid] - ({record.camid} if rule == "ignore" else set()))
    ]


def untestable(
    query: Sequence[ImageRecord], gallery: Sequence[ImageRecord], rule: SameCamera
) -> str | None:
    """Return why these queries cannot be evaluated on this gallery, None where they can.

    Args:
        query: the queries.
        gallery: the gallery, without junk.
        rule: what happens to gallery images of a query's own camera.
    """
    if not query:
        return "has no queries: it is to train on, so name it first in a pair of transfers"
    if len({record.pid for record in query}) == 1:
        return "has one identity among its queries, so that nothing can be confused"
    if len(unmatched_queries(query, gallery, rule)) < len(query):
        return None
    people = [record for record in (*query, *gallery) if record.pid > DISTRACTOR_PID]
    if rule == "ignore" and len({record.camid for record in people}) == 1:
        return (
            "has all its images from one camera, and a query's own camera is left out: name the "
            'cameras, or say same_camera = "keep"'
        )
    return "has no query with its identity in the gallery on another camera"
