"""The drawing of retrieval strips: which query, and what it finds in each model."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from benchbox.reports.drawings.scene import Scene
from benchbox.reports.figures.retrieval_strips import Strip, retrieval_strips
from benchbox.reports.figures.retrieve import Hit, retrieve


def strips_of(scene: Scene) -> tuple[Figure, str]:
    """Return one query's strip in each model that the scene compares, and the caption."""
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
    stored = scene.stored(defense)
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
    stored = scene.stored(defense)
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


def _retrieve(scene: Scene, feature: Tensor, gallery: Tensor, row: int, k: int = 8) -> list[Hit]:
    query, records = scene.data.query[row], scene.data.gallery
    return retrieve(
        feature,
        gallery,
        pid=query.pid,
        camid=scene.data.query_camids[row],
        gallery_pids=[record.pid for record in records],
        gallery_camids=scene.data.gallery_camids,
        k=k,
    )


def _with_images(scene: Scene, cell: str, hits: Sequence[Hit]) -> list[tuple[Hit, Tensor]]:
    records = [scene.data.gallery[hit.index] for hit in hits]
    return list(zip(hits, scene.store.images(cell, records), strict=True))
