"""``benchbox leaderboard verify --rerun``: an entry's numbers and checks anew, from its weights."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchbox.data.finding import open_dataset
from benchbox.data.protocol import ReidDataset
from benchbox.errors import BenchboxError
from benchbox.evaluation.valid_matches import matches_by_query
from benchbox.files.digests import digest_of_file
from benchbox.files.printable import printable
from benchbox.files.progress import Progress, silent
from benchbox.leaderboard.board_protocol import read_protocol
from benchbox.leaderboard.entry.files import read_entry
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.verifying.recompute import image_size_of, plan_of, recompute
from benchbox.leaderboard.verifying.recomputed import Recomputed
from benchbox.leaderboard.verifying.rerun_numbers import compared
from benchbox.leaderboard.verifying.sanity_again import compared_checks, recheck
from benchbox.results.stored_weights import require_loadable
from benchbox.runs.options import resolve_device
from benchbox.runs.registry import load_registry
from benchbox.runs.workplace import Site, Workplace


@dataclass(frozen=True, kw_only=True)
class RerunOptions:
    """Where to recompute; nothing here should change a number beyond the tolerance.

    Attributes:
        weights: seed → weights file; every seed of the entry.
        plugins: files that define the entry's defense, where benchbox does not.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: how many images are embedded or attacked at a time.
        data_root: where datasets are.
        scratch: folder to work in, removed afterwards; None for the system's temporary one.
    """

    weights: Mapping[int, Path]
    plugins: tuple[Path, ...] = ()
    device: str = "auto"
    batch_size: int = 64
    data_root: Path | None = None
    scratch: Path | None = None


@dataclass(frozen=True)
class Rerun:
    """What a recomputation found.

    Attributes:
        path: the entry's file.
        tolerance: points of mAP that the board allows; see `rerun_numbers`.
        numbers: all that were compared.
        checks: names of the sanity checks that were made again.
        outcomes: what is wrong with the outcomes of the entry's checks, a line each.
    """

    path: Path
    tolerance: float
    numbers: tuple[Recomputed, ...] = field(default=())
    checks: tuple[str, ...] = field(default=())
    outcomes: tuple[str, ...] = field(default=())

    @property
    def problems(self) -> list[str]:
        """One line for each number beyond its tolerance and each check with another outcome."""
        numbers = (
            f"{n.what}: entered {n.entered:.10g}, recomputed {n.found:.10g} "
            f"({n.difference:+.4g}; tolerance {n.tolerance:.4g})"
            for n in self.numbers
            if not n.agrees
        )
        return [printable(f"{self.path}: {says}") for says in (*numbers, *self.outcomes)]


def rerun(
    path: Path,
    options: RerunOptions,
    *,
    progress: Progress = silent,
) -> Rerun:
    """Recompute an entry's numbers from its weights, by the runner's own stages, and its checks.

    The weights take the place of the training; everything behind it is done anew. No code comes
    from the entry: the guard is that of the defense of this name, and has to be the one recorded.

    Raises:
        BenchboxError: the entry or a weights file is not what it says, its defense is unknown
            here, or its dataset is not here.
    """
    entry = read_entry(path)
    protocol = read_protocol(path.absolute().parent, version=entry.version)
    where = printable(path)
    require_weights(entry, options.weights, where=where)
    registry = load_registry(options.plugins)
    datasets = open_datasets(entry, options.data_root, where=where)
    plan = plan_of(entry, protocol, registry, datasets, options.weights, where=where)
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        site = Site(
            store=Path(folder),
            datasets=datasets,
            device=resolve_device(options.device),
            batch_size=options.batch_size,
        )
        place = Workplace(site)
        scores = recompute(entry, plan, place, lambda share, what: progress(share / 2, what))
        checks = recheck(
            entry,
            protocol,
            registry,
            plan,
            place,
            progress=lambda share, name: progress(0.5 + share / 2, f"check {name}"),
        )
    test = datasets[entry.test.name]
    numbers = compared(entry, protocol, scores, matches_by_query(test))
    behind_checks, outcomes = compared_checks(entry, protocol, checks, test)
    return Rerun(
        path,
        protocol.rerun_tolerance,
        numbers=(*numbers, *behind_checks),
        checks=tuple(check.name for check in checks),
        outcomes=tuple(outcomes),
    )


def require_weights(entry: Entry, weights: Mapping[int, Path], *, where: str) -> None:
    """Check that there are weights of every seed and that they are those of the entry.

    Raises:
        BenchboxError: one is missing, is another file, or is no weights file.
    """
    for recorded in entry.weights:
        file = weights.get(recorded.seed)
        if file is None:
            raise BenchboxError(f"{where}: weights: no file given for seed {recorded.seed}.")
        if not file.is_file():
            raise BenchboxError(f"{printable(file)}: no such weights file.")
        # Before anything is read from it: what is not the entry's file need not be looked into.
        digest = digest_of_file(file)
        if digest != recorded.sha256:
            raise BenchboxError(
                f"{printable(file)}: SHA-256 is {digest[:12]}…, the entry has "
                f"{recorded.sha256[:12]}… for seed {recorded.seed}. Expected the weights it was "
                "measured with."
            )
        if entry.given is None:
            require_loadable(file, backbone=entry.backbone, image_size=image_size_of(entry))


def open_datasets(entry: Entry, data_root: Path | None, *, where: str) -> dict[str, ReidDataset]:
    """Return the entry's datasets by name, those here.

    Raises:
        BenchboxError: one is not here, or is not the one that the entry was measured on.
    """
    opened = {}
    for dataset in (entry.train, entry.test):
        found = open_dataset(
            dataset.name, data_root=data_root, sidewalk_size=dataset.size or "tiny"
        )
        if found.digest != dataset.digest:
            raise BenchboxError(
                f"{where}: {dataset.name} here has the digest {found.digest[:12]}…, the entry was "
                f"measured on {dataset.digest[:12]}…: numbers would not be comparable."
            )
        opened[dataset.name] = found
    return opened
