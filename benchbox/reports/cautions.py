"""What a reader must know before trusting a run's numbers."""

import math
import statistics
from itertools import groupby, pairwise, product
from typing import Any, get_args

from benchbox.reports.tables.black_box import replayed, stronger_than_white_box
from benchbox.results.conditions import CLEAN, fraction_of_255
from benchbox.results.measurements import Measurements, Pairs, Under, measurements
from benchbox.results.near_chance import collapsed_seeds
from benchbox.results.run_folder import RunFolder

_RAISES = 1.0
"""Points of mAP that a defense must gain from a larger budget to be worth a caution."""

_FEW_QUERIES = 200


def cautions(run: RunFolder) -> list[str]:
    """Return one sentence for each thing that limits what the run's numbers say."""
    return [
        *_unfinished(run),
        *_collapsed(run),
        *_left_out_queries(run),
        *_few_queries(run),
        *_beyond_reach(run),
        *_disagreements(run),
        *_stronger_attacks_that_hurt_less(run),
        *_black_box(run),
        *_answers_differently(run),
    ]


def _answers_differently(run: RunFolder) -> list[str]:
    """Name the defenses that gave one image two embeddings: random, or dynamic."""
    names = run.record.names
    defense_of = dict(zip(run.results["cell"], run.results["defense"], strict=True))
    draws: dict[str, int] = {}
    for cell, record in run.record.cells.items():
        if record.draws > 1 and cell in defense_of:
            name = defense_of[cell]
            draws[name] = max(draws.get(name, 1), record.draws)
    return [
        f"{names.title('defenses', name)}: the model answers differently when asked twice (a "
        "random guard, or one that changes under evaluation). Attacks on the ranking met the mean "
        f"of {draws[name]} draws, the others one draw a step, and what is ranked is one more draw."
        for name in names.sorted("defenses", draws)
    ]


def describe(value: Any) -> str:
    """Return a JSON value as a line to read: ``key: value; key: value`` for an object."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {describe(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(describe(item) for item in value)
    if value is None:
        return "not recorded"
    return str(value)


def _unfinished(run: RunFolder) -> list[str]:
    lines = [f"Failed: {describe(failure)}." for failure in run.record.failures]
    if run.record.finished is None:
        lines.append("The run has not finished; run the same grid again to go on with it.")
    names = run.record.names
    kinds = product(get_args(Pairs), get_args(Under))
    missing = sum(measurements(run.results, names, pairs=p, under=u).missing for p, u in kinds)
    if missing:
        what = "planned result is" if missing == 1 else "planned results are"
        lines.append(f"{missing} {what} missing from the tables.")
    if run.record.git and run.record.git.dirty:
        lines.append("The code had uncommitted changes, so the commit alone does not repeat it.")
    return lines


def _collapsed(run: RunFolder) -> list[str]:
    lines = []
    for pairs in ("same", "transfer"):
        cells = measurements(run.results, run.record.names, pairs=pairs)
        for group in cells.groups:
            for defense in cells.rows_of(group):
                seeds = collapsed_seeds(cells, group, defense)
                if seeds:
                    clean = ", ".join(
                        f"{cells.at(group, defense, CLEAN)[s].mAP:.2f}" for s in seeds
                    )
                    lines.append(
                        f"{cells.group_title(group)}, {cells.names.title('defenses', defense)}: "
                        f"clean mAP is {clean}, a random ranking gets "
                        f"{cells.names.chance[group.test]:.2f}. The model has collapsed, or was "
                        "never trained; what it keeps under attack is no robustness."
                    )
    return lines


def _left_out_queries(run: RunFolder) -> list[str]:
    lines = []
    by_dataset = dict(zip(run.results["cell"], run.results["test_dataset"], strict=True))
    counts: dict[tuple[str, str], int] = {}
    for cell, record in run.record.cells.items():
        dataset = by_dataset.get(cell)
        if dataset is None:
            continue
        for kind, count in (("lone", record.lone_queries), ("skipped", record.skipped_queries)):
            counts[dataset, kind] = max(counts.get((dataset, kind), 0), count)
    says = {
        "lone": "alone of their identity: MetricIFGSM has no other query to push them from and "
        "starts them at a random point.",
        "skipped": "without a valid match in the gallery, left out of mAP and Rank-k.",
    }
    for (dataset, kind), count in counts.items():
        if count:
            title = run.record.names.title("datasets", dataset)
            what = "query is" if count == 1 else "queries are"
            lines.append(f"{title}: {count} {what} {says[kind]}")
    return lines


def _beyond_reach(run: RunFolder) -> list[str]:
    parts = [measurements(run.results, run.record.names, pairs=p) for p in ("same", "transfer")]
    beyond = {
        f"{part.condition_title(c)} ({c.steps} steps of {fraction_of_255(c.step_size_255)})": None
        for part in parts
        for c in part.conditions
        if c.is_beyond_reach
    }
    if not beyond:
        return []
    return [
        f"Budgets that the attack's steps do not come to: {', '.join(beyond)}. From the clean "
        "image the attack is no stronger there than at what its steps come to."
    ]


def _few_queries(run: RunFolder) -> list[str]:
    lines = []
    for name in run.record.names.sorted("datasets", run.results["test_dataset"]):
        queries = int(run.results.loc[run.results["test_dataset"] == name, "queries"].min())
        if queries < _FEW_QUERIES:
            title = run.record.names.title("datasets", name)
            lines.append(
                f"{title} has {queries} queries: one of them moves Rank-1 by "
                f"{100 / queries:.2f} points, so small differences mean little."
            )
    return lines


def _disagreements(run: RunFolder) -> list[str]:
    """Compare mAP with the identities' mean AP, weighted by their queries: they are the same."""
    weighted = (run.per_id["ap"] * run.per_id["queries"]).groupby(run.per_id["cell"]).sum()
    weights = run.per_id["queries"].groupby(run.per_id["cell"]).sum()
    by_identity = 100 * weighted / weights
    lines = []
    for cell, value in zip(run.results["cell"], run.results["mAP"], strict=True):
        if cell not in by_identity.index:
            lines.append(f"per_id.csv has no row for cell {cell}.")
        elif not math.isclose(by_identity[cell], value, abs_tol=0.005):
            lines.append(
                f"Cell {cell}: results.csv says {value:.2f} mAP, per_id.csv {by_identity[cell]:.2f}"
                "; one of them is wrong. Run the grid again."
            )
    return lines


