"""How to read a run's numbers: what holds for all its tables and figures, said once."""

from benchbox.reports.tables.caption import reversed_in
from benchbox.reports.tables.training_protocol import cost_sentence, protocol_sentence
from benchbox.reports.tables.wording import (
    CONVENTION_TITLES,
    COUNTED_ONCE,
    MISSING,
    metric_titles,
    split_sizes,
)
from benchbox.results.conditions import fraction_of_255
from benchbox.results.measurements import measurements
from benchbox.results.run_folder import RunFolder


def conventions(run: RunFolder) -> list[tuple[str, str]]:
    """Return headings with a sentence or two each, which hold wherever nothing else is said."""
    parts = [measurements(run.results, run.record.names, pairs=p) for p in ("same", "transfer")]
    steps = {c.step_size_255 for part in parts for c in part.conditions if c.step_size_255}
    sizes = dict.fromkeys(text for part in parts if (text := split_sizes(run.results, part)))
    shown = " and ".join(metric_titles(run.results, run.record.names))
    said = [
        (
            "Numbers",
            f"{shown} in %, average precision in {ap_form(run)}. {MISSING}: none.",
        ),
        ("Bold", "The highest mAP of a column within its block."),
        ("Seeds", _seeds(sorted({int(seed) for seed in run.results["seed"]}))),
        ("Identities", f"An identity’s AP is the mean over its queries. {COUNTED_ONCE}"),
        ("Sizes", " ".join(sizes)),
    ]
    training = (protocol_sentence(parts[0].names.training), *map(cost_sentence, parts))
    if trained := " ".join(dict.fromkeys(sentence for sentence in training if sentence)):
        said.append(("Training", trained))
    if steps:
        listed = ", ".join(fraction_of_255(step) for step in sorted(steps))
        attacks = (
            f"Queries are attacked, the gallery stays clean{reversed_in(parts[0])}. 8/255-16 "
            f"reads: an L∞ budget of 8/255 and 16 steps; step size {listed}."
        )
        said.insert(1, ("Attacks", attacks))
    return said


def ap_form(run: RunFolder) -> str:
    """Return the form of average precision, of which a run has one."""
    return CONVENTION_TITLES[str(run.results["ap_convention"].iloc[0])]


def _seeds(seeds: list[int]) -> str:
    listed = ", ".join(map(str, seeds))
    if len(seeds) == 1:
        return f"One run per cell, seed {listed}."
    return (
        f"Mean±sample standard deviation (n − 1) over {len(seeds)} seeds ({listed}); whiskers in "
        "figures are as long as one such deviation to either side."
    )
