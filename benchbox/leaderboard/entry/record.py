"""An entry: what one defense measured on one pair of datasets, as a board shows it."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from benchbox.leaderboard.entry.numbers import ByIdentity, Counts, Record, Result, Seed, WorstCase
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group
from benchbox.results.record import Digest
from benchbox.untrusted.text import Backbone, Line, Name, Title, WebAddress, require_visible

SCHEMA = 1

Status = Literal["ok", "suspect", "unchecked"]
"""``suspect``: a sanity check failed; ``unchecked``: none failed, but one was not run."""

_EARLIEST = date(2015, 1, 1)
"""Before it nobody attacked ReID: a date that old is a mistake."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_TIME = 40
"""Characters of a time at most."""


def _iso_date(value: object) -> object:
    # Here and below: pydantic itself would take a number in quotes for seconds since 1970.
    if not isinstance(value, str):
        return value
    if not _DATE.fullmatch(value):
        raise ValueError("expected a date such as 2026-01-31")
    return date.fromisoformat(value)


def _iso_time(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not _DATE.fullmatch(value[:10]) or value[10:11] != "T" or len(value) > _TIME:
        raise ValueError("expected a time such as 2026-01-31T12:00:00Z")
    return datetime.fromisoformat(value)


def _sensible_date(day: date) -> date:
    # A day of slack, because it is tomorrow already somewhere.
    if not _EARLIEST <= day <= datetime.now(UTC).date() + timedelta(days=1):
        raise ValueError(f"expected a date from {_EARLIEST} to today")
    return day


def _sensible_time(time: datetime) -> datetime:
    try:
        day = time.astimezone(UTC).date()
    except OverflowError:
        raise ValueError(f"expected a time from {_EARLIEST} to today") from None
    _sensible_date(day)
    return time


Seconds = Annotated[float, Field(ge=0, le=1e9)]
Day = Annotated[date, BeforeValidator(_iso_date), AfterValidator(_sensible_date)]
Time = Annotated[AwareDatetime, BeforeValidator(_iso_time), AfterValidator(_sensible_time)]
Settings = Annotated[dict[str, Any], AfterValidator(require_visible)]
"""Settings as a run resolved them, which pages print as they are."""

Package = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=100)]


class About(Record):
    """Whose defense it is, in its author's words.

    Attributes:
        name: in the registry.
        title: as tables print it.
        authors: who made it.
        note: what a reader should know.
        paper: where it is described.
        code: where its code is.
        weights: where its weights are.
    """

    name: Name
    title: Title
    authors: Line | None = None
    note: Line | None = None
    paper: WebAddress | None = None
    code: WebAddress | None = None
    weights: WebAddress | None = None


class Dataset(Record):
    """A dataset as the run found it."""

    name: Name
    digest: Digest
    size: Literal["tiny", "small", "full"] | None


class Weights(Record):
    """The trained weights of one seed, by their content."""

    seed: Seed
    sha256: Digest


class Made(Record):
    """When and on what the work behind the numbers was done: by this run, or by one before it.

    Attributes:
        first: when the first of its stages was finished.
        last: when the last was.
        devices: they were done on.
        torch: versions they were done with.
    """

    first: Time
    last: Time
    devices: tuple[Line, ...] = Field(min_length=1, max_length=20)
    torch: tuple[Line, ...] = Field(min_length=1, max_length=20)


class Provenance(Record):
    """Where the numbers come from.

    Started, finished, device, versions and commit are of the run that put the numbers together. It
    takes finished stages from its store, whose code was the same by digest.

    Attributes:
        grid: of the run, resolved.
        defense: its recipe and guard with all parameters.
        versions: of what determines numbers.
        commit: of benchbox; None outside a checkout.
        dirty: whether its tree had uncommitted changes.
        device: in words.
        training_seconds: of the models, their own trainings alone; None where not recorded.
        measuring_seconds: of embedding and attacks.
        made: of the stages; None where their store is older than this record.
    """

    grid: Settings
    defense: Settings
    versions: dict[Package, Line | None] = Field(max_length=100)
    commit: str | None = Field(default=None, pattern=r"^[0-9a-f]{40,64}$")
    dirty: bool | None
    device: Line | None
    started: Time
    finished: Time
    training_seconds: Seconds | None
    measuring_seconds: Seconds | None
    made: Made | None = None


class Entry(Record):
    """One JSON file of a board; its fields in the order of the file.

    Attributes:
        schema_: of this record.
        board: the board's name.
        version: of the board's protocol.
        status: ok, suspect or unchecked, as the checks have it.
        submitted: the day.
        train: trained on.
        test: its queries were attacked.
        backbone: name.
        defense: whose it is.
        counts: what is averaged.
        results: clean first, then in the protocol's order.
        worst_case: one per budget.
        identities: AP by identity.
        weights: one per seed.
        checks: outcomes of the sanity checks.
        provenance: where it comes from.
        digest: SHA-256 of all the rest, which shows an edit by hand.
    """

    schema_: Literal[1] = Field(alias="schema")
    board: Name
    version: int = Field(ge=1, le=1_000)
    status: Status
    submitted: Day
    train: Dataset
    test: Dataset
    backbone: Backbone
    defense: About
    counts: Counts
    results: tuple[Result, ...] = Field(min_length=1, max_length=500)
    worst_case: tuple[WorstCase, ...] = Field(min_length=1, max_length=20)
    identities: ByIdentity
    weights: tuple[Weights, ...] = Field(min_length=1, max_length=50)
    checks: tuple[CheckResult, ...] = Field(max_length=100)
    provenance: Provenance
    digest: Digest

    @property
    def group(self) -> Group:
        """What it is compared within."""
        return Group(self.backbone, self.train.name, self.test.name)

    @property
    def clean(self) -> Result:
        """The result without an attack."""
        return next(result for result in self.results if result.is_clean)

    def result(self, condition: Condition) -> Result | None:
        """Return what a condition left, None where it was not measured."""
        return next((result for result in self.results if result.condition == condition), None)


def status_of(checks: tuple[CheckResult, ...]) -> Status:
    """Return what the outcomes of the checks make of an entry."""
    outcomes = {check.outcome for check in checks}
    if "fail" in outcomes:
        return "suspect"
    return "unchecked" if "not run" in outcomes else "ok"
