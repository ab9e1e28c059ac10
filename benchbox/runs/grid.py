"""A grid: the lists whose product is a run, with every key and its default."""

import re
from collections import Counter
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from attacks.corruption import Corruption
from benchbox.data.jpeg import QUALITY
from benchbox.evaluation.real_images import Through
from benchbox.reranking.names import PLAIN, Ranking
from benchbox.runs.slurm_settings import SlurmSettings
from benchbox.untrusted.text import Line

_FRACTION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,20}| */ *[0-9]{1,9})?")
"""Digits that are quickly computed with: of 1e99999999 there are more than memory holds."""


_AT_MOST = 1_000
"""Values in a list of a grid."""


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


def parse_budget(value: object) -> Fraction:
    """Return a budget or step size that is more than nothing; see `parse_fraction`.

    Raises:
        ValueError: it is no fraction, or 0.
    """
    fraction = parse_fraction(value)
    if fraction == 0:
        raise ValueError("expected a fraction above 0; clean queries are measured in every run")
    return fraction


def parse_budgets(values: object, *, where: str) -> list[Fraction]:
    """Return a list of budgets of one attack.

    Raises:
        ValueError: it is no list, is empty, holds something twice, or one is no budget.
    """
    if not isinstance(values, list) or not values or len(values) > _AT_MOST:
        raise ValueError(f'{where}: expected a list such as ["8/255"]')
    try:
        budgets = [parse_budget(value) for value in values]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if len(set(budgets)) != len(budgets):
        raise ValueError(f"{where}: something stands there twice")
    return budgets


def parse_source(text: str) -> tuple[str | None, str]:
    """Return backbone (None for the row's own) and defense of ``backbone:defense``."""
    backbone, colon, defense = text.rpartition(":")
    return (backbone if colon else None), defense


Budget = Annotated[Fraction, BeforeValidator(parse_budget)]

TrainingProtocol = Literal["not stated", "as published", "equal budget"]
"""How a grid's rows are trained beside each other; see `benchbox.runs.training_protocol`."""


