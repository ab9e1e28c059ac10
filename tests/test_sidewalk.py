"""Sidewalk: the planned numbers, the promised pixels, and folders that are whole or absent."""

import collections
import dataclasses
import itertools
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchbox.data import sidewalk
from benchbox.data.digest import dataset_digest, image_digest
from benchbox.data.sidewalk import store
from benchbox.data.sidewalk.counts import camera_shares, long_tail
from benchbox.data.sidewalk.dice import Dice
from benchbox.data.sidewalk.plan import FOLDERS, GALLERY, QUERY, TRAIN, plan
from benchbox.data.sidewalk.raster import HEIGHT, WIDTH, capsule, ellipse, piecewise
from benchbox.data.sidewalk.scenes import texture
from benchbox.data.sidewalk.sizes import Spec, Tail, spec_of
from benchbox.errors import BenchboxError
from benchbox.files.progress import silent

NAME = re.compile(r"(\d{4})_c(\d)s\d_\d{6}_\d{2}\.png")
EVERY = [(domain, size) for domain in sidewalk.DOMAINS for size in sidewalk.SIZES]
MINI = Spec("sidewalk-a", "tiny", 6, 6, 66, 4, 12, 40, 3, 2, 5, 3.0, Tail(5, 7, 9, 12, 20))


def make_mini(out: Path, *, spec=MINI, seed=0, workers=1, progress=silent, expected=None) -> str:
    return store.make_spec(
        spec, out, seed=seed, workers=workers, progress=progress, expected=expected
    )


def pid_of(path) -> int:
    return int(NAME.fullmatch(Path(path).name)[1])


def camid_of(path) -> int:
    return int(NAME.fullmatch(Path(path).name)[2])


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def images_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.png"))


