"""Check a dataset on disk: decode every image and name everything that is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchbox.data import sidewalk
from benchbox.data.decoding import (
    ImageError,
    decode_image,
    in_threads,
    strict_decoding,
)
from benchbox.data.digest import image_digest, pixels_digest
from benchbox.data.finding import published_at
from benchbox.data.observing import dataset_notes, dataset_warnings, problems_of_test
from benchbox.data.protocol import DISTRACTOR_PID, JUNK_PID, ImageRecord
from benchbox.data.reading import scanned_digest
from benchbox.data.scanning import SPLIT_FOLDERS, FileProblem, scan_dataset
from benchbox.data.sources import Source
from benchbox.data.suggesting import suggestion
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.files.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """What one split folder holds, by the file names.

    Attributes:
        folder: the split's folder, or its name where a layout has no such folders.
        images: well-named files, junk and distractors included.
        identities: how many different pids above 0 there are.
        cameras: how many different cameras there are.
        junk: how many files have pid -1.
        distractors: how many files have pid 0.
    """

    folder: str
    images: int
    identities: int
    cameras: int
    junk: int
    distractors: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found.

    Attributes:
        root: the dataset's folder.
        layout: how its images are named or listed, in words.
        splits: counts of the three folders.
        problems: what makes the dataset unusable or its numbers wrong.
        warnings: what a user should know and may accept.
        notes: what looks odd and is normal.
        digest: the dataset's digest, as ``read_dataset`` gives it; None where there are problems.
    """

    root: Path
    layout: str
    splits: tuple[SplitCounts, ...]
    problems: tuple[FileProblem, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    digest: str | None

    @property
    def ok(self) -> bool:
        """Whether there is no problem; warnings are allowed."""
        return not self.problems

    def lines(self) -> list[str]:
        """Return the report as lines of text: counts, notes, warnings, every problem, verdict."""
        lines = [f"{printable(self.root)}: {printable(self.layout)}"]
        for split in self.splits:
            extras = f", {split.junk} junk" if split.junk else ""
            extras += f", {split.distractors} distractors" if split.distractors else ""
            lines.append(
                f"  {split.folder:<18} {split.images:>6} images, {split.identities:>5} identities, "
                f"{split.cameras:>2} cameras{extras}"
            )
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  warning: {warning}" for warning in self.warnings]
        lines += [f"  problem: {problem}" for problem in self.problems]
        if self.digest:
            lines.append(f"  digest: {self.digest}")
        lines.append(
            f"{len(self.problems)} problem(s), {len(self.warnings)} warning(s)"
            if self.problems or self.warnings
            else "no problems"
        )
        return lines


def check_dataset(
    root: Path,
    *,
    source: Source | None = None,
    threads: int = 4,
    progress: Progress = silent,
) -> CheckReport:
    """Return everything that is wrong with the dataset under ``root``; no problem stops the check.

    Every image, junk included, is decoded in full. Equality of content is equality of decoded
    pixels, so a query copied into the gallery is found under another name or compression too.

    Args:
        root: the dataset's folder, or its manifest.
        source: what it is asked as: its layout is read, its numbers compared. None for the
            published dataset whose folder bears this name, else for Market-1501's layout.
        threads: how many files are decoded at once.
        progress: told after each file.

    Raises:
        BenchboxError: ``root`` is no folder, or cannot be listed.
    """
    source = source or published_at(root)
    scan = source.scan(root) if source else scan_dataset(root)
    records = [record for folder in SPLIT_FOLDERS for record in scan.records[folder]]
    problems = [FileProblem(part, state) for part, state in scan.missing.items()]
    problems += scan.problems
    if source and scan.foreign:
        problems.append(FileProblem("./", f"asked as {source.name}, named like another dataset"))
    examined, faults = _examined(records, threads=threads, progress=progress)
    problems += faults
    contents = {key: image.pixels for key, image in examined.items()}
    problems += problems_of_test(scan, contents)
    digest = None
    if not problems:
        digest = scanned_digest(scan, {key: image.file for key, image in examined.items()})
        problems += _sidewalk_differences(root, digest)
    sizes = {key: image.size for key, image in examined.items()}
    hint = suggestion(root) if scan.naming is None and problems else ""
    return CheckReport(
        root=root,
        layout=scan.layout,
        splits=tuple(
            _split_counts(scan.shown(folder), scan.records[folder]) for folder in SPLIT_FOLDERS
        ),
        problems=tuple(problems),
        warnings=tuple(dataset_warnings(scan, contents, sizes, source)),
        notes=(*dataset_notes(scan, contents), *([hint] if hint else [])),
        digest=None if problems else digest,
    )


@dataclass(frozen=True, slots=True)
class _Examined:
    """An image that could be decoded: digests of its pixels and its file, (width, height)."""

    pixels: str
    file: str
    size: tuple[int, int]


def _examined(
    records: Sequence[ImageRecord], *, threads: int, progress: Progress
) -> tuple[dict[str, _Examined], list[FileProblem]]:
    """Return what was found of each image by its key, and what is wrong with the others."""
    found: dict[str, _Examined] = {}
    faults = []
    with strict_decoding():
        results = in_threads(
            _examine, records, threads=threads, doing="checking", progress=progress
        )
        for record, result in zip(records, results, strict=True):
            if isinstance(result, FileProblem):
                faults.append(result)
            else:
                found[record.key] = result
    return found, faults


def _examine(record: ImageRecord) -> _Examined | FileProblem:
    """Return what is to know of an image, or what is wrong with the file."""
    try:
        image, _ = decode_image(record.path)
        return _Examined(pixels_digest(np.asarray(image)), image_digest(record.path), image.size)
    except ImageError as error:
        return FileProblem(record.key, error.what)
    except OSError as error:
        return FileProblem(record.key, f"cannot be read ({error.strerror or error})")


def _split_counts(folder: str, records: Sequence[ImageRecord]) -> SplitCounts:
    pids = [record.pid for record in records]
    return SplitCounts(
        folder=folder,
        images=len(records),
        identities=len({pid for pid in pids if pid > DISTRACTOR_PID}),
        cameras=len({record.camid for record in records}),
        junk=pids.count(JUNK_PID),
        distractors=pids.count(DISTRACTOR_PID),
    )


def _sidewalk_differences(root: Path, digest: str) -> list[FileProblem]:
    """Return a problem where the folder says it is Sidewalk and its pixels are not."""
    made = sidewalk.manifest(root)
    if made is None:
        return []
    title = f"{made.get('domain')}, size {made.get('size')}, seed {made.get('seed')}"
    if made.get("version") != sidewalk.VERSION:
        what = f"{title} of version {made.get('version')}, this is version {sidewalk.VERSION}"
        return [FileProblem("./", f"{what}: make it again")]
    try:
        recorded = sidewalk.recorded_digest(
            str(made.get("domain")), size=str(made.get("size")), seed=int(made.get("seed", 0))
        )
    except (BenchboxError, TypeError, ValueError) as error:
        return [FileProblem("./", f"says it is {title}, which does not exist ({error})")]
    expected = recorded or made.get("digest")
    if digest == expected:
        return []
    return [FileProblem("./", f"not the recorded {title}: digest {digest}, expected {expected}")]
