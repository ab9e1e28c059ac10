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

TOWARDS = ("success", "mAP_towards", "clean_success", "clean_mAP_towards")
"""What targeted.csv has in the place of `PERCENT`: in percent, how often the chosen identity ranks
first and the mAP towards it, of the attacked queries and of the clean ones. High is bad."""

TARGETED_COLUMNS = (
    *PLACE, "seed", *TOWARDS, "ap_convention", "queries", "gallery", "seconds", "cell",
)  # fmt: skip
"""Of targeted.csv, a row a cell."""

PER_ID_COLUMNS = ("cell", "pid", "queries", "ap")
"""Of per_id.csv, a row for each identity of a cell."""
