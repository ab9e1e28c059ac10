"""Which executor does a run's stages: ours by name, or an installed one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points

from benchbox.errors import BenchboxError, unknown_name
from benchbox.runs.executors.events import Executor
from benchbox.runs.executors.local import LocalProcesses
from benchbox.runs.executors.ray import RayCluster
from benchbox.runs.executors.slurm import SlurmJobs
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
        workers: processes at a time, where the executor starts them itself.
        ray_address: of a Ray cluster.
        gpus_per_stage: GPUs set aside for a stage under Ray; a fraction lets several share one.
        stage_memory: gigabytes set aside for a stage under Ray; 0: not counted.
        slurm: the grid's table ``[slurm]``.
    """

    site: Site
    workers: int
    ray_address: str = "auto"
    gpus_per_stage: float = 1.0
    stage_memory: float = 0.0
    slurm: SlurmSettings = field(default_factory=SlurmSettings)


def _local(order: Order) -> Executor:
    return LocalProcesses(order.site, order.workers)


def _ray(order: Order) -> Executor:
    memory = int(order.stage_memory * GIGABYTE) or None
    return RayCluster(order.site, order.ray_address, order.gpus_per_stage, memory)


def _slurm(order: Order) -> Executor:
    return SlurmJobs(order.site, order.slurm)


OURS: dict[str, Callable[[Order], Executor]] = {"local": _local, "ray": _ray, "slurm": _slurm}


def make_executor(name: str, order: Order) -> Executor:
    """Return the executor of a name.

    Raises:
        BenchboxError: there is none of that name, or an installed one cannot be made.
    """
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
