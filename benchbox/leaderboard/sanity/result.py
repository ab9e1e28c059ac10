"""What a sanity check of a submission found."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from benchbox.untrusted.text import Line, Name

Outcome = Literal["pass", "fail", "not applicable", "not run"]
"""``fail`` marks the entry suspect; ``not applicable`` needs a reason, which ``says`` gives."""

Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=100)]
"""What a number is called, such as ``map_2.5`` for the mAP at 2.5/255."""


@dataclass(
    frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
)
class CheckResult:
    """The outcome of one sanity check on one group of cells.

    Attributes:
        name: what the check is called, as a protocol's ``required_checks`` has it.
        outcome: pass, fail, not applicable or not run.
        says: one sentence for the reader of the board: what was seen, with its numbers.
        numbers: what was measured, by name, for the figure that shows it.
    """

    name: Name
    outcome: Outcome
    says: Line
    numbers: Annotated[Mapping[Key, float], Field(max_length=100)] = Field(default_factory=dict)
