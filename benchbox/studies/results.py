"""What is kept of a cell: for every test image and head, whether it was recognised."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from benchbox.errors import BenchboxError
from benchbox.runs.store import Store
from benchbox.studies.heads import Fit

KIND = "classifier"
"""Of the artefacts in the store."""

HEADS = {
    "adversarial": "AT",
    "fine_tuned": "AT → fine-tuned (only classifier)",
    "fresh": "AT → fresh classifier",
}
"""The rows of the table by the fields of `Result`, in order."""

CONVERGED = 1e-5
"""A fitted head whose gradient has no larger entry counts as converged."""

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
_Bits = Annotated[str, Field(pattern=r"^[01]+$")]


class Hits(BaseModel):
    """Whether each test image was recognised, one character an image, in the images' order."""

    model_config = _STRICT

    clean: _Bits
    pgd: _Bits


class FitRecord(BaseModel):
    """How well a head is fitted; see `benchbox.studies.heads.Fit`."""

    model_config = _STRICT

    first_loss: float
    loss: float
    gradient: float
    evaluations: int

    @classmethod
    def of(cls, fit: Fit) -> "FitRecord":
        """Return the numbers of a fit."""
        return cls(
            first_loss=fit.first_loss,
            loss=fit.loss,
            gradient=fit.gradient,
            evaluations=fit.evaluations,
        )


class Result(BaseModel):
    """What one model of one seed recognises with each head.

    Attributes:
        adversarial: the hits with the head of the adversarial training.
        fine_tuned: the hits with that head fine-tuned on clean images.
        fresh: the hits with a head fitted on clean images from zero.
        fits: ``fine_tuned`` and ``fresh`` → how well that head is fitted.
    """

    model_config = _STRICT

    adversarial: Hits
    fine_tuned: Hits
    fresh: Hits
    fits: dict[str, FitRecord]

    def hits(self, head: str, column: str) -> NDArray[np.bool_]:
        """Return (N,) bool for a head of `HEADS` and ``clean`` or ``pgd``."""
        text: str = getattr(getattr(self, head), column)
        recognised: NDArray[np.bool_] = np.frombuffer(text.encode(), dtype=np.uint8) == ord("1")
        return recognised


def bits(hits: Tensor) -> str:
    """Return (N,) bool as a text of 0 and 1."""
    return "".join("1" if hit else "0" for hit in hits.tolist())


def read_result(store: Store, key: str, *, images: int) -> Result:
    """Return a finished cell's result.

    Raises:
        BenchboxError: the file is not a result of so many test images.
    """
    file = store.folder(KIND, key) / "result.json"
    fault = ""
    try:
        result = Result.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        fault = " ".join(str(error).split())[:200]
    else:
        parts = [getattr(result, head) for head in HEADS]
        if {len(text) for part in parts for text in (part.clean, part.pgd)} == {images}:
            return result
        fault = f"expected {images} test images in every list"
    raise BenchboxError(f"{file}: no result of this study ({fault}). Delete {file.parent}.")
