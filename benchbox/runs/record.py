"""run.json: one description for who writes it and who reads it."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchbox.files.atomic import write_json
from benchbox.models.given import RankingDistance

RUN_SCHEMA: Literal[1] = 1

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A stage's key. It becomes part of a path, so nothing but a digest will do."""


class _Known(BaseModel):
    """Refuses a key that it does not have, so that none is written unnoticed."""

    model_config = ConfigDict(extra="forbid")


class Split(_Known):
    """How large a split is; None where it was not recorded."""

    images: int | None = None
    ids: int | None = None
    cameras: int | None = None


class DatasetRecord(_Known):
    """A dataset as the run found it.

    Attributes:
        digest: of its file names and contents.
        root: its folder, with ``~`` for the home folder.
        size: of a rendered dataset, such as ``tiny``; None for a downloaded one.
        validation: whether queries and gallery are held-out training identities.
        junk: how many gallery images have the identity -1, which no evaluation counts.
        unofficial: how it differs from the published dataset of its name, a line each.
        chance: mAP of a random ranking in percent, in the run's convention; None in older runs.
    """

    digest: str | None = None
    root: str | None = None
    size: str | None = None
    validation: bool = False
    junk: int | None = None
    unofficial: list[str] = []
    chance: Annotated[float, Field(ge=0, le=100)] | None = None
    train: Split = Split()
    query: Split = Split()
    gallery: Split = Split()


class CellRecord(_Known):
    """What results.csv does not say of a cell.

    Attributes:
        skipped_queries: how many queries have no valid match.
        lone_queries: how many queries are the only one of their identity.
        stages: kind → key of the stages whose artefacts the number came from.
        overrides: what the grid changed in the defense.
        draws: how many draws an attack averages over: 1, or more where the model answers
            differently when asked twice.
        won: of an ensemble of attacks, which one left how many queries their lowest AP.
        channels: mAP in percent of the attack's own images as they are (``none``), in 8 bits and
            as JPEG; see `benchbox.evaluation.real_images`. None where they were not all kept.
        repeats: over how many draws of corruptions the cell is a mean; 1 for all others.
        spread: name of a column → its sample standard deviation (n − 1) over those, in points.
    """

    skipped_queries: int = 0
    lone_queries: int = 0
    stages: dict[str, Digest] = {}
    overrides: dict[str, Any] = {}
    draws: int = 1
    won: dict[str, int] = {}
    channels: dict[str, Annotated[float, Field(ge=0, le=100)]] = {}
    repeats: Annotated[int, Field(ge=1)] = 1
    spread: dict[str, Annotated[float, Field(ge=0, le=100)]] = {}


class AttackRecord(_Known):
    """An attack as it ran.

    Attributes:
        threat: what the attacker knows and may change; see `attacks.base.ThreatModel`. Of
            `Universal` what it knows in the place of the query set.
        budgets: its L∞ budgets, as fractions of the pixel range.
        steps: how many steps it takes; 0 where it has no fixed number of them.
        step_size_255: of one, in units of 1/255; 0 where it chooses its own.
        settings: its class and all its parameters.
        through: what its images pass while it is made and when they are ranked, as ``JPEG 95``;
            None where it is nothing.
    """

    threat: str
    budgets: list[str]
    steps: Annotated[int, Field(ge=0, le=1_000_000)]
    step_size_255: Annotated[float, Field(ge=0, le=255)]
    settings: dict[str, Any]
    through: str | None = None


class RowRecord(_Known):
    """A planned row: a defense, and where, on what network and from which seed.

    Attributes:
        train: dataset the model is trained on; of a given model as its owner states it.
        test: dataset whose queries are attacked.
        backbone: name of the network.
        defense: name of the defense.
        seed: of the training and of random starts.
        ranked_by: the distance by which the gallery is ranked. Our own models' embeddings have
            unit length, where the Euclidean distance ranks as the cosine does, but for the mean of
            an image and its mirror.
        flip_test: whether that mean is ranked and attacked.
        ascended: the distance that attacks with guides ascend, in words: that of the same
            embeddings. Empty in runs older than this key.
    """

    train: str
    test: str
    backbone: str
    defense: str
    seed: int
    ranked_by: RankingDistance = "euclidean"
    flip_test: bool = False
    ascended: str = ""


class TrainingRecord(_Known):
    """How long it took to make one model, as its stages recorded it.

    Attributes:
        train: dataset it is trained on.
        backbone: name of the network.
        defense: name of the defense.
        seed: of the training.
        seconds: wall time of its own training, and of what was prepared for it and for its guard;
            of the weights it starts from nothing. None where a stage is not done.
        devices: what those stages ran on, each as it took when it was made.
    """

    train: str
    backbone: str
    defense: str
    seed: int
    seconds: Annotated[float, Field(ge=0, le=1e9)] | None
    devices: list[str]


class GitRecord(_Known):
    """The commit the run was made from; None outside a checkout."""

    commit: str | None = None
    dirty: bool | None = None


class RunRecord(_Known):
    """Where a run's numbers come from, and what its tables call things.

    A key has a default where a run of an older benchbox may lack it; `write_record` wants all.

    Attributes:
        schema_: ``schema`` in the file.
        name: of the grid.
        title: of the grid, in words.
        started: time in UTC; so is ``finished``, None until then.
        command: the command line.
        versions: of Python and the packages that determine numbers.
        git: commit and whether its files were changed.
        device: what it ran on, in words.
        batch_size: images at a time when embedding and attacking.
        store: the folder of the stages, seen from the run's folder or from the root.
        datasets: name → what was found.
        titles: ``defenses``, ``attacks``, ``datasets`` or ``backbones`` → name → what is printed.
        order: the same kinds → names in the order of the table.
        grid: the resolved grid.
        defenses: name → its source, recipe and guard with all parameters, and what a step of its
            training costs.
        attacks: name → its threat model, budgets and parameters; none in older runs.
        rows: what was planned; none in runs older than given models.
        trainings: of each model that was trained here; none in runs older than this key.
        cells: cell → what results.csv does not say of it.
        near_chance: the clean cells whose mAP is near that of a random ranking.
        failures: one line for each stage that could not be done.
    """

    model_config = ConfigDict(frozen=True)

    schema_: Literal[1] = Field(alias="schema")
    name: str
    title: str = ""
    started: str | None = None
    finished: str | None = None
    command: str | None = None
    versions: dict[str, str | None] = {}
    git: GitRecord | None = None
    device: Any = None
    batch_size: int | None = None
    store: str | None = None
    datasets: dict[str, DatasetRecord] = {}
    titles: dict[str, dict[str, str]] = {}
    order: dict[str, list[str]] = {}
    grid: dict[str, Any] = {}
    defenses: dict[str, Any] = {}
    attacks: dict[str, AttackRecord] = {}
    rows: list[RowRecord] = []
    trainings: list[TrainingRecord] = []
    cells: dict[str, CellRecord] = {}
    near_chance: list[str] = []
    failures: list[Any] = []


def write_record(path: Path, record: RunRecord) -> None:
    """Write a run's record atomically.

    Raises:
        ValueError: a key was left to its default, which is for runs of older benchboxes.
        BenchboxError: the file cannot be written.
    """
    content = record.model_dump(mode="json", by_alias=True)
    if record.model_dump(mode="json", by_alias=True, exclude_unset=True) != content:
        raise ValueError(f"{path}: a key of the record was left out.")
    write_json(path, content)
