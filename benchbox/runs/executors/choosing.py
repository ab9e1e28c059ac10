"""Which executor does a run's stages: ours by name, or an installed one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points

from benchbox.errors import BenchboxError, unknown_name
from benchbox.runs.calibration import read_calibration
from benchbox.runs.executors.events import Executor
from benchbox.runs.executors.local import LocalProcesses
from benchbox.runs.executors.ray import RayCluster
from benchbox.runs.executors.slurm import SlurmJobs
from benchbox.runs.options import Options, default_workers, gpus_of
from benchbox.runs.slurm_settings import SlurmSettings
from benchbox.runs.workplace import Site

ENTRY_POINTS = "benchbox.executors"
"""The entry-point group of installed executors; each names a function from `Order` to Executor."""

GIGABYTE = 10**9


@dataclass(frozen=True, kw_only=True)
class Order:
    """What an executor is made from.

    Attributes:
        site: store, datasets, device.
        options: the run's: who does the stages, how many at a time, with what set aside.
        slurm: the grid's table ``[slurm]``.
    """

    site: Site
    options: Options
    slurm: SlurmSettings = field(default_factory=SlurmSettings)


def _local(order: Order) -> Executor:
    options = order.options
    workers = options.workers or default_workers(order.site.device)
    return LocalProcesses(order.site, workers, gpus_of(options.device))


def _ray(order: Order) -> Executor:
    options = order.options
    memory = int(options.stage_memory * GIGABYTE) or None
    return RayCluster(order.site, options.ray_address, options.gpus_per_stage, memory)


def _slurm(order: Order) -> Executor:
    # This machine's own calibration says nothing of the cluster's nodes: one has to be named.
    file = order.options.calibration
    return SlurmJobs(order.site, order.slurm, read_calibration(file) if file else None)


OURS: dict[str, Callable[[Order], Executor]] = {"local": _local, "ray": _ray, "slurm": _slurm}


def make_executor(order: Order) -> Executor:
    """Return the executor that the options name.

    Raises:
        BenchboxError: there is none of that name, or an installed one cannot be made.
    """
    name = order.options.executor
    if name in OURS:
        return OURS[name](order)
    installed = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name not in installed:
        raise unknown_name("executor", name, [*OURS, *installed], where="--executor")
    try:
        executor: Executor = installed[name].load()(order)
    except (ImportError, AttributeError, TypeError) as error:
        raise BenchboxError(
            f"--executor {name}: the installed {installed[name].value} cannot be used ({error})."
        ) from error
    return executor
