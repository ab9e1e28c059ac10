"""From a run's folder to the subjects of its sanity checks, under the board's protocol."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor

from benchbox.errors import BenchboxError
from benchbox.files.progress import Progress, silent
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.sanity.attacked_subject import AttackedSubject
from benchbox.leaderboard.sanity.checks import run_checks
from benchbox.leaderboard.sanity.examined_rows import examined_rows
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.sanity.stored_source import StoredSource, stored_source
from benchbox.leaderboard.sanity.subject import Floats, Subject, subject_of
from benchbox.results.artefacts import Artefacts
from benchbox.results.cells import cells_of, run_grid_of
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group
from benchbox.results.per_query import read_per_query
from benchbox.runs.registry import Registry
from benchbox.runs.resolving import resolve_defense
from benchbox.runs.stages import parameters

SOURCES = 2
"""How many other models queries are taken from."""

_PREFERRED = files("benchbox.leaderboard.sanity") / "transfer_sources.json"
"""Defenses to take queries from before others: the undefended one, and the trained ones whose
queries carried over best where that was measured."""

_SAME_EMBEDDING = 1e-2
"""The largest distance of an embedding here from the stored one, as a share of its length."""


@dataclass(frozen=True)
class RunSubjects:
    """The defended models of one group of a run's cells, as the subjects of sanity checks.

    What is examined follows from the board's protocol (`subject_of`); what the run's grid has
    besides is not looked at.

    Attributes:
        store: the run's finished stages.
        registry: defenses and attacks, those of the plugins the run was made with among them.
        protocol: the board's.
        group: the backbone, and the datasets that the models were trained and are tested on.
        device: where to attack.
    """

    store: Artefacts
    registry: Registry
    protocol: Protocol
    group: Group
    device: torch.device

    def examine(self, defense: str, *, progress: Progress = silent) -> list[CheckResult]:
        """Return the outcome of every sanity check of one defense.

        Raises:
            BenchboxError: the run, its store or its datasets do not have what it takes, or weights
                and guard do not give what the run says they gave.
        """
        attacked = AttackedSubject(self.subject(defense), self._sources(defense))
        self._require_its_numbers(attacked, defense)
        return run_checks(attacked, progress=progress)

    def subject(self, defense: str) -> Subject:
        """Return a defended model of the run with the queries it is examined on.

        Raises:
            BenchboxError: as `examine`.
        """
        cell = self._cell(defense)
        if defense not in self.registry.defenses:
            raise BenchboxError(
                f"{defense}: not a defense of benchbox; name its file with --plugin to have it "
                "checked."
            )
        grid = run_grid_of(self.store.run)
        where = str(self.store.run.path)
        resolved, _ = resolve_defense(grid, self.registry.defenses[defense], where=where)
        here = None if resolved.guard is None else parameters(resolved.guard)
        if here != (there := self.store.guard(defense)):
            raise BenchboxError(
                f"{where}: the run was made with the guard {str(there)[:200]}, but {defense} here "
                f"has {str(here)[:200]}. Name the plugin it was made with."
            )
        return subject_of(
            self.store.network(cell),
            resolved.guard,
            features=self.store.features(cell),
            data=self.store.dataset(self.group.test),
            protocol=self.protocol,
            registry=self.registry,
            device=self.device,
        )

    def sources(self, defense: str) -> list[str]:
        """Return the defenses to take transferred queries from; none if the run has no other."""
        # One whose plugin was not named cannot be attacked.
        known = self.registry.defenses
        there = [n for n in dict.fromkeys(self.store.run.results["defense"]) if n in known]
        plain = [name for name in there if self.store.guard(name) is None]
        first = [name for name in _preferred() if name in plain]
        own = self._training(defense)
        # Guards share their weights, so a source has to be another training, best without a guard.
        found = dict.fromkeys((*first, *plain, *there))
        return [other for other in found if self._training(other) not in (own, None)][:SOURCES]

    def has_source(self, defense: str) -> bool:
        """Return whether there are queries that were attacked on another model."""
        return bool(self.sources(defense)) or self._stored_source() is not None

    def _sources(self, defense: str) -> dict[str, Callable[[], Tensor]]:
        titles = self.store.run.record.titles.get("defenses", {})
        found: dict[str, Callable[[], Tensor]] = {
            titles.get(name, name): partial(_attacked, self.subject(name))
            for name in self.sources(defense)
        }
        stored = None if found else self._stored_source()
        if stored is not None:
            found[stored.title] = stored.images
        return found

    def _stored_source(self) -> StoredSource | None:
        digest = self.store.run.record.datasets[self.group.test].digest
        return stored_source(str(digest), eps=min(map(float, self.protocol.fractions)))

    def _require_its_numbers(self, attacked: AttackedSubject, defense: str) -> None:
        """Check that weights and guard here give the embeddings and the AP of the run.

        A random guard gives others each time, and is not asked.

        Raises:
            BenchboxError: they do not.
        """
        if attacked.random:
            return
        subject, where = attacked.subject, self.store.run.path
        stored = self.store.features(self._cell(defense))["query"]
        stored = stored[torch.tensor(examined_rows(len(stored)))]
        off = (subject.embedded(subject.clean) - stored).norm(dim=1)
        if not (off <= _SAME_EMBEDDING * stored.norm(dim=1)).all():
            raise BenchboxError(
                f"{where}: the stored embeddings of {defense} are not those that its weights and "
                "guard give here. Name the plugin it was made with."
            )
        stored_ap = self._stored(defense, subject.keys)
        difference, noise = attacked.change(stored_ap, attacked.white_box)
        if abs(difference) > max(noise, self.protocol.rerun_tolerance):
            raise BenchboxError(
                f"{where}: under {subject.attack.name} {self._condition.budget} {defense} leaves "
                f"{attacked.white_box.mean():.1f} mAP here, the run says "
                f"{stored_ap.mean():.1f} for these {len(stored_ap)} queries."
            )

    def _stored(self, defense: str, keys: Sequence[str]) -> Floats:
        """Return the AP (%) that the run has of some queries under the protocol's attack."""
        row = cells_of(self.store.run, defense)[self.group, self._condition, self.protocol.seeds[0]]
        found = read_per_query(self.store.folder(str(row["cell"]), "rank") / "per_query.json")
        by_key = dict(zip(found.queries, 100 * found.ap, strict=True))
        return np.array([by_key[key] for key in keys if key in by_key])

    @property
    def _condition(self) -> Condition:
        """The protocol's first attack at its smallest budget."""
        return self.protocol.conditions[1]

    def _cell(self, defense: str) -> str:
        """Return the clean cell of the protocol's first seed."""
        place = (self.group, self.protocol.conditions[0], self.protocol.seeds[0])
        row = cells_of(self.store.run, defense).get(place)
        if row is None:
            raise BenchboxError(f"{self.store.run.path}: has no clean result of {defense}.")
        return str(row["cell"])

    def _training(self, defense: str) -> str | None:
        """Return the key of the training whose weights a defense uses; None without a result."""
        try:
            cell = self._cell(defense)
        except BenchboxError:
            return None
        return self.store.run.record.cells[cell].stages.get(self.store.made_by(cell))


def _attacked(subject: Subject) -> Tensor:
    (images,) = subject.attacked()
    return images


def _preferred() -> tuple[str, ...]:
    return tuple(json.loads(_PREFERRED.read_text(encoding="utf-8"))["defenses"])
