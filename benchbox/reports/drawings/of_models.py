"""The figures of a run's models: heatmaps, maps of embeddings, what a query retrieves."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from benchbox.errors import BenchboxError
from benchbox.reports.drawings.heat import heatmaps_of
from benchbox.reports.drawings.picture import Drawing, file_name
from benchbox.reports.drawings.scene import Scene
from benchbox.reports.drawings.strips import strips_of
from benchbox.reports.figures.discriminator import (
    BLIND,
    Log,
    discriminator_caption,
    discriminator_curves,
)
from benchbox.reports.figures.embedding_map import embedding_map, embedding_map_caption
from benchbox.reports.figures.generated import generated_samples
from benchbox.reports.figures.projection import pick_pids, project
from benchbox.reports.layouts import main_defenses
from benchbox.results.artefacts import Artefacts
from benchbox.results.measurements import Group, Measurements, measurements
from benchbox.results.run_folder import RunFolder

MOST_MODELS = 3
"""Models that stand side by side on a page."""


def drawings_of_models(store: Artefacts) -> Iterator[Drawing]:
    """Yield the figures that show models at work, for each block of the tables.

    Models are shown on the dataset they were trained on, given ones on all they were tested on.
    """
    run = store.run
    for cells, group, shown in _blocks(run):
        threats = cells.names.threats
        attacked = [condition for condition in cells.conditions if not condition.is_clean]
        attacks = [c for c in attacked if threats.get(c.attack) != "gallery"]
        title = cells.group_title(group)
        places = dict.fromkeys((group.train, group.test, group.backbone))
        name = file_name("_".join(places))
        defenses = tuple(main_defenses(shown)[:MOST_MODELS])
        if attacks:
            scene = Scene(store, cells, group, attacks[0], defenses)
            yield Drawing(
                f"strips_{name}", f"What a query retrieves: {title}", partial(strips_of, scene)
            )
            yield from _heatmaps(scene, name)
            yield Drawing(f"embeddings_{name}", f"Embeddings: {title}", partial(_embeddings, scene))
        if logs := _discriminators(store, cells, group, shown):
            yield Drawing(
                f"discriminator_{name}",
                f"Discriminators in training: {title}",
                partial(_discriminator, logs, title),
            )
        for defense in shown:
            if _balanced_set(store, cells, group, defense) is not None:
                called = cells.names.title("defenses", defense)
                yield Drawing(
                    f"generated_{defense}_{name}",
                    f"Images generated for {called}: {title}",
                    partial(_generated, store, cells, group, defense, name),
                )


def _heatmaps(scene: Scene, name: str) -> Iterator[Drawing]:
    """Yield the heatmaps of a scene: a figure for each size of images that its models take."""
    given = scene.cells.names.given
    sizes = {d: given[d].image_size if d in given else None for d in scene.defenses}
    several = len(set(sizes.values())) > 1
    for size in dict.fromkeys(sizes.values()):
        same = tuple(defense for defense in scene.defenses if sizes[defense] == size)
        titles = ", ".join(map(scene.title, same))
        yield Drawing(
            f"heatmaps_{name}_{same[0]}" if several else f"heatmaps_{name}",
            "Where the models look: "
            + scene.cells.group_title(scene.group)
            + (f", {titles}" if several else ""),
            partial(heatmaps_of, replace(scene, defenses=same)),
        )


def _blocks(run: RunFolder) -> Iterator[tuple[Measurements, Group, list[str]]]:
    """Yield each block of the tables whose models are shown, and their defenses' names."""
    names = run.record.names
    same = measurements(run.results, names)
    for group in same.groups:
        yield same, group, same.rows_of(group)
    elsewhere = measurements(run.results, names, pairs="transfer")
    for group in elsewhere.groups:
        if given := [name for name in elsewhere.rows_of(group) if name in names.given]:
            yield elsewhere, group, given


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


def _discriminators(
    store: Artefacts, cells: Measurements, group: Group, shown: list[str]
) -> dict[str, list[Log]]:
    """Return title → the training logs of all seeds, of the rows trained with a discriminator."""
    clean = [condition for condition in cells.conditions if condition.is_clean]
    found: dict[str, list[Log]] = {}
    for defense in shown if clean else ():
        scores = cells.at(group, defense, clean[0])
        try:
            logs = [store.training_log(scores[seed].cell) for seed in sorted(scores)]
        except BenchboxError:  # a given model, or the store is not here
            continue
        if logs and all(log and all(entry.keys() >= BLIND.keys() for entry in log) for log in logs):
            found[cells.names.title("defenses", defense)] = list(logs)
    return found


def _discriminator(logs: dict[str, list[Log]], title: str) -> tuple[Figure, str]:
    return discriminator_curves(logs), f"{discriminator_caption()} {title}."


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
