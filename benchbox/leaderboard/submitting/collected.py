"""What a run has of one group of cells, and the entry it makes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter

from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.entry.aggregate import identities_of, interval_of, mean_of, worst_cases
from benchbox.leaderboard.entry.record import SCHEMA, About, status_of
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.reports.cautions import describe
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group
from benchbox.results.per_query import PerQuery
from benchbox.results.run_folder import RunFolder
from benchbox.runs.columns import PERCENT
from benchbox.runs.record import Digest
from benchbox.runs.store import Manifest
from benchbox.untrusted.json import as_json
from benchbox.untrusted.text import Line


class Tried(BaseModel):
    """What a given stage says of the model it tried."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    builder: Line
    builder_file: Line | None
    builder_sha256: Digest | None
    weights_sha256: Digest | None


@dataclass(frozen=True)
class Collected:
    """What a run has of one group, checked.

    Attributes:
        run: the run's folder, read.
        group: the backbone, and the datasets trained and tested on.
        rows: (condition, seed) → row of results.csv.
        found: (condition, seed) → what the store says of each query.
        matches: query → how many valid matches the dataset has for it, in its order.
        weights: seed → SHA-256 of the trained weights.
        given: what is known of a given model, one per seed; nothing for one that was trained here.
        training_seconds: how long the training of each seed took.
        stages: key → what the store says of a stage behind the numbers.
        problems: what is wrong; the rest is not to be used then.
    """

    run: RunFolder
    group: Group
    rows: dict[tuple[Condition, int], dict[str, Any]] = field(default_factory=dict)
    found: dict[tuple[Condition, int], PerQuery] = field(default_factory=dict)
    matches: dict[str, int] = field(default_factory=dict)
    weights: dict[int, str] = field(default_factory=dict)
    given: list[Tried] = field(default_factory=list)
    training_seconds: list[float] = field(default_factory=list)
    stages: dict[str, Manifest] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def ap(self, condition: Condition, seeds: Sequence[int]) -> NDArray[np.float64]:
        """Return (S, Q) average precision in 0–1."""
        return np.stack([self.found[condition, seed].ap for seed in seeds])

    def content(
        self, protocol: Protocol, *, about: About, checks: Sequence[CheckResult], submitted: date
    ) -> dict[str, Any]:
        """Return the entry's content, all but its digest."""
        record, group = self.run.record, self.group
        checks_there = TypeAdapter(list[CheckResult]).dump_python(list(checks), mode="json")
        return {
            "schema": SCHEMA,
            "board": protocol.board,
            "version": protocol.version,
            "status": status_of(tuple(checks)),
            "submitted": submitted.isoformat(),
            "train": self._dataset(group.train),
            "test": self._dataset(group.test),
            "backbone": group.backbone,
            "defense": as_json(about),
            "counts": self._counts(),
            "results": [self._result(c, protocol.seeds) for c in protocol.conditions],
            "worst_case": self._worst_cases(protocol),
            "identities": self._identities(protocol),
            "weights": [{"seed": s, "sha256": self.weights[s]} for s in protocol.seeds],
            "given": self._given(about.name),
            "checks": checks_there,
            "provenance": {
                "grid": record.grid,
                "defense": record.defenses[about.name],
                "versions": record.versions,
                "commit": record.git.commit if record.git else None,
                "dirty": record.git.dirty if record.git else None,
                "device": None if record.device is None else describe(record.device),
                "started": record.started,
                "finished": record.finished,
                "training_seconds": _sum_or_none(self.training_seconds)
                if self.training_seconds
                else None,
                "measuring_seconds": _sum_or_none(
                    [row["seconds"] for row in self.rows.values()],
                ),
                "made": _made(list(self.stages.values())),
            },
        }

    def _given(self, name: str) -> dict[str, Any] | None:
        """Return what the entry records of a given model, beside its settings."""
        if not self.given:
            return None
        tried = self.given[0]
        file = f"{tried.builder_file}:" if tried.builder_file else ""
        return {
            "builder": f"{file}{tried.builder}",
            "builder_sha256": tried.builder_sha256,
            "trained_on": self.run.record.names.given[name].trained_on,
        }

    def _dataset(self, name: str) -> dict[str, Any]:
        found = self.run.record.datasets[name]
        return {"name": name, "digest": found.digest, "size": found.size}

    def _counts(self) -> dict[str, int]:
        first = next(iter(self.found.values()))
        cells = [self.run.record.cells[row["cell"]] for row in self.rows.values()]
        return {
            "queries": len(first.ap),
            "skipped": first.skipped,
            "gallery": next(iter(self.rows.values()))["gallery"],
            "lone": max(cell.lone_queries for cell in cells),
        }

    def _result(self, condition: Condition, seeds: Sequence[int]) -> dict[str, Any]:
        rows = [self.rows[condition, seed] for seed in seeds]
        return {
            "attack": condition.attack,
            "eps_255": condition.eps_255,
            "steps": condition.steps,
            "step_size_255": condition.step_size_255,
            "seeds": [
                {"seed": seed, "cell": row["cell"], **self.found[condition, seed].percent()}
                for seed, row in zip(seeds, rows, strict=True)
            ],
            "mAP": as_json(interval_of(self.ap(condition, seeds), self._pids)),
            **{
                key: as_json(mean_of([self.found[condition, s].percent()[key] for s in seeds]))
                for key in PERCENT[1:]
            },
        }

    def _worst_cases(self, protocol: Protocol) -> list[dict[str, Any]]:
        return [as_json(worst) for worst in worst_cases(protocol, self._all(protocol), self._pids)]

    def _identities(self, protocol: Protocol) -> dict[str, Any]:
        matches = np.array(list(self.matches.values()))
        kept = protocol.conditions[:2]
        return as_json(identities_of(self._pids, matches, self._all(protocol), kept=kept))

    def _all(self, protocol: Protocol) -> dict[Condition, NDArray[np.float64]]:
        return {c: self.ap(c, protocol.seeds) for c in protocol.conditions}

    @property
    def _pids(self) -> NDArray[np.int64]:
        return next(iter(self.found.values())).pids


def _made(stages: Sequence[Manifest]) -> dict[str, Any] | None:
    """Return when and on what stages were done; None where one of them does not say."""
    times = sorted(stage.finished for stage in stages if stage.finished)
    versions = sorted({stage.torch for stage in stages if stage.torch})
    if len(times) < len(stages) or not versions:
        return None
    return {
        "first": times[0],
        "last": times[-1],
        "devices": sorted({stage.device for stage in stages}),
        "torch": versions,
    }


def _sum_or_none(values: Sequence[float]) -> float | None:
    """Return a sum of seconds, None where one of them was lost."""
    total = math.fsum(values)
    return total if math.isfinite(total) and total >= 0 else None
