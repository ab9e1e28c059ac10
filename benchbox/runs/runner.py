"""``benchbox run``: resolve a grid, do what is missing, write the run's folder."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from benchbox.data.counting import counts_of
from benchbox.errors import BenchboxError
from benchbox.files.atomic import cannot_write
from benchbox.files.watch import Watch
from benchbox.models.registry import try_backbone
from benchbox.runs.display import show
from benchbox.runs.estimating import Speed, require_within
from benchbox.runs.executors.choosing import Order, make_executor
from benchbox.runs.executors.events import Done, Event, Executor, Failed, LeftOut
from benchbox.runs.executors.inline import Inline
from benchbox.runs.grid import Grid
from benchbox.runs.grid_file import read_grid
from benchbox.runs.opening import open_datasets, planned_datasets
from benchbox.runs.options import Options, default_batch_size, device_of
from benchbox.runs.plan import Plan, make_plan
from benchbox.runs.preview import plan_tables
from benchbox.runs.provenance import now
from benchbox.runs.recorder import Recorder
from benchbox.runs.registry import Registry, load_registry
from benchbox.runs.sharding import in_shards
from benchbox.runs.stages import RankStage, Stage, TrainStage
from benchbox.runs.store import Store
from benchbox.runs.workplace import Site
from defenses import PreparedGuard


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        cells: how many with the plain ranking have their numbers.
        failures: one line per stage that could not be done.
        left_out: how many stages were not tried because of those.
    """

    cells: int
    failures: list[str]
    left_out: int


def preview(grid_file: Path, options: Options) -> tuple[Plan, dict[str, str]]:
    """Return the plan of a grid without doing anything, and what is amiss with its datasets.

    A dataset that is not there yet does not stop the preview.

    Raises:
        BenchboxError: the grid or a plugin is faulty.
    """
    registry = load_registry(options.plugins, builders=options.builders)
    grid = read_grid(grid_file, registry)
    planned = planned_datasets(grid, registry, data_root=options.data_root)
    plan = make_plan(grid, registry, planned.digests, where=str(grid_file), counts=planned.counts)
    _require_backbones(plan)
    return plan, planned.missing


def run_grid(grid_file: Path, out: Path, options: Options, console: Console) -> Outcome:
    """Execute or resume a grid in the folder ``out`` and write its tables and report.

    Raises:
        BenchboxError: anything the user can mend before or during the run; finished stages
            stay in the folder.
    """
    registry = load_registry(options.plugins, builders=options.builders)
    grid = read_grid(grid_file, registry)
    return run_resolved(grid, registry, out, options, console, where=str(grid_file))


def run_resolved(
    grid: Grid,
    registry: Registry,
    out: Path,
    options: Options,
    console: Console,
    *,
    where: str,
    inline: bool = False,
) -> Outcome:
    """Execute or resume a grid that was not read from a file; see `run_grid`.

    Args:
        grid: validated, its names known to the registry.
        registry: attacks and defenses.
        out: the run's folder.
        options: where and how.
        console: told of the plan and of progress.
        where: what the grid came from, for errors.
        inline: do the stages in this process, for models that live in it.

    Raises:
        BenchboxError: as `run_grid`.
    """
    device = device_of(options)
    with _only_run(out):
        datasets = open_datasets(grid, registry, console, data_root=options.data_root)
        digests = {name: dataset.digest for name, dataset in datasets.items()}
        counts = {name: counts_of(dataset) for name, dataset in datasets.items()}
        plan = make_plan(grid, registry, digests, where=where, counts=counts)
        _require_preparations(plan)
        _require_backbones(plan)
        for part in plan_tables(plan, {}):
            console.print(part, soft_wrap=isinstance(part, str), highlight=False, markup=False)
        site = Site(
            store=options.store or out / "store",
            datasets=datasets,
            device=device,
            batch_size=options.batch_size or default_batch_size(device),
            plugins=tuple(path.resolve() for path in options.plugins),
            builders=tuple(path.resolve() for path in options.builders),
        )
        store = Store(site.store)
        missing = [stage for stage in plan.stages if not store.manifest(stage.kind, stage.key)]
        todo = [
            stage
            for stage in in_shards(
                missing,
                queries=options.shard_queries,
                images=options.shard_images,
                batch_size=site.batch_size,
            )
            if stage.part_of is None or not store.manifest(stage.kind, stage.key)
        ]
        if options.device_hours:
            speed = Speed.of(device, options.calibration, where=where)
            require_within(options.device_hours, todo, speed)
        executor = (
            Inline(site)
            if inline
            else make_executor(Order(site=site, options=options, slurm=grid.slurm))
        )
        recorder = Recorder(out, plan, registry, site)
        return _do(plan, todo, store, executor, recorder, console)


def _require_preparations(plan: Plan) -> None:
    """Check at once, not after an hour of training, that all preparations can be made here."""
    for defense in plan.defenses.values():
        if defense.recipe is not None and defense.recipe.preparation is not None:
            defense.recipe.preparation.require()
        if isinstance(defense.guard, PreparedGuard):
            defense.guard.preparation.require()


def _require_backbones(plan: Plan) -> None:
    """Check likewise that all backbones embed an image of the grid's size."""
    trained = [stage for stage in plan.stages if isinstance(stage, TrainStage)]
    for backbone in dict.fromkeys(stage.backbone for stage in trained):
        try_backbone(backbone, plan.grid.image_size)


def _do(
    plan: Plan,
    todo: Sequence[Stage],
    store: Store,
    executor: Executor,
    recorder: Recorder,
    console: Console,
) -> Outcome:
    """Do the missing stages, keeping results.csv up to date."""
    left = {stage.key for stage in plan.stages} & {stage.key for stage in todo}
    shards = len(todo) - len(left)
    console.print(
        f"{len(plan.cells)} cells, {len(plan.stages)} stages, "
        f"{len(plan.stages) - len(left)} of them in the store already."
        + (f" Large ones are split: {shards} shards are to be done." if shards else ""),
        highlight=False,
    )
    failures: list[str] = []
    left_out: list[Stage] = []
    recorder.write(store, failures, finished=None)
    if todo:
        with Watch(console, "all stages", {stage.key: stage.cost.work for stage in todo}) as watch:

            def notify(event: Event) -> None:
                show(event, watch)
                if isinstance(event, Failed):
                    failures.append(event.error)
                elif isinstance(event, LeftOut):
                    left_out.append(event.stage)
                elif isinstance(event, Done) and isinstance(event.stage, RankStage):
                    recorder.write_results_now_and_then(store)

            executor.execute(todo, notify)
    cells = recorder.write(store, failures, finished=now())
    return Outcome(cells, failures, len(left_out))


@contextmanager
def _only_run(out: Path) -> Iterator[None]:
    """Hold the run folder's lock, so that two runs do not write one results.csv."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise BenchboxError(
            f"{out}: another run is working in this folder; wait for it or choose another --out."
        ) from None
    except OSError as error:
        raise cannot_write(out, error) from error
    try:
        yield
    finally:
        lock.release()
