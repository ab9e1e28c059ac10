"""Entries as files: their names, their text, and reading them back strictly."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchbox.errors import BenchboxError
from benchbox.files.atomic import cannot_write, write_text
from benchbox.files.digests import digest_of
from benchbox.files.printable import printable
from benchbox.leaderboard.board_protocol import PROTOCOL_FILE
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.entry.training import name_ending
from benchbox.results.measurements import Group
from benchbox.untrusted.json import as_json, as_record, read_json

_MOST_ENTRIES = 10_000
_NUMBERS = re.compile(r'\[\n\s*([^\[\]{}"]*?)\s*\]')
"""A list without texts or inner lists. Only JSON's own line ends follow a bracket at once."""


def file_name(entry: Entry) -> str:
    """Return ``<train>--<test>--<backbone>--<defense>--v<version>.json``.

    Where the training protocol tells rows apart, it stands before the ending.
    """
    return name_of(entry.group, entry.defense.name, entry.version, entry.training_protocol)


def name_of(group: Group, defense: str, version: int, protocol: str) -> str:
    """Return the file name of a defense's entry for a group of cells and a training protocol."""
    names = (group.train, group.test, group.backbone, defense)
    return f"{'--'.join(names)}--v{version}{name_ending(protocol)}.json"


def seal(content: dict[str, Any]) -> str:
    """Return the digest of an entry's content, whatever stands there as its digest."""
    return digest_of({key: value for key, value in content.items() if key != "digest"})


def sealed(content: dict[str, Any], *, where: str) -> Entry:
    """Return an entry from its content, with its digest set.

    Raises:
        BenchboxError: the content is no entry.
    """
    # Once through the record, so that the digest is of the numbers as they will be written.
    draft = as_record({**content, "digest": "0" * 64}, Entry, where=where)
    plain = as_json(draft)
    return as_record({**plain, "digest": seal(plain)}, Entry, where=where)


def entry_text(entry: Entry) -> str:
    """Return an entry as its file has it: lists of numbers on one line each."""
    text = json.dumps(as_json(entry), indent=1, allow_nan=False, ensure_ascii=False)
    return _NUMBERS.sub(lambda match: f"[{' '.join(match[1].split())}]", text) + "\n"


def write_entries(board: Path, entries: Sequence[Entry]) -> tuple[Path, ...]:
    """Write entries into their board, all of them or none, and return their paths.

    Raises:
        BenchboxError: the board cannot be written to; it is as it was then.
    """
    paths = [board / file_name(entry) for entry in entries]
    drafts = [path.with_name(f".{path.name}.new") for path in paths]
    try:
        for draft, entry in zip(drafts, entries, strict=True):
            write_text(draft, entry_text(entry))
        # From here on nothing needs space.
        return tuple(draft.replace(path) for draft, path in zip(drafts, paths, strict=True))
    except OSError as error:
        raise cannot_write(board, error) from error
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)


def read_entry(path: Path) -> Entry:
    """Return an entry from a file that anybody may have written.

    Raises:
        BenchboxError: the file is a link, is too large, is no entry, or is named after another;
            one line with file and key.
    """
    content = read_json(path)
    where = printable(path)
    entry = as_record(content, Entry, where=where)
    if path.name != file_name(entry):
        raise BenchboxError(f"{where}: its content belongs into {file_name(entry)}.")
    if path.absolute().parent.name != entry.board:
        raise BenchboxError(f"{where}: board: {entry.board!r}, but it lies in another's folder.")
    if entry.digest != seal(content):
        raise BenchboxError(
            f"{where}: digest: does not match the content, which was changed after submission. "
            "Submit the run again instead of editing its entry."
        )
    return entry


def entry_paths(place: Path) -> list[Path]:
    """Return the entries' files below a board's folder or a folder of boards, sorted.

    A folder without a protocol is no board. An entry given by itself is returned as it is.

    Raises:
        BenchboxError: nothing is there, or a link leads out of the folder.
    """
    where = printable(place)
    if place.is_symlink():
        raise BenchboxError(f"{where}: is a link; expected the file or folder itself.")
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise BenchboxError(f"{where}: no such file or folder.")
    if (place / PROTOCOL_FILE).exists():
        boards = [place]
    else:
        boards = sorted(p for p in place.iterdir() if (p / PROTOCOL_FILE).exists())
        if not boards:
            raise BenchboxError(
                f"{where}: holds no board (a folder with {PROTOCOL_FILE}) and no entry."
            )
    for board in boards:
        if board.is_symlink():
            raise BenchboxError(f"{printable(board)}: is a link that may leave the folder.")
    found = [path for board in boards for path in sorted(board.glob("*.json"))]
    if len(found) > _MOST_ENTRIES:
        raise BenchboxError(f"{where}: holds more than {_MOST_ENTRIES:,} entries.")
    return found
