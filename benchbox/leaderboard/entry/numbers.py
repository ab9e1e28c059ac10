"""The numbers of an entry: what was measured, over which seeds and queries, and how sure it is."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from benchbox.results.conditions import CLEAN_ATTACK, Condition
from benchbox.untrusted.text import Name

Percent = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=-(2**53), le=2**53)]
_IMAGES, _MATCHES = 10_000_000, 100_000
"""More than any dataset has, and little enough to count with."""
CellId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Record(BaseModel):
    """What all parts of an entry have in common: nothing unknown, nothing infinite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Measured(Record):
    """What was found with one seed, in percent.

    Attributes:
        seed: what the model was trained with.
        cell: the id of the run's cell that the numbers are from.
        mAP: mean average precision over the queries with a valid match.
        rank1: share of these queries with a match at rank 1.
        rank5: share with a match at rank 5 or better.
        rank10: share with a match at rank 10 or better.
    """

    seed: Seed
    cell: CellId
    mAP: Percent  # noqa: N815  the field's own name
    rank1: Percent
    rank5: Percent
    rank10: Percent


class Mean(Record):
    """A number over seeds, in percent.

    Attributes:
        mean: the mean over the seeds.
        std: the sample standard deviation over the seeds (n − 1); None with one seed.
    """

    mean: Percent
    std: Percent | None


class Interval(Mean):
    """A mean with its uncertainty over identities and over seeds.

    Attributes:
        low: lower end of the 95% percentile bootstrap interval over identities, each with all
            its queries; a query is averaged over seeds first.
        high: upper end of the same interval.
        seeds_low: lower end of Student's 95% interval of the mean over seeds; None with one seed.
        seeds_high: upper end of the same interval; None with one seed.
    """

    low: Percent
    high: Percent
    seeds_low: Percent | None
    seeds_high: Percent | None


class Result(Record):
    """What one condition left of the retrieval.

    Attributes:
        attack: the attack's name; ``none`` for clean.
        eps_255: the budget in units of 1/255; 0 for clean.
        steps: how many steps the attack took; 0 for clean.
        step_size_255: how far a step went, in units of 1/255; 0 for clean.
        seeds: what each seed's model scored, in the protocol's order.
        mAP: mean over the seeds, with its intervals.
        rank1: mean over the seeds, likewise ``rank5`` and ``rank10``.
    """

    attack: Name
    eps_255: float = Field(ge=0, le=255)
    steps: int = Field(ge=0, le=10_000)
    step_size_255: float = Field(ge=0, le=255)
    seeds: tuple[Measured, ...] = Field(min_length=1, max_length=50)
    mAP: Interval  # noqa: N815
    rank1: Mean
    rank5: Mean
    rank10: Mean

    @property
    def condition(self) -> Condition:
        """What the queries went through."""
        return Condition(self.attack, self.eps_255, self.steps, self.step_size_255)

    @property
    def is_clean(self) -> bool:
        """Whether the queries were left as they are."""
        return self.attack == CLEAN_ATTACK


class WorstSeed(Record):
    """The worst case of one seed's model, in percent.

    Attributes:
        seed: what the model was trained with.
        mAP: the mean over queries, each under the attack that hurts it most.
    """

    seed: Seed
    mAP: Percent  # noqa: N815


class WorstCase(Record):
    """Each query under the attack that hurts it most at one budget, then the mean over queries.

    Attributes:
        eps_255: the budget in units of 1/255.
        seeds: what each seed's model has left, in the protocol's order.
        mAP: mean over the seeds, with its intervals.
    """

    eps_255: float = Field(gt=0, le=255)
    seeds: tuple[WorstSeed, ...] = Field(min_length=1, max_length=50)
    mAP: Interval  # noqa: N815


class Spread(Record):
    """How evenly identities are served under one condition; see `benchbox.statistics.fairness`.

    Each identity's AP is averaged over its queries and over the seeds first.

    Attributes:
        attack: the attack's name; ``none`` for clean.
        eps_255: the budget in units of 1/255; 0 for clean.
        mean: mean over identities, in percent; each counts once, so that it differs from mAP.
        std: sample standard deviation over identities, in percent; None with one identity.
        worst_decile: mean of the worst tenth of the identities, in percent.
        gini: Gini coefficient, 0 (all alike) towards 1; None where every AP is 0.
        ap: (I,) the identities' AP in 0–1; None where it is not kept for a plot.
    """

    attack: Name
    eps_255: float = Field(ge=0, le=255)
    mean: Percent
    std: Percent | None
    worst_decile: Percent
    gini: Share | None
    ap: tuple[Share, ...] | None = Field(default=None, max_length=10_000)


class IdentityScores(Record):
    """AP by identity.

    Attributes:
        pids: (I,) the identities with a valid match, ascending.
        queries: (I,) how many queries with a valid match each has.
        matches: (I,) the most valid matches in the gallery that one of its queries has.
        spreads: one per result, in their order; clean and the first attack keep their AP.
    """

    pids: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1, max_length=10_000)
    queries: tuple[Annotated[int, Field(ge=1, le=_IMAGES)], ...] = Field(
        min_length=1, max_length=10_000
    )
    matches: tuple[Annotated[int, Field(ge=1, le=_MATCHES)], ...] = Field(
        min_length=1, max_length=10_000
    )
    spreads: tuple[Spread, ...] = Field(min_length=1, max_length=500)


class Counts(Record):
    """What mAP is a mean over.

    Attributes:
        queries: how many queries have a valid match; they are what is averaged.
        skipped: how many queries have none and are left out.
        gallery: how many images are searched.
        lone: how many queries are the only one of their identity.
    """

    queries: int = Field(ge=1, le=_IMAGES)
    skipped: int = Field(ge=0, le=_IMAGES)
    gallery: int = Field(ge=1, le=_IMAGES)
    lone: int = Field(ge=0, le=_IMAGES)
