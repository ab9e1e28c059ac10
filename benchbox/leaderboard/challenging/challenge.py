"""``benchbox leaderboard challenge``: do anyone's adversarial queries leave less of an entry?"""

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from benchbox.data.images import to_unit
from benchbox.errors import BenchboxError
from benchbox.evaluation.embedding import embed_images
from benchbox.evaluation.validity import require_valid
from benchbox.files.printable import printable
from benchbox.files.progress import Progress, silent
from benchbox.leaderboard.board_protocol import Protocol, read_protocol
from benchbox.leaderboard.challenging.images import Expected, read_images, require_near
from benchbox.leaderboard.entry.challenges import (
    Challenge,
    best_known,
    best_known_by_seed,
    read_challenges,
    write_challenges,
)
from benchbox.leaderboard.entry.files import read_entry
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.verifying.recompute import plan_of
from benchbox.leaderboard.verifying.rerun import RerunOptions, open_datasets, require_weights
from benchbox.results.per_query import read_per_query
from benchbox.runs.registry import load_registry
from benchbox.runs.runner import resolve_device
from benchbox.runs.stages import RankStage, with_needs
from benchbox.runs.worker import do_stage
from benchbox.runs.workplace import Site, Workplace
from benchbox.untrusted.json import as_record


@dataclass(frozen=True)
class Outcome:
    """What became of a challenge.

    Attributes:
        found: seed → mAP that the queries leave, in percent.
        before: the best known number, mean over the seeds.
        after: the best known number now; as before where the challenge did not win.
        path: the file of challenges that was written; None where it did not win.
    """

    found: Mapping[int, float]
    before: float
    after: float
    path: Path | None


def challenge(
    path: Path,
    images: Mapping[int, Path],
    options: RerunOptions,
    *,
    by: str,
    address: str,
    progress: Progress = silent,
) -> Outcome:
    """Rank adversarial queries with an entry's models; where they win, write it down.

    They win if they leave less of one seed's model than was known, at the budget that ranks. What
    counts is the mAP of all queries together: an entry does not keep each query's worst AP.

    Args:
        path: the entry.
        images: seed → the queries made for that seed's model; see `read_images`.
        options: the entry's weights, and where to rank.
        by: who found them, as they want to be named.
        address: web address of the queries or of how they were made.
        progress: told seed by seed.

    Raises:
        BenchboxError: the queries are not what they have to be, weights or dataset are not the
            entry's, or the weights do not give the entry's clean mAP here.
    """
    entry = read_entry(path)
    protocol = read_protocol(path.absolute().parent, version=entry.version)
    earlier = read_challenges(path, entry)
    where = printable(path)
    if unknown := sorted(set(images) - set(protocol.seeds)):
        raise BenchboxError(f"{where}: has no model of seed {unknown[0]}.")
    require_weights(entry, options.weights, where=where)
    datasets = open_datasets(entry, options.data_root, where=where)
    registry = load_registry(options.plugins)
    plan = plan_of(entry, protocol, registry, datasets, options.weights, where=where)
    clean = {cell.seed: cell.rank for cell in plan.cells if cell.rank.attacked is None}
    device = resolve_device(options.device)
    found, digests = {}, []
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        place = Workplace(Site(Path(folder), datasets, device, options.batch_size))
        for done, (seed, file) in enumerate(sorted(images.items())):
            progress(done / len(images), f"seed {seed}")
            queries = _queries(file, entry, clean[seed], place)
            _require_its_clean_number(entry, protocol, seed, clean[seed], place, where=where)
            found[seed] = _ranked(queries, entry, clean[seed], place)
            digests.append(hashlib.sha256(queries.numpy().tobytes()).digest())
    entered: dict[str, Any] = {
        "by": by,
        "address": address,
        "submitted": datetime.now(UTC).date().isoformat(),
        "eps_255": entry.worst_case[0].eps_255,
        "images": hashlib.sha256(b"".join(digests)).hexdigest(),
        "seeds": [{"seed": seed, "mAP": mAP} for seed, mAP in found.items()],
    }
    new = as_record(entered, Challenge, where="challenge")
    known = best_known_by_seed(entry, earlier)
    before = best_known(entry, earlier).mean
    if not any(mAP < known[seed] for seed, mAP in found.items()):
        return Outcome(found, before, before, None)
    now = (*earlier, new)
    return Outcome(found, before, best_known(entry, now).mean, write_challenges(path, entry, now))


def _queries(file: Path, entry: Entry, rank: RankStage, place: Workplace) -> Tensor:
    """Return (Q, 3, H, W) adversarial queries in [0, 1], read and held against the clean ones."""
    data = rank.clean.data
    expected = Expected(
        keys=[record.key for record in data.records(place, "query")],
        size=data.image_size,
        dataset=data.digest,
        entry=entry.digest,
    )
    images = read_images(file, expected)
    clean = to_unit(data.test_images(place, "query")[:])
    require_near(images, clean, eps=_eps(entry), where=printable(file))
    return images


def _ranked(images: Tensor, entry: Entry, rank: RankStage, place: Workplace) -> float:
    """Return the mAP in percent that adversarial queries leave; as for any attack, all checked."""
    data = rank.clean.data
    features = embed_images(
        rank.clean.embed(place, "query"), images, batch_size=place.batch_size, device=place.device
    )
    clean = to_unit(data.test_images(place, "query")[:])
    require_valid(clean, images, features, eps=_eps(entry), attack="challenge", first=0)
    return 100 * rank.ranking(place)(features).mAP


def _require_its_clean_number(
    entry: Entry, protocol: Protocol, seed: int, rank: RankStage, place: Workplace, *, where: str
) -> None:
    """Embed and rank the clean queries, and check that the entry's number comes out.

    Raises:
        BenchboxError: another one does: what the queries leave would not be the entry's then.
    """
    for stage in with_needs([rank]):
        do_stage(stage, place)
    per_query = read_per_query(place.store.folder(rank.kind, rank.key) / "per_query.json")
    here = per_query.percent()["mAP"]
    there = next(measured.mAP for measured in entry.clean.seeds if measured.seed == seed)
    if abs(here - there) > protocol.rerun_tolerance:
        raise BenchboxError(
            f"{where}: clean mAP of seed {seed} is {here:.2f} here, the entry has {there:.2f}. "
            "Expected the entry's own number; use the code and versions it was measured with."
        )


def _eps(entry: Entry) -> float:
    return entry.worst_case[0].eps_255 / 255
