"""The figures of a run's models: heatmaps, maps of embeddings, what a query retrieves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from benchbox.data.protocol import ImageRecord, ReidDataset
from benchbox.errors import BenchboxError
from benchbox.reports.figures.embedding_map import (
    embedding_map,
    embedding_map_caption,
    pick_pids,
    project,
)
from benchbox.reports.figures.generated import generated_samples
from benchbox.reports.figures.heatmaps import Person, heatmaps, heatmaps_caption
from benchbox.reports.figures.retrieval_strips import Hit, Strip, retrieval_strips, retrieve
from benchbox.reports.layouts import main_defenses
from benchbox.reports.picture import Drawing, file_name
from benchbox.results.artefacts import Artefacts, Attacked
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group, Measurements, measurements

PEOPLE = 3
"""Rows of the heatmaps."""

MOST_MODELS = 3
"""Models that stand side by side on a page."""


@dataclass(frozen=True)
class Scene:
    """One block of the tables under one attack, with the models that figures compare.

    Attributes:
        store: where models, embeddings and images come from.
        cells: all results.
        group: backbone and datasets.
        attack: the first attack at its smallest budget.
        defenses: to compare, in order.
    """

    store: Artefacts
    cells: Measurements
    group: Group
    attack: Condition
    defenses: tuple[str, ...]

    @property
    def data(self) -> ReidDataset:
        """The dataset whose queries are shown."""
        return self.store.dataset(self.group.test)

    def title(self, defense: str) -> str:
        """Return a defense's title."""
        return self.cells.names.title("defenses", defense)

    def cell(self, defense: str, condition: Condition) -> str:
        """Return the cell of the lowest seed."""
        scores = self.cells.at(self.group, defense, condition)
        if not scores:
            raise BenchboxError(
                f"{self.title(defense)} has no result under {self.cells.condition_title(condition)}"
            )
        return scores[min(scores)].cell

    def attacked(self, defense: str) -> str:
        """Return the cell of a defense under the attack."""
        return self.cell(defense, self.attack)

    @property
    def where(self) -> str:
        """What every caption ends with."""
        seed = min(seed for seed in self.cells.seeds)
        return (
            f"{self.cells.group_title(self.group)}, {self.cells.condition_title(self.attack)}, "
            f"seed {seed}. Measured on this machine."
        )


def drawings_of_models(store: Artefacts) -> Iterator[Drawing]:
    """Yield the figures that show models at work, for each block of the tables."""
    run = store.run
    cells = measurements(run.results, run.record.names)
    attacks = [condition for condition in cells.conditions if not condition.is_clean]
    for group in cells.groups:
        title = cells.group_title(group)
        name = file_name(f"{group.test}_{group.backbone}")
        defenses = tuple(main_defenses(cells.defenses)[:MOST_MODELS])
        if attacks:
            scene = Scene(store, cells, group, attacks[0], defenses)
            yield Drawing(
                f"strips_{name}", f"What a query retrieves: {title}", partial(_strips, scene)
            )
            yield Drawing(
                f"heatmaps_{name}", f"Where the models look: {title}", partial(_heatmaps, scene)
            )
            yield Drawing(f"embeddings_{name}", f"Embeddings: {title}", partial(_embeddings, scene))
        for defense in cells.defenses:
            if _balanced_set(store, cells, group, defense) is not None:
                shown = cells.names.title("defenses", defense)
                yield Drawing(
                    f"generated_{defense}_{name}",
                    f"Images generated for {shown}: {title}",
                    partial(_generated, store, cells, group, defense, name),
                )


def _strips(scene: Scene) -> tuple[Figure, str]:
    row = _telling_query(scene)
    query = scene.data.query[row]
    strips = [_strip(scene, defense, row) for defense in scene.defenses]
    return retrieval_strips(strips), (
        f"Query {query.path.name} (identity {query.pid}, camera {query.camid}) and its nearest "
        "gallery images, before and after the attack on each model: green with a tick is the same "
        "person, vermillion with a cross is not; images of the query's own camera and identity are "
        "left out, as in the evaluation. Below each image its Euclidean distance. It is the first "
        "stored query that the first model finds when clean and loses when attacked. "
        f"{scene.where}"
    )


def _telling_query(scene: Scene) -> int:
    """Return the first stored query that the first model finds clean and loses attacked."""
    defense = scene.defenses[0]
    stored = _stored(scene, defense)
    clean = scene.store.features(scene.attacked(defense))
    attacked = scene.store.attacked_features(scene.attacked(defense), scene.attack)
    for row in stored.rows:
        before = _retrieve(scene, clean["query"][row], clean["gallery"], row, k=1)
        after = _retrieve(scene, attacked[row], clean["gallery"], row, k=1)
        if before and before[0].correct and after and not after[0].correct:
            return row
    return stored.rows[0]


