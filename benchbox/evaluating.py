"""``benchbox.evaluate``: the robustness of one model in one call, from a notebook or a script."""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError
from rich.console import Console, RenderableType
from safetensors.torch import load_file
from torch import Tensor, nn

from benchbox.errors import BenchboxError
from benchbox.files.console import make_console
from benchbox.models.given import Channel, Given, RankingDistance
from benchbox.models.reid import IMAGENET_MEAN, IMAGENET_STD
from benchbox.reports.tables.by_layout import over_seeds
from benchbox.results.run_folder import RunFolder, read_run
from benchbox.runs.grid import Grid, parse_fraction
from benchbox.runs.grid_file import require_known_names
from benchbox.runs.living_model import EmbeddingFunction, LivingModel
from benchbox.runs.opening import planned_datasets
from benchbox.runs.override import fault_lines
from benchbox.runs.plan import make_plan
from benchbox.runs.preview import plan_tables
from benchbox.runs.registry import Registry, load_registry, with_row
from benchbox.runs.runner import Options, run_resolved
from benchbox.runs.stages.attack import images_file
from benchbox.runs.store import Store
from benchbox.tables.as_html import table_to_html
from benchbox.tables.as_rich import FittedTable
from benchbox.tables.table import Table
from defenses import Defense, Guard

