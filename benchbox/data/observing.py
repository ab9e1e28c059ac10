"""What a dataset's lists and contents show beyond single files: leaks, twins, odd counts."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from benchbox.data import sidewalk
from benchbox.data.naming import Naming
from benchbox.data.official import OFFICIAL_COUNTS, count, differences
from benchbox.data.protocol import DISTRACTOR_PID, JUNK_PID, ImageRecord
from benchbox.data.scanning import GALLERY, QUERY, SPLIT_FOLDERS, TRAIN, FileProblem, Scan

Contents = Mapping[str, str]
"""Image key → digest of its pixels, for every image that could be decoded."""

_OFFICIAL_NAMES: dict[Naming, str] = {"market": "market1501", "duke": "dukemtmcreid"}
_LARGE = 1000
"""From this many images on, a folder named like Market-1501 is taken for a copy of it."""


def queries_in_gallery(scan: Scan, contents: Contents) -> Iterator[FileProblem]:
    """Yield each query whose pixels are also a gallery image's, under another name."""
    by_content = {contents.get(record.key): record for record in reversed(_gallery(scan))}
    by_content.pop(None, None)
    for query in scan.records[QUERY]:
        twin = by_content.get(contents.get(query.key))
        # The scan already reports a twin of the same name.
        if twin and twin.path.name != query.path.name:
            yield FileProblem(query.key, f"this query image is also in the gallery, as {twin.key}")


def dataset_warnings(scan: Scan, contents: Contents) -> Iterator[str]:
    """Yield what a user should know and may accept, one line each."""
    yield from _unmatched_queries(scan)
    for folder in SPLIT_FOLDERS:
        pairs = _twins(scan.records[folder], contents)
        if pairs:
            yield f"{folder}: {len(pairs)} images repeat another one's content: {_some(pairs)}"
    yield from _leaked_images(scan, contents)
    yield from _unofficial_counts(scan)


def _unmatched_queries(scan: Scan) -> Iterator[str]:
    cameras = defaultdict(set)
    for record in _gallery(scan):
        cameras[record.pid].add(record.camid)
    unmatched = [
        query.key for query in scan.records[QUERY] if not cameras[query.pid] - {query.camid}
    ]
    if unmatched and scan.records[GALLERY]:
        yield (
            f"{len(unmatched)} queries have no valid match (their identity on another camera) and "
            f"are left out of every average: {_some(unmatched)}"
        )


def _leaked_images(scan: Scan, contents: Contents) -> Iterator[str]:
    test = {contents.get(record.key) for record in (*scan.records[QUERY], *_gallery(scan))}
    leaked = [
        record.key
        for record in scan.records[TRAIN]
        if record.key in contents and contents[record.key] in test
    ]
    if leaked:
        yield f"{len(leaked)} training images are also test images: {_some(leaked)}"


def _unofficial_counts(scan: Scan) -> Iterator[str]:
    official = _official_name(scan)
    if official is None:
        return
    gallery = _gallery(scan)
    counts = count(
        train=scan.records[TRAIN],
        query=scan.records[QUERY],
        gallery=gallery,
        junk=len(scan.records[GALLERY]) - len(gallery),
    )
    for difference in differences(counts, OFFICIAL_COUNTS[official]):
        yield f"not the official {official}: {difference}"


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


def _official_name(scan: Scan) -> str | None:
    """Return the published dataset that the folder seems to be a copy of."""
    if scan.naming is None or sidewalk.manifest(scan.root) is not None:
        return None
    name = _OFFICIAL_NAMES[scan.naming]
    folder = re.sub(r"[^a-z0-9]", "", scan.root.resolve().name.lower())
    large = sum(len(records) for records in scan.records.values()) >= _LARGE
    return name if large or folder.startswith(name) else None


def dataset_notes(scan: Scan) -> Iterator[str]:
    """Yield what looks odd and is normal, one line each."""
    cameras = defaultdict(set)
    for record in _gallery(scan):
        if record.pid != DISTRACTOR_PID:
            cameras[record.pid].add(record.camid)
    queried = {record.pid for record in scan.records[QUERY]}
    single = [pid for pid, seen in cameras.items() if len(seen) == 1]
    if single:
        unqueried = sum(pid not in queried for pid in single)
        yield (
            f"{len(single)} gallery identities are seen by one camera only, {unqueried} of them "
            "never queried (normal: DukeMTMC-reID has 408 such distractors)"
        )


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + rest


def _gallery(scan: Scan) -> list[ImageRecord]:
    return [record for record in scan.records[GALLERY] if record.pid != JUNK_PID]