def _strip(scene: Scene, defense: str, row: int) -> Strip:
    cell = scene.attacked(defense)
    stored = _stored(scene, defense)
    clean = scene.store.features(cell)
    attacked = scene.store.attacked_features(cell, scene.attack)
    return Strip(
        title=f"{scene.title(defense)}, {scene.cells.condition_title(scene.attack)}",
        clean=scene.store.images(cell, [scene.data.query[row]])[0],
        adversarial=stored.images[stored.rows.index(row)],
        eps=scene.attack.eps_255 / 255,
        before=_with_images(
            scene, cell, _retrieve(scene, clean["query"][row], clean["gallery"], row)
        ),
        after=_with_images(scene, cell, _retrieve(scene, attacked[row], clean["gallery"], row)),
    )


def _stored(scene: Scene, defense: str) -> Attacked:
    return scene.store.attacked(
        scene.attacked(defense), scene.attack, queries=len(scene.data.query)
    )


def _retrieve(scene: Scene, feature: Tensor, gallery: Tensor, row: int, k: int = 8) -> list[Hit]:
    query, records = scene.data.query[row], scene.data.gallery
    return retrieve(
        feature,
        gallery,
        pid=query.pid,
        camid=query.camid,
        gallery_pids=[record.pid for record in records],
        gallery_camids=[record.camid for record in records],
        k=k,
    )


def _with_images(scene: Scene, cell: str, hits: Sequence[Hit]) -> list[tuple[Hit, Tensor]]:
    records = [scene.data.gallery[hit.index] for hit in hits]
    return list(zip(hits, scene.store.images(cell, records), strict=True))


def _heatmaps(scene: Scene) -> tuple[Figure, str]:
    """Compare two models, as the paper does: adversarial training and DDD where they are there."""
    defenses = [d for d in scene.defenses if scene.store.guard(d) is None][-2:]
    if not defenses:
        raise BenchboxError("every defense stands behind a guard; heatmaps are of models alone.")
    models = {scene.title(d): scene.store.model(scene.attacked(d)) for d in defenses}
    stored = {d: _stored(scene, d) for d in defenses}
    rows = stored[defenses[0]].rows
    rows = [rows[place * (len(rows) - 1) // (PEOPLE - 1)] for place in range(PEOPLE)]
    records = [scene.data.query[row] for row in dict.fromkeys(rows)]
    clean = scene.store.images(scene.attacked(defenses[0]), records)
    people = [
        Person(
            title=f"P{number + 1}",
            clean=image,
            adversarial={
                scene.title(d): stored[d].images[stored[d].rows.index(row)] for d in defenses
            },
        )
        for number, (row, image) in enumerate(zip(dict.fromkeys(rows), clean, strict=True))
    ]
    targets = {
        scene.title(d): [_gallery_mean(scene, d, record) for record in records] for d in defenses
    }
    return heatmaps(models, people, targets), f"{heatmaps_caption()} {scene.where}"


def _gallery_mean(scene: Scene, defense: str, record: ImageRecord) -> Tensor:
    """Return the mean embedding of a person's gallery images, of unit length.

    Not the query's own embedding: a cosine similarity has no gradient where it is 1.
    """
    gallery = scene.store.features(scene.attacked(defense))["gallery"]
    own = [index for index, other in enumerate(scene.data.gallery) if other.pid == record.pid]
    if not own:
        raise BenchboxError(f"identity {record.pid} has no gallery image to compare with.")
    return F.normalize(gallery[own].mean(0), dim=0)


def _embeddings(scene: Scene) -> tuple[Figure, str]:
    pids = [record.pid for record in scene.data.query]
    chosen = set(pick_pids(pids))
    rows = [row for row, pid in enumerate(pids) if pid in chosen]
    embeddings = {}
    for defense in scene.defenses:
        cell = scene.attacked(defense)
        clean = scene.store.features(cell)["query"]
        attacked = scene.store.attacked_features(cell, scene.attack)
        embeddings[scene.title(defense)] = (clean[rows], attacked[rows])
    points = project(embeddings, [pids[row] for row in rows])
    return embedding_map(points), f"{embedding_map_caption(points)} {scene.where}"


def _balanced_set(store: Artefacts, cells: Measurements, group: Group, defense: str) -> Path | None:
    """Return the folder of the images a defense was trained on, where it made some."""
    clean = [condition for condition in cells.conditions if condition.is_clean]
    scores = cells.at(group, defense, clean[0]) if clean else {}
    if not scores:
        return None
    try:
        folder = store.folder(scores[min(scores)].cell, "prepare")
    except BenchboxError:
        return None
    return folder if (folder / "synthetic.csv").is_file() else None


def _generated(
    store: Artefacts, cells: Measurements, group: Group, defense: str, name: str
) -> tuple[Path, str]:
    folder = _balanced_set(store, cells, group, defense)
    if folder is None:
        raise BenchboxError("the balanced set is not in the store; run the grid again.")
    path = store.run.path / "figures" / f"generated_{defense}_{name}.png"
    return generated_samples(folder, path), (
        "Training images of four identities that data balancing added to: originals, and what the "
        f"diffusion model generated for the identity and camera. {cells.group_title(group)}."
    )
