"""A baseline as a record: what a run measured, query by query, to hold a later run against."""

import re
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictInt,
    model_validator,
)

from benchbox.regression.place import Place
from benchbox.results.conditions import CLEAN_ATTACK, Condition

MAX_CELLS = 2_000
MAX_SEEDS = 20
MAX_QUERIES = 20_000
_DECIMALS = 4
_ROUNDING = 100 * 0.5 * 10**-_DECIMALS + 1e-6
"""Points by which the mean of rounded APs may differ from the mAP."""


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return float(value) if isinstance(value, int) else value


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$", max_length=120)]
QueryKey = Annotated[str, Field(pattern=r"^[ -~]+$", max_length=300)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Float = Annotated[float, BeforeValidator(_number)]
Percent = Annotated[_Float, Field(ge=0, le=100)]
Ap = Annotated[_Float, Field(ge=0, le=1)]
Pid = Annotated[StrictInt, Field(ge=1, le=2**53)]
Points = Annotated[_Float, Field(gt=0, le=50)]
_GRID_PATTERN = r"^(\.?[A-Za-z0-9_-][A-Za-z0-9_.-]*/)*[A-Za-z0-9_-][A-Za-z0-9_.-]*\.toml$"
_GRID_LENGTH = 200
GridFile = Annotated[str, Field(pattern=_GRID_PATTERN, max_length=_GRID_LENGTH)]
"""A grid's path from the project's folder; it cannot leave it."""


def is_grid_file(path: str) -> bool:
    """Whether a baseline can name this path."""
    return len(path) <= _GRID_LENGTH and re.fullmatch(_GRID_PATTERN, path) is not None


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class SeedResult(_Record):
    """What one model scored in a cell.

    Attributes:
        seed: what the training and the attack drew their random numbers from.
        weights: SHA-256 of the trained weights, of a given model of its tensors. Equal weights
            mean that nothing was retrained.
        mAP: mean average precision in percent, over the queries with a valid match.
        rank1: the share of these queries with a match at rank 1, in percent.
        ap: 0 to 1 per query, in the order of the baseline's query keys, four decimals.
    """

    seed: StrictInt = Field(ge=-(2**53), le=2**53)
    weights: Sha256
    mAP: Percent  # noqa: N815  the field's own name
    rank1: Percent
    ap: tuple[Ap, ...] = Field(min_length=1, max_length=MAX_QUERIES)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if abs(100 * float(np.mean(self.ap)) - self.mAP) > _ROUNDING:
            raise ValueError(f"mAP {self.mAP:.4f} is not the mean of the queries' ap")
        return self


class BaselineCell(_Record):
    """A cell of the grid with what each seed scored; clean has budget and steps 0.

    A recipe is judged by the models it happens to make, a given model as it is: on the same images
    the same tensors give the same numbers, and other tensors are the change under test.
    """

    train: Name
    test: Name
    backbone: Name
    defense: Name
    attack: Name
    eps_255: Annotated[_Float, Field(ge=0, le=255)]
    steps: StrictInt = Field(ge=0, le=10_000)
    step_size_255: Annotated[_Float, Field(ge=0, le=255)]
    made_by: Literal["train", "given"] = "train"
    seeds: tuple[SeedResult, ...] = Field(min_length=1, max_length=MAX_SEEDS)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        budget = (self.eps_255, self.steps, self.step_size_255)
        clean = self.attack == CLEAN_ATTACK
        if clean != (self.eps_255 == 0) or (clean and any(budget)):
            raise ValueError("expected budget 0 for attack none and above 0 for the others")
        if len({result.seed for result in self.seeds}) != len(self.seeds):
            raise ValueError("a seed stands there twice")
        if len({len(result.ap) for result in self.seeds}) != 1:
            raise ValueError("its seeds have different numbers of queries")
        return self

    @property
    def place(self) -> Place:
        """What was measured on what, the seeds aside."""
        condition = Condition(self.attack, self.eps_255, self.steps, self.step_size_255)
        return Place(self.train, self.test, self.backbone, self.defense, condition)

    @property
    def is_given(self) -> bool:
        """Whether its model was trained elsewhere."""
        return self.made_by == "given"

    @property
    def ap(self) -> np.ndarray:
        """AP per query averaged over the seeds, (Q,) in [0, 1]."""
        mean: np.ndarray = np.mean([result.ap for result in self.seeds], axis=0)
        return mean

    @property
    def mAP(self) -> float:  # noqa: N802  the field's own name
        """Mean over the seeds, in percent."""
        return float(np.mean([result.mAP for result in self.seeds]))


class Baseline(_Record):
    """What a run measured, to hold a later run against.

    Attributes:
        schema_: the version of this record's form.
        name: the grid's name.
        grid_file: the grid's path from the project's folder, if it is run from there.
        grid: the grid's resolved settings, without this machine's paths.
        ap_convention: ``trapezoid`` or ``step``.
        benchbox: the version that measured.
        commit: benchbox's commit; None outside a checkout.
        dirty: whether there were uncommitted changes.
        datasets: name → digest, of every dataset in the cells.
        seed_std: attack → declared standard deviation of mAP over retrainings, in points at an
            mAP of 50%; for an attack that is not named see `benchbox.regression.seed_noise`.
        queries: test dataset → keys of its queries with a valid match, in the order of ``ap``.
        pids: test dataset → whom each of these queries shows.
        cells: what was measured, in the order of the run.
    """

    schema_: Literal[1] = Field(default=1, alias="schema")
    name: Name
    grid_file: GridFile | None = None
    grid: dict[str, JsonValue] = {}
    ap_convention: Literal["trapezoid", "step"]
    benchbox: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+!-]*$", max_length=60)] = ""
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")] | None = None
    dirty: bool | None = None
    datasets: dict[Name, Sha256] = Field(min_length=1, max_length=100)
    seed_std: dict[Name, Points] = Field(default={}, max_length=100)
    queries: dict[Name, tuple[QueryKey, ...]] = Field(min_length=1, max_length=100)
    pids: dict[Name, tuple[Pid, ...]] = Field(min_length=1, max_length=100)
    cells: tuple[BaselineCell, ...] = Field(min_length=1, max_length=MAX_CELLS)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, keys in self.queries.items():
            if len(set(keys)) != len(keys) or not keys:
                raise ValueError(f"queries of {name}: expected keys, each once")
        lengths = [{name: len(v) for name, v in of.items()} for of in (self.queries, self.pids)]
        if lengths[0] != lengths[1]:
            raise ValueError("pids: expected one of every query, of the same datasets")
        places: set[Place] = set()
        for cell in self.cells:
            if cell.place in places:
                raise ValueError(f"the cell {cell.place} stands there twice")
            places.add(cell.place)
            for name in (cell.train, cell.test):
                if name not in self.datasets:
                    raise ValueError(f"datasets has no digest of {name}")
            expected = len(self.queries.get(cell.test, ()))
            if len(cell.seeds[0].ap) != expected:
                raise ValueError(
                    f"the cell {cell.place} has {len(cell.seeds[0].ap)} APs for {expected} queries"
                )
        return self

    @property
    def by_place(self) -> dict[Place, BaselineCell]:
        """Place → cell."""
        return {cell.place: cell for cell in self.cells}
