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
from benchbox.data.digest import dataset_digest, image_digest, pixels_digest
from benchbox.data.naming import NAMING_TITLES, Naming
from benchbox.data.observing import dataset_notes, dataset_warnings, queries_in_gallery
from benchbox.data.protocol import DISTRACTOR_PID, JUNK_PID, ImageRecord
from benchbox.data.scanning import SPLIT_FOLDERS, FileProblem, scan_dataset
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.files.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """What one split folder holds, by the file names.

    Attributes:
        folder: the split's folder.
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
        naming: the convention of its file names, None where no file follows any.
        splits: counts of the three folders.
        problems: what makes the dataset unusable or its numbers wrong.
        warnings: what a user should know and may accept.
        notes: what looks odd and is normal.
        digest: the dataset's digest, as ``read_dataset`` gives it; None where there are problems.
    """

    root: Path
    naming: Naming | None
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
        named = f"{NAMING_TITLES[self.naming]} naming" if self.naming else "no known naming"
        lines = [f"{printable(self.root)}: {named}"]
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


def check_dataset(root: Path, *, threads: int = 4, progress: Progress = silent) -> CheckReport:
    """Return everything that is wrong with the dataset under ``root``; no problem stops the check.

    Every image, junk included, is decoded in full. Equality of content is equality of decoded
    pixels, so a query copied into the gallery is found under another name or compression too.

    Args:
        root: the folder that holds ``bounding_box_train``, ``query`` and ``bounding_box_test``.
        threads: how many files are decoded at once.
        progress: told after each file.

    Raises:
        BenchboxError: ``root`` is no folder, or cannot be listed.
    """
    scan = scan_dataset(root)
    records = [record for folder in SPLIT_FOLDERS for record in scan.records[folder]]
    problems = [FileProblem(f"{folder}/", state) for folder, state in scan.missing.items()]
    problems += scan.problems
    contents: dict[str, str] = {}
    digests: dict[str, str] = {}
    with strict_decoding():
        results = in_threads(
            _examine, records, threads=threads, doing="checking", progress=progress
        )
        for record, result in zip(records, results, strict=True):
            if isinstance(result, FileProblem):
                problems.append(result)
            else:
                contents[record.key], digests[record.key] = result
    problems += queries_in_gallery(scan, contents)
    digest = None
    if not problems:
        listed = (record.key for record in records if record.pid != JUNK_PID)
        digest = dataset_digest((key, digests[key]) for key in listed)
        problems += _sidewalk_differences(root, digest)
    return CheckReport(
        root=root,
        naming=scan.naming,
        splits=tuple(_split_counts(folder, scan.records[folder]) for folder in SPLIT_FOLDERS),
        problems=tuple(problems),
        warnings=tuple(dataset_warnings(scan, contents)),
        notes=tuple(dataset_notes(scan)),
        digest=None if problems else digest,
    )


def _examine(record: ImageRecord) -> tuple[str, str] | FileProblem:
    """Return (digest of the pixels, digest of the file), or what is wrong with the file."""
    try:
        image, _ = decode_image(record.path)
        return pixels_digest(np.asarray(image)), image_digest(record.path)
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
