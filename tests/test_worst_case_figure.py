"""The figure of the finding: every mark where the file has its number, places counted by hand."""

import csv
import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from attacks import ALL_ATTACKS
from benchbox.errors import BenchboxError
from benchbox.leaderboard.site.boards import read_boards
from benchbox.leaderboard.site.finding import finding
from benchbox.reports.figures.worst_case import Fall, Panel, beside_worst_case, draw_falls
from benchbox.results.run_folder import read_run
from tests.made_runs import make_run

ATTACKS = ("fna", "sma", "worst_case")


def marks(axes: Axes) -> dict[str, list[float]]:
    """Return defense → mAP of its two marks, the usual attack's first."""
    names = [label.get_text() for label in axes.get_yticklabels()]
    found: dict[str, list[float]] = {name: [] for name in names}
    for line in axes.lines:
        if line.get_marker() == "o":
            (x,), (y,) = line.get_xdata(), line.get_ydata()
            found[names[int(y)]].append(float(x))
    return found


def places(axes: Axes) -> dict[str, str]:
    """Return defense → what stands at its right."""
    names = [label.get_text() for label in axes.get_yticklabels()]
    notes = [note for note in axes.texts if isinstance(note, Annotation) and "→" in note.get_text()]
    return {names[int(note.xy[1])]: note.get_text() for note in notes}


def test_marks_are_the_means_of_the_file(tmp_path: Path) -> None:
    path = make_run(tmp_path, attacks=ATTACKS, seeds=(0, 1, 2))
    run = read_run(path)
    figure = beside_worst_case(run.results, run.record.names)
    with (path / "results.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["eps_255"] == "8.0"]
    datasets = ("sidewalk-a", "sidewalk-b")
    for axes, dataset in zip(figure.axes, datasets, strict=True):
        drawn = marks(axes)
        assert len(drawn) == 5
        for defense, points in drawn.items():
            for attack, point in zip(("fna", "worst_case"), points, strict=True):
                values = [
                    float(row["mAP"])
                    for row in rows
                    if row["attack"] == attack
                    and row["test_dataset"] == row["train_dataset"] == dataset
                    and run.record.names.title("defenses", row["defense"]) == defense
                ]
                assert len(values) == 3
                assert point == pytest.approx(statistics.fmean(values))


def test_places_by_both_attacks_and_the_order_from_above() -> None:
    falls = [Fall("a", 20.0, 3.0), Fall("b", 18.0, 7.0), Fall("c", 18.0, 3.0), Fall("d", 1.0, 0.5)]
    (axes,) = draw_falls([Panel("one", falls)], "FNA 8/255-16", "Worst case 8/255").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["d", "c", "a", "b"]
    assert places(axes) == {"a": "1 → 2", "b": "2 → 1", "c": "2 → 2", "d": "4 → 4"}


@pytest.mark.parametrize("attacks", [("fna", "sma"), ("worst_case",)])
def test_a_run_without_both_says_what_to_do(tmp_path: Path, attacks: tuple[str, ...]) -> None:
    run = read_run(make_run(tmp_path, attacks=attacks))
    with pytest.raises(BenchboxError, match=r"expected worst_case and another attack .* budget"):
        beside_worst_case(run.results, run.record.names)


def test_a_board_names_the_training_protocol_of_two_rows_of_one_title(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (board,) = read_boards(Path(__file__).resolve().parents[1] / "leaderboards/sidewalk-tiny", ())
    block = next(block for block in board.blocks if block.protocol.version == 2)
    row = next(row for row in block.rows if row.entry.defense.name == "adv_train")
    provenance = row.entry.provenance
    rows = [
        dataclasses.replace(row, entry=row.entry.model_copy(update={"provenance": stated}))
        for protocol in ("as published", "equal budget")
        for stated in [
            provenance.model_copy(
                update={"grid": {**provenance.grid, "training_protocol": protocol}}
            )
        ]
    ]
    drawn: list[Panel] = []

    def draw(panels: Sequence[Panel], usual: str, worst: str) -> Figure:
        drawn.extend(panels)
        return draw_falls(panels, usual, worst)

    monkeypatch.setattr("benchbox.leaderboard.site.finding.draw_falls", draw)
    assert finding(ALL_ATTACKS, dataclasses.replace(block, rows=tuple(rows))) is not None
    names = [fall.defense for fall in drawn[0].falls]
    assert names == ["Adv_train (as published)", "Adv_train (equal budget)"]
