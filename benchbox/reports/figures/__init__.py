"""The figures of a run: each a function of tidy data in a file of its own."""

from benchbox.reports.figures.drawing import save_figure
from benchbox.reports.figures.identities import per_identity
from benchbox.reports.figures.robustness import robustness_bars

__all__ = ["per_identity", "robustness_bars", "save_figure"]
