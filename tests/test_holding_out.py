"""Validation: training identities held out, never a test query, and every table says so."""

import csv
import dataclasses
import io
import json
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from rich.console import Console

from benchbox.data.holding_out import hold_out, hold_out_digest
from benchbox.data.protocol import ImageRecord, ReidDataset
from benchbox.data.reading import read_dataset
from benchbox.errors import BenchboxError
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.results.artefacts import Artefacts
from benchbox.results.run_folder import read_run
from benchbox.runs.options import Options
from benchbox.runs.preview import plan_tables
from benchbox.runs.runner import preview, run_grid
from tests.micro import make_micro_dataset, write_micro_grid


def made(shots: dict[tuple[int, int], int], *, digest: str = "whole") -> ReidDataset:
    """Return a dataset without files; ``shots``: (pid, camid) → training images."""

    def records(folder: str, counts: dict[tuple[int, int], int]) -> tuple[ImageRecord, ...]:
        return tuple(
            ImageRecord(Path(folder) / f"{pid:04d}_c{camid}s1_{frame:06d}_01.png", pid, camid)
            for (pid, camid), count in sorted(counts.items())
            for frame in range(count)
        )

    test = {(9000, 1): 1, (9000, 2): 1, (9001, 3): 1}
    return ReidDataset(
        name="made",
        root=Path(),
        train=records("bounding_box_train", shots),
        query=records("query", test),
        gallery=records("bounding_box_test", test),
        junk=7,
        digest=digest,
    )


# Few images a camera, so that identities with nothing to spare for the gallery are common.
shots = st.dictionaries(
    st.integers(1, 40),
    st.dictionaries(st.integers(1, 5), st.integers(1, 3), min_size=1),
    min_size=8,
    max_size=20,
).map(lambda people: {(p, c): n for p, seen in people.items() for c, n in seen.items()})
shares = st.floats(0.2, 0.8)
seeds = st.integers(0, 5)
# A busy machine is no failure.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def held_out_or_skip(dataset: ReidDataset, share: float, seed: int) -> ReidDataset:
    try:
        return hold_out(dataset, share=share, seed=seed)
    except BenchboxError:
        assume(False)
        raise


def pids(records: tuple[ImageRecord, ...]) -> set[int]:
    return {record.pid for record in records}


@unhurried
@given(shots, shares, seeds)
def test_the_training_images_are_divided_by_identity_and_no_test_image_is_used(
    shots, share, seed
) -> None:
    whole = made(shots)
    view = held_out_or_skip(whole, share, seed)
    assert Counter(view.train + view.query + view.gallery) == Counter(whole.train)
    assert not pids(view.train) & (pids(view.query) | pids(view.gallery))
    assert min(len(pids(view.train)), len(pids(view.query))) >= 2
    for records in (view.train, view.query, view.gallery):
        assert list(records) == sorted(records, key=lambda record: record.path.name)
    assert (view.name, view.root, view.junk) == (whole.name, whole.root, 0)
    other_test = dataclasses.replace(whole, query=(), gallery=(), junk=0)
    assert hold_out(other_test, share=share, seed=seed) == view


@unhurried
@given(shots, shares, seeds)
def test_every_query_has_a_valid_match_and_there_is_one_a_camera(shots, share, seed) -> None:
    view = held_out_or_skip(made(shots), share, seed)
    for query in view.query:
        assert any(g.pid == query.pid and g.camid != query.camid for g in view.gallery)
    asked = Counter((query.pid, query.camid) for query in view.query)
    assert set(asked.values()) == {1}
    for pid in pids(view.query):
        images = {camid: n for (p, camid), n in shots.items() if p == pid}
        assert sum(q.pid == pid for q in view.query) == most_queries(images)


def most_queries(images: dict[int, int]) -> int:
    """Return the most queries with a match, at most one a camera, by trying every choice."""
    best = 0
    for chosen in product((0, 1), repeat=len(images)):
        taken = dict(zip(images, chosen, strict=True))
        gallery = {camid for camid, n in images.items() if n > taken[camid]}
        if all(gallery - {camid} for camid, is_query in taken.items() if is_query):
            best = max(best, sum(chosen))
    return best


