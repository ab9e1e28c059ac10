"""A Ray cluster does the stages, each a task with the resources it needs."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchbox.errors import BenchboxError
from benchbox.runs.executors.events import Event, Moved, Started
from benchbox.runs.executors.parcel import MOST_DEATHS, do_packed, packed
from benchbox.runs.executors.waiting import Waiting
from benchbox.runs.stages import Stage
from benchbox.runs.worker import REPORT_EVERY, Ended
from benchbox.runs.workplace import Site

_LOOK_EVERY = 0.5
"""Seconds between two looks at what the tasks say of their progress."""


@dataclass(frozen=True)
class RayCluster:
    """Tasks of a Ray cluster, one CPU and one torch thread each.

    All nodes see the store, the datasets and the plugins below the same paths. A task whose worker
    or node dies is given out again; locks of the store keep two of them from doing one stage.

    Attributes:
        site: what all tasks share: store, datasets, device.
        address: of the cluster, such as ``auto`` or ``10.0.0.1:6379``; ``local`` starts one here.
        gpus: GPUs set aside for a stage that uses the device, if that is CUDA; 0.5 lets two share.
        memory: bytes of memory set aside for a stage; None: not counted.
    """

    site: Site
    address: str = "auto"
    gpus: float = 1.0
    memory: int | None = None

    def execute(self, stages: Sequence[Stage], notify: Callable[[Event], None]) -> None:
        """Do all stages; see :class:`~benchbox.runs.executors.events.Executor`."""
        waiting = Waiting(stages)
        with _connected(self.address) as ray, _tasks(ray) as running:
            task = ray.remote(max_retries=0)(_do)
            site, news = ray.put(packed(self.site)), _news_board(ray)
            while waiting:
                slots = _slots(ray)
                while len(running.stages) < slots and (stage := waiting.next_ready()):
                    options = {"name": stage.title, **self._resources(stage)}
                    place = task.options(**options).remote(site, packed(stage), stage.key, news)
                    running.stages[place] = stage
                if not running.stages:
                    return
                ended, _ = ray.wait(list(running.stages), timeout=_LOOK_EVERY)
                running.tell(ray.get(news.take.remote()), notify)
                for place in ended:
                    self._settle(ray, place, running, waiting, notify)

    def _resources(self, stage: Stage) -> dict[str, Any]:
        on_gpu = stage.on_device and self.site.device.startswith("cuda")
        return {
            "num_cpus": 1,
            "num_gpus": self.gpus if on_gpu else 0,
            **({"memory": self.memory} if self.memory else {}),
        }

    def _settle(
        self,
        ray: Any,
        place: Any,
        running: "_Running",
        waiting: Waiting,
        notify: Callable[[Event], None],
    ) -> None:
        """Take the result of a task that is over; give its stage out again if it was killed."""
        stage = running.stages.pop(place)
        running.begin(stage, notify)
        try:
            ended: Ended = ray.get(place)
        except ray.exceptions.RayTaskError as error:
            # The task itself catches everything: what comes here is a node without benchbox.
            ended = Ended(0.0, f"{stage.title}: a node cannot do it ({error.cause!r}).")
        except ray.exceptions.RayError as error:
            if waiting.put_back(stage) < MOST_DEATHS:
                return
            raise BenchboxError(
                f"{stage.title}: its worker died {MOST_DEATHS} times ({type(error).__name__}); if "
                "memory ran out, lower --batch-size or set memory aside with --stage-memory. "
                "Finished stages are kept."
            ) from error
        waiting.settle(stage, ended, notify)


@dataclass
class _Running:
    """The tasks that were given out, and those of them that have been heard of."""

    stages: dict[Any, Stage] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)

    def begin(self, stage: Stage, notify: Callable[[Event], None]) -> None:
        if stage.key not in self.begun:
            self.begun.add(stage.key)
            notify(Started(stage))

    def tell(self, news: dict[str, tuple[float, str]], notify: Callable[[Event], None]) -> None:
        """Pass on what tasks said of their progress; a task's first word is that it has begun."""
        for stage in list(self.stages.values()):
            if stage.key in news:
                self.begin(stage, notify)
                notify(Moved(stage, *news[stage.key]))


class _News:
    """Lives on the driver's node and keeps the last word of every task until it is fetched."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, str]] = {}

    def tell(self, key: str, share: float, text: str) -> None:
        self._last[key] = (share, text)

    def take(self) -> dict[str, tuple[float, str]]:
        last, self._last = self._last, {}
        return last


def _do(site: bytes, stage: bytes, key: str, news: Any) -> Ended:
    """The task: do a stage and tell the driver how far it is."""
    last = 0.0

    def report(share: float, text: str) -> None:
        nonlocal last
        if time.monotonic() - last > REPORT_EVERY:
            last = time.monotonic()
            news.tell.remote(key, share, text)

    report(0.0, "")
    return do_packed(site, stage, report)


def _news_board(ray: Any) -> Any:
    """Start the board on this node, which is there as long as anybody reads from it."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0)(_News).options(scheduling_strategy=here).remote()


def _slots(ray: Any) -> int:
    """How many tasks are given out at a time: nodes come and go, and Ray queues what waits."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


@contextmanager
def _tasks(ray: Any) -> Iterator[_Running]:
    """Yield the tasks given out; on Ctrl-C, or any other end, what still runs is cancelled."""
    running = _Running()
    try:
        yield running
    finally:
        for place in running.stages:
            ray.cancel(place, force=True)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Yield Ray, connected; a connection that was there before is used and left.

    Raises:
        BenchboxError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError as error:
        raise BenchboxError(
            "--executor ray needs the library ray, which is not installed: pip install ray."
        ) from error
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BenchboxError(
            f"--ray-address {address}: no Ray cluster answers ({reason}). Start one with "
            "`ray start --head`, name another address, or use --ray-address local."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
