"""What a caller hands to the evaluation, checked and brought to one form."""

import warnings
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from benchbox.errors import BenchboxError
from benchbox.evaluation.ranking import DistanceRows, Ints, Labels

Numbers: TypeAlias = npt.ArrayLike | torch.Tensor
"""What a caller may hand over: a tensor, an array, nested lists."""

NAMED_ROWS = 5
"""How many offending rows an error names."""


def read_matrix(name: str, values: Numbers) -> DistanceRows:
    """Return ``values`` as a 2-D matrix: a tensor of another device, or an array without a copy.

    Raises:
        BenchboxError: not a non-empty 2-D matrix of real numbers.
    """
    if isinstance(values, torch.Tensor):
        matrix: DistanceRows = values.detach()
        real = not values.is_complex()
    else:
        matrix = _as_array(name, values)
        real = matrix.dtype.kind in "fiub"
    if not real or matrix.ndim != 2 or 0 in matrix.shape:
        raise BenchboxError(
            f"{name}: expected a 2-D matrix of numbers with at least one row and one column, "
            f"got {matrix.dtype} of shape {tuple(matrix.shape)}."
        )
    if isinstance(matrix, torch.Tensor) and matrix.device.type == "cpu":
        if matrix.dtype == torch.bfloat16:  # numpy has no such type
            matrix = matrix.float()
        return matrix.numpy()
    return matrix


def as_float(rows: DistanceRows) -> DistanceRows:
    """Return ``rows`` in float32 or float64: half precision and whole numbers are widened."""
    if isinstance(rows, torch.Tensor):
        if rows.dtype in (torch.float32, torch.float64):
            return rows
        return rows.to(torch.float32 if rows.is_floating_point() else torch.float64)
    short = rows.dtype.kind == "f" and rows.dtype.itemsize <= np.dtype(np.float32).itemsize
    return rows.astype(np.float32 if short else np.float64, copy=False)


def read_features(name: str, values: Numbers) -> torch.Tensor:
    """Return embeddings as a finite (N, D) tensor in float32 or float64.

    Raises:
        BenchboxError: not a matrix, or some rows hold NaN or infinity (the first are named).
    """
    rows = as_float(read_matrix(name, values))
    if isinstance(rows, np.ndarray):
        rows = _shared(rows)
    refuse_non_finite(name, rows)
    return rows


def _shared(rows: npt.NDArray[Any]) -> torch.Tensor:
    """Return an array as a tensor of the same memory, where that is laid out forwards.

    A file mapped for reading stays on disk. torch warns that writing to it would fail; the
    evaluation writes to no embedding.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(rows))


def refuse_non_finite(name: str, rows: DistanceRows, *, first_row: int = 0) -> None:
    """Raise if ``rows`` hold NaN or infinity.

    Args:
        name: what the rows are, for the message.
        rows: (N, M).
        first_row: the number of the first of these rows in the whole matrix.

    Raises:
        BenchboxError: names the first offending rows.
    """
    # A sum of finite numbers may overflow, but no sum with NaN or infinity is finite: one fast
    # pass clears almost every matrix, and only suspects are looked at closely.
    with np.errstate(over="ignore", invalid="ignore"):
        sums = rows.sum(1)
    suspects = np.flatnonzero(~np.isfinite(_on_host(sums)))
    offending = [row for row in suspects if not np.isfinite(_on_host(rows[int(row)])).all()]
    if not offending:
        return
    named = ", ".join(str(first_row + row) for row in offending[:NAMED_ROWS])
    more = len(offending) - NAMED_ROWS
    raise BenchboxError(
        f"{name}: NaN or infinity in row(s) {named}{f' and {more} more' if more > 0 else ''} "
        "(counted from 0). Such a row has no rank: check the model or the attack that made it."
    )


def read_labels(
    shape: tuple[int, int],
    query_pids: Numbers,
    gallery_pids: Numbers,
    query_camids: Numbers,
    gallery_camids: Numbers,
) -> Labels:
    """Return identities and cameras for ``shape`` = (Q, G) as arrays of whole numbers.

    Raises:
        BenchboxError: a list has the wrong length or holds something else.
    """
    queries, gallery = shape
    return Labels(
        query_pids=_whole_numbers("query_pids", query_pids, queries),
        gallery_pids=_whole_numbers("gallery_pids", gallery_pids, gallery),
        query_camids=_whole_numbers("query_camids", query_camids, queries),
        gallery_camids=_whole_numbers("gallery_camids", gallery_camids, gallery),
    )


def _whole_numbers(name: str, values: Numbers, length: int) -> Ints:
    array = _as_array(name, _on_host(values) if isinstance(values, torch.Tensor) else values)
    if array.dtype.kind not in "iu" or array.shape != (length,):
        raise BenchboxError(
            f"{name}: expected {length} whole numbers, one a row of the features or distances, "
            f"got {array.dtype} of shape {array.shape}."
        )
    return array.astype(np.int64)


def _as_array(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise BenchboxError(f"{name}: cannot be read as an array of numbers ({error}).") from error


def _on_host(values: DistanceRows) -> npt.NDArray[Any]:
    if isinstance(values, np.ndarray):
        return values
    values = values.detach().cpu()
    array: npt.NDArray[Any] = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return array
