"""What a plan will take: device-hours by kind of stage and the makespan, from a calibration."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from benchbox.errors import BenchboxError
from benchbox.runs.balancing_cost import can_measure, cost_of, diffusion_of, generated
from benchbox.runs.calibration import Calibration, calibration_file, read_calibration
from benchbox.runs.schedule import critical_path, schedule
from benchbox.runs.stages import EmbedStage, PrepareStage, Stage, TrainStage

_NAMED = 4
"""Networks that a message names."""


@dataclass(frozen=True)
class Speed:
    """How fast the workers of a run are, as far as that is known.

    Attributes:
        device: ``cpu`` or ``cuda``.
        calibration: of a machine like theirs; None: there is none.
        measure: the command that measures what is lacking.
    """

    device: str
    calibration: Calibration | None
    measure: str

    @classmethod
    def of(cls, device: str, file: Path | None, *, where: str) -> "Speed":
        """Return the speed that a file states, or this machine's own calibration.

        Args:
            device: such as ``cpu`` or ``cuda:0``.
            file: the calibration; None: this machine's, which may have none.
            where: the grid, as it is named to commands.

        Raises:
            BenchboxError: the named file is not there, or a file is no calibration.
        """
        kind = device.partition(":")[0]
        found = read_calibration(file or calibration_file(kind))
        if file is not None and found is None:
            raise BenchboxError(
                f"--calibration {file}: no such file; benchbox calibrate writes one."
            )
        command = f"benchbox calibrate {shlex.quote(where)}"
        return cls(kind, found, command if kind == "cpu" else f"{command} --device {kind}")

    def known(self, stages: Sequence[Stage]) -> Calibration:
        """Return the calibration, if it has all that some stages need.

        Raises:
            BenchboxError: it lacks something, or there is none; the message says what to do.
        """
        costs = [stage.cost for stage in stages]
        if self.calibration is None:
            lacking = sorted({cost.network for cost in costs if cost.network})
        else:
            lacking = self.calibration.lacks(costs)
        if self.calibration is None or lacking:
            shown = ", ".join(lacking[:_NAMED]) + (", …" if len(lacking) > _NAMED else "")
            raise BenchboxError(
                f"how long it takes is not known: {shown or 'nothing'} was not measured on this "
                f"machine's {self.device}. {self.measure} does that in about a minute."
            )
        return self.calibration


@dataclass(frozen=True)
class Estimate:
    """What stages take.

    Attributes:
        stages: all of them.
        calibration: of a machine like those that do them.
        device: ``cpu``, or ``cuda``, beside which CPUs do what needs no device.
    """

    stages: Sequence[Stage]
    calibration: Calibration
    device: str

    def seconds(self, stage: Stage) -> float:
        """Return how long a stage takes."""
        return seconds_of(stage, self.calibration)

    @property
    def by_kind(self) -> dict[str, float]:
        """Kind of stage → device-hours; 0 for kinds that take no device."""
        hours: defaultdict[str, float] = defaultdict(float)
        for stage in self.stages:
            taken = stage.on_device or self.device == "cpu"
            hours[stage.kind] += self.seconds(stage) / 3600 if taken else 0.0
        return hours

    @property
    def device_hours(self) -> float:
        """Hours of devices, summed over them."""
        return sum(self.by_kind.values())

    def makespan(self, workers: int) -> float:
        """Return the seconds until so many workers have done the last stage."""
        return schedule(self.stages, self.seconds, devices=workers).makespan

    @property
    def longest_chain(self) -> float:
        """Seconds that no number of workers can save."""
        return sum(map(self.seconds, critical_path(self.stages, self.seconds)))


def seconds_of(stage: Stage, calibration: Calibration) -> float:
    """Return how long a stage takes; a diffusion model that was not measured is guessed."""
    cost = cost_of(stage)
    return calibration.seconds(stage.cost if calibration.lacks([cost]) else cost)


def estimate_parts(
    stages: Sequence[Stage], speed: Speed, *, workers: int, missing: Collection[str] = ()
) -> list[RenderableType]:
    """Return what a person reads of a plan's cost; shares alone where speeds are not known.

    Args:
        stages: to be done.
        speed: of the workers.
        workers: how many there are.
        missing: datasets that are not here, of which the images cannot be counted.
    """
    guessed = _counted(stages, missing)
    try:
        estimate = Estimate(stages, speed.known(stages), speed.device)
    except BenchboxError as unknown:
        return [_shares(stages), *guessed, str(unknown)]
    rates = estimate.calibration.provenance
    return [
        _table(stages, f"{speed.device}-hours", estimate.by_kind, "{:.3f}"),
        *guessed,
        *_balanced(stages, estimate.calibration, speed.measure),
        f"about {estimate.device_hours:.2f} {speed.device}-hours; on {workers} "
        f"worker{'s' if workers > 1 else ''} {_duration(estimate.makespan(workers))}, on ever so "
        f"many {_duration(estimate.longest_chain)} (rates of {rates.device} on {rates.machine}, "
        f"{estimate.calibration.measured})",
    ]


def require_within(hours: float, stages: Sequence[Stage], speed: Speed) -> None:
    """Check before a run starts that it keeps to its budget.

    Args:
        hours: device-hours that it may take.
        stages: still to be done.
        speed: of the workers.

    Raises:
        BenchboxError: it would take more, or nobody knows how long it takes.
    """
    try:
        needed = Estimate(stages, speed.known(stages), speed.device).device_hours
    except BenchboxError as unknown:
        raise BenchboxError(f"--device-hours {hours:g}: {unknown}") from unknown
    if needed > hours:
        raise BenchboxError(
            f"--device-hours {hours:g}: what is left to do takes about {needed:.3g}; nothing was "
            "started. Raise it, or take rows, attacks, budgets, seeds or epochs out of the grid."
        )


def _counted(stages: Sequence[Stage], missing: Collection[str]) -> list[str]:
    """Return what datasets that are not here are taken for."""
    sets = {
        stage.data.name: stage.data.counts
        for stage in stages
        if isinstance(stage, TrainStage | EmbedStage) and stage.data.name in missing
    }
    return [
        f"{name} is not here and counts as {counts.train_images:,} training images, "
        f"{counts.query_images:,} queries and {counts.gallery_images:,} in the gallery."
        for name, counts in sets.items()
    ]


def _balanced(stages: Sequence[Stage], calibration: Calibration, measure: str) -> list[str]:
    """Return what balancing by diffusion is taken for: measured, or guessed and why."""
    lines: dict[str, None] = {}
    for stage in stages:
        if not isinstance(stage, PrepareStage) or diffusion_of(stage) is None:
            continue
        if not calibration.lacks([cost_of(stage)]):
            lines[f"{stage.title} counts as making {generated(stage):,} images."] = None
            continue
        first = "" if can_measure() else "pip install diffusers, then "
        lines[
            f"{stage.title} is guessed: its diffusion model was not measured and counts in images "
            f"of the slowest network. {first}{measure} measures it."
        ] = None
    return list(lines)


def _shares(stages: Sequence[Stage]) -> Table:
    """Return each kind's share of the work, as far as it can be told without rates."""
    work: defaultdict[str, float] = defaultdict(float)
    for stage in stages:
        work[stage.kind] += stage.cost.work
    whole = sum(work.values()) or 1
    shares = {kind: 100 * own / whole for kind, own in work.items()}
    return _table(stages, "share of the work", shares, "{:.1f} %")


def _table(stages: Sequence[Stage], heading: str, values: Mapping[str, float], form: str) -> Table:
    table = Table(title="What it takes")
    table.add_column("kind of stage")
    table.add_column("stages", justify="right")
    table.add_column(heading, justify="right")
    for kind, count in Counter(stage.kind for stage in stages).items():
        table.add_row(kind, f"{count:,}", form.format(values[kind]))
    return table


def _duration(seconds: float) -> str:
    """Return hours and minutes, or minutes and seconds of what is shorter, as ``4 min 19 s``."""
    if seconds >= 3600:
        return f"{seconds // 3600:,.0f} h {seconds % 3600 / 60:02.0f} min"
    return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