@unhurried
@given(shots, shares, seeds)
def test_an_identity_of_one_camera_stays_in_training(shots, share, seed) -> None:
    view = held_out_or_skip(made(shots), share, seed)
    cameras = defaultdict(set)
    for pid, camid in shots:
        cameras[pid].add(camid)
    assert {pid for pid, seen in cameras.items() if len(seen) == 1} <= pids(view.train)


@unhurried
@given(shots, shares, seeds, st.randoms(use_true_random=False))
def test_the_order_of_the_list_does_not_matter(shots, share, seed, order: random.Random) -> None:
    whole = made(shots)
    view = held_out_or_skip(whole, share, seed)
    assert hold_out(whole, share=share, seed=seed) == view
    shuffled = dataclasses.replace(whole, train=tuple(order.sample(whole.train, len(whole.train))))
    again = hold_out(shuffled, share=share, seed=seed)
    assert [set(r) for r in (again.train, again.query, again.gallery)] == [
        set(r) for r in (view.train, view.query, view.gallery)
    ]


@unhurried
@given(shots, shares, seeds, st.integers(1, 5))
def test_another_identity_moves_nobody(shots, share, seed, cameras: int) -> None:
    view = held_out_or_skip(made(shots), share, seed)
    joined = made({**shots, **{(999, camid): 2 for camid in range(1, cameras + 1)}})
    more = hold_out(joined, share=share, seed=seed)
    for before, after in zip(
        (view.train, view.query, view.gallery),
        (more.train, more.query, more.gallery),
        strict=True,
    ):
        assert tuple(record for record in after if record.pid != 999) == before


def test_where_the_own_camera_is_kept_an_identity_gives_one_query_of_two_images() -> None:
    dataset = made({(pid, 1): 1 + pid % 3 for pid in range(1, 61)})
    kept = hold_out(dataclasses.replace(dataset, same_camera="keep"), share=0.5)
    held = pids(kept.query)
    assert len(kept.query) == len(held) > 10
    assert held == pids(kept.gallery)
    assert all(1 + pid % 3 > 1 for pid in held)
    assert len(kept.train) + len(kept.query) + len(kept.gallery) == len(dataset.train)


def test_the_share_is_held_and_the_seed_chooses_others() -> None:
    whole = made({(pid, camid): 2 for pid in range(1, 2001) for camid in (1, 2)})
    sides = []
    for share, seed in ((0.25, 0), (0.25, 1), (0.6, 0)):
        held = pids(hold_out(whole, share=share, seed=seed).query)
        # Four standard deviations of a binomial draw.
        assert len(held) == pytest.approx(2000 * share, abs=4 * (2000 * share * (1 - share)) ** 0.5)
        sides.append(held)
    # Independent draws of a quarter share a quarter of their identities.
    assert len(sides[0] & sides[1]) == pytest.approx(125, abs=50)
    assert sides[0] < sides[2], "a larger share holds out the same identities and more"


def test_the_query_images_are_drawn_and_not_the_first_of_each_camera() -> None:
    whole = made({(pid, camid): 4 for pid in range(1, 401) for camid in (1, 2)})
    frames = Counter(query.path.name.split("_")[2] for query in hold_out(whole).query)
    total = sum(frames.values())
    assert len(frames) == 4
    assert all(count == pytest.approx(total / 4, rel=0.5) for count in frames.values())
    assert hold_out(whole, seed=1).query != hold_out(whole).query


@unhurried
@given(st.text("0123456789abcdef", max_size=8), shares, seeds)
def test_the_digest_names_data_share_and_seed(digest, share, seed) -> None:
    own = hold_out_digest(digest, share=share, seed=seed)
    assert own != digest
    assert own == hold_out_digest(digest, share=share, seed=seed)
    others = {
        hold_out_digest(digest + "0", share=share, seed=seed),
        hold_out_digest(digest, share=share + 0.01, seed=seed),
        hold_out_digest(digest, share=share, seed=seed + 1),
    }
    assert len({own, *others}) == 4


