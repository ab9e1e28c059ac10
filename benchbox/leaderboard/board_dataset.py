"""A dataset of a board, as the board's protocol names it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from benchbox.data.counting import Counts
from benchbox.data.official import OFFICIAL_COUNTS
from benchbox.data.sidewalk import DOMAINS, SIZES
from benchbox.data.sidewalk.sizes import spec_of
from benchbox.runs.record import Digest
from benchbox.untrusted.text import Name


class ProtocolDataset(BaseModel):
    """A dataset of a board.

    Attributes:
        name: its name in the registry.
        size: how large a rendered dataset is rendered; None for any other.
        digest: what a run must have found; None where copies of a dataset may differ in bytes.
        official: whether its counts have to be the published ones.
        required: whether every submission is trained and measured on it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    size: Literal["tiny", "small", "full"] | None = None
    digest: Digest | None = None
    official: bool = False
    required: bool = True

    @model_validator(mode="after")
    def _known(self) -> "ProtocolDataset":
        if (self.size is not None) != (self.name in DOMAINS):
            raise ValueError(
                f"{self.name}: a rendered dataset, and no other, has a size of {SIZES}"
            )
        if self.official and self.name not in OFFICIAL_COUNTS:
            raise ValueError(f"{self.name}: has no official counts")
        return self

    @property
    def counts(self) -> Counts | None:
        """The published counts, None where the board does not ask for them."""
        return OFFICIAL_COUNTS[self.name] if self.official else None

    @property
    def queries(self) -> int | None:
        """How many queries there are, those without a match included; None where not known."""
        if self.size is not None:
            return spec_of(self.name, self.size).queries
        return self.counts.query_images if self.counts else None

    @property
    def gallery(self) -> int | None:
        """How many gallery images there are; None where not known."""
        if self.size is not None:
            return spec_of(self.name, self.size).gallery
        return self.counts.gallery_images if self.counts else None
