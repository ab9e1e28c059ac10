"""Matrices in a safetensors file, written a few rows at a time: memory does not grow with them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from benchbox.errors import BenchboxError
from benchbox.files.atomic import atomic_path

_ALIGNMENT = 8
"""Bytes; safetensors fills its header up so that numbers begin at a multiple of it."""

_ITEM = 4
"""Bytes of a float32."""


@dataclass
class RowsFile:
    """A file of float32 matrices of one width, being written.

    The file is the one that ``safetensors.torch.save`` would write, byte for byte, and
    ``load_file`` maps it into memory: whoever reads a part of it holds that part.

    Attributes:
        stream: where it is written.
        rows: name → how many rows that matrix is to have.
    """

    stream: BinaryIO
    rows: Mapping[str, int]
    _written: dict[str, int] = field(default_factory=dict)
    _width: int = 0
    _start: int = 0

    def append(self, name: str, rows: npt.NDArray[np.float32]) -> None:
        """Write the next rows of a matrix.

        Args:
            name: which matrix.
            rows: (B, D); D is the first rows' for all matrices of the file.

        Raises:
            BenchboxError: another width, or more rows than were announced.
        """
        if not self._width:
            self._begin(rows.shape[1])
        done = self._written.get(name, 0)
        if rows.shape[1] != self._width or done + len(rows) > self.rows[name]:
            raise BenchboxError(
                f"{name}: rows {done} to {done + len(rows)} of width {rows.shape[1]} do not fit "
                f"into a matrix of {self.rows[name]} rows of {self._width}."
            )
        self.stream.seek(self._start + self._offset(name) + done * self._width * _ITEM)
        self.stream.write(np.ascontiguousarray(rows, dtype="<f4").tobytes())
        self._written[name] = done + len(rows)

    def require_full(self) -> None:
        """Check that all rows were written.

        Raises:
            BenchboxError: some are missing.
        """
        for name, rows in self.rows.items():
            if self._written.get(name, 0) != rows:
                raise BenchboxError(
                    f"{name}: {self._written.get(name, 0)} rows were written, expected {rows}."
                )

    def _offset(self, name: str) -> int:
        """Return where a matrix begins behind the header: they stand sorted by name."""
        before = sum(rows for other, rows in self.rows.items() if other < name)
        return before * self._width * _ITEM

    def _begin(self, width: int) -> None:
        self._width = width
        header = {
            name: {
                "dtype": "F32",
                "shape": [self.rows[name], width],
                "data_offsets": [
                    self._offset(name),
                    self._offset(name) + self.rows[name] * width * _ITEM,
                ],
            }
            for name in sorted(self.rows)
        }
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % _ALIGNMENT)
        self.stream.write(len(text).to_bytes(8, "little") + text)
        self._start = self.stream.tell()


@contextmanager
def writing_rows(path: Path, rows: Mapping[str, int]) -> Iterator[RowsFile]:
    """Yield a file to append rows to; it appears at ``path`` when all are written.

    Args:
        path: a safetensors file.
        rows: name → how many rows that matrix will have.

    Raises:
        BenchboxError: it cannot be written, or the block ends before all rows are there.
    """
    with atomic_path(path) as temporary:
        with temporary.open("wb") as stream:
            file = RowsFile(stream, rows)
            yield file
        file.require_full()