class Grid(BaseModel):
    """What to run. Every key of a grid file, with its default.

    Attributes:
        name: short name of the run.
        title: one line for tables and reports.
        datasets: each is trained on, and its queries are attacked.
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
        steps: how many steps an attack takes.
        step_size: how long one step of an attack is, as a fraction of the pixel range.
        guides: ``reference`` or ``exclude``: are a query's own embedding and copies of it among
            its push guides, as in the reference implementation.
        distance: what an attack ascends: ``squared`` Euclidean (reference) or ``euclidean``.
        seeds: one model per seed.
        ap: average precision by ``trapezoid`` (official Market-1501) or ``step`` (torchreid).
        flip_test: embed an image and its mirror and take the mean, of rows that are trained here;
            attacks go through both.
        ranked_by: ``euclidean`` or ``cosine``: what ranks rows that are trained here. Their
            embeddings have unit length, where both rank alike, but for the mean of ``flip_test``.
        ranks: at which k Rank-k (CMC) stands in results.csv; 1, 5 and 10 stand there anyway.
        rankings: how galleries are ranked: ``plain`` (there anyway), ``k_reciprocal`` (Zhong et al.
            2017), ``query_expansion`` (as in fast-reid), ``multi_query`` (the queries of one
            identity and camera as one); the others have rows and a table of their own.
        shown: what a cell of the tables shows, mAP first: ``mAP``, ``minp``, ``rank1`` and further.
        precision: in which the attacks' gradients are computed, ``fp32`` or ``bf16`` (about twice
            as fast where the processor has bf16 units); embeddings are always taken in fp32.
        sources: models whose adversarial queries are shown to every row, as black-box attacks: a
            defense (on the row's own backbone) or ``backbone:defense``.
        keep_adversarial: store all adversarial queries (those of sources are stored anyway), and
            measure what 8 bits and JPEG leave of each attack.
        eight_bit: round what every attack found to 8 bits a channel, inside its ball, before it
            is ranked: a perturbation that lives in floating point only is no image.
        through: ``nothing``, or ``jpeg``: every attack stands there a second time, made straight
            through a JPEG before the model (which is what a camera that compresses leaves an
            attacker to do) and ranked as that JPEG shows its images. Black-box cells stay plain.
        jpeg_quality: of that JPEG, and of the one that kept images pass in the report's table.
        training_protocol: how rows are trained, which is checked and stands under tables and on
            boards: ``as published`` (each recipe's own attack, steps and losses), ``equal budget``
            (one budget and one number of passes for all rows that train on attacks), or
            ``not stated``. It changes no number.
        deviations: recipe, or defense with a guard → what an ``as published`` grid changes of it
            nevertheless, and why; for tables. Start and schedule of a training are free.
        training: changes every recipe's training.
        defended: changes every recipe but ``vanilla``: its training, its start, and what those
            that attack have in common (eps, steps, step_size). A parameter that a recipe does not
            have is passed over for it.
        recipe: recipe name → the parameters it changes.
        guard: defense name → the parameters of its guard it changes.
        attack: attack name → the parameters it changes: those of its own, such as the ``tier`` of
            ``worst_case``, and ``budgets``, ``steps``, ``step_size``, ``own`` and ``distance``
            where it differs from the other attacks. Its ``eps`` comes from ``budgets`` and its
            ``generator`` from ``seeds``. Of ``corruption``: ``repeats``, ``corruptions`` and
            ``severities``.
        dataset: ``path:FOLDER`` or ``manifest:FILE`` → how it is read: ``pattern``, ``zero`` and
            ``same_camera``.
        slurm: what ``--executor slurm`` asks of the cluster: ``partition``, ``account``, ``qos``,
            ``gpus``, ``cpus``, ``memory_gb``, ``minutes``, ``at_once`` and ``more``.
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
    flip_test: bool = False
    ranked_by: Literal["euclidean", "cosine"] = "euclidean"
    ranks: list[Annotated[int, Field(ge=1, le=999_999)]] = Field(
        default=[1, 5, 10, 20], max_length=20
    )
    rankings: list[Ranking] = Field(default=[PLAIN], max_length=10)
    shown: list[str] = Field(default=["mAP", "rank1"], min_length=1, max_length=6)
    precision: Literal["fp32", "bf16"] = "fp32"
    sources: list[str] = Field(default=[], max_length=_AT_MOST)
    keep_adversarial: bool = False
    eight_bit: bool = False
    through: Through = "nothing"
    jpeg_quality: int = Field(default=QUALITY, ge=1, le=100)
    training_protocol: TrainingProtocol = "not stated"
    deviations: dict[str, Line] = {}
    training: dict[str, Any] = {}
    defended: dict[str, Any] = {}
    recipe: dict[str, dict[str, Any]] = {}
    guard: dict[str, dict[str, Any]] = {}
    attack: dict[str, dict[str, Any]] = {}
    dataset: dict[str, dict[str, Any]] = {}
    # Left out of records: what it says changes no number.
    slurm: SlurmSettings = Field(default_factory=SlurmSettings, exclude=True)

    @field_validator(
        *("datasets", "backbones", "defenses", "attacks", "budgets", "seeds", "sources"),
        *("ranks", "rankings", "shown"),
    )
    @classmethod
    def _no_repeats(cls, values: list[Any]) -> list[Any]:
        repeated = {str(value) for value, times in Counter(values).items() if times > 1}
        if repeated:
            raise ValueError(f"{', '.join(sorted(repeated))} stands there twice")
        return values

    @field_validator("shown")
    @classmethod
    def _measured(cls, values: list[str], info: ValidationInfo) -> list[str]:
        known = ["mAP", "minp", *(f"rank{k}" for k in {1, 5, 10, *info.data.get("ranks", ())})]
        for value in values:
            if value not in known:
                raise ValueError(
                    f"{value!r} is not measured; expected mAP, minp, or a rank{{k}}"
                    " whose k stands in ranks"
                )
        if values[0] != "mAP":
            raise ValueError("expected mAP first, by which the best of a column is bold")
        return values

    @field_validator("image_size")
    @classmethod
    def _sensible_size(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not all(16 <= side <= 1024 for side in value):
            raise ValueError("expected [height, width] between 16 and 1024 pixels")
        return value

    @field_validator("attack")
    @classmethod
    def _own_budgets(cls, tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, table in tables.items():
            if "budgets" in table:
                parse_budgets(table["budgets"], where=f"{name}.budgets")
        return tables

    def budgets_of(self, attack: str) -> list[Fraction]:
        """Return an attack's budgets: its own, or those of all attacks; corruptions have none."""
        if attack == Corruption.name:
            return []
        own = self.attack.get(attack, {}).get("budgets")
        return self.budgets if own is None else parse_budgets(own, where=f"{attack}.budgets")

    @property
    def parsed_sources(self) -> list[tuple[str | None, str]]:
        """The sources as (backbone, defense); a backbone of None is the row's own."""
        return [parse_source(text) for text in self.sources]
