"""The columns of a run's tables, for who writes them and who reads them."""

import re
from collections.abc import Iterable

RANKING = "ranking"
"""How the gallery is ranked; in runs of before there was more than one way it is left out."""

PLACE = (
    "train_dataset", "test_dataset", "backbone", "defense", "attack", "eps_255", "steps",
    "step_size_255",
)  # fmt: skip
"""What a cell measures, but for the seed."""

PERCENT = ("mAP", "rank1", "rank5", "rank10")
"""What was measured, in percent; in every run."""

FURTHER_PERCENT = re.compile(r"minp|rank[1-9][0-9]{0,5}")
"""What newer runs measured as well: mINP, and Rank-k wherever the grid asks for it."""

FURTHER_COLUMNS = re.compile(f"{RANKING}|{FURTHER_PERCENT.pattern}")
"""The columns that runs of before may lack."""

RESULT_COLUMNS = (
    *PLACE, "seed", *PERCENT, "ap_convention", "queries", "gallery", "seconds", "cell",
)  # fmt: skip
"""Of results.csv, a row a cell; what every reader may rely on."""


def result_columns(ranks: Iterable[int]) -> tuple[str, ...]:
    """Return the columns a run writes: `RESULT_COLUMNS`, mINP, more ranks and the ranking.

    Args:
        ranks: at which k Rank-k is asked for, besides 1, 5 and 10.
    """
    written = [f"rank{k}" for k in sorted({1, 5, 10, *ranks})]
    before, after = RESULT_COLUMNS.index("mAP"), RESULT_COLUMNS.index("ap_convention")
    return (
        *(*RESULT_COLUMNS[:before], "mAP", "minp", *written),
        *(RANKING, *RESULT_COLUMNS[after:]),
    )


SOURCE_COLUMNS = ("source_backbone", "source_defense")
"""What black_box.csv says before the columns of results.csv: the model that was attacked."""

CORRUPTION_COLUMNS = (
    "train_dataset", "test_dataset", "backbone", "defense", "seed", "corruption", "severity",
    "mAP", "rank1", "queries", "gallery",
)  # fmt: skip
"""Of corruption.csv, a row for each corruption and severity of a model; the gallery is clean."""

TOWARDS = ("success", "mAP_towards", "clean_success", "clean_mAP_towards")
"""What targeted.csv has in the place of `PERCENT`: in percent, how often the chosen identity ranks
first and the mAP towards it, of the attacked queries and of the clean ones. High is bad."""

TARGETED_COLUMNS = (
    *PLACE, "seed", *TOWARDS, "ap_convention", "queries", "gallery", "seconds", "cell",
)  # fmt: skip
"""Of targeted.csv, a row a cell."""

PER_ID_COLUMNS = ("cell", "pid", "queries", "ap")
"""Of per_id.csv, a row for each identity of a cell."""
