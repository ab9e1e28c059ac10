"""Does robustness live in the classifier? The study behind Table 1 of Zhou et al. 2025.

A model is trained adversarially; then "we freeze the feature encoder and fine-tune the classifier
on clean samples". If robustness falls while clean accuracy does not, part of it was in the
classifier, which ReID throws away at test time. The study does this twice: for classification,
as the paper, and for the identities of a ReID dataset, which the paper argues about.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchbox.files.atomic import write_json
from benchbox.files.progress import Progress
from benchbox.files.watch import Watch
from benchbox.models.registry import check_backbone
from benchbox.runs.options import resolve_device
from benchbox.runs.provenance import device_name, git_state, now, versions
from benchbox.runs.store import Store
from benchbox.studies import material
from benchbox.studies.cell_work import do_cell
from benchbox.studies.cells import StudyCell
from benchbox.studies.classifier_options import StudyOptions
from benchbox.studies.classifier_table import study_record, study_table
from benchbox.studies.plain_classifier import check_classifier
from benchbox.studies.results import KIND, Result, read_result
from benchbox.tables.table import Table
from benchbox.tables.table_files import write_table

SCHEMA = 1

_TENTHS = 10


def study_classifier(out: Path, options: StudyOptions, console: Console) -> Table:
    """Do or resume the study in the folder ``out``, and return its table.

    ``out`` holds ``study.json``, ``tables/classifier_study.{md,csv,tex}`` and the store of
    finished cells. A cell is done again only if its settings, images or code changed; a killed
    one goes on behind its last finished epoch.

    Raises:
        BenchboxError: anything the user can mend; finished cells stay in the folder.
    """
    device = resolve_device(options.device)
    for name in options.plain_models:
        check_classifier(name)
    check_backbone(options.reid_model)
    started = now()
    cells = plan_cells(options, console)
    store = Store(out / "store")
    with _one_thread():
        results = _do(cells, store, torch.device(device), options, console)
    done = list(zip(cells, results, strict=True))
    manifests = {cell.key: store.recorded(KIND, cell.key) for cell in cells}
    seconds = {key: manifest.seconds for key, manifest in manifests.items() if manifest}
    table = study_table(done, options.pgd)
    head: dict[str, Any] = {
        "schema": SCHEMA,
        "study": "classifier",
        "started": started,
        "finished": now(),
        "versions": versions(),
        "git": git_state(),
        "device": device_name(device),
    }
    write_json(out / "study.json", head | study_record(done, seconds))
    write_table(table, out / "tables", "classifier_study")
    return table


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one core, as a run's workers do: sums then do not depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def plan_cells(options: StudyOptions, console: Console) -> list[StudyCell]:
    """Return the cells: models and seeds of classification, then seeds of identities.

    Images are read or rendered here; a faulty CIFAR-10 folder is refused before any training.
    """
    with console.status("opening the images") as status:

        def told(_share: float, text: str) -> None:
            status.update(text)

        if options.cifar is None:
            pictures = material.stand_in(train_each=options.train_each, test_each=options.test_each)
        else:
            pictures = material.cifar10(options.cifar)
        people = material.identities(
            options.dataset,
            data_root=options.data_root,
            sidewalk_size=options.sidewalk_size,
            image_size=options.image_size,
            progress=told,
        )
    for one in (pictures, people):
        console.print(f"{one.title}: {one.sizes}", highlight=False, markup=False, soft_wrap=True)
    cells = []
    for plain, images, models, (clean, adversarial) in (
        (True, pictures, options.plain_models, options.classification()),
        (False, people, (options.reid_model,), options.identities()),
    ):
        cells += [
            StudyCell(
                material=images,
                backbone=model,
                plain=plain,
                clean=clean,
                adversarial=adversarial,
                pgd=options.pgd,
                weight_decay=options.weight_decay,
                seed=seed,
            )
            for model in models
            for seed in options.seeds
        ]
    return cells


def _do(
    cells: list[StudyCell],
    store: Store,
    device: torch.device,
    options: StudyOptions,
    console: Console,
) -> list[Result]:
    """Do what is missing and return all results, in the order of the cells."""
    todo = [cell for cell in cells if store.manifest(KIND, cell.key) is None]
    console.print(
        f"{len(cells)} models, {len(cells) - len(todo)} of them in the folder already.",
        highlight=False,
    )
    batch_size = options.batch_size or (100 if device.type == "cpu" else 500)
    with Watch(console, "study", {cell.key: sum(cell.costs) for cell in todo}) as watch:
        for cell in todo:
            watch.begin(cell.key, cell.title)
            progress = watched(watch, cell, console)
            do_cell(cell, store, device=device, batch_size=batch_size, progress=progress)
            watch.end(cell.key)
    return [read_result(store, cell.key, images=len(cell.material.test.images)) for cell in cells]


def watched(watch: Watch, cell: StudyCell, console: Console) -> Progress:
    """Return what a cell tells its progress to, in hours of work.

    Without a terminal there is a line whenever another tenth of it is done.
    """
    last = 0

    def told(share: float, text: str) -> None:
        nonlocal last
        watch.move(cell.key, share, text)
        tenth = int(share * _TENTHS)
        if tenth > last and not console.is_terminal:
            last = tenth
            watch.counted_line(f"{share:4.0%} {cell.title} · {text}")

    return told
