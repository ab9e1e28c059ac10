"""A grid: the lists whose product is a run, read from a TOML file and checked to the last key."""

import re
from collections import Counter
from dataclasses import asdict, fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from benchbox.data.finding import DATASETS
from benchbox.data.sidewalk import SIZES
from benchbox.errors import BenchboxError, unknown_name
from benchbox.files.printable import printable
from benchbox.files.toml import read_toml
from benchbox.models.registry import check_backbone
from benchbox.runs.registry import Registry

T = TypeVar("T")

_FRACTION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,20}| */ *[0-9]{1,9})?")
"""Digits that are quickly computed with: of 1e99999999 there are more than memory holds."""

_SHOWN = 200
"""Characters of a faulty value that a message repeats."""


def parse_fraction(value: object) -> Fraction:
    """Return a budget or step size written as ``"8/255"`` (exactly; never as a decimal).

    Raises:
        ValueError: it is not a string ``a/b`` with 0 ≤ a/b ≤ 1 and at most 9 digits each.
    """
    if isinstance(value, Fraction):
        return value
    if not isinstance(value, str):
        raise ValueError('expected a string such as "8/255"')
    try:
        fraction = Fraction(value.replace(" ", "")) if _FRACTION.fullmatch(value) else None
    except ZeroDivisionError:
        fraction = None
    if fraction is None:
        raise ValueError('expected a fraction such as "8/255"')
    if not 0 <= fraction <= 1:
        raise ValueError("expected a fraction between 0 and 1 of the pixel range")
    return fraction


def parse_source(text: str) -> tuple[str | None, str]:
    """Return backbone (None for the row's own) and defense of ``backbone:defense``."""
    backbone, colon, defense = text.rpartition(":")
    return (backbone if colon else None), defense


Budget = Annotated[Fraction, BeforeValidator(parse_fraction)]

_AT_MOST = 1_000
"""Values in a list of a grid."""


