"""The wheel alone, in an empty folder: what is in it, and that its commands find that.

The wheel is built as `make wheel` builds it and unpacked with its dependencies left out; those are
the test environment's. Its folder comes first on the path, so none of the checkout's code runs.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.micro import make_micro_dataset, write_micro_grid

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = out.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    """The folder all commands are given in; what one writes the next may use."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture
def call(installed: Path, empty: Path):
    def run(*words: object, start: tuple[str, ...] = ("-m", "benchbox")) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, *start, *map(str, words)],
            capture_output=True,
            text=True,
            cwd=empty,
            env={**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "200"},
            timeout=300,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


def test_the_wheel_holds_the_packages_and_what_comes_with_them(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        str(file.relative_to(ROOT))
        for package in ("benchbox", "attacks", "defenses")
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    bundled = [
        *(ROOT / "grids").glob("*"),
        *(ROOT / "leaderboards" / "published").glob("*"),
        *(ROOT / "leaderboards" / "transfer").glob("*"),
        *(ROOT / "leaderboards").glob("*/protocol*.toml"),
    ]
    assert len(bundled) > 20
    assert names == expected | {f"benchbox/bundled/{path.relative_to(ROOT)}" for path in bundled}


def test_the_entry_points_are_those_of_the_project(installed: Path) -> None:
    (text,) = [file.read_text() for file in installed.glob("*.dist-info/entry_points.txt")]
    assert "benchbox = benchbox.cli.main:main" in text
    assert "benchbox = benchbox.regression.pytest_plugin" in text


def test_none_of_the_checkout_is_seen(call, installed) -> None:
    says = "import benchbox, benchbox.files.bundled as b; print(benchbox.__file__)"
    says += "; print(*b.bundled_grids().values(), sep='\\n')"
    code, out, err = call(says, start=("-c",))
    assert code == 0, err
    assert all(line.startswith(str(installed)) for line in out.splitlines())


def test_grids_are_listed_and_copied(call, empty) -> None:
    code, out, _ = call("grids")
    assert code == 0
    assert len(out.splitlines()) == len(list((ROOT / "grids").glob("*.toml")))
    assert re.search(r"^demo +White-box robustness on Sidewalk \(tiny\)$", out, re.MULTILINE)
    code, out, _ = call("grids", "copy", "transfer", "--out", "mine")
    assert (code, out) == (0, "written: mine/transfer.toml\n")
    copied = empty / "mine" / "transfer.toml"
    assert copied.read_bytes() == (ROOT / "grids" / "transfer.toml").read_bytes()
    copied.write_text("# changed\n")
    code, _, err = call("grids", "copy", "transfer", "--out", "mine")
    assert code == 2
    assert "exists already" in err
    assert copied.read_text() == "# changed\n"
    code, _, err = call("grids", "copy", "dem")
    assert code == 2
    assert "Did you mean 'demo'" in err


def test_a_grid_is_run_by_its_name(call) -> None:
    code, out, err = call("run", "demo", "--dry-run")
    assert code == 0, err
    assert "128 cells" in out
    assert "White-box robustness on Sidewalk (tiny)" in out


def test_the_demo_runs_the_packages_grid_and_its_run_is_compared(
    call, installed, empty, tmp_path
) -> None:
    """With a micro grid in the place of the real one, which trains for minutes."""
    grid = write_micro_grid(tmp_path / "g.toml", make_micro_dataset(tmp_path / "micro"), epochs=0)
    text = grid.read_text().replace('["origin", "bs_ms", "adv_train"]', '["origin"]')
    packaged = installed / "benchbox" / "bundled" / "grids" / "demo.toml"
    real = packaged.read_text()
    packaged.write_text(text.replace("steps = 10", "steps = 1"))
    try:
        code, out, err = call("demo", "--workers", 1)
    finally:
        packaged.write_text(real)
    assert code == 0, err
    assert "benchbox report runs/demo" in out
    assert (empty / "runs" / "demo" / "report.html").stat().st_size > 10_000
    code, out, err = call("compare", "runs/demo")
    assert code == 0, err
    assert "Published are dukemtmcreid, market1501" in out
    code, _, err = call("submit", "runs/demo", "--defense", "origin", "--boards", "new")
    assert code == 2
    assert "image_size: the run has" in err
    assert not (empty / "new" / "sidewalk-small").exists(), "a refused run leaves no board behind"


def test_boards_that_the_user_names_are_verified_and_built(call, empty) -> None:
    shutil.copytree(ROOT / "leaderboards" / "sidewalk-tiny", empty / "boards" / "sidewalk-tiny")
    entries = len(list((empty / "boards").rglob("*.json")))
    code, out, err = call("leaderboard", "verify", "--boards", "boards")
    assert code == 0, err
    assert out == f"{entries} entries, 0 problems\n"
    code, _, err = call("leaderboard", "build", "--boards", "boards", "--out", "site")
    assert code == 0, err
    assert (empty / "site" / "index.html").is_file()


def test_a_new_defense_is_written_and_loads(call) -> None:
    code, out, err = call("new-defense", "mine")
    assert (code, out) == (0, "written: mine.py\nwritten: test_mine.py\n"), err
    code, out, err = call("list", "--plugin", "mine.py")
    assert code == 0, err
    assert "mine" in out
