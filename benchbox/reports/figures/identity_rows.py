"""The AP of identities beside their number of images, as the figure of bias takes them."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import pandas as pd

from benchbox.errors import BenchboxError
from benchbox.reports.figures.curves import shown_defenses
from benchbox.reports.figures.identities import shown_conditions
from benchbox.results.measurements import Group, measurements_at_home
from benchbox.results.record import Names

COLUMNS = ("group", "defense", "condition", "pid", "ap", "images")

Key = TypeVar("Key", str, Group)


def identity_rows(
    results: pd.DataFrame,
    per_id: pd.DataFrame,
    names: Names,
    images: Mapping[str, Mapping[int, int]],
    *,
    defenses: Sequence[str] | None = None,
    attack: str | None = None,
) -> pd.DataFrame:
    """Return the AP of every identity beside its number of gallery images, over all seeds.

    Args:
        results: results.csv.
        per_id: per_id.csv.
        names: titles and order.
        images: dataset name → pid → how many gallery images it has. A dataset without counts,
            because it is not on this machine, is left out.
        defenses: the registry names to show; by default all.
        attack: the attack shown beside clean, at its smallest budget; by default the first.

    Returns:
        ``group, defense, condition`` (titles), ``pid``, ``ap`` (0–1), ``images``; a row per
        identity and seed. ``defense`` is categorical with all defenses of the run, so that a
        curve keeps its colour when others are left out.

    Raises:
        BenchboxError: the run has no such attack or none of the defenses, or an identity of
            per_id.csv is not among its dataset's counts.
    """
    cells = measurements_at_home(results, names)
    values = {str(cell): rows for cell, rows in per_id.groupby("cell")}
    titles = _told_apart({name: names.title("defenses", name) for name in cells.defenses})
    group_titles = _told_apart({group: cells.group_title(group) for group in cells.groups})
    parts = [pd.DataFrame(columns=list(COLUMNS))]
    for group in cells.groups:
        counts = images.get(group.test)
        if counts is None:
            continue
        for defense in shown_defenses(cells, defenses):
            for condition in shown_conditions(cells, attack):
                for score in cells.at(group, defense, condition).values():
                    rows = values.get(score.cell)
                    if rows is None:
                        continue
                    part = rows.loc[:, ["pid", "ap"]].copy()
                    part["images"] = [_images_of(counts, pid, group.test) for pid in rows["pid"]]
                    part["group"] = group_titles[group]
                    part["defense"] = titles[defense]
                    part["condition"] = cells.condition_title(condition)
                    parts.append(part.loc[:, list(COLUMNS)])
    frame = pd.concat(parts[1:] or parts, ignore_index=True)
    frame["defense"] = pd.Categorical(frame["defense"], categories=list(titles.values()))
    return frame


def _told_apart(titles: Mapping[Key, str]) -> dict[Key, str]:
    """Return the titles, each with its key behind it where an earlier one is the same."""
    apart: dict[Key, str] = {}
    for key, title in titles.items():
        text = key if isinstance(key, str) else ", ".join(key)
        apart[key] = f"{title} ({text})" if title in apart.values() else title
    return apart


def _images_of(counts: Mapping[int, int], pid: int, dataset: str) -> int:
    try:
        return counts[pid]
    except KeyError:
        raise BenchboxError(
            f"per_id.csv: identity {pid} has no image in the gallery of {dataset}. "
            "Is it the dataset the run was made on?"
        ) from None
