"""Several GPUs of one machine, counted by a test that has none: who sees which, who does what."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from benchbox.errors import BenchboxError
from benchbox.runs.cost import Cost
from benchbox.runs.executors import seats
from benchbox.runs.executors.choosing import Order, make_executor
from benchbox.runs.executors.events import Done
from benchbox.runs.executors.seats import Seat, seats_for
from benchbox.runs.options import Options, all_workers, gpus_of
from benchbox.runs.stages.base import Stage
from benchbox.runs.store import Store
from benchbox.runs.workplace import Site, Workplace

CPU = Seat("cpu", "beside", "")


@dataclass(frozen=True)
class OnDevice(Stage):
    """Writes down which GPUs its process sees, and where it would compute."""

    kind: ClassVar[str] = "on_device"
    code: ClassVar[tuple[str, ...]] = ()

    name: str
    needs: ClassVar[tuple[Stage, ...]] = ()
    cost: ClassVar[Cost] = Cost(trained=1.0)

    @property
    def title(self) -> str:
        return self.name

    def settings(self) -> dict[str, Any]:
        return {"name": self.name}

    def work(self, place: Workplace, folder: Path) -> None:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        (folder / "seen.txt").write_text(f"{seen} {place.device}")


@dataclass(frozen=True)
class Beside(OnDevice):
    """The same, but needs no device, as rankings do."""

    kind: ClassVar[str] = "beside"
    on_device: ClassVar[bool] = False


@pytest.fixture
def three_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch counts three GPUs; the machine lists eight, of which this process was given three."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5,7")
    monkeypatch.setattr(seats, "cores", lambda: 16)


def stages(on_device: int, beside: int) -> list[Stage]:
    return [
        *(OnDevice(f"gpu {index}") for index in range(on_device)),
        *(Beside(f"cpu {index}") for index in range(beside)),
    ]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("auto", (0, 1, 2)), ("cuda", (0, 1, 2)), ("cuda:0", (0,)), ("cuda:2", (2,)), ("cpu", ())],
)
def test_which_gpus_a_device_means(wanted, expected, three_gpus) -> None:
    assert gpus_of(wanted) == expected
    assert all_workers(Options(device=wanted, workers=2), wanted) == 2 * max(1, len(expected))


def test_a_gpu_that_is_not_there_is_refused(three_gpus) -> None:
    with pytest.raises(BenchboxError, match="sees 3 CUDA devices"):
        gpus_of("cuda:3")


def test_each_gpu_has_its_workers_and_cpu_stages_theirs(three_gpus) -> None:
    seated = seats_for(stages(20, 20), workers=2, gpus=(0, 2))
    assert [seat.sees for seat in seated] == ["2", "7", "2", "7", *[""] * 4]
    assert seated[4:] == [CPU] * 4
    assert {seat.device for seat in seated[:4]} == {"cuda:0"}
    # Few stages are spread over the GPUs, and nobody sits there for nothing.
    assert [seat.sees for seat in seats_for(stages(2, 0), workers=2, gpus=(0, 2))] == ["2", "7"]
    assert seats_for(stages(0, 1), workers=2, gpus=(0, 2)) == [CPU]


def test_gpu_workers_go_before_cpu_workers_where_cores_are_few(three_gpus, monkeypatch) -> None:
    monkeypatch.setattr(seats, "cores", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    seated = seats_for(stages(9, 9), workers=1, gpus=(0, 1, 2))
    assert [seat.sees for seat in seated] == ["0", "1", "2", ""]


def test_on_a_cpu_workers_take_all_stages_and_see_what_they_saw(three_gpus) -> None:
    assert seats_for(stages(1, 2), workers=8) == [Seat("cpu")] * 3
    assert all(Seat("cpu").suits(stage) for stage in stages(1, 1))


def test_workers_see_one_gpu_each_and_rankings_none(three_gpus, tmp_path: Path) -> None:
    site = Site(tmp_path / "store", {}, "cuda:0", 1)
    options = Options(device="cuda")
    work = stages(5, 2)
    events: list[Any] = []
    make_executor(Order(site=site, options=options)).execute(work, events.append)
    assert sorted(e.stage.name for e in events if isinstance(e, Done)) == sorted(
        stage.title for stage in work
    )
    store = Store(site.store)
    seen = {
        stage.title: (store.folder(stage.kind, stage.key) / "seen.txt").read_text()
        for stage in work
    }
    # The first three go out at once, to a GPU each; the others to whoever is free.
    assert [seen[f"gpu {index}"] for index in range(3)] == ["2 cuda:0", "5 cuda:0", "7 cuda:0"]
    assert {seen["gpu 3"], seen["gpu 4"]} <= {"2 cuda:0", "5 cuda:0", "7 cuda:0"}
    assert [seen["cpu 0"], seen["cpu 1"]] == [" cpu", " cpu"]
