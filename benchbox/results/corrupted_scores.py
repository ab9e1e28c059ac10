"""What each corruption leaves of each model at each severity, by place."""

from collections.abc import Collection
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from attacks.corruptions import CORRUPTIONS
from benchbox.results.measurements import Group, Pairs
from benchbox.results.record import Names

_Place = tuple[Group, str, str, int]


@dataclass(frozen=True)
class Swept:
    """The rows of corruption.csv by place.

    Attributes:
        names: titles and order.
        groups: blocks, in order.
        defenses: rows of every block, in order.
        kinds: corruptions, in the order of tables.
        severities: sorted.
        seeds: sorted.
        scores: (group, defense, corruption, severity) → mAP in percent of each seed.
    """

    names: Names
    groups: tuple[Group, ...]
    defenses: tuple[str, ...]
    kinds: tuple[str, ...]
    severities: tuple[int, ...]
    seeds: tuple[int, ...]
    scores: dict[_Place, list[float]]

    def mean(
        self, group: Group, defense: str, kinds: Collection[str], severities: Collection[int]
    ) -> float | None:
        """Return the mean mAP over seeds, corruptions and severities; None where one is missing."""
        values = [
            self.scores.get((group, defense, kind, severity), [])
            for kind in kinds
            for severity in severities
        ]
        return fmean(map(fmean, values)) if all(values) else None

    def group_titles(self, group: Group) -> tuple[str, str]:
        """Return model and dataset as printed."""
        model = self.names.title("backbones", group.backbone)
        return model, self.names.pair_title(group.train, group.test)


def swept_scores(swept: pd.DataFrame, names: Names, *, pairs: Pairs) -> Swept:
    """Return corruption.csv by place.

    Args:
        swept: corruption.csv.
        names: titles and order.
        pairs: which pairs of datasets.
    """
    same = swept["train_dataset"] == swept["test_dataset"]
    rows = swept.loc[same == (pairs == "same")]
    scores: dict[_Place, list[float]] = {}
    for row in rows.to_dict("records"):
        group = Group(row["backbone"], row["train_dataset"], row["test_dataset"])
        place = (group, str(row["defense"]), str(row["corruption"]), int(row["severity"]))
        scores.setdefault(place, []).append(float(row["mAP"]))
    kinds = {kind for _, _, kind, _ in scores}
    return Swept(
        names,
        _groups({group for group, *_ in scores}, names),
        tuple(names.sorted("defenses", (defense for _, defense, _, _ in scores))),
        tuple(kind for kind in CORRUPTIONS if kind in kinds),
        tuple(sorted({severity for *_, severity in scores})),
        tuple(sorted({int(seed) for seed in rows["seed"]})),
        scores,
    )


def _groups(groups: set[Group], names: Names) -> tuple[Group, ...]:
    backbones = names.sorted("backbones", (group.backbone for group in groups))
    datasets = names.sorted("datasets", (name for group in groups for name in group[1:]))
    return tuple(
        sorted(
            groups,
            key=lambda group: (
                backbones.index(group.backbone),
                datasets.index(group.train),
                datasets.index(group.test),
            ),
        )
    )
