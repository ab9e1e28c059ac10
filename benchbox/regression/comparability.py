"""May a run be held against a baseline at all, and what must a reader know when it is?"""

from benchbox.regression.baseline_record import Baseline
from benchbox.regression.seed_noise import UNMEASURED, SeedNoise

PROTOCOL_KEYS = ("ap", "guides", "distance", "precision", "validation", "image_size")
ADDED_KEYS: dict[str, bool | int | str] = {
    "eight_bit": False,
    "jpeg_quality": 95,
    "flip_test": False,
    "ranked_by": "euclidean",
}
"""Likewise, with what they are in baselines of before there were such keys."""

"""Settings of a grid that say how robustness is measured; the others are what is judged."""

_NOT_TRAINING = frozenset(
    (
        *("name", "title", "seeds", "sources", "keep_adversarial", "sidewalk_size"),
        *("datasets", "transfers", "backbones", "defenses", "attacks", "budgets", "steps"),
        *("step_size", "attack", "through", "ranks", "rankings", "shown"),
        *("training_protocol", "deviations"),
        *(*PROTOCOL_KEYS, *ADDED_KEYS),
    )
)
"""Settings that stand in the cells and digests themselves, or determine no number."""

_LEAST_IDENTITIES = 2
_FEW_IDENTITIES = 30


def obstacles(baseline: Baseline, run: Baseline) -> list[str]:
    """Return why a run cannot be held against a baseline, a line each; none if it can."""
    lines = []
    if baseline.ap_convention != run.ap_convention:
        lines.append(f"average precision is {run.ap_convention}, not {baseline.ap_convention}")
    for key in PROTOCOL_KEYS:
        old, new = baseline.grid.get(key), run.grid.get(key)
        if old != new and key != "ap":
            lines.append(f"the grid's {key} is {new!r}, not {old!r}")
    for key, default in ADDED_KEYS.items():
        old, new = (of.grid.get(key, default) for of in (baseline, run))
        if old != new:
            lines.append(f"the grid's {key} is {new!r}, not {old!r}")
    # Baselines of before there were such tables have no key for them.
    if baseline.grid.get("attack", {}) != run.grid.get("attack", {}):
        lines.append("the grid's [attack.<name>] tables differ")
    for name, digest in baseline.datasets.items():
        if name in run.datasets and run.datasets[name] != digest:
            lines.append(f"{name} is another dataset: its digest differs")
    for name, keys in baseline.queries.items():
        if name in run.queries and run.queries[name] != keys:
            lines.append(f"{name} has other queries")
        elif name in run.pids and run.pids[name] != baseline.pids[name]:
            lines.append(f"{name} has other identities")
        if len(set(baseline.pids[name])) < _LEAST_IDENTITIES:
            lines.append(f"{name} has queries of one identity: chance cannot be told from change")
    found = run.by_place
    missing = [str(cell.place) for cell in baseline.cells if cell.place not in found]
    lines += [f"the run lacks the cell {place}" for place in missing]
    return lines


def remarks(baseline: Baseline, run: Baseline, noise: SeedNoise) -> list[str]:
    """Return what a reader of the comparison must know besides the numbers, a sentence each."""
    lines = []
    trained = any(not cell.is_given for cell in baseline.cells)
    if trained and not noise.degrees_measured and not baseline.seed_std:
        lines.append(
            "The baseline has one model per cell and declares no seed_std: for the spread of "
            f"retraining, {UNMEASURED:g} times that of other trainings stands in. More seeds "
            "measure it, and smaller falls are seen."
        )
    known = baseline.by_place
    added = sum(cell.place not in known for cell in run.cells)
    if added:
        lines.append(f"{added} cells of the run are not in the baseline and were not compared.")
    changed = [
        key
        for key in sorted({*baseline.grid, *run.grid})
        if key not in _NOT_TRAINING and baseline.grid.get(key) != run.grid.get(key)
    ]
    if changed:
        lines.append(f"The grid's settings differ in: {', '.join(changed)}.")
    for name, pids in baseline.pids.items():
        if (identities := len(set(pids))) < _FEW_IDENTITIES:
            lines.append(f"{name} has queries of {identities} identities: the bounds are rough.")
    if baseline.benchbox != run.benchbox:
        lines.append(
            f"The baseline was measured by benchbox {baseline.benchbox or '(not named)'}, the run "
            f"by {run.benchbox or '(not named)'}: what changed between them moves numbers, too."
        )
    if run.dirty:
        lines.append("The run's code had uncommitted changes.")
    return lines
