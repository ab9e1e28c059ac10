"""Where the workers of one machine sit: which GPU each sees, and which stages it takes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchbox.runs.options import cores
from benchbox.runs.stages import Stage


@dataclass(frozen=True)
class Seat:
    """A worker's place.

    Attributes:
        device: where its stages compute; a GPU worker sees one GPU alone, so that is ``cuda:0``.
        takes: all stages, or only those that use a device, or only those that need none.
        sees: its ``CUDA_VISIBLE_DEVICES``; None leaves the variable as it is.
    """

    device: str
    takes: Literal["all", "on device", "beside"] = "all"
    sees: str | None = None

    def suits(self, stage: Stage) -> bool:
        """Return whether a stage may be done here."""
        return self.takes == "all" or stage.on_device == (self.takes == "on device")


def seats_for(stages: Sequence[Stage], *, workers: int, gpus: Sequence[int] = ()) -> list[Seat]:
    """Return where workers sit, no more of them than there are stages for.

    Args:
        stages: to be done.
        workers: how many there are on a CPU, or on each GPU.
        gpus: which of the GPUs that this process sees are used. Without any, all stages share the
            CPU workers; with some, stages that need no device have CPU workers of their own: as
            many as there are GPU workers, if so many cores are left by those.
    """
    if not gpus:
        return [Seat("cpu")] * min(workers, len(stages))
    on_device = sum(stage.on_device for stage in stages)
    # GPU after GPU in turn, so that few stages are spread over all of them.
    seats = [Seat("cuda:0", "on device", name) for name in _names(gpus) * workers]
    beside = max(1, min(len(seats), cores() - len(seats)))
    cpu = [Seat("cpu", "beside", "")] * beside
    return seats[:on_device] + cpu[: len(stages) - on_device]


def _names(gpus: Sequence[int]) -> list[str]:
    """Return what ``CUDA_VISIBLE_DEVICES`` calls each GPU: PyTorch counts those it lists from 0."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in listed.split(",")] if listed else []
    return [names[gpu] if names else str(gpu) for gpu in gpus]