def suspicious(run: RunFolder) -> list[str]:
    """Return each place where an attack that should hurt more hurts less, in words."""
    return [*_weaker(run), *_stronger_black_box(run)]


def _weaker(run: RunFolder) -> list[str]:
    found: list[str] = []
    for pairs in ("same", "transfer"):
        found += _weaker_with_budget(measurements(run.results, run.record.names, pairs=pairs))
    return found


def _stronger_black_box(run: RunFolder) -> list[str]:
    if run.black_box is None or run.black_box.empty:
        return []
    return stronger_than_white_box(replayed(run.black_box, run.results, run.record.names))


def _stronger_attacks_that_hurt_less(run: RunFolder) -> list[str]:
    found = _weaker(run)
    if not found:
        return []
    return [
        "An attack that leaves a higher mAP than a smaller budget, or none at all, may be fooled "
        f"by a masked gradient: {'; '.join(found)}."
    ]


def _black_box(run: RunFolder) -> list[str]:
    found = _stronger_black_box(run)
    if not found:
        return []
    return [
        "Another model's adversarial queries hurt more than those made with the model's own "
        f"gradient, a sign that this gradient is masked: {'; '.join(found)}."
    ]


def _weaker_with_budget(cells: Measurements) -> list[str]:
    found = []
    attacked = [condition for condition in cells.conditions if not condition.is_clean]
    clean = [condition for condition in cells.conditions if condition.is_clean]
    ladders = [
        [*clean, *same]
        for _, same in groupby(
            sorted(attacked, key=lambda c: (c.attack, c.steps, c.step_size_255, c.eps_255)),
            key=lambda c: (c.attack, c.steps, c.step_size_255),
        )
    ]
    steps = [step for ladder in ladders for step in pairwise(ladder)]
    for group in cells.groups:
        for defense in cells.defenses:
            for weaker, stronger in steps:
                before, after = (cells.at(group, defense, c) for c in (weaker, stronger))
                gains = [after[seed].mAP - before[seed].mAP for seed in after if seed in before]
                gain = statistics.fmean(gains) if gains else 0.0
                if gain > _RAISES:
                    found.append(
                        f"{cells.group_title(group)}, {cells.names.title('defenses', defense)}, "
                        f"{cells.condition_title(stronger)} ({gain:.2f} points above "
                        f"{cells.condition_title(weaker)})"
                    )
    return found