@pytest.fixture(scope="module")
def mini(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("sidewalk") / "mini"
    make_mini(out)
    return out


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sidewalk")
    for domain in sidewalk.DOMAINS:
        sidewalk.make(domain, root / domain)
    return {domain: root / domain for domain in sidewalk.DOMAINS}


# ---------------------------------------------------------------- the plan


@pytest.mark.parametrize(("domain", "size"), EVERY)
def test_plan_keeps_the_protocol(domain, size):
    spec = spec_of(domain, size)
    shots = [shot for walk in plan(spec, 0) for shot in walk.shots]
    by_folder = {name: [s.name for s in shots if s.folder == name] for name in FOLDERS}
    assert len({shot.name for shot in shots}) == len(shots) == spec.images
    assert all(NAME.fullmatch(shot.name) for shot in shots)
    assert [len(by_folder[name]) for name in FOLDERS] == [
        spec.train_images, spec.queries, spec.gallery,
    ]  # fmt: skip
    train_pids = {pid_of(name) for name in by_folder[TRAIN]}
    query_pids = {pid_of(name) for name in by_folder[QUERY]}
    gallery_pids = {pid_of(name) for name in by_folder[GALLERY]}
    assert len(train_pids) == spec.train_ids
    assert len(query_pids) == spec.test_ids
    assert not train_pids & (query_pids | gallery_pids)
    assert 0 not in train_pids | query_pids
    assert sum(pid_of(name) == 0 for name in by_folder[GALLERY]) == spec.strays

    seen = collections.defaultdict(set)
    for name in by_folder[GALLERY]:
        seen[pid_of(name)].add(camid_of(name))
    queries = [(pid_of(name), camid_of(name)) for name in by_folder[QUERY]]
    assert len(set(queries)) == len(queries)
    assert all(seen[pid] - {camid} for pid, camid in queries), "a query without a match"
    # As in Market-1501, every camera that sees a query identity has a query of it.
    assert all(seen[pid] == {c for p, c in queries if p == pid} for pid in list(query_pids)[:60])
    lonely = gallery_pids - query_pids - {0}
    assert len(lonely) == spec.loner_ids
    assert all(len(seen[pid]) == 1 for pid in lonely)
    assert set().union(*seen.values()) == set(range(1, spec.cameras + 1))


def test_full_sizes_are_the_published_ones():
    a, b = spec_of("sidewalk-a", "full"), spec_of("sidewalk-b", "full")
    # Zheng et al. 2015 (Market-1501) and Zheng et al. 2017 (DukeMTMC-reID).
    assert (a.cameras, a.train_ids, a.test_ids) == (6, 751, 750)
    assert (a.train_images, a.queries, a.gallery, a.strays) == (12936, 3368, 15913, 2798)
    assert (b.cameras, b.train_ids, b.test_ids, b.loner_ids) == (8, 702, 702, 408)
    assert (b.train_images, b.queries, b.gallery) == (16522, 2228, 17661)


def test_duke_like_tail_and_camera_skew():
    spec = spec_of("sidewalk-b", "full")
    per_id, per_camera = collections.Counter(), collections.Counter()
    for walk in plan(spec, 0):
        for shot in walk.shots:
            if shot.folder == TRAIN:
                per_id[walk.person] += 1
                per_camera[walk.person, walk.camera] += 1
    counts = np.array(list(per_id.values()))
    # DukeMTMC-reID's train split: 6 to 426 images, median 20, quartiles 16 and 27.
    assert (counts.min(), counts.max()) == (6, 426)
    np.testing.assert_allclose(np.percentile(counts, [25, 50, 75]), [16, 20, 27], atol=1)
    shares = [
        max(per_camera[person, camera] for camera in range(1, 9)) / count
        for person, count in per_id.items()
    ]
    assert 0.42 < np.median(shares) < 0.55


@pytest.mark.parametrize(("domain", "size"), EVERY)
def test_every_size_is_long_tailed(domain, size):
    spec = spec_of(domain, size)
    counts = long_tail(spec.train_ids, spec.train_images, spec.tail)
    quarter = len(counts) // 4
    assert counts[0] == spec.tail.high >= 3.5 * np.median(counts)
    assert sum(counts[:quarter]) > 1.8 * sum(counts[-quarter:])


@given(
    st.integers(8, 300), st.integers(2, 9), st.lists(st.integers(0, 12), min_size=3, max_size=3),
    st.integers(20, 200), st.floats(0, 1),
)  # fmt: skip
def test_long_tail_hits_its_sum_and_bounds(identities, low, steps, reach, where):
    quarter, median, upper = (low + total for total in itertools.accumulate(steps))
    tail = Tail(low, quarter, median, upper, upper + reach)
    ends, inner = tail.low + tail.high, identities - 2
    total = ends + inner * (tail.low + 1) + round(where * inner * (tail.high - tail.low - 2))
    counts = long_tail(identities, total, tail)
    assert sum(counts) == total
    assert (counts[0], counts[-1]) == (tail.high, tail.low)
    assert counts == sorted(counts, reverse=True)


@given(st.integers(1, 8), st.integers(1, 3), st.integers(0, 400), st.integers(0, 99))
def test_camera_shares_are_all_the_images(cameras, each, more, seed):
    images = each * cameras + more
    shares = camera_shares(Dice(seed), images, cameras, each=each)
    assert len(shares) == cameras
    assert sum(shares) == images
    assert min(shares) >= each


# ---------------------------------------------------------------- the drawing


def test_capsule_is_the_points_near_a_segment():
    (x0, y0), (x1, y1), r0, r1 = (30.2, 40.7), (61.4, 120.1), 9.0, 5.0
    shape = capsule((x0, y0), r0, (x1, y1), r1)
    drawn = np.zeros((HEIGHT, WIDTH), bool)
    drawn[shape.rows, shape.columns] = shape.mask
    unsure = 0
    for row, column in itertools.product(range(20, 140), range(15, 80)):
        px, py = column + 0.5, row + 0.5
        t = ((px - x0) * (x1 - x0) + (py - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
        t = min(1.0, max(0.0, t))
        gap = math.hypot(px - x0 - t * (x1 - x0), py - y0 - t * (y1 - y0)) - r0 - t * (r1 - r0)
        if abs(gap) < 1e-4:
            unsure += 1
        else:
            assert drawn[row, column] == (gap < 0)
    assert unsure < 5
    assert drawn.sum() == drawn[20:140, 15:80].sum()


@given(st.floats(-40, 170), st.floats(-40, 300), st.floats(0.5, 60), st.floats(0.5, 60))
def test_ellipse_covers_its_area_and_stays_on_the_canvas(x, y, wide, high):
    shape = ellipse(x, y, wide, high)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    level = ((columns - x) / wide) ** 2 + ((rows - y) / high) ** 2
    drawn = np.zeros((HEIGHT, WIDTH), bool)
    if shape is not None:
        drawn[shape.rows, shape.columns] = shape.mask
    assert drawn[level < 1 - 1e-3].all()
    assert not drawn[level > 1 + 1e-3].any()


@given(
    st.lists(st.integers(-30, 30), min_size=2, max_size=6, unique=True),
    st.lists(st.floats(-5, 5, width=16), min_size=6, max_size=6),
)
def test_piecewise_is_linear_interpolation(places, values):
    knots = list(zip(sorted(places), values, strict=False))
    at = np.linspace(-40, 40, 97, dtype=np.float32)
    expected = np.interp(at, [x for x, _ in knots], [y for _, y in knots])
    np.testing.assert_allclose(piecewise(at, knots), expected, atol=1e-4)


def test_texture_interpolates_its_lattice():
    height, width, cell = 19, 23, 5
    relief = texture(Dice("relief"), height, width, cell)
    lattice = Dice("relief").octets(height // cell + 2, width // cell + 2).astype(int) - 128
    for row, column in itertools.product(range(height), range(width)):
        (i, y), (j, x) = divmod(row, cell), divmod(column, cell)
        corners = lattice[i : i + 2, j : j + 2]
        exact = [cell - y, y] @ corners @ [cell - x, x] / cell**2
        assert relief[row, column] == math.floor(exact)


def test_nothing_in_the_pixel_path_rounds_differently_elsewhere():
    """No array transcendental, no float reduction, no library drawing, no libm-based stream."""
    barred = re.compile(
        r"np\.(sin|cos|tan|arcsin|arctan2?|exp|log|power|dot|matmul|einsum|interp|mean|sum|hypot)\b"
        r"|\.(normal|randn|uniform|lognormal|standard_normal|mean|sum|dot)\("
        r"|ImageDraw|ImageFilter|\.resize\(|default_rng| @ |\*\* ?0\.5"
    )
    for source in Path(sidewalk.__file__).parent.glob("*.py"):
        for number, line in enumerate(source.read_text().splitlines(), 1):
            assert not barred.search(line), f"{source.name}:{number}: {line}"


# ---------------------------------------------------------------- the pixels


def test_pixels_depend_on_the_seed_alone(mini, tmp_path):
    again = make_mini(tmp_path / "two-workers", workers=2)
    other = make_mini(tmp_path / "other", seed=1)
    files = [path for name in FOLDERS for path in images_in(mini / name)]
    oracle = dataset_digest(
        (f"{path.parent.name}/{path.name}", image_digest(path)) for path in files
    )
    assert again == oracle == sidewalk.manifest(mini)["digest"]
    assert other != again


@pytest.mark.skipif(np.__version__ < "2", reason="NumPy 1 names its modules differently")
def test_pixels_do_not_depend_on_vector_instructions(mini, tmp_path):
    """NumPy without AVX and fused multiply-add computes the same pixels."""
    features = " ".join(sys.modules["numpy._core._multiarray_umath"].__cpu_dispatch__)
    code = (
        "from pathlib import Path; from tests.test_sidewalk import make_mini;"
        "from numpy._core._multiarray_umath import __cpu_features__ as on;"
        f"assert not any(on.get(name) for name in {features.split()});"
        f"print(make_mini(Path({str(tmp_path / 'plain')!r})))"
    )
    env = os.environ | {
        "NPY_DISABLE_CPU_FEATURES": features,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    plain = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=env, capture_output=True, text=True
    )
    assert plain.stdout.strip() == sidewalk.manifest(mini)["digest"], plain.stderr


@pytest.mark.slow
@pytest.mark.parametrize("domain", sidewalk.DOMAINS)
def test_tiny_is_the_recorded_one(tiny, domain):
    files = [path for name in FOLDERS for path in images_in(tiny[domain] / name)]
    made = dataset_digest((f"{path.parent.name}/{path.name}", image_digest(path)) for path in files)
    assert made == sidewalk.recorded_digest(domain, size="tiny")
    assert len(files) == spec_of(domain, "tiny").images
    assert all(pixels(path).shape == (128, 64, 3) for path in files[::7])


@pytest.mark.parametrize(("domain", "size"), EVERY)
def test_every_digest_is_recorded(domain, size):
    assert re.fullmatch(r"[0-9a-f]{64}", sidewalk.recorded_digest(domain, size=size))
    assert sidewalk.recorded_digest(domain, size=size, seed=987654) is None


@pytest.mark.slow
@pytest.mark.parametrize("domain", sidewalk.DOMAINS)
def test_no_pixels_are_shared(tiny, domain):
    files = [path for name in FOLDERS for path in images_in(tiny[domain] / name)]
    assert len({image_digest(path) for path in files}) == len(files)


@pytest.mark.slow
@pytest.mark.parametrize("domain", sidewalk.DOMAINS)
def test_frames_of_a_tracklet_are_near_duplicates(tiny, domain):
    """Neighbours of a walk differ less than two walks of the person before the same camera."""
    spec = spec_of(domain, "tiny")

    def difference(one, two) -> float:
        first, second = (pixels(tiny[domain] / s.folder / s.name).astype(int) for s in (one, two))
        return np.abs(first - second).mean()

    within, between = [], []
    walks = collections.defaultdict(list)
    for walk in plan(spec, 0):
        within += [difference(*pair) for pair in itertools.pairwise(walk.shots)]
        walks[walk.person, walk.camera].append(walk.shots[0])
    for shots in walks.values():
        between += [difference(*pair) for pair in itertools.pairwise(shots)]
    assert np.median(within) < 0.75 * np.median(between)
    assert min(within) > 1.0


@pytest.mark.slow
def test_domains_look_different_but_equally_bright(tiny):
    means = [
        np.mean(
            [pixels(path).mean(axis=(0, 1)) for path in images_in(tiny[domain] / TRAIN)], axis=0
        )
        for domain in sidewalk.DOMAINS
    ]
    assert abs(means[0].mean() - means[1].mean()) < 15
    warmth = [mean[0] - mean[2] for mean in means]
    assert warmth[0] > warmth[1] + 10, "winter light is bluer"


def mean_average_precision(query, gallery, queries, images) -> float:
    """The step form, by brute force; squared Euclidean distances."""
    precisions = []
    for feature, path in zip(query, queries, strict=True):
        ranked = sorted(
            (float(((feature - other) ** 2).sum()), pid_of(image) == pid_of(path))
            for other, image in zip(gallery, images, strict=True)
            if (pid_of(image), camid_of(image)) != (pid_of(path), camid_of(path))
        )
        hits = [rank for rank, (_, match) in enumerate(ranked, 1) if match]
        precisions.append(np.mean([count / rank for count, rank in enumerate(hits, 1)]))
    return 100 * float(np.mean(precisions))


@pytest.mark.slow
@pytest.mark.parametrize("domain", sidewalk.DOMAINS)
def test_identity_is_in_the_colours_and_in_more(tiny, domain):
    """Mean colours of a body's stripes say something about who it is, but far from all."""
    queries = images_in(tiny[domain] / QUERY)
    images = images_in(tiny[domain] / GALLERY)

    def stripes(path: Path) -> np.ndarray:
        body = pixels(path)[16:, 22:42].astype(float)
        return body.reshape(8, 14, 20, 3).mean(axis=(1, 2)).ravel()

    features = [[stripes(path) for path in paths] for paths in (queries, images)]
    noise = np.random.RandomState(0)
    chance = mean_average_precision(
        noise.rand(len(queries), 8), noise.rand(len(images), 8), queries, images
    )
    colours = mean_average_precision(*features, queries, images)
    assert 5 * chance < colours < 60


# ---------------------------------------------------------------- the folder


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_finished_folder_is_left_alone(mini):
    before = {path: path.stat().st_mtime_ns for path in mini.rglob("*")}
    assert make_mini(mini) == sidewalk.manifest(mini)["digest"]
    assert {path: path.stat().st_mtime_ns for path in mini.rglob("*")} == before
    assert sidewalk.manifest(mini)["counts"] == {TRAIN: 66, QUERY: 12, GALLERY: 48}


def test_progress_counts_to_the_end(tmp_path):
    calls = []
    make_mini(tmp_path / "out", progress=lambda share, text: calls.append((share, text)))
    assert calls[-1] == (1.0, f"rendering {MINI.domain} image {MINI.images} of {MINI.images}")
    assert [share for share, _ in calls] == sorted(share for share, _ in calls)


@pytest.mark.parametrize("workers", [1, 2])
def test_failed_render_leaves_nothing(tmp_path, workers):
    def stop(share, text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_mini(tmp_path / "out", workers=workers, progress=stop)
    assert leftovers(tmp_path) == []


def test_killed_render_is_no_dataset_and_is_cleared_away(tmp_path):
    out = tmp_path / "out"
    code = (
        "import sys; from pathlib import Path; from benchbox.data import sidewalk\n"
        "if __name__ == '__main__': sidewalk.make('sidewalk-a', Path(sys.argv[1]), workers=2)"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    child = subprocess.Popen([sys.executable, str(script), str(out)])
    while not list(tmp_path.glob(".out.*.partial/*/*.png")):
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    script.unlink()
    (stale,) = tmp_path.glob(".out.*.partial")
    assert not out.exists()
    assert sidewalk.manifest(stale) is None

    def files() -> int:
        return sum(1 for _ in stale.rglob("*.png"))

    for _ in range(100):  # the workers end with their parent
        count = files()
        time.sleep(0.3)
        if files() == count:
            break
    assert files() < spec_of("sidewalk-a", "tiny").images
    make_mini(out)
    assert leftovers(tmp_path) == ["out"]


def test_altered_pixels_are_refused(tmp_path, mini, monkeypatch):
    wrong = "0" * 64
    with pytest.raises(BenchboxError, match=f"recorded {wrong}, made [0-9a-f]{{64}}.*report"):
        make_mini(tmp_path / "out", expected=wrong)
    assert leftovers(tmp_path) == []
    with pytest.raises(BenchboxError, match="are not the recorded ones"):
        make_mini(mini, expected=wrong)
    passed = []
    monkeypatch.setattr(store, "make_spec", lambda *args, **named: passed.append(named) or "x")
    sidewalk.make("sidewalk-b", tmp_path / "b", size="small")
    assert passed[0]["expected"] == sidewalk.recorded_digest("sidewalk-b", size="small")


def test_other_contents_are_refused(tmp_path, mini):
    with pytest.raises(BenchboxError, match=r"holds sidewalk-a, size tiny, seed 0.*seed 5"):
        make_mini(mini, seed=5)
    with pytest.raises(BenchboxError, match="asked for sidewalk-b"):
        make_mini(mini, spec=dataclasses.replace(MINI, domain="sidewalk-b"))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
    with pytest.raises(BenchboxError, match="no finished Sidewalk"):
        make_mini(tmp_path / "photos")
    assert leftovers(tmp_path / "photos") == ["cat.jpg"]
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchboxError, match="no finished Sidewalk"):
        make_mini(tmp_path / "file")


def test_lost_images_are_noticed(tmp_path):
    make_mini(tmp_path / "out")
    images_in(tmp_path / "out" / QUERY)[0].unlink()
    with pytest.raises(BenchboxError, match=r"query: has 11 images, expected 12.*make it again"):
        make_mini(tmp_path / "out")


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    assert make_mini(tmp_path / "out") == sidewalk.manifest(tmp_path / "out")["digest"]


def test_unusable_place_is_one_message(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchboxError, match="cannot be written"):
        make_mini(tmp_path / "file" / "out")


def test_unknown_names_are_explained(tmp_path):
    with pytest.raises(BenchboxError, match=r"'sidewalk-c'.*Known: sidewalk-a, sidewalk-b"):
        sidewalk.make("sidewalk-c", tmp_path / "out")
    with pytest.raises(BenchboxError, match=r"'tinny'\. Did you mean 'tiny'"):
        sidewalk.make("sidewalk-a", tmp_path / "out", size="tinny")
    with pytest.raises(BenchboxError, match="workers = 0"):
        sidewalk.make("sidewalk-a", tmp_path / "out", workers=0)
    assert sidewalk.manifest(tmp_path) is None
