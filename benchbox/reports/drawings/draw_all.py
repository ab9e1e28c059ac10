"""Drawing all figures of a run, side by side in processes where they are many."""

import multiprocessing
import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Literal

from benchbox.errors import BenchboxError
from benchbox.files.progress import Progress
from benchbox.reports.drawings.of_data import drawings_of_data
from benchbox.reports.drawings.of_models import drawings_of_models
from benchbox.reports.drawings.of_results import drawings_of_results
from benchbox.reports.drawings.picture import Drawing, LeftOut, Picture, save_drawing
from benchbox.results.artefacts import Artefacts
from benchbox.results.run_folder import RunFolder, read_run
from benchbox.runs.options import cores
from benchbox.runs.registry import given_models, load_registry

Depth = Literal["all", "results"]
"""``results`` draws what results.csv and per_id.csv allow, in seconds; ``all`` takes the models,
embeddings and images of the run's store too."""


FAMILIES = (
    *("robustness", "budgets", "trade_off", "corruption", "per_identity", "identity_spread"),
    *("images_per_identity", "redundancy", "redundancy_montage"),
    *("strips_", "heatmaps_", "embeddings_", "discriminator_", "generated_", "contact_sheet_"),
)
"""What the files of figures are called; of those that end in ``_`` there are several."""

_MOST_PROCESSES = 4


def drawings(run: RunFolder, depth: Depth, plugins: Sequence[Path] = ()) -> Iterator[Drawing]:
    """Yield the figures that a run may have, in the order of the report."""
    if depth == "results":
        return drawings_of_results(run)
    store = _artefacts(run, plugins)
    return chain(drawings_of_results(run), drawings_of_models(store), drawings_of_data(store))


def _artefacts(run: RunFolder, plugins: Sequence[Path]) -> Artefacts:
    registry = load_registry(plugins)
    return Artefacts(run, given=given_models(registry), sources=registry.datasets)


def draw_all(
    run: RunFolder, *, depth: Depth, progress: Progress, plugins: Sequence[Path] = ()
) -> tuple[list[Picture], list[LeftOut]]:
    """Write ``figures/*.png`` and ``*.svg``; return them with captions, and what was left out.

    Figures of an earlier report that are not among them are removed.

    Args:
        run: what to draw.
        depth: how much of it.
        progress: told after each figure.
        plugins: files that build the run's given models.

    Raises:
        BenchboxError: the folder cannot be written to, or a process was killed.
    """
    if depth == "all":
        _artefacts(run, plugins).render_missing(workers=cores(), progress=progress)
    planned = list(drawings(run, depth, plugins))
    if depth == "results":
        drawn = [save_drawing(drawing, run.path / "figures") for drawing in planned]
    else:
        drawn = _in_processes(run.path, tuple(plugins), planned, progress)
    pictures = [result for result in drawn if isinstance(result, Picture)]
    _remove_others(run.path / "figures", {picture.path.stem for picture in pictures})
    return pictures, [result for result in drawn if isinstance(result, LeftOut)]


def _remove_others(folder: Path, stems: Collection[str]) -> None:
    """Remove figures of ours, by their names, that were not drawn now: older numbers' figures."""
    for path in folder.iterdir() if folder.is_dir() else ():
        several = tuple(name for name in FAMILIES if name.endswith("_"))
        ours = path.stem in FAMILIES or path.stem.startswith(several)
        if ours and path.suffix in (".png", ".svg") and path.stem not in stems:
            path.unlink(missing_ok=True)


def _in_processes(
    path: Path, plugins: tuple[Path, ...], planned: list[Drawing], progress: Progress
) -> list[Picture | LeftOut]:
    """Draw in fresh processes: libraries of plots take a core for half a minute by themselves."""
    processes = min(_MOST_PROCESSES, os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")
    found: dict[int, Picture | LeftOut] = {}
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_one_thread) as pool:
        waiting = {pool.submit(_draw, path, plugins, place): place for place in range(len(planned))}
        for future in as_completed(waiting):
            place = waiting[future]
            try:
                found[place] = future.result()
            except BrokenProcessPool as error:
                raise BenchboxError(
                    f"a process that drew {planned[place].title!r} was ended from outside, often "
                    "for want of memory; write the report again with less beside it."
                ) from error
            progress(len(found) / len(planned), planned[place].title)
    return [found[place] for place in range(len(planned))]


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _draw(path: Path, plugins: tuple[Path, ...], place: int) -> Picture | LeftOut:
    """Draw one figure, in a process of its own; drawings hold functions, which do not travel."""
    return save_drawing(_planned(path, plugins)[place], path / "figures")


@cache
def _planned(path: Path, plugins: tuple[Path, ...]) -> list[Drawing]:
    return list(drawings(read_run(path), "all", plugins))
