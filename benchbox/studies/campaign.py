"""A paper's whole campaign on 1 to 512 devices, played through before anybody has them."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchbox.runs.schedule import critical_path, schedule
from benchbox.studies.campaign_tasks import Task

DEVICES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
HOUR = 3600.0
WORKERS_BESIDE = 4
"""CPU workers for each device, that rank while it attacks."""
FILE_OPERATIONS = 12
"""Opens, locks, renames and look-ups that a stage costs the store beside its bytes."""


@dataclass(frozen=True)
class Played:
    """A campaign on so many devices.

    Attributes:
        devices: how many.
        hours: from the first task to the end of the last.
        utilisation: the share of the devices' hours in which they work.
        megabytes: a second, through the store, on average.
        operations: a second, of the store's folder, on average.
    """

    devices: int
    hours: float
    utilisation: float
    megabytes: float
    operations: float


@dataclass(frozen=True)
class Campaign:
    """What a campaign takes, whatever it runs on.

    Attributes:
        tasks: how many.
        device_hours: kind of task → hours on one device.
        held: bytes in the store in the end.
        moved: bytes read from the store and written to it.
        path: the longest chain of tasks that wait for each other.
        path_hours: how long that takes, on however many devices.
        longest: the longest task.
        played: on each number of devices.
    """

    tasks: int
    device_hours: dict[str, float]
    held: float
    moved: float
    path: tuple[Task, ...]
    path_hours: float
    longest: Task
    played: tuple[Played, ...]


def play(tasks: Sequence[Task], devices: Sequence[int] = DEVICES) -> Campaign:
    """Schedule a campaign on each number of devices: whoever is free takes the longest chain.

    Args:
        tasks: of `tasks_of`.
        devices: numbers of devices, each at least 1.
    """
    hours: dict[str, float] = {}
    for task in tasks:
        hours[task.kind] = hours.get(task.kind, 0.0) + task.seconds / HOUR
    moved = sum(task.moved for task in tasks)
    path = critical_path(tasks, seconds_of)
    played = []
    for count in devices:
        done = schedule(tasks, seconds_of, devices=count, beside=WORKERS_BESIDE * count)
        played.append(
            Played(
                devices=count,
                hours=done.makespan / HOUR,
                utilisation=done.utilisation,
                megabytes=moved / 1e6 / done.makespan,
                operations=FILE_OPERATIONS * len(tasks) / done.makespan,
            )
        )
    return Campaign(
        tasks=len(tasks),
        device_hours=hours,
        held=sum(task.held for task in tasks if task.kind != "shard"),
        moved=moved,
        path=tuple(path),
        path_hours=sum(task.seconds for task in path) / HOUR,
        longest=max(tasks, key=seconds_of),
        played=tuple(played),
    )


def seconds_of(task: Task) -> float:
    """Return how long a task takes."""
    return task.seconds
