"""The work of a cell: adversarial training, the classifier fitted again, both measured."""

import time
from pathlib import Path

import torch

from benchbox.files.atomic import write_bytes, write_json
from benchbox.files.progress import Progress
from benchbox.models.registry import build_model
from benchbox.models.reid import ReidModel
from benchbox.models.weights import save_weights
from benchbox.runs.store import Store
from benchbox.studies.accuracy import correct
from benchbox.studies.cells import StudyCell
from benchbox.studies.heads import Fit, Head, encode, fit_head, head_of, with_head, zeros_like
from benchbox.studies.plain_classifier import build_classifier
from benchbox.studies.results import KIND, FitRecord, Hits, Result, bits, read_result
from benchbox.training.loop import train
from benchbox.training.recipe import Recipe


def do_cell(
    cell: StudyCell, store: Store, *, device: torch.device, batch_size: int, progress: Progress
) -> Result:
    """Return the cell's result, from the store or by working it out.

    A killed attempt goes on behind its last finished epoch.

    Raises:
        BenchboxError: training diverged, or something cannot be written.
    """
    with store.claim(KIND, cell.key):
        if store.manifest(KIND, cell.key) is None:
            with store.building(KIND, cell.key) as folder:
                started = time.monotonic()
                _work(cell, store.scratch(KIND, cell.key), folder, device, batch_size, progress)
                store.finish(
                    folder,
                    manifest={
                        "key": cell.key,
                        "kind": KIND,
                        "title": cell.title,
                        "settings": cell.settings(),
                        "seconds": round(time.monotonic() - started, 3),
                        "device": str(device),
                    },
                )
    return read_result(store, cell.key, images=len(cell.material.test.images))


def _work(
    cell: StudyCell,
    scratch: Path,
    folder: Path,
    device: torch.device,
    batch_size: int,
    progress: Progress,
) -> None:
    clean, adversarial, measuring = (cost / sum(cell.costs) for cost in cell.costs)
    model = _start(cell)
    if cell.clean is not None:
        told = _within(progress, 0.0, clean, "clean training, ")
        _train(cell, cell.clean, model, scratch / "clean", device, told)
    told = _within(progress, clean, adversarial, "adversarial training, ")
    _train(cell, cell.adversarial, model, scratch / "adversarial", device, told)
    log = (scratch / "adversarial" / "log.jsonl").read_bytes()
    write_bytes(folder / "log.jsonl", log)
    model.eval()
    metadata = {"backbone": cell.backbone, "key": cell.key}
    save_weights(model, folder / "weights.safetensors", metadata=metadata)
    told = _within(progress, clean + adversarial, measuring)
    result = _measure(cell, model, device, batch_size, told)
    write_json(folder / "result.json", result.model_dump(mode="json"))


def _train(
    cell: StudyCell,
    recipe: Recipe,
    model: ReidModel,
    scratch: Path,
    device: torch.device,
    progress: Progress,
) -> None:
    data = cell.material.train
    train(recipe, model, data, seed=cell.seed, folder=scratch, device=device, progress=progress)


def _start(cell: StudyCell) -> ReidModel:
    if cell.plain:
        return build_classifier(cell.backbone, num_classes=cell.material.classes, seed=cell.seed)
    height, width = cell.material.train.images.shape[2:]
    return build_model(
        cell.backbone,
        num_classes=cell.material.classes,
        seed=cell.seed,
        image_size=(height, width),
    )


def _measure(
    cell: StudyCell, model: ReidModel, device: torch.device, batch_size: int, progress: Progress
) -> Result:
    """Fit the heads anew and return what each recognises."""
    progress(0.0, "fitting the classifier again")
    features = encode(model, cell.material.train.images, batch_size=batch_size, device=device).to(
        device
    )
    adversarial = head_of(model)

    def fitted(start: Head) -> Fit:
        # The loss is the one of the training, so that clean images are all that is new.
        return fit_head(
            features,
            cell.material.train.labels.to(device),
            start,
            weight_decay=cell.weight_decay,
            smoothing=cell.adversarial.training.label_smoothing,
        )

    fits = {"fine_tuned": fitted(adversarial), "fresh": fitted(zeros_like(adversarial))}
    heads = {"adversarial": adversarial} | {name: fit.head for name, fit in fits.items()}
    hits: dict[str, Hits] = {}
    for number, (name, head) in enumerate(heads.items()):
        changed = with_head(model, head)
        told = _within(progress, number / len(heads), 1 / len(heads))
        clean, attacked = (
            correct(
                changed,
                cell.material.test,
                attack,
                seed=cell.seed,
                batch_size=batch_size,
                device=device,
                progress=told,
            )
            for attack in (None, cell.pgd)
        )
        hits[name] = Hits(clean=bits(clean), pgd=bits(attacked))
    return Result(
        adversarial=hits["adversarial"],
        fine_tuned=hits["fine_tuned"],
        fresh=hits["fresh"],
        fits={name: FitRecord.of(fit) for name, fit in fits.items()},
    )


def _within(progress: Progress, start: float, extent: float, prefix: str = "") -> Progress:
    """Return a progress for one part of the work, which begins at ``start``."""
    return lambda share, text: progress(start + share * extent, prefix + text)
