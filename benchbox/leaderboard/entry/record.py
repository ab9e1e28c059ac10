"""An entry: what one defense measured on one pair of datasets, as a board shows it."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from attacks import WorstCase as WorstCaseAttack
from benchbox.leaderboard.entry.moments import Day, Time
from benchbox.leaderboard.entry.numbers import (
    Counts,
    IdentityScores,
    Record,
    Result,
    Seed,
    WorstCase,
)
from benchbox.leaderboard.entry.training import (
    attack_in_training,
    recipe_name,
    step_cost,
    training_protocol,
)
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group
from benchbox.runs.record import Digest
from benchbox.untrusted.text import Backbone, Line, Name, Title, WebAddress, require_visible

SCHEMA = 1

Status = Literal["ok", "suspect", "unchecked"]
"""``suspect``: a sanity check failed; ``unchecked``: none failed, but one was not run."""

Seconds = Annotated[float, Field(ge=0, le=1e9)]
Settings = Annotated[dict[str, Any], AfterValidator(require_visible)]
"""Settings as a run resolved them, which pages print as they are."""

Package = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=100)]


class About(Record):
    """A defense as its author presents it.

    Attributes:
        name: the defense's name in the registry.
        title: its name in tables.
        authors: who made it, as they want to be named.
        note: what a reader should know.
        paper: web address of its description.
        code: web address of its code.
        weights: web address of its weights.
    """

    name: Name
    title: Title
    authors: Line | None = None
    note: Line | None = None
    paper: WebAddress | None = None
    code: WebAddress | None = None
    weights: WebAddress | None = None


class Dataset(Record):
    """A dataset as the run found it.

    Attributes:
        name: the registry's.
        digest: SHA-256 over its files, by which copies are told apart.
        size: how large a rendered dataset was rendered; None for any other.
    """

    name: Name
    digest: Digest
    size: Literal["tiny", "small", "full"] | None


class Weights(Record):
    """The trained weights of one seed, by their content.

    Attributes:
        seed: what the training drew its random numbers from.
        sha256: digest of the weights file.
    """

    seed: Seed
    sha256: Digest


class GivenModel(Record):
    """A model that was trained elsewhere; how it is used stands in ``provenance.defense``.

    Attributes:
        builder: file and function that build it, or the name of one of benchbox's builders.
        builder_sha256: digest of that file; None for benchbox's own.
        trained_on: dataset it was trained on, as its author states it; None where not stated.
    """

    builder: Line
    builder_sha256: Digest | None
    trained_on: Name | None


class Made(Record):
    """When and on what the work behind the numbers was done: by this run, or by one before it.

    Attributes:
        first: when the first stage was finished.
        last: when the last stage was finished.
        devices: what the stages ran on, in words.
        torch: the versions of PyTorch they ran with.
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
        grid: the run's settings, resolved.
        defense: recipe and guard with all their parameters.
        versions: package → version, of the packages that determine numbers.
        commit: benchbox's commit; None outside a checkout.
        dirty: whether benchbox's tree had uncommitted changes.
        device: what the run was put together on, in words.
        started: when the run began.
        finished: when the run ended.
        training_seconds: how long the models' own trainings took, summed; None where that was
            not recorded.
        measuring_seconds: how long embedding and attacking took, summed.
        made: when and on what the stages were done; None where their store is older than this
            record.
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
        schema_: the version of this record's form.
        board: the board's name.
        version: the version of the board's protocol that it was measured by.
        status: ok, suspect or unchecked, as the outcomes of the checks make it.
        submitted: the day it was written.
        train: the dataset that the models were trained on.
        test: the dataset whose queries were attacked.
        backbone: the network's name in the registry.
        defense: name, title, authors and addresses of the defense.
        counts: how many queries and gallery images the numbers are of.
        results: one for each condition: clean first, then in the protocol's order.
        worst_case: one for each budget.
        identities: AP identity by identity.
        weights: digests of the models' weights, one for each seed; of a given model, of the file
            its author has.
        given: how a model that was trained elsewhere is built; None for one benchbox trained.
        checks: outcomes of the sanity checks.
        provenance: grid, versions, device and times of the run.
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
    identities: IdentityScores
    weights: tuple[Weights, ...] = Field(min_length=1, max_length=50)
    given: GivenModel | None = None
    checks: tuple[CheckResult, ...] = Field(max_length=100)
    provenance: Provenance
    digest: Digest

    @property
    def group(self) -> Group:
        """Backbone and datasets; only entries that share them are compared."""
        return Group(self.backbone, self.train.name, self.test.name)

    @property
    def training_protocol(self) -> str:
        """By which its models were trained; empty where that tells no rows apart."""
        return training_protocol(self.provenance.grid, self.provenance.defense)

    @property
    def attack_in_training(self) -> str:
        """What its models were trained on, as ``8/255, 3 passes``; empty for no attack."""
        return attack_in_training(self.provenance.defense)

    @property
    def hardened_by(self) -> str:
        """The recipe by which a given model was trained on; empty for any other."""
        return "" if self.given is None else recipe_name(self.provenance.defense)

    @property
    def step_cost(self) -> float | None:
        """How many passes a training step took; None where that is not recorded."""
        return step_cost(self.provenance.defense)

    @property
    def title(self) -> str:
        """The defense's title, with the training protocol where two rows may bear one title."""
        protocol = self.training_protocol
        return f"{self.defense.title} ({protocol})" if protocol else self.defense.title

    @property
    def clean(self) -> Result:
        """The result without an attack."""
        return next(result for result in self.results if result.is_clean)

    @property
    def worst_of_single_attacks(self) -> tuple[WorstCase, ...]:
        """The worst cases at budgets at which the attack of that name was not run."""
        run = {result.eps_255 for result in self.results if result.attack == WorstCaseAttack.name}
        return tuple(worst for worst in self.worst_case if worst.eps_255 not in run)

    def result(self, condition: Condition) -> Result | None:
        """Return what a condition left, None where it was not measured."""
        return next((result for result in self.results if result.condition == condition), None)


def status_of(checks: tuple[CheckResult, ...]) -> Status:
    """Return what the outcomes of the checks make of an entry."""
    outcomes = {check.outcome for check in checks}
    if "fail" in outcomes:
        return "suspect"
    return "unchecked" if "not run" in outcomes else "ok"