ATTACKS = ("fna", "sma", "ifgsm")
"""The attacks of the paper's tables."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation measured.

    Attributes:
        run: the run's folder, read.
        name: the row's name.
    """

    run: RunFolder
    name: str
    _folder: "tempfile.TemporaryDirectory[str] | None" = field(default=None, repr=False)

    @cached_property
    def table(self) -> Table:
        """MAP and Rank-1 in percent: clean, and under every attack and budget."""
        return over_seeds(self.run.results, self.run.record.names)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row a number, with the columns of results.csv; mAP and ranks in percent."""
        return self.run.results.copy()

    @cached_property
    def per_query(self) -> pd.DataFrame:
        """A row for each query and condition.

        Columns ``test_dataset, attack, eps_255, query, pid, ap, first_hit``: AP in 0–1, NaN where a
        query has no valid match; the rank of the first correct match from 1, 0 where there is none.
        """
        parts = []
        for row in self.run.results.to_dict("records"):
            file = self._stage(row["cell"], "rank") / "per_query.json"
            part = pd.DataFrame(json.loads(file.read_text()))
            for place, key in enumerate(("test_dataset", "attack", "eps_255")):
                part.insert(place, key, row[key])
            parts.append(part)
        return pd.concat(parts, ignore_index=True).astype({"ap": float})

    @cached_property
    def per_id(self) -> pd.DataFrame:
        """A row for each identity and condition, with columns of results.csv and per_id.csv."""
        keys = ["cell", "test_dataset", "attack", "eps_255"]
        return self.run.results[keys].merge(self.run.per_id, on="cell").drop(columns="cell")

    def images(self, attack: str, budget: str = "8/255", *, on: str | None = None) -> Tensor:
        """Return the adversarial queries, (Q, 3, H, W) in [0, 1], in the dataset's order.

        With ``keep_images=False`` only a sample of twelve is there.

        Args:
            attack: its name.
            budget: such as ``"8/255"``.
            on: the test dataset, where there are several.

        Raises:
            BenchboxError: nothing of this kind was measured.
        """
        fraction = parse_fraction(budget)
        rows = self.run.results
        same_budget = (rows["eps_255"] / 255 - float(fraction)).abs() < 1e-9
        wanted = same_budget & (rows["attack"] == attack)
        if on is not None:
            wanted &= rows["test_dataset"] == on
        cells = rows.loc[wanted, "cell"]
        if cells.empty:
            raise BenchboxError(f"images: no cell of attack {attack} at {budget} was measured.")
        return load_file(self._stage(cells.iloc[0], "attack") / images_file(fraction))["images"]

    def _stage(self, cell: str, kind: str) -> Path:
        record = self.run.record
        store = Store((self.run.path / (record.store or "store")).resolve())
        return store.folder(kind, record.cells[cell].stages[kind])

    def __rich__(self) -> RenderableType:
        """Return the table for the terminal."""
        return FittedTable(self.table)

    def _repr_html_(self) -> str:
        return str(table_to_html(self.table))


def evaluate(
    model: nn.Module | Callable[[Tensor], Tensor] | Given,
    dataset: str | Sequence[str],
    *,
    attacks: Sequence[str] = ATTACKS,
    budgets: Sequence[str] = ("8/255",),
    steps: int = 16,
    image_size: tuple[int, int] = (256, 128),
    mean: Channel | None = IMAGENET_MEAN,
    std: Channel | None = IMAGENET_STD,
    distance: RankingDistance = "euclidean",
    guard: Guard | None = None,
    name: str = "model",
    out: str | Path | None = None,
    keep_images: bool = False,
    device: str = "auto",
    batch_size: int = 0,
    data_root: str | Path | None = None,
    console: Console | None = None,
    **grid: Any,
) -> Evaluation:
    """Measure how well a model retrieves, clean and under attack.

    The model is copied, put into evaluation mode and left as it is. What a model may need beyond
    the arguments here (pixel range, BGR, several outputs, cameras, flip-test) is said by a `Given`.

    Args:
        model: a module or function, images (B, 3, H, W) to embeddings (B, D); or a `Given`.
        dataset: one or several names, such as ``market1501`` or ``path:/data/ours``.
        attacks: names; clean is always there.
        budgets: L∞ budgets, as ``"8/255"``.
        steps: of every attack, of 1/255 each.
        image_size: (height, width) the model takes; not with a `Given`, nor the next three.
        mean: per channel on the [0, 1] scale; None where the model normalises pixels itself.
        std: likewise.
        distance: ``"euclidean"`` or ``"cosine"``: ranks the gallery, and is what attacks ascend.
        guard: what is done to an image before it is embedded.
        name: the row's, in lower case.
        out: keep everything in this folder, a run's like any other: it resumes, reports, submits.
        keep_images: keep all adversarial queries, not a sample.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: images at a time; 0 means 64 on a CPU, 256 on a GPU.
        data_root: where datasets are; None means $BENCHBOX_DATA or the user's cache.
        console: where progress is shown; None means the terminal or notebook.
        **grid: further keys of a grid, such as ``ap="step"`` or ``sidewalk_size="small"``.

    Raises:
        BenchboxError: the model, an argument or a dataset does not fit; the message says what to
            do.
    """
    if isinstance(model, Given):
        given = model
    else:
        given = Given(
            builder=LivingModel(_as_module(model), name),
            image_size=image_size,
            mean=mean,
            std=std,
            distance=distance,
            backbone=type(model).__name__,
        )
    row = Defense(name=name, title=name, model=given, guard=guard, source="given")
    keys = {
        "name": name,
        "datasets": [dataset] if isinstance(dataset, str) else list(dataset),
        "defenses": [name],
        "attacks": list(attacks),
        "budgets": list(budgets),
        "steps": steps,
        "keep_adversarial": keep_images,
        **grid,
    }
    folder = tempfile.TemporaryDirectory() if out is None else None
    place = Path(folder.name if folder else out or "")
    options = Options(
        device=device, batch_size=batch_size, data_root=Path(data_root) if data_root else None
    )
    evaluate_row(row, keys, place, options, console or make_console(), inline=True)
    return Evaluation(read_run(place), name, folder)


def evaluate_row(
    row: Defense,
    keys: dict[str, Any],
    out: Path,
    options: Options,
    console: Console,
    *,
    inline: bool = False,
) -> None:
    """Run a grid of one row that no registry has yet.

    Args:
        row: the defense.
        keys: of a grid.
        out: the run's folder.
        options: where and how.
        console: told of plan and progress.
        inline: do the stages in this process.

    Raises:
        BenchboxError: a key is faulty, or a stage failed.
    """
    grid, registry = _resolved(row, keys, options)
    outcome = run_resolved(grid, registry, out, options, console, where="evaluate", inline=inline)
    if outcome.failures:
        raise BenchboxError("\n".join(outcome.failures))


def plan_row(row: Defense, keys: dict[str, Any], options: Options) -> list[RenderableType]:
    """Return the plan of a grid of one row, for a person to read; nothing is measured.

    Raises:
        BenchboxError: a key is faulty, or the model cannot be built.
    """
    grid, registry = _resolved(row, keys, options)
    planned = planned_datasets(grid, registry, data_root=options.data_root)
    plan = make_plan(grid, registry, planned.digests, where="evaluate", counts=planned.counts)
    return plan_tables(plan, planned.missing)


def _resolved(row: Defense, keys: dict[str, Any], options: Options) -> tuple[Grid, Registry]:
    known = load_registry(options.plugins, builders=options.builders)
    if row.name in known.defenses:
        raise BenchboxError(f"name: {row.name!r} is a defense already; choose another name.")
    registry = with_row(known, row)
    try:
        grid = Grid.model_validate_json(json.dumps(keys))
    except ValidationError as error:
        raise BenchboxError("\n".join(fault_lines(error.errors(), where="evaluate"))) from error
    require_known_names(grid, registry, where="evaluate")
    return grid, registry


def _as_module(model: nn.Module | Callable[[Tensor], Tensor]) -> nn.Module:
    if isinstance(model, nn.Module):
        return model
    if isinstance(model, type) or not callable(model):
        raise BenchboxError(
            f"model: expected a torch.nn.Module, a function or a Given, not {model!r:.80}."
        )
    return EmbeddingFunction(model)
