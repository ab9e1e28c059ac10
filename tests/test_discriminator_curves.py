"""The figure of the discriminators of a run, against the logs in its store."""

import json
import statistics
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchbox.errors import BenchboxError
from benchbox.reports.drawings.of_models import drawings_of_models
from benchbox.reports.figures.discriminator import BLIND, discriminator_curves
from benchbox.results.artefacts import Artefacts
from benchbox.results.run_folder import read_run
from benchbox.runs.options import Options
from benchbox.runs.runner import run_grid
from benchbox.untrusted.json import read_lines
from tests.micro import make_micro_dataset, write_micro_grid

LOSS, ACCURACY = BLIND


def test_a_point_is_the_mean_over_seeds_and_its_whisker_their_deviation() -> None:
    logs = {
        "one": [[{LOSS: 1.4, ACCURACY: 0.5}, {LOSS: 1.0, ACCURACY: 0.8}]],
        "two": [
            [{LOSS: 1.2, ACCURACY: 0.6}, {LOSS: 1.1, ACCURACY: 0.7}],
            [{LOSS: 1.6, ACCURACY: 0.4}, {LOSS: 0.9, ACCURACY: 0.9}],
        ],
    }
    figure = discriminator_curves(logs)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "two"]
    for axes, key in zip(figure.axes, BLIND, strict=True):
        for curve, of_seeds in zip(axes.containers, logs.values(), strict=False):
            line, _, (bars,) = curve
            assert list(line.get_xdata()) == [1, 2]
            for epoch, (y, bar) in enumerate(
                zip(line.get_ydata(), bars.get_segments(), strict=True)
            ):
                values = [log[epoch][key] for log in of_seeds]
                reach = statistics.stdev(values) if len(values) > 1 else 0
                assert y == pytest.approx(statistics.fmean(values))
                np.testing.assert_allclose(bar[:, 1], [y - reach, y + reach])
        dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
        assert [line.get_ydata()[0] for line in dotted] == [BLIND[key]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    dataset = make_micro_dataset(folder / "micro")
    grid = write_micro_grid(folder / "micro.toml", dataset, extra="seeds = [0]")
    text = grid.read_text().replace('"bs_ms", "adv_train"', '"metric_at_adversarial"')
    grid.write_text(text.replace("recipe.adv_train", "recipe.ddd").replace('"fna", "sma"', '"fna"'))
    run_grid(grid, folder / "out", Options(workers=1), Console(quiet=True))
    return folder / "out"


def test_a_run_with_a_discriminator_draws_what_its_training_logged(run: Path) -> None:
    drawings = [d for d in drawings_of_models(Artefacts(read_run(run))) if "Discrim" in d.title]
    assert len(drawings) == 1
    figure, caption = drawings[0].draw()
    assert "cannot tell" in caption
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["+Adversarial learning"]
    (log,) = (
        entries
        for path in sorted((run / "store").rglob("log.jsonl"))
        if LOSS in (entries := [json.loads(line) for line in path.read_text().splitlines()])[0]
    )
    assert len(log) == 2
    for axes, key in zip(figure.axes, BLIND, strict=True):
        drawn = axes.containers[0][0].get_ydata()
        assert list(drawn) == pytest.approx([entry[key] for entry in log])
        assert all(0 < value < 5 for value in drawn)


def test_a_log_is_numbers_by_name_and_nothing_else(run: Path) -> None:
    store = Artefacts(read_run(run))
    cells = store.run.record.cells
    logs = [store.training_log(cell) for cell in cells]
    assert {len(log) for log in logs} == {2}
    assert sum(LOSS in log[0] for log in logs) == len(cells) / 2


def test_without_a_discriminator_there_is_nothing_to_draw() -> None:
    with pytest.raises(BenchboxError, match="no training log of this run has a discriminator"):
        discriminator_curves({})


@pytest.mark.parametrize("line", ['{"a": "1"}', '{"a": NaN}', '{"a": 1', "[1]", '{"a": 1, "a": 2}'])
def test_a_line_that_is_no_record_of_numbers_is_refused_by_its_number(
    tmp_path: Path, line: str
) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text('{"a": 1, "b": 2.5}\n')
    assert read_lines(file, dict[str, float]) == [{"a": 1, "b": 2.5}]
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(BenchboxError, match=r"log\.jsonl:2: "):
        read_lines(file, dict[str, float])
