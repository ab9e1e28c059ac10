"""A board's protocol: what has to be measured, on what, and how, for a row on the board."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from benchbox.data.official import OFFICIAL_COUNTS, Counts
from benchbox.data.sidewalk import DOMAINS, SIZES
from benchbox.data.sidewalk.sizes import spec_of
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.files.toml import parse_toml
from benchbox.results.conditions import CLEAN, Condition
from benchbox.results.record import Digest
from benchbox.runs.grid import parse_fraction
from benchbox.untrusted.json import as_record, read_bounded
from benchbox.untrusted.text import Backbone, Line, Name, Title

PROTOCOL_FILE = "protocol.toml"
_SIZE = 100_000


def _fraction_text(value: object) -> str:
    parse_fraction(value)
    return str(value)


def _in_255ths(fraction: Fraction) -> float:
    # Rounded as a run's folder rounds it, so that the two are the same number.
    return float(f"{round(float(fraction * 255), 9):.12g}")


Fraction255 = Annotated[str, BeforeValidator(_fraction_text)]
"""A budget or step size as grids write it, such as ``8/255``."""


class ProtocolDataset(BaseModel):
    """A dataset of a board.

    Attributes:
        name: the registry's.
        size: of a rendered one.
        digest: that a run must have found; None where copies of a dataset may differ in bytes.
        official: its counts must be the published ones.
        required: every submission is measured on it, trained on it.
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


class Protocol(BaseModel):
    """protocol.toml of a board.

    Attributes:
        board: its folder's name.
        version: goes up when anything here changes that changes a number.
        title: as the board is headed.
        about: one line for its readers.
        grid: a grid file to start from.
        datasets: of the board. Transfers between them are optional.
        backbones: that may be entered; empty allows any.
        image_size: [height, width] fed to the network.
        attacks: registry names; clean is always measured.
        budgets: L∞, as fractions of the pixel range.
        steps: of every attack.
        step_size: of every attack.
        guides: as in a grid.
        distance: as in a grid.
        ap: convention of average precision.
        precision: of the attacks' gradients.
        seeds: one model each; all are averaged, none is chosen.
        required_checks: sanity checks that a submission has to have run.
        rerun_tolerance: mAP points that a recomputation on other hardware may differ by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal[1] = Field(alias="schema")
    board: Name
    version: int = Field(ge=1, le=1_000)
    title: Title
    about: Line = "A board of benchbox."
    grid: Line | None = None
    datasets: tuple[ProtocolDataset, ...] = Field(min_length=1, max_length=20)
    backbones: tuple[Backbone, ...] = ()
    image_size: tuple[int, int]
    attacks: tuple[Name, ...] = Field(min_length=1, max_length=20)
    budgets: tuple[Fraction255, ...] = Field(min_length=1, max_length=20)
    steps: int = Field(ge=1, le=10_000)
    step_size: Fraction255
    guides: Literal["reference", "exclude"] = "reference"
    distance: Literal["squared", "euclidean"] = "squared"
    ap: Literal["trapezoid", "step"]
    precision: Literal["fp32"] = "fp32"
    seeds: tuple[int, ...] = Field(min_length=1, max_length=50)
    required_checks: tuple[Name, ...] = ()
    rerun_tolerance: float = Field(gt=0, le=5)

    @model_validator(mode="after")
    def _no_repeats(self) -> "Protocol":
        for key in ("backbones", "attacks", "budgets", "seeds", "required_checks"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise ValueError(f"{key}: something stands there twice")
        names = [dataset.name for dataset in self.datasets]
        if len(set(names)) != len(names):
            raise ValueError("datasets: something stands there twice")
        return self

    @property
    def fractions(self) -> tuple[Fraction, ...]:
        """The budgets, ascending."""
        return tuple(sorted(map(parse_fraction, self.budgets)))

    @property
    def budgets_255(self) -> tuple[float, ...]:
        """The budgets in units of 1/255, ascending."""
        return tuple(_in_255ths(budget) for budget in self.fractions)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What is measured: clean, then attack by attack with rising budget."""
        step_size = _in_255ths(parse_fraction(self.step_size))
        return (
            CLEAN,
            *(
                Condition(attack, eps, self.steps, step_size)
                for attack in self.attacks
                for eps in self.budgets_255
            ),
        )

    @property
    def sidewalk_size(self) -> str | None:
        """The size of the rendered datasets; None where there are none."""
        return next((dataset.size for dataset in self.datasets if dataset.size), None)

    @property
    def required_pairs(self) -> tuple[tuple[str, str], ...]:
        """The (train dataset, test dataset) that every submission has."""
        return tuple((d.name, d.name) for d in self.datasets if d.required)

    def dataset(self, name: str) -> ProtocolDataset | None:
        """Return a dataset of the board by name, None where it has no such one."""
        return next((dataset for dataset in self.datasets if dataset.name == name), None)


def read_protocol(board: Path, *, version: int | None = None) -> Protocol:
    """Return a board's protocol.

    Entries of an earlier version stay on the board under ``protocol-v<version>.toml``.

    Args:
        board: its folder.
        version: None for the current one.

    Raises:
        BenchboxError: there is none, or a key is faulty.
    """
    current = _read(board, board / PROTOCOL_FILE)
    if version is None or version == current.version:
        return current
    path = board / f"protocol-v{version}.toml"
    if not path.is_file():
        raise BenchboxError(
            f"{printable(board)}: has no protocol of version {version}; expected version "
            f"{current.version} ({PROTOCOL_FILE}) or a file {path.name}."
        )
    earlier = _read(board, path)
    if earlier.version != version:
        raise BenchboxError(f"{printable(path)}: version: {earlier.version}, expected {version}.")
    return earlier


def _read(board: Path, path: Path) -> Protocol:
    where = printable(path)
    values = parse_toml(read_bounded(path, size=_SIZE), where=where)
    try:
        protocol = as_record(values, Protocol, where=where)
    except TypeError as error:  # TOML has dates, JSON has none, and neither has a protocol
        raise BenchboxError(f"{where}: holds a date or time; no key of it is one.") from error
    if protocol.board != board.resolve().name:
        raise BenchboxError(
            f"{where}: board: {protocol.board!r}, but its folder is {board.resolve().name!r}."
        )
    return protocol
