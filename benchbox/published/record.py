"""What a paper printed, as records: its tables, their cells, and how they were reported."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from benchbox.results.conditions import CLEAN_ATTACK

PublishedPlace = tuple[str, str, str, str, str, float, int]
"""Train dataset, test dataset, backbone, defense, attack, budget in 1/255, steps."""


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("expected one line of printable text")
    return text


def _number(text: str) -> str:
    # Decimal alone would take NaN, 1e2, 1_0 and other scripts' digits, which nobody prints.
    if not re.fullmatch(r"(0|[1-9][0-9]{0,2})(\.[0-9]{1,6})?", text):
        raise ValueError("expected a number such as 31.99")
    return text


Text = Annotated[str, AfterValidator(_one_line)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=100)]
Percent = Annotated[Decimal, Field(ge=0, le=100), BeforeValidator(_number)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PublishedTable(_Record):
    """A table of a paper.

    Attributes:
        title: its caption.
        labels: the headings of its leading columns.
        values: what its numbers are, with the unit.
        note: what to know of this table before comparing.
    """

    title: Text
    labels: tuple[Text, ...] = Field(min_length=1)
    values: Text
    note: Text | None = None


class Paper(_Record):
    """NAME.toml: where published numbers come from and how they were reported.

    Attributes:
        schema_: the version of this record's form.
        citation: the paper as in running text, such as ``Zhou et al. 2025``.
        title: the paper's title.
        authors: all of them, in the paper's order.
        arxiv: its number on arXiv, if it is there.
        code: web address of its code, if there is any.
        ap_convention: the form of average precision, if the paper says.
        step_size: how far a step of the attacks goes, if the paper says.
        reported: how many runs a number is taken from, and which.
        notes: what to know before comparing.
        tables: the paper's number of a table → what it is called.
    """

    schema_: Literal[1] = Field(alias="schema")
    citation: Text
    title: Text
    authors: tuple[Text, ...] = Field(min_length=1)
    arxiv: str | None = Field(default=None, pattern=r"^[0-9]{4}\.[0-9]{4,5}$")
    code: str | None = Field(default=None, pattern=r"^https://[!-~]+$")
    ap_convention: Literal["trapezoid", "step", "not stated"]
    step_size: Text
    reported: Text
    notes: tuple[Text, ...] = ()
    tables: dict[str, PublishedTable] = Field(min_length=1)

    @property
    def reference(self) -> str:
        """The paper in words: citation, title, arXiv number."""
        where = f", arXiv {self.arxiv}" if self.arxiv else ""
        return f"{self.citation}, “{self.title}”{where}"

    @property
    def web_address(self) -> str | None:
        """Where the paper is; None where that is not known."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else None


class Printed(_Record, ABC):
    """A cell of a paper's table, found by what the paper prints beside and above it.

    Attributes:
        table: the paper's number of the table.
        row: the labels beside the cell, parted by `` / ``.
        column: the headings above the cell, the upper one first.
    """

    table: Text
    row: Text
    column: Text

    @property
    def labels(self) -> tuple[str, ...]:
        """The row's labels, one per leading column."""
        return tuple(self.row.split(" / "))

    @property
    def headings(self) -> tuple[str, str]:
        """The upper and the lower heading; the lower is empty where there is one."""
        upper, _, lower = self.column.partition(" ")
        return upper, lower

    @property
    @abstractmethod
    def place(self) -> tuple[object, ...]:
        """What was measured on what; no two cells of a table have the same."""

    @property
    @abstractmethod
    def text(self) -> str:
        """What stands in the cell, with the paper's decimals."""


class PublishedCell(Printed):
    """A row of NAME.csv: retrieval in percent, under benchbox's names; clean has budget 0."""

    train_dataset: Name
    test_dataset: Name
    backbone: Name
    defense: Name
    attack: Name
    eps_255: Annotated[float, Field(le=255), BeforeValidator(_number)]
    steps: Annotated[int, BeforeValidator(_number)]
    mAP: Percent  # noqa: N815  the field's own name
    rank1: Percent

    @field_validator("eps_255", "steps")
    @classmethod
    def _agrees_with_attack(cls, value: float, info: ValidationInfo) -> float:
        if (info.data.get("attack") == CLEAN_ATTACK) != (value == 0):
            raise ValueError("expected 0 for attack none and above 0 for the others")
        return value

    @property
    def place(self) -> PublishedPlace:
        """What was measured on what."""
        models = (self.train_dataset, self.test_dataset, self.backbone, self.defense)
        return (*models, self.attack, self.eps_255, self.steps)

    @property
    def text(self) -> str:
        """mAP/Rank-1 with the paper's decimals."""
        return f"{self.mAP}/{self.rank1}"


class PublishedAccuracy(Printed):
    """A row of NAME-table1.csv: classification accuracy in percent."""

    model: Name
    classifier: Literal["adversarial", "refitted"]
    condition: Literal["clean", "pgd"]
    accuracy: Percent

    @property
    def place(self) -> tuple[str, str, str]:
        """What was measured on what."""
        return self.model, self.classifier, self.condition

    @property
    def text(self) -> str:
        """The accuracy with the paper's decimals."""
        return str(self.accuracy)


@dataclass(frozen=True)
class PublishedSource:
    """What one source printed, in the order of its files.

    Attributes:
        source: the NAME of its files.
        about: the paper, from NAME.toml.
        cells: what it printed of retrieval, from NAME.csv.
        accuracies: what it printed of classification, from NAME-table1.csv; empty without one.
    """

    source: str
    about: Paper
    cells: tuple[PublishedCell, ...]
    accuracies: tuple[PublishedAccuracy, ...]
