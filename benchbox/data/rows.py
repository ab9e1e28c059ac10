"""A dataset as rows of text, from lists, manifests or patterns, turned into its three lists."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchbox.data.protocol import DISTRACTOR_PID, JUNK_PID, ImageRecord
from benchbox.data.scanning import SPLITS, FileProblem, Scan, list_problems

Zero = Literal["distractor", "identity"]
"""What identity 0 is: Market-1501's distractor, or a person where identities count from 0."""


@dataclass(frozen=True, slots=True)
class Row:
    """One image as a list has it.

    Attributes:
        split: ``train``, ``query`` or ``gallery``.
        place: its path below the dataset, with slashes.
        path: the file.
        pid: the identity, a number or a name.
        camid: the camera, likewise; None where the dataset knows none.
        view: the direction it was taken from.
    """

    split: str
    place: str
    path: Path
    pid: str
    camid: str | None
    view: int | None = None


@dataclass(frozen=True, kw_only=True)
class Numbering:
    """How identities written as text become numbers.

    Numbers stay what they are; names are numbered from 1 in their sorted order. -1 is junk.

    Attributes:
        zero: what identity 0 is. Where it is a person, all numbers grow by one.
        test_apart: whether equal numbers in training and test are different people, as in
            MSMT17: then the test identities are numbered behind the training ones.
    """

    zero: Zero = "distractor"
    test_apart: bool = False


MARKET = Numbering()


def scan_rows(
    scan: Scan, rows: Sequence[Row], *, numbering: Numbering = MARKET, sort: bool = True
) -> Scan:
    """Fill a scan from rows: identities and cameras numbered, faults found.

    Args:
        scan: with root, layout and what is missing; its other fields are filled.
        rows: of all splits.
        numbering: how identities are numbered.
        sort: whether the images are put into the order of their keys.
    """
    scan.labels_in_keys = False
    pids, scan.identities = _pids(rows, numbering)
    camids, scan.cameras = _camids(rows)
    splits: dict[str, list[ImageRecord]] = {folder: [] for folder in SPLITS.values()}
    times = Counter((row.split, row.place) for row in rows)
    for row, pid, camid in zip(rows, pids, camids, strict=True):
        record = ImageRecord(row.path, pid, camid, row.view, f"{row.split}/{row.place}")
        fault = _fault(row, pid, numbering)
        if times[row.split, row.place] > 1:
            fault = f"is listed {times[row.split, row.place]} times in {row.split}"
            times[row.split, row.place] = 0
        if fault:
            scan.problems.append(FileProblem(record.key, fault))
        elif times[row.split, row.place]:
            splits[SPLITS[row.split]].append(record)
    for folder, records in splits.items():
        ordered = sorted(records, key=lambda record: record.key) if sort else records
        scan.records[folder] = tuple(ordered)
    scan.problems += list_problems(scan)
    return scan


def _fault(row: Row, pid: int, numbering: Numbering) -> str | None:
    if not row.path.is_file():
        return "no such file"
    if pid < JUNK_PID:
        return f"identity {row.pid}: expected a name, or a number from -1 up"
    if row.split != "gallery" and pid in (JUNK_PID, DISTRACTOR_PID):
        what = f"pid {pid} (junk or distractor) belongs in the gallery only"
        count = '; where identities count from 0, say zero = "identity"'
        return what + (count if pid == DISTRACTOR_PID and numbering.zero == "distractor" else "")
    return None


def _pids(rows: Iterable[Row], numbering: Numbering) -> tuple[list[int], dict[int, str]]:
    """Return each row's pid, and pid → name where identities are names."""
    texts = [(row.split == "train", row.pid) for row in rows]
    special = {"-1": JUNK_PID} | ({"0": DISTRACTOR_PID} if numbering.zero == "distractor" else {})
    plain = {text: _number(text) for _, text in texts}
    known = {text: special[str(n)] for text, n in plain.items() if str(n) in special}
    named = any(number is None for number in plain.values())

    def of(group: set[str], first: int) -> dict[str, int]:
        others = sorted(group - known.keys())
        if named:
            return {text: first + place for place, text in enumerate(others, start=1)}
        grown = first + (numbering.zero == "identity")
        return {text: grown + (plain[text] or 0) for text in others}

    training = {text for is_train, text in texts if is_train}
    test = {text for is_train, text in texts if not is_train}
    if numbering.test_apart:
        of_train = of(training, 0)
        of_test = of(test, max(of_train.values(), default=0))
    else:
        of_train = of_test = of(training | test, 0)
    pids = [
        known[text] if text in known else (of_train if is_train else of_test)[text]
        for is_train, text in texts
    ]
    both = (of_train, of_test)
    return pids, {pid: text for each in both for text, pid in each.items()} if named else {}


def _camids(rows: Iterable[Row]) -> tuple[list[int], dict[int, str]]:
    """Return each row's camera (1 where it has none), and camera → name where they are names."""
    texts = [row.camid for row in rows]
    numbers = {text: _number(text) for text in texts if text is not None}
    if all(number is not None for number in numbers.values()):
        return [1 if text is None else numbers[text] or 0 for text in texts], {}
    names = {text: place for place, text in enumerate(sorted(numbers), start=1)}
    camids = [1 if text is None else names[text] for text in texts]
    return camids, {camid: text for text, camid in names.items()}


def _number(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) < 16 else None
