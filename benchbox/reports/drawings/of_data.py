"""The figures of a run's datasets: how many images identities have, and how alike they are."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from benchbox.data.contact_sheet import contact_sheet, pick_identities
from benchbox.data.protocol import ImageRecord, ReidDataset
from benchbox.errors import BenchboxError
from benchbox.reports.drawings.picture import Drawing, file_name
from benchbox.reports.figures.identity_rows import identity_rows
from benchbox.reports.figures.identity_spread import identity_spread, identity_spread_caption
from benchbox.reports.figures.image_counts import count_images, images_per_identity
from benchbox.reports.figures.near_duplicates import hash_images, near_duplicates
from benchbox.reports.figures.redundancy import redundancy, redundancy_montage
from benchbox.reports.layouts import main_defenses
from benchbox.results.artefacts import Artefacts
from benchbox.results.measurements import measurements

_NEAR = (
    "Near-duplicates are two images of one identity whose 64-bit perceptual hashes (pHash) differ "
    "in at most 8 bits. Training images."
)


def drawings_of_data(store: Artefacts) -> Iterator[Drawing]:
    """Yield the figures of the datasets that are on this machine."""

    @cache
    def trained() -> Present:
        return _trained_on(store)

    @cache
    def hashes() -> pd.DataFrame:
        return hash_images(trained().images)

    yield Drawing(
        "identity_spread",
        "Spread between identities against their number of images",
        lambda: _identity_spread(store),
    )
    yield Drawing(
        "images_per_identity",
        "Training images per identity",
        lambda: (
            images_per_identity(count_images(trained().images)),
            f"Junk and distractors are not counted.{trained().without}",
        ),
    )
    yield Drawing(
        "redundancy",
        "How redundant an identity's images are",
        lambda: (redundancy(near_duplicates(hashes())), _NEAR + trained().without),
    )
    yield Drawing(
        "redundancy_montage",
        "The most redundant images",
        lambda: (
            redundancy_montage(hashes()),
            f"An image and its near-duplicates with the number of bits that differ. {_NEAR}"
            f"{trained().without}",
        ),
    )
    for name in store.run.record.datasets:
        yield Drawing(
            f"contact_sheet_{file_name(name)}",
            f"{store.run.record.names.title('datasets', name)}: what its images look like",
            partial(_sheet, store, name),
        )


@dataclass(frozen=True)
class Present:
    """Some images of the run's datasets, of those that are on this machine.

    Attributes:
        images: dataset title → images.
        without: what a caption adds about the others; nothing where all are there.
    """

    images: dict[str, Sequence[ImageRecord]]
    without: str


def _trained_on(store: Artefacts) -> Present:
    """Return the training images, for the datasets the run trained on.

    Raises:
        BenchboxError: none of them is here, or all models were trained elsewhere on others.
    """
    names = store.run.record.names
    stated = names.sorted("datasets", store.run.results["train_dataset"])
    # A given model may be stated to be trained on any dataset.
    trained = [name for name in stated if name in store.run.record.datasets]
    if not trained:
        raise BenchboxError("no dataset of the run was trained on.")
    there, without = _there(store, trained)
    return Present({names.title("datasets", n): d.train for n, d in there.items()}, without)


def _there(store: Artefacts, names: Sequence[str]) -> tuple[dict[str, ReidDataset], str]:
    """Return the datasets that are on this machine, and what a caption adds about the others.

    Raises:
        BenchboxError: none is here, for the reason of the first.
    """
    found, missing = {}, {}
    for name in names:
        try:
            found[name] = store.dataset(name)
        except BenchboxError as error:
            missing[store.run.record.names.title("datasets", name)] = error
    if not found and missing:
        raise next(iter(missing.values()))
    return found, "".join(f" Without {title}: {error}" for title, error in missing.items())


def _identity_spread(store: Artefacts) -> tuple[Figure, str]:
    run = store.run
    cells = measurements(run.results, run.record.names)
    if not cells.scores:
        raise BenchboxError("no model was tested on the dataset it was trained on.")
    tested = dict.fromkeys(group.test for group in cells.groups)
    there, without = _there(store, list(tested))
    frame = identity_rows(
        run.results,
        run.per_id,
        run.record.names,
        {name: Counter(record.pid for record in d.gallery) for name, d in there.items()},
        defenses=main_defenses(cells.defenses),
    )
    return identity_spread(frame), identity_spread_caption(frame) + without


def _sheet(store: Artefacts, name: str) -> tuple[Path, str]:
    picked = pick_identities(store.dataset(name).train)
    path = store.run.path / "figures" / f"contact_sheet_{file_name(name)}.png"
    return contact_sheet(picked, path), (
        "Rows are identities, spread evenly over the dataset; columns their images, by camera."
    )
