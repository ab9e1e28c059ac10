"""The contact sheets of a run's datasets, drawn from where the run found them."""

from pathlib import Path

from benchbox.data.contact_sheet import contact_sheet, pick_identities
from benchbox.data.scanning import TRAIN, scan_dataset
from benchbox.errors import BenchboxError
from benchbox.reports.record import read_record


def write_contact_sheets(run: Path) -> dict[str, Path]:
    """Write ``figures/<dataset>.png`` for each dataset of a run; return them by dataset name.

    A dataset that is not on this machine is left out: a run's folder may have travelled.
    """
    sheets: dict[str, Path] = {}
    for name, dataset in read_record(run / "run.json").datasets.items():
        if dataset.root is None:
            continue
        try:
            scan = scan_dataset(Path(dataset.root))
        except BenchboxError:
            continue
        picked = pick_identities(scan.records.get(TRAIN, ()))
        file = name.replace("/", "_").replace(":", "_")
        sheets[name] = contact_sheet(picked, run / "figures" / f"contact_sheet_{file}.png")
    return sheets
