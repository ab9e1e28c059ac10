"""The drawing of heatmaps: which models, which people, and what they are compared with."""

import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError
from benchbox.reports.drawings.scene import Scene
from benchbox.reports.figures.heatmaps import Person, heatmaps, heatmaps_caption
from benchbox.results.networks import Network

PEOPLE = 3
"""Rows of the heatmaps."""


def heatmaps_of(scene: Scene) -> tuple[Figure, str]:
    """Compare two models, as the paper does: adversarial training and DDD where they are there.

    The scene's models take images of one size.
    """
    networks = _networks(scene)
    defenses = list(networks)
    models = {scene.title(d): network.model for d, network in networks.items()}
    stored = {d: scene.stored(d) for d in defenses}
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


def _networks(scene: Scene) -> dict[str, Network]:
    """Return the one or two models to compare, by the names of their defenses."""
    bare = [d for d in scene.defenses if scene.store.guard(d) is None]
    if not bare:
        raise BenchboxError("every defense stands behind a guard; heatmaps are of models alone.")
    networks = {d: scene.store.network(scene.attacked(d)) for d in bare}
    alone = {
        name: network
        for name, network in networks.items()
        if network.given is None or not (network.given.cameras or network.given.views)
    }
    if not alone:
        raise BenchboxError("the models take camera ids, which Grad-CAM cannot show.")
    return dict(list(alone.items())[-2:])


def _gallery_mean(scene: Scene, defense: str, record: ImageRecord) -> Tensor:
    """Return the mean embedding of a person's gallery images, of unit length.

    Not the query's own embedding: a cosine similarity has no gradient where it is 1.
    """
    gallery = scene.store.features(scene.attacked(defense))["gallery"]
    own = [index for index, other in enumerate(scene.data.gallery) if other.pid == record.pid]
    if not own:
        raise BenchboxError(f"identity {record.pid} has no gallery image to compare with.")
    return F.normalize(gallery[own].mean(0), dim=0)
