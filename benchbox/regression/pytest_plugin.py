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
from typing import TYPE_CHECKING, TypedDict, Unpack

import pytest

if TYPE_CHECKING:
    from benchbox.regression.comparison import Comparison
    from benchbox.regression.run import RegressOptions


class Choices(TypedDict, total=False):
    """What a test may say besides the baseline; ``run`` or ``grid`` is needed.

    Attributes:
        run: a finished run's folder.
        grid: a grid to run instead; what ``out`` or ``store`` holds is not done again.
        out: the folder of that run; by default ``runs/regress-<name of the grid>``.
        store: the folder of finished stages; by default within ``out``.
        plugins: files that add defenses or attacks.
        minimum_effect: points of mAP a cell must at least fall; by default 1.
        level: probability of a false alarm in the whole table; by default 0.01.
        two_sided: a gain beyond noise is red too.
        trust_seeds: see `benchbox.regression.criteria.Criteria`.
    """

    run: str | Path
    grid: str | Path
    out: str | Path
    store: str | Path
    plugins: Sequence[str | Path]
    minimum_effect: float
    level: float
    two_sided: bool
    trust_seeds: bool


class Robustness:
    """Holds runs against baselines; relative paths start at ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def compare(self, baseline: str | Path, **choices: Unpack[Choices]) -> "Comparison":
        """Return a run beside its baseline, every cell with a verdict; see `Choices`.

        Raises:
            BenchboxError: the two cannot be compared, or not exactly one of run and grid is given.
        """
        from rich.console import Console

        from benchbox.regression.run import compare_run

        return compare_run(self._options(baseline, choices), Console(quiet=True))

    def require_no_regression(
        self, baseline: str | Path, **choices: Unpack[Choices]
    ) -> "Comparison":
        """Fail the test if a cell is red or cannot be compared; see `Choices`.

        Returns:
            The comparison, for a test's own further questions.
        """
        from benchbox.errors import BenchboxError
        from benchbox.regression.report import in_words, verdict_line

        cannot = ""
        try:
            comparison = self.compare(baseline, **choices)
        except BenchboxError as error:
            cannot = str(error)
        if cannot:
            # Outside of the handler, whose error pytest would print as well.
            pytest.fail(cannot, pytrace=False)
        if not comparison.ok:
            lines = [verdict_line(comparison), *map(in_words, comparison.red)]
            pytest.fail("\n".join(lines), pytrace=False)
        return comparison

    def _options(self, baseline: str | Path, choices: Choices) -> "RegressOptions":
        """Return the options that ``benchbox regress`` would make of this."""
        from benchbox.errors import BenchboxError
        from benchbox.regression.criteria import Criteria
        from benchbox.regression.run import RegressOptions, default_folder
        from benchbox.runs.options import Options

        run, grid = self._path_of(choices.get("run")), self._path_of(choices.get("grid"))
        if run is None and grid is None:
            raise BenchboxError("expected either run=, a finished run's folder, or grid=.")
        out = choices.get("out") or (default_folder(grid) if grid else None)
        return RegressOptions(
            baseline=self._path(baseline),
            run=run,
            grid=grid,
            out=self._path_of(out),
            running=Options(
                plugins=tuple(map(self._path, choices.get("plugins", ()))),
                store=self._path_of(choices.get("store")),
            ),
            criteria=Criteria(
                minimum_effect=choices.get("minimum_effect", Criteria.minimum_effect),
                level=choices.get("level", Criteria.level),
                two_sided=choices.get("two_sided", Criteria.two_sided),
                trust_seeds=choices.get("trust_seeds", Criteria.trust_seeds),
            ),
        )

    def _path(self, path: str | Path) -> Path:
        return self.root / Path(path).expanduser()

    def _path_of(self, path: str | Path | None) -> Path | None:
        return None if path is None else self._path(path)


@pytest.fixture(scope="session")
def robustness(pytestconfig: pytest.Config) -> Robustness:
    """Compares runs with baselines; relative paths start at pytest's root folder."""
    return Robustness(pytestconfig.rootpath)
