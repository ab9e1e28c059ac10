"""What runs when: stages on workers by list scheduling, longest chain first.

Executors hand stages out in this order; `schedule` plays it through beforehand, for estimates and
for studies of clusters that nobody has at hand.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Task(Protocol):
    """What is scheduled; a stage is one."""

    @property
    def key(self) -> str:
        """Names it."""
        ...

    @property
    def needs(self) -> Sequence["Task"]:
        """What must be done before it."""
        ...

    @property
    def on_device(self) -> bool:
        """Whether it takes one of the devices."""
        ...


T = TypeVar("T", bound=Task)
Seconds = Callable[[T], float]


@dataclass(frozen=True)
class Placed(Generic[T]):
    """A task in a schedule.

    Attributes:
        task: what is done.
        worker: on which worker, from 0; those without a device count on behind those with one.
        start: seconds after the beginning.
        end: likewise.
    """

    task: T
    worker: int
    start: float
    end: float


@dataclass(frozen=True)
class Schedule(Generic[T]):
    """Who does what when.

    Attributes:
        placed: the tasks, in the order in which they start.
        devices: workers that have a device.
        beside: workers without, for tasks that need none.
    """

    placed: tuple[Placed[T], ...]
    devices: int
    beside: int

    @property
    def makespan(self) -> float:
        """Seconds from the start of the first task to the end of the last."""
        return max((one.end for one in self.placed), default=0.0)

    @property
    def device_seconds(self) -> float:
        """Seconds that devices are busy, summed over them."""
        return sum(one.end - one.start for one in self.placed if one.worker < self.devices)

    @property
    def utilisation(self) -> float:
        """Share of the devices' time until the end in which they are busy."""
        whole = self.makespan * self.devices
        return self.device_seconds / whole if whole else 0.0


def in_order(tasks: Iterable[T]) -> list[T]:
    """Return the tasks, each once and behind those of them that it needs."""
    given = {task.key: task for task in tasks}
    ordered: dict[str, T] = {}
    for root in given.values():
        stack = [root]
        while stack:
            task = stack[-1]
            open_needs = [
                given[need.key]
                for need in task.needs
                if need.key in given and need.key not in ordered
            ]
            if open_needs and task.key not in ordered:
                stack += open_needs
            else:
                ordered.setdefault(task.key, stack.pop())
    return list(ordered.values())


def chains(tasks: Sequence[T], seconds: Seconds[T]) -> dict[str, float]:
    """Return how long it takes from the start of each task to the end of all that wait for it.

    Args:
        tasks: those still to be done; needs that are not among them are done.
        seconds: how long a task takes; any unit will do.
    """
    behind: dict[str, float] = {}
    length: dict[str, float] = {}
    for task in reversed(in_order(tasks)):
        length[task.key] = behind.get(task.key, 0.0) + seconds(task)
        for need in task.needs:
            behind[need.key] = max(behind.get(need.key, 0.0), length[task.key])
    return length


def critical_path(tasks: Sequence[T], seconds: Seconds[T]) -> list[T]:
    """Return the longest chain of tasks that wait for each other: no cluster is faster."""
    length = chains(tasks, seconds)
    waiting: defaultdict[str, list[T]] = defaultdict(list)
    for task in tasks:
        for need in task.needs:
            waiting[need.key].append(task)
    path: list[T] = []
    nexts: Sequence[T] = tasks
    while nexts:
        path.append(max(nexts, key=lambda task: length[task.key]))
        nexts = waiting[path[-1].key]
    return path


def schedule(
    tasks: Sequence[T], seconds: Seconds[T], *, devices: int, beside: int = 0
) -> Schedule[T]:
    """Return when each task is done, if whoever is free takes the one that most work waits for.

    At most twice as long as the best schedule there is (Graham 1966), mostly within a few percent.

    Args:
        tasks: those still to be done; needs that are not among them are done.
        seconds: how long a task takes.
        devices: workers with a device, at least 1.
        beside: workers without one, for tasks that need none; with 0 those take devices too.
    """
    length = chains(tasks, seconds)
    due = {task.key: task for task in tasks}
    missing = {
        key: len({need.key for need in task.needs if need.key in due}) for key, task in due.items()
    }
    waiting: defaultdict[str, list[T]] = defaultdict(list)
    for task in due.values():
        for key in {need.key for need in task.needs}:
            waiting[key].append(task)
    order = {key: place for place, key in enumerate(due)}
    free = (list(range(devices)), list(range(devices, devices + beside)))
    ready: tuple[list[tuple[float, int, T]], ...] = ([], [])
    running: list[tuple[float, int, Placed[T]]] = []
    placed: list[Placed[T]] = []

    def offer(task: T) -> None:
        pool = ready[0 if task.on_device or not beside else 1]
        heapq.heappush(pool, (-length[task.key], order[task.key], task))

    for task in due.values():
        if not missing[task.key]:
            offer(task)
    now = 0.0
    while any(ready) or running:
        for pool, workers in zip(ready, free, strict=True):
            while pool and workers:
                task = heapq.heappop(pool)[2]
                one = Placed(task, heapq.heappop(workers), now, now + seconds(task))
                heapq.heappush(running, (one.end, order[task.key], one))
                placed.append(one)
        now, _, done = heapq.heappop(running)
        heapq.heappush(free[0 if done.worker < devices else 1], done.worker)
        for task in waiting[done.task.key]:
            missing[task.key] -= 1
            if not missing[task.key]:
                offer(task)
    return Schedule(tuple(placed), devices, beside)
