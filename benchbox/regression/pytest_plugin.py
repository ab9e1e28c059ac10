"""A pytest fixture that fails when robustness regresses.

With benchbox installed, every test may ask for the fixture ``robustness``::

    def test_robustness(robustness):
        robustness.require_no_regression("baselines/mine.json", run="runs/mine")

or let it run the grid first, in a folder that keeps what is finished::

    def test_robustness(robustness):
        robustness.require_no_regression(
            "baselines/mine.json", grid="grids/mine.toml", out="runs/ci", store="~/.cache/runs"
        )

The baseline is made with ``benchbox regress baselines/mine.json --run runs/mine --update`` and
committed. Relative paths are taken from pytest's root folder. A regression fails the test with a
line per cell; what cannot be compared (other dataset, missing cells) fails it too, with the list.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from benchbox.regression.verdict import Comparison


class Robustness:
    """Holds runs against baselines; relative paths start at ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def compare(
        self,
        baseline: str | Path,
        *,
        run: str | Path | None = None,
        grid: str | Path | None = None,
        out: str | Path | None = None,
        store: str | Path | None = None,
        plugins: Sequence[str | Path] = (),
        minimum_effect: float = 1.0,
        level: float = 0.01,
        two_sided: bool = False,
        trust_seeds: bool = False,
    ) -> "Comparison":
        """Return a run beside its baseline, every cell with a verdict.

        Args:
            baseline: the baseline's file.
            run: a finished run's folder.
            grid: a grid to run instead; what ``out`` or ``store`` holds is not done again.
            out: the folder of that run; by default ``runs/regress-<name of the grid>``.
            store: the folder of finished stages; by default within ``out``.
            plugins: files that add defenses or attacks.
            minimum_effect: points of mAP a cell must at least fall.
            level: probability of a false alarm in the whole table.
            two_sided: a gain beyond noise is red too.
            trust_seeds: see `benchbox.regression.verdict.Criteria`.

        Raises:
            BenchboxError: the two cannot be compared, or not exactly one of run and grid is given.
        """
        from rich.console import Console

        from benchbox.errors import BenchboxError
        from benchbox.regression.baseline import make_baseline, read_baseline
        from benchbox.regression.run import default_folder, finished_run
        from benchbox.regression.verdict import Criteria, compare
        from benchbox.runs.runner import Options

        if (run is None) == (grid is None):
            raise BenchboxError("expected either run=, a finished run's folder, or grid=.")
        criteria = Criteria(
            minimum_effect=minimum_effect, level=level, two_sided=two_sided, trust_seeds=trust_seeds
        )
        # A malformed baseline is found before the grid takes its minutes.
        old = read_baseline(self._path(baseline))
        if grid is not None:
            file = self._path(grid)
            options = Options(
                plugins=tuple(map(self._path, plugins)),
                store=self._path(store) if store is not None else None,
            )
            folder = self._path(out or default_folder(file))
            run = finished_run(file, folder, options, Console(quiet=True))
        return compare(old, make_baseline(self._path(run or "")), criteria)

    def require_no_regression(
        self,
        baseline: str | Path,
        *,
        run: str | Path | None = None,
        grid: str | Path | None = None,
        out: str | Path | None = None,
        store: str | Path | None = None,
        plugins: Sequence[str | Path] = (),
        minimum_effect: float = 1.0,
        level: float = 0.01,
        two_sided: bool = False,
        trust_seeds: bool = False,
    ) -> "Comparison":
        """Fail the test if a cell is red or cannot be compared; the arguments are `compare`'s.

        Returns:
            The comparison, for a test's own further questions.
        """
        from benchbox.errors import BenchboxError
        from benchbox.regression.report import in_words, verdict_line

        cannot = ""
        try:
            comparison = self.compare(
                baseline,
                run=run,
                grid=grid,
                out=out,
                store=store,
                plugins=plugins,
                minimum_effect=minimum_effect,
                level=level,
                two_sided=two_sided,
                trust_seeds=trust_seeds,
            )
        except BenchboxError as error:
            cannot = str(error)
        if cannot:
            # Outside of the handler, whose error pytest would print as well.
            pytest.fail(cannot, pytrace=False)
        if not comparison.ok:
            lines = [verdict_line(comparison), *map(in_words, comparison.red)]
            pytest.fail("\n".join(lines), pytrace=False)
        return comparison

    def _path(self, path: str | Path) -> Path:
        return self.root / Path(path).expanduser()


@pytest.fixture(scope="session")
def robustness(pytestconfig: pytest.Config) -> Robustness:
    """Compares runs with baselines; relative paths start at pytest's root folder."""
    return Robustness(pytestconfig.rootpath)
