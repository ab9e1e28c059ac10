"""The columns of a run's tables, for who writes them and who reads them."""

PLACE = (
    "train_dataset", "test_dataset", "backbone", "defense", "attack", "eps_255", "steps",
    "step_size_255",
)  # fmt: skip
"""What a cell measures, but for the seed."""

PERCENT = ("mAP", "rank1", "rank5", "rank10")
"""What was measured, in percent."""

RESULT_COLUMNS = (
    *PLACE, "seed", *PERCENT, "ap_convention", "queries", "gallery", "seconds", "cell",
)  # fmt: skip
"""Of results.csv, a row a cell."""

SOURCE_COLUMNS = ("source_backbone", "source_defense")
"""What black_box.csv says before the columns of results.csv: the model that was attacked."""

CORRUPTION_COLUMNS = (
    "train_dataset", "test_dataset", "backbone", "defense", "seed", "corruption", "severity",
    "mAP", "rank1", "queries", "gallery",
)  # fmt: skip
"""Of corruption.csv, a row for each corruption and severity of a model; the gallery is clean."""

PER_ID_COLUMNS = ("cell", "pid", "queries", "ap")
"""Of per_id.csv, a row for each identity of a cell."""