class Grid(BaseModel):
    """What to run. Every key of a grid file, with its default.

    Attributes:
        name: of the run, short.
        title: one line for tables and reports.
        datasets: each is trained on and its queries are attacked.
        transfers: further pairs [trained on, tested on].
        validation: evaluate on identities held out of the training split, for tuning; the test
            queries are not looked at.
        sidewalk_size: which size of the rendered datasets.
        backbones: names the model registry knows, timm's included.
        pretrained: start from ImageNet weights; a path names a local file.
        image_size: [height, width] fed to the network.
        defenses: rows, in the order of the table.
        attacks: column groups, in order; clean is always there.
        budgets: L∞ budgets, as fractions of the pixel range.
        steps: of every attack.
        step_size: of every attack.
        guides: ``reference`` or ``exclude``: are a query's own embedding and copies of it among
            its push guides, as in the reference implementation.
        distance: what an attack ascends: ``squared`` Euclidean (reference) or ``euclidean``.
        seeds: one model per seed.
        ap: average precision by ``trapezoid`` (official Market-1501) or ``step`` (torchreid).
        precision: of the attacks' gradients, ``fp32`` or ``bf16`` (about twice as fast where the
            processor has bf16 units); embeddings are always taken in fp32.
        sources: models whose adversarial queries are shown to every row, as black-box attacks: a
            defense (on the row's own backbone) or ``backbone:defense``.
        keep_adversarial: store all adversarial queries; those of sources are stored anyway.
        training: overrides of every recipe's training.
        defended: overrides of every recipe but ``vanilla``: of its training, its start, and of
            what those that attack have in common (eps, steps, step_size). A parameter that a
            recipe does not have is passed over for it.
        recipe: overrides by recipe name.
        guard: overrides by defense name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    title: str = ""
    datasets: list[str] = Field(min_length=1, max_length=_AT_MOST)
    transfers: list[tuple[str, str]] = Field(default=[], max_length=_AT_MOST)
    validation: bool = False
    sidewalk_size: str = "tiny"
    backbones: list[str] = Field(default=["resnet50"], min_length=1, max_length=_AT_MOST)
    pretrained: bool | str = True
    image_size: tuple[int, int] = (256, 128)
    defenses: list[str] = Field(min_length=1, max_length=_AT_MOST)
    attacks: list[str] = Field(default=["fna", "sma", "ifgsm"], max_length=_AT_MOST)
    budgets: list[Budget] = Field(
        default=[Fraction(8, 255), Fraction(10, 255)], min_length=1, max_length=_AT_MOST
    )
    steps: int = Field(default=16, ge=1, le=10_000)
    step_size: Budget = Fraction(1, 255)
    guides: Literal["reference", "exclude"] = "reference"
    distance: Literal["squared", "euclidean"] = "squared"
    seeds: list[int] = Field(default=[0], min_length=1, max_length=_AT_MOST)
    ap: Literal["trapezoid", "step"] = "trapezoid"
    precision: Literal["fp32", "bf16"] = "fp32"
    sources: list[str] = Field(default=[], max_length=_AT_MOST)
    keep_adversarial: bool = False
    training: dict[str, Any] = {}
    defended: dict[str, Any] = {}
    recipe: dict[str, dict[str, Any]] = {}
    guard: dict[str, dict[str, Any]] = {}

    @field_validator("datasets", "backbones", "defenses", "attacks", "budgets", "seeds", "sources")
    @classmethod
    def _no_repeats(cls, values: list[Any]) -> list[Any]:
        repeated = {str(value) for value, times in Counter(values).items() if times > 1}
        if repeated:
            raise ValueError(f"{', '.join(sorted(repeated))} stands there twice")
        return values

    @field_validator("image_size")
    @classmethod
    def _sensible_size(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not all(16 <= side <= 1024 for side in value):
            raise ValueError("expected [height, width] between 16 and 1024 pixels")
        return value


def read_grid(path: Path, registry: Registry) -> Grid:
    """Return the grid in a TOML file.

    Raises:
        BenchboxError: one line a fault, each with file, key, value and what is allowed.
    """
    content = read_toml(path)
    for key in content:
        if key not in Grid.model_fields:
            raise unknown_name("key", key, Grid.model_fields, where=str(path))
    try:
        # Through JSON, in whose strict mode an array is a tuple but "16" is no integer.
        grid = Grid.model_validate_json(TypeAdapter(Any).dump_json(content))
    except ValidationError as error:
        raise BenchboxError("\n".join(_faults(path, error))) from error
    except (ValueError, RecursionError) as error:  # pydantic writes no JSON that deep
        raise BenchboxError(f"{path}: its tables are nested too deep.") from error
    _require_known_names(grid, path, registry)
    return grid


def _faults(path: Path, error: ValidationError) -> list[str]:
    lines = []
    for fault in error.errors():
        key = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        value = repr(fault["input"])
        shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
        given = "" if fault["type"] == "missing" else f", not {shown}"
        lines.append(f"{path}: {printable(key.lstrip('.'))[:_SHOWN]}: {message}{given}.")
    return lines


def _require_known_names(grid: Grid, path: Path, registry: Registry) -> None:
    def known(key: str, kind: str, names: list[str], allowed: Any) -> None:
        for name in names:
            if name not in allowed:
                raise unknown_name(kind, name, allowed, where=f"{path}: {key}")

    known("attacks", "attack", grid.attacks, registry.attacks)
    known("defenses", "defense", grid.defenses, registry.defenses)
    known("sidewalk_size", "size", [grid.sidewalk_size], SIZES)
    known("guard", "defense", list(grid.guard), registry.defenses)
    for name in grid.backbones:
        check_backbone(name, where=f"{path}: backbones")
    for backbone, defense in map(parse_source, grid.sources):
        known("sources", "defense", [defense], registry.defenses)
        if backbone is not None:
            check_backbone(backbone, where=f"{path}: sources")
    recipes = {defense.recipe.name for defense in registry.defenses.values()}
    known("recipe", "recipe", list(grid.recipe), recipes)
    for key, names in (
        ("datasets", grid.datasets),
        ("transfers", [name for pair in grid.transfers for name in pair]),
    ):
        known(key, "dataset", [n for n in names if not n.startswith("path:")], DATASETS)


def override(instance: T, changes: dict[str, Any], *, where: str) -> T:
    """Return a copy of a frozen dataclass with some fields changed, checked by their types.

    Nested dataclasses take nested tables; a float field also takes a fraction such as "8/255".

    Args:
        instance: such as a recipe with its defaults.
        changes: field name → new value, as read from TOML.
        where: file and table, for errors.

    Raises:
        BenchboxError: an unknown field or a value of the wrong type.
    """
    if not is_dataclass(instance) or isinstance(instance, type):
        raise BenchboxError(f"{where}: {instance!r} has no parameters to override.")
    current = {field.name: getattr(instance, field.name) for field in fields(instance)}
    for key, value in changes.items():
        if key not in current:
            raise unknown_name("parameter", key, current, where=where)
        if is_dataclass(current[key]) and isinstance(value, dict):
            current[key] = override(current[key], value, where=f"{where}.{key}")
        elif isinstance(current[key], float) and isinstance(value, str):
            try:
                current[key] = float(parse_fraction(value))
            except ValueError as error:
                raise BenchboxError(f"{where}.{key}: {error}, not {value!r}.") from error
        else:
            current[key] = value
    plain = {
        k: asdict(v) if is_dataclass(v) and not isinstance(v, type) else v
        for k, v in current.items()
    }
    adapter: TypeAdapter[T] = TypeAdapter(type(instance))
    try:
        return adapter.validate_json(TypeAdapter(Any).dump_json(plain), strict=True)
    except ValidationError as error:
        raise BenchboxError("\n".join(_faults(Path(where), error))) from error
    except BenchboxError as error:
        raise BenchboxError(f"{where}: {error}") from error
