"""What a dataset's lists and contents show beyond single files: leaks, twins, odd counts."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from benchbox.data.counting import count, differences
from benchbox.data.protocol import DISTRACTOR_PID, JUNK_PID, ImageRecord
from benchbox.data.scanning import (
    GALLERY,
    QUERY,
    SPLIT_FOLDERS,
    TRAIN,
    FileProblem,
    Scan,
    excluded,
)
from benchbox.data.sources import Source
from benchbox.data.testable import unmatched_queries, untestable

Contents = Mapping[str, str]
"""Image key → digest of its pixels, for every image that could be decoded."""

Sizes = Mapping[str, tuple[int, int]]
"""Image key → (width, height) in pixels, likewise."""

_SHORTEST, _LONGEST = 8, 10
"""A person's crop has sides of at least so many pixels, and one at most so many times the other."""


def problems_of_test(scan: Scan, contents: Contents) -> Iterator[FileProblem]:
    """Yield what makes the numbers of a test wrong, or keeps it from having any."""
    twins = _queries_in_gallery(scan, contents)
    for query, items in twins:
        ranked = [item for item in items if not excluded(query, item, scan.same_camera)]
        # The scan already reports a twin of the same name.
        if ranked and query.path.name not in {item.path.name for item in ranked}:
            what = f"this query image is also in the gallery, as {ranked[0].key}"
            yield FileProblem(query.key, what)
    if scan.records[QUERY] and scan.records[GALLERY]:
        reason = untestable(scan.records[QUERY], scan.gallery, scan.same_camera)
        if reason:
            yield FileProblem("./", reason)


def _queries_in_gallery(
    scan: Scan, contents: Contents
) -> list[tuple[ImageRecord, list[ImageRecord]]]:
    """Return each query whose pixels are also gallery images', with those images."""
    by_content = defaultdict(list)
    for record in scan.gallery:
        if record.key in contents:
            by_content[contents[record.key]].append(record)
    found = [(query, by_content.get(contents.get(query.key, ""))) for query in scan.records[QUERY]]
    return [(query, items) for query, items in found if items]


def dataset_warnings(
    scan: Scan, contents: Contents, sizes: Sizes, source: Source | None
) -> Iterator[str]:
    """Yield what a user should know and may accept, one line each.

    Args:
        scan: the dataset's lists.
        contents: of its images.
        sizes: of its images.
        source: the published dataset it was asked as.
    """
    unmatched = unmatched_queries(scan.records[QUERY], scan.gallery, scan.same_camera)
    if unmatched and scan.records[GALLERY]:
        where = "on another camera" if scan.same_camera == "ignore" else "in the gallery"
        yield (
            f"{len(unmatched)} queries have no valid match (their identity {where}) and are left "
            f"out of every average: {_some([query.key for query in unmatched])}"
        )
    for folder in SPLIT_FOLDERS:
        pairs = _twins(scan.records[folder], contents)
        if pairs:
            where = scan.shown(folder)
            yield f"{where}: {len(pairs)} images repeat another one's content: {_some(pairs)}"
    yield from _leaked_images(scan, contents)
    odd = [
        f"{key} ({width}×{height})"
        for key, (width, height) in sizes.items()
        if min(width, height) < _SHORTEST or max(width, height) > _LONGEST * min(width, height)
    ]
    if odd:
        yield f"{len(odd)} images are no person's crop by their size: {_some(odd)}"
    yield from _unofficial_counts(scan, source)


def _leaked_images(scan: Scan, contents: Contents) -> Iterator[str]:
    test = {contents.get(record.key) for record in (*scan.records[QUERY], *scan.gallery)}
    leaked = [
        record.key
        for record in scan.records[TRAIN]
        if record.key in contents and contents[record.key] in test
    ]
    if leaked:
        yield f"{len(leaked)} training images are also test images: {_some(leaked)}"


def _unofficial_counts(scan: Scan, source: Source | None) -> Iterator[str]:
    if source is None or source.official is None:
        return
    counts = count(
        train=scan.records[TRAIN],
        query=scan.records[QUERY],
        gallery=scan.gallery,
        junk=len(scan.records[GALLERY]) - len(scan.gallery),
    )
    for difference in differences(counts, source.official):
        yield f"not the official {source.name}: {difference}"


def _twins(records: Sequence[ImageRecord], contents: Contents) -> list[str]:
    """Return "second = first" for each non-junk image whose content came before."""
    first: dict[str, str] = {}
    pairs = []
    for record in records:
        content = contents.get(record.key)
        if content is None or record.pid == JUNK_PID:
            continue
        if content in first:
            pairs.append(f"{record.path.name} = {first[content]}")
        first.setdefault(content, record.path.name)
    return pairs


def dataset_notes(scan: Scan, contents: Contents) -> Iterator[str]:
    """Yield what looks odd and is normal, one line each."""
    cameras = defaultdict(set)
    for record in scan.gallery:
        if record.pid != DISTRACTOR_PID:
            cameras[record.pid].add(record.camid)
    queried = {record.pid for record in scan.records[QUERY]}
    single = [pid for pid, seen in cameras.items() if len(seen) == 1]
    if single and scan.same_camera == "ignore":
        unqueried = sum(pid not in queried for pid in single)
        yield (
            f"{len(single)} gallery identities are seen by one camera only, {unqueried} of them "
            "never queried (normal: DukeMTMC-reID has 408 such distractors)"
        )
    left_out = [
        query.key
        for query, items in _queries_in_gallery(scan, contents)
        if any(excluded(query, item, scan.same_camera) for item in items)
    ]
    if left_out:
        yield (
            f"{len(left_out)} queries are in the gallery, too, on their own camera, which the "
            f"protocol leaves out: {_some(left_out)}"
        )
    if scan.same_camera == "keep":
        yield "gallery images of a query's own camera are ranked like any other"


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + rest