def test_the_digest_is_known_before_images_are_opened() -> None:
    whole = made({(pid, camid): 2 for pid in range(1, 41) for camid in (1, 2)}, digest="d")
    assert hold_out(whole).digest == hold_out_digest("d")
    assert hold_out(whole, share=0.5, seed=3).digest == hold_out_digest("d", share=0.5, seed=3)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan"), 25])
def test_a_share_that_is_none_is_refused(share) -> None:
    with pytest.raises(BenchboxError, match=r"made: share = .*expected a number above 0"):
        hold_out(made({(1, 1): 1}), share=share)


def test_too_few_identities_on_either_side_are_refused() -> None:
    two_cameras = {(pid, camid): 2 for pid in range(1, 11) for camid in (1, 2)}
    with pytest.raises(BenchboxError, match=r"made: .*hold out 10 and train on 0 of 10"):
        hold_out(made(two_cameras), share=0.999999)
    with pytest.raises(BenchboxError, match=r"hold out 0 and train on 10 of 10 .*at least 2 each"):
        hold_out(made(two_cameras), share=1e-6)
    with pytest.raises(BenchboxError, match="two cameras or more"):
        hold_out(made({(pid, 1): 5 for pid in range(1, 101)}))


def test_a_view_of_files_ranks_without_a_query_left_out(tmp_path) -> None:
    view = hold_out(read_dataset(make_micro_dataset(tmp_path)))
    lists = (view.query, view.gallery)
    result = evaluate_retrieval(
        *([[float(r.pid), 1.0] for r in records] for records in lists),
        *([r.pid for r in records] for records in lists),
        *([r.camid for r in records] for records in lists),
    )
    assert (result.mAP, result.skipped, result.queries) == (1.0, 0, len(view.query))


NAME = "market1501"  # has official sizes, which a micro dataset is far from


@pytest.fixture(scope="module")
def data_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    make_micro_dataset(root / NAME, train=12)
    return root


def small_grid(folder: Path, extra: str = "", *, name: str = NAME) -> Path:
    """Write a grid of one training and two cells over a dataset."""
    grid = write_micro_grid(folder / "micro.toml", Path("x"), epochs=1, extra=extra)
    text = grid.read_text().replace("path:x", name)
    for whole, part in (
        ('"origin", "bs_ms", "adv_train"', '"origin"'),
        ('"fna", "sma"', '"sma"'),
        ('"8/255", "10/255"', '"8/255"'),
    ):
        assert whole in text
        text = text.replace(whole, part)
    grid.write_text(text)
    return grid


def run(grid: Path, data_root: Path, out: Path) -> str:
    """Run a grid and return what it printed."""
    command = [sys.executable, "-m", "benchbox", "run", grid, "--out", out]
    command += ["--workers", "1", "--data-root", data_root]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open() as stream:
        return list(csv.DictReader(stream))


@dataclasses.dataclass(frozen=True)
class Done:
    out: Path
    printed: str


@pytest.fixture(scope="module")
def tuned(data_root, tmp_path_factory) -> Done:
    out = tmp_path_factory.mktemp("tuned")
    return Done(out, run(small_grid(out, "validation = true"), data_root, out))


@pytest.fixture(scope="module")
def tested(data_root, tmp_path_factory) -> Done:
    out = tmp_path_factory.mktemp("tested")
    return Done(out, run(small_grid(out), data_root, out))


