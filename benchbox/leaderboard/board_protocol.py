"""A board's protocol: what has to be measured, on what, and how, for a row on the board."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from attacks import ALL_ATTACKS, WorstCase
from attacks.universal import Universal
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.files.toml import read_toml
from benchbox.leaderboard.board_dataset import ProtocolDataset
from benchbox.results.conditions import CLEAN, Condition
from benchbox.runs.attack_settings import Pace, attack_as_set, pace_of
from benchbox.runs.attack_stages import is_pooled
from benchbox.runs.grid import parse_budget, parse_fraction
from benchbox.untrusted.json import as_record
from benchbox.untrusted.text import Backbone, Line, Name, Title

PROTOCOL_FILE = "protocol.toml"
_SIZE = 100_000


def _fraction_text(value: object) -> str:
    parse_budget(value)
    return str(value)


def _in_255ths(fraction: Fraction) -> float:
    # Rounded as a run's folder rounds it, so that the two are the same number.
    return float(f"{round(float(fraction * 255), 9):.12g}")


Fraction255 = Annotated[str, BeforeValidator(_fraction_text)]
"""A budget or step size as grids write it, such as ``8/255``."""


class OwnSettings(BaseModel):
    """What a board sets for the worst case alone, which costs ten times what another attack does.

    Attributes:
        budgets: its L∞ radii, among those of the board; absent means all of them.
        tier: how much of it is run; absent means what the attack does where nobody says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    budgets: tuple[Fraction255, ...] | None = Field(default=None, min_length=1, max_length=20)
    tier: Literal["fast", "full"] | None = None


class Protocol(BaseModel):
    """protocol.toml of a board.

    Attributes:
        schema_: the version of this record's form.
        board: the name of the board's folder.
        version: goes up when anything here changes that changes a number.
        title: what the board is headed.
        about: one line for the board's readers.
        grid: a grid file that a submitter can start from.
        datasets: what is trained and measured on. Transfers between them are optional.
        backbones: the networks that may be entered; empty allows any.
        image_size: [height, width] fed to the network; absent allows any.
        attacks: their names in the registry; clean is always measured.
        budgets: L∞ radii, as fractions of the pixel range.
        steps: how many steps every attack takes.
        step_size: how far a step of every attack goes, as a fraction of the pixel range.
        guides: whether a query's own embedding is among its push guides, as in a grid.
        distance: what an attack ascends, as in a grid.
        attack: ``worst_case`` → what is set for it alone, as in a grid.
        ap: the convention of average precision.
        precision: how exactly the attacks' gradients are computed.
        seeds: one model each; all are averaged, none is chosen.
        required_checks: the sanity checks that a submission has to have run.
        rerun_tolerance: how many points of mAP a recomputation on other hardware may differ by.
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
    image_size: tuple[int, int] | None = None
    attacks: tuple[Name, ...] = Field(min_length=1, max_length=20)
    budgets: tuple[Fraction255, ...] = Field(min_length=1, max_length=20)
    steps: int = Field(ge=1, le=10_000)
    step_size: Fraction255
    guides: Literal["reference", "exclude"] = "reference"
    distance: Literal["squared", "euclidean"] = "squared"
    attack: dict[Name, OwnSettings] = Field(default={}, max_length=20)
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

    @model_validator(mode="after")
    def _each_query_is_attacked(self) -> "Protocol":
        for name in self.attacks:
            kind = ALL_ATTACKS.get(name)
            if kind is not None and (kind is Universal or not is_pooled(kind)):
                raise ValueError(
                    f"attacks: {name} is of another threat model: a board ranks by queries that "
                    "are attacked one by one so that they do not find their own"
                )
        return self

    @model_validator(mode="after")
    def _own_settings_fit(self) -> "Protocol":
        for name, own in self.attack.items():
            if name != WorstCase.name or name not in self.attacks:
                raise ValueError(
                    f"attack.{name}: expected {WorstCase.name} alone, where it is among the attacks"
                )
            budgets = list(map(parse_fraction, own.budgets or ()))
            if len(set(budgets)) != len(budgets) or not set(budgets) <= set(self.fractions):
                raise ValueError(f"attack.{name}.budgets: expected some of the board's, once each")
        return self

    @property
    def takes_any_model(self) -> bool:
        """Whether any network at any size may be entered: then all are ranked together."""
        return not self.backbones and self.image_size is None

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
        return (
            CLEAN,
            *(
                Condition(attack, _in_255ths(budget), *self._pace(attack))
                for attack in self.attacks
                for budget in self.fractions_of(attack)
            ),
        )

    def fractions_of(self, attack: str) -> tuple[Fraction, ...]:
        """Return an attack's budgets, ascending: its own, or those of all attacks."""
        own = self.attack.get(attack)
        if own is None or own.budgets is None:
            return self.fractions
        return tuple(sorted(map(parse_fraction, own.budgets)))

    def parameters_of(self, attack: str) -> dict[str, Any]:
        """Return what is set for an attack alone, its budgets aside."""
        own = self.attack.get(attack)
        return {} if own is None or own.tier is None else {"tier": own.tier}

    @property
    def attack_tables(self) -> dict[str, dict[str, Any]]:
        """What is set for single attacks, as a grid has it."""
        return {
            name: own.model_dump(mode="json", exclude_none=True)
            for name, own in self.attack.items()
        }

    def _pace(self, attack: str) -> Pace:
        """Return an attack's pace; one that is not part of benchbox takes the board's."""
        step_size = _in_255ths(parse_fraction(self.step_size))
        if attack not in ALL_ATTACKS:
            return Pace(self.steps, step_size)
        pace = pace_of(attack_as_set(ALL_ATTACKS[attack], self))
        return Pace(pace.steps, step_size if pace.step_size_255 else 0.0)

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
    values = read_toml(path, size=_SIZE, links="refused")
    try:
        protocol = as_record(values, Protocol, where=where)
    except TypeError as error:  # TOML has dates, JSON has none, and neither has a protocol
        raise BenchboxError(f"{where}: holds a date or time; no key of it is one.") from error
    if protocol.board != board.resolve().name:
        raise BenchboxError(
            f"{where}: board: {protocol.board!r}, but its folder is {board.resolve().name!r}."
        )
    return protocol
