"""The figure of generated images: identities of a balanced set (Zhou et al., Fig. 5)."""

from pathlib import Path

from benchbox.data.contact_sheet import Frame, contact_sheet, pick_identities
from benchbox.data.protocol import ImageRecord
from benchbox.data.scanning import TRAIN, scan_dataset
from benchbox.errors import BenchboxError
from defenses.ddd.balanced_set import is_generated

ORIGINAL, GENERATED = Frame("#009E73", "original"), Frame("#E69F00", "generated")


def generated_samples(folder: Path, path: Path, *, identities: int = 4) -> Path:
    """Write a sheet of identities that got generated images: four originals, up to six of those.

    The balanced set has a sheet of its own; this one has as many rows as fit on a page.

    Args:
        folder: a balanced set, as data balancing leaves it in the store.
        path: the PNG to write.
        identities: how many rows at most, spread evenly over those that got images.

    Returns:
        ``path``.

    Raises:
        BenchboxError: the folder holds no generated images, an image cannot be read, or ``path``
            not written.
    """
    records = scan_dataset(folder).records[TRAIN]
    generated = [record for record in records if is_generated(record.path.name)]
    if not generated:
        raise BenchboxError(f"{folder / TRAIN}: no generated images to show.")
    pids = {record.pid for record in generated}
    originals = pick_identities(
        [r for r in records if r.pid in pids and not is_generated(r.path.name)],
        identities=identities,
        images=4,
    )
    rows: dict[int, list[ImageRecord]] = {}
    for pid, first in originals.items():
        own = pick_identities([r for r in generated if r.pid == pid], images=6)
        rows[pid] = [*first, *own[pid]]
    return contact_sheet(
        rows,
        path,
        frame=lambda record: GENERATED if is_generated(record.path.name) else ORIGINAL,
    )