def test_a_validation_run_says_so_wherever_its_numbers_stand(tuned, tested, data_root) -> None:
    record = json.loads((tuned.out / "run.json").read_text())
    entry = record["datasets"][NAME]
    whole = read_dataset(data_root / NAME)
    view = hold_out(whole)
    assert entry["validation"] is True
    assert entry["digest"] == hold_out_digest(whole.digest)
    assert [entry[split]["images"] for split in ("train", "query", "gallery")] == [
        len(records) for records in (view.train, view.query, view.gallery)
    ]
    for row in rows(tuned.out):
        assert (int(row["queries"]), int(row["gallery"])) == (len(view.query), len(view.gallery))
    assert record["titles"]["datasets"] == {NAME: "Market (validation)"}
    shown = ("tables/white_box.md", "tables/white_box.csv", "tables/white_box.tex", "report.html")
    for name in shown:
        assert "Market (validation)" in (tuned.out / name).read_text()
        assert "(validation)" not in (tested.out / name).read_text()
    assert "on identities held out of training" in tuned.printed
    assert "Market (validation)" in tuned.printed
    assert "validation" not in tested.printed
    # What figures are drawn from is the view too.
    assert Artefacts(read_run(tuned.out)).dataset(NAME).query == view.query
    assert Artefacts(read_run(tested.out)).dataset(NAME).query == whole.query


def test_a_view_is_not_compared_with_official_sizes(tuned, tested) -> None:
    def unofficial(done: Done) -> list[str]:
        return json.loads((done.out / "run.json").read_text())["datasets"][NAME]["unofficial"]

    assert "warning:" not in tuned.printed
    assert unofficial(tuned) == []
    assert "warning: market1501: training identities: 12, officially 751" in tested.printed
    assert unofficial(tested)


def test_its_cells_are_others_and_its_queries_are_training_identities(
    tuned, tested, data_root
) -> None:
    def asked(done: Done) -> set[int]:
        with (done.out / "per_id.csv").open() as stream:
            return {int(row["pid"]) for row in csv.DictReader(stream)}

    assert not {row["cell"] for row in rows(tuned.out)} & {row["cell"] for row in rows(tested.out)}
    whole = read_dataset(data_root / NAME)
    assert asked(tested) == pids(whole.query)
    assert asked(tuned) == pids(hold_out(whole).query) < pids(whole.train)


@pytest.mark.slow
def test_other_test_people_leave_the_validation_numbers_alone(tuned, tmp_path) -> None:
    make_micro_dataset(tmp_path / NAME, train=12, test=2)
    run(small_grid(tmp_path, "validation = true"), tmp_path, tmp_path / "out")

    def numbers(out: Path) -> list[tuple[str, ...]]:
        return [(row["attack"], row["mAP"], row["rank1"], row["queries"]) for row in rows(out)]

    assert numbers(tmp_path / "out") == numbers(tuned.out)


def test_the_plan_has_the_cells_of_the_run_and_says_validation(tuned, data_root, tmp_path) -> None:
    def plan_of(line: str) -> tuple[set[str], str]:
        plan, missing = preview(small_grid(tmp_path, line), Options(data_root=data_root))
        assert not missing
        return {cell.id for cell in plan.cells}, printed(plan_tables(plan, missing))

    done = {row["cell"] for row in rows(tuned.out)}
    cells, text = plan_of("validation = true")
    assert cells == done
    assert "held out of training" in text
    cells, text = plan_of("validation = false")
    assert not cells & done
    assert "validation" not in text


def printed(parts) -> str:
    console = Console(file=io.StringIO(), width=200)
    for part in parts:
        console.print(part)
    return console.file.getvalue()


def test_a_rendered_dataset_is_planned_without_rendering_it(tmp_path) -> None:
    def cells(line: str) -> set[str]:
        grid = small_grid(tmp_path, line, name="sidewalk-a")
        plan, missing = preview(grid, Options(data_root=tmp_path))
        assert not missing
        return {cell.id for cell in plan.cells}

    assert not cells("validation = true") & cells("validation = false")
    assert [path.name for path in tmp_path.iterdir()] == ["micro.toml"]


def test_a_dataset_of_too_few_people_is_named_by_plan_and_run(tmp_path) -> None:
    make_micro_dataset(tmp_path / NAME, train=3)
    grid, options = small_grid(tmp_path, "validation = true"), Options(data_root=tmp_path)
    message = "market1501: .* of 3 training identities, expected at least 2 each"
    _, missing = preview(grid, options)
    assert re.search(message, missing[NAME])
    with pytest.raises(BenchboxError, match=message):
        run_grid(grid, tmp_path / "out", options, Console(file=io.StringIO()))
