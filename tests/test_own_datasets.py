"""Datasets of one's own: by pattern, by manifest, imported, from a plugin."""

import csv
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchbox.cli.main import app
from benchbox.data.checking import check_dataset
from benchbox.data.finding import open_dataset
from benchbox.data.patterns import NamePattern
from benchbox.data.sources import SOURCES, source_of
from benchbox.data.suggesting import suggest_pattern
from benchbox.errors import BenchboxError, CheckFailed
from benchbox.runs.opening import sources_as_set
from tests.made_datasets import GALLERY, QUERY, TRAIN, make_market, noise_image
from tests.made_sources import Writer

MARKET = "{pid}_c{camid}s{*}_{*}.jpg"


def _invoke(*words: object) -> str:
    """Run the command line; return what it printed."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def _opened(name: str, **settings: object):
    sources = sources_as_set([name], {name: settings}, SOURCES)
    return open_dataset(name, sources=sources)


# Patterns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        (MARKET, "0002_c1s1_000451_03.jpg", {"pid": "0002", "camid": "1"}),
        (MARKET, "0002_c12s1_000451_03.JPG", {"pid": "0002", "camid": "12"}),
        (MARKET, "0002_c1s1_000451_03.png", None),
        ("{pid}_c{camid}_{*}", "0002_c0_x.png", {"pid": "0002", "camid": "0"}),
        ("{pid}/cam{camid}_{*}", "anna/cam3_7.jpeg", {"pid": "anna", "camid": "3"}),
        ("{pid}/cam{camid}_{*}", "a/anna/cam3_7.jpeg", None),
        (
            "{split}/{pid}/{camid}-{view}",
            "query/bo/front-2.jpg",
            {"split": "query", "pid": "bo", "camid": "front", "view": "2"},
        ),
        ("{pid}_{*}", "first_last_1.jpg", {"pid": "first"}),
        ("a+b({pid}).jpg", "a+b(7).jpg", {"pid": "7"}),
    ],
)
def test_a_pattern_reads_a_path(pattern, path, found):
    assert NamePattern(pattern).read(path) == found


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{camid}_{*}.jpg", "{pid} is missing"),
        ("{pid}_{id}.jpg", "{id}"),
        ("{pid}_{pid}.jpg", "{pid}"),
        ("{pid_c1.jpg", "{pid} is missing"),
        ("{pid}}_c1.jpg", "at most once"),
    ],
)
def test_a_faulty_pattern_says_what_it_may_hold(pattern, said):
    with pytest.raises(BenchboxError, match="pattern") as caught:
        NamePattern(pattern)
    assert said in str(caught.value)


def test_market_by_its_pattern_is_market_by_its_layout(tmp_path):
    make_market(tmp_path)
    name = f"path:{tmp_path}"
    plain, read = open_dataset(name), _opened(name, pattern=MARKET)
    for split in ("train", "query", "gallery"):
        ours, theirs = getattr(plain, split), getattr(read, split)
        assert [(r.path, r.pid, r.camid) for r in ours] == [
            (r.path, r.pid, r.camid) for r in theirs
        ]
    assert read.junk == plain.junk == 2


def _tree(root: Path) -> None:
    """Eight people by name, three pictures of each from two cameras called by name."""
    write = Writer(root)
    for person in ("anna", "bo", "cem", "dana", "eli", "fay", "gus", "hana"):
        for camera in ("door", "yard"):
            for number in (1, 2, 3):
                write(f"{person}/{camera}_{number}.jpg")


def test_a_tree_by_identity_with_names_is_numbered_in_sorted_order(tmp_path):
    _tree(tmp_path)
    dataset = _opened(f"path:{tmp_path}", pattern="{pid}/{camid}_{*}.jpg")
    assert dataset.query == dataset.gallery == ()
    assert [r.pid for r in dataset.train[:7]] == [1, 1, 1, 1, 1, 1, 2]
    assert {r.camid for r in dataset.train} == {1, 2}
    assert dataset.train[0].key == "train/anna/door_1.jpg"


@pytest.mark.parametrize("zero", ["distractor", "identity"])
def test_identities_and_cameras_that_count_from_zero(tmp_path, zero):
    write = Writer(tmp_path)
    for split in ("query", "gallery"):
        for pid in (0, 1, 2):
            for camera in (0, 1):
                write(f"{split}/{pid}_c{camera}_{split}.jpg")
    settings = {"pattern": "{pid}_c{camid}_{*}.jpg", "zero": zero}
    if zero == "distractor":
        with pytest.raises(BenchboxError, match=r'pid 0 .*say zero = "identity"'):
            _opened(f"path:{tmp_path}", **settings)
        return
    dataset = _opened(f"path:{tmp_path}", **settings)
    assert {r.pid for r in dataset.query} == {1, 2, 3}
    assert {r.camid for r in dataset.query} == {0, 1}


def test_the_digest_holds_labels_and_rule(tmp_path):
    _tree(tmp_path)
    name = f"path:{tmp_path}"
    first = _opened(name, pattern="{pid}/{camid}_{*}.jpg")
    other = _opened(name, pattern="{pid}/{*}_{camid}.jpg")
    kept = _opened(name, pattern="{pid}/{camid}_{*}.jpg", same_camera="keep")
    assert len({first.digest, other.digest, kept.digest}) == 3
    shutil.move(tmp_path / "anna", tmp_path / "zoe")
    assert _opened(name, pattern="{pid}/{camid}_{*}.jpg").digest != first.digest


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["{p}_c{c}s1_{n:06d}_01.bmp.jpg"], "{pid}_c{camid}s{*}_{*}.jpg"),
        (["{p}_c{c}_{n}.jpg"], "{pid}_c{camid}_{*}.jpg"),
        (["p{p}/cam{c}_{n}.png"], "{pid}/cam{camid}_{*}.png"),
        (["p{p}/{n}.png"], "{pid}/{*}.png"),
        (["train/p{p}/c{c}_{n}.jpg"], "{pid}/c{camid}_{*}.jpg"),
    ],
)
def test_the_pattern_of_names_that_do_not_fit_is_suggested(tmp_path, names, pattern):
    write = Writer(tmp_path)
    for name in names:
        for p in (1, 2, 3):
            for c in (0, 1):
                for n in (7, 8, 9):
                    write(name.format(p=p, c=c, n=n))
    assert suggest_pattern(tmp_path) == pattern
    name = f"path:{tmp_path}"
    with pytest.raises(BenchboxError) as caught:
        open_dataset(name)
    assert pattern in str(caught.value)
    assert any(pattern in note for note in check_dataset(tmp_path).notes)
    (found,) = sources_as_set([name], {name: {"pattern": pattern}}, SOURCES).values()
    assert check_dataset(tmp_path, source=found).problems == ()


def test_a_number_below_minus_one_is_no_identity(tmp_path):
    make_market(tmp_path)
    noise_image(99).save(tmp_path / GALLERY / "-5_c1s1_000001_01.jpg")
    with pytest.raises(BenchboxError, match="identity -5: expected a name, or a number from -1 up"):
        _opened(f"path:{tmp_path}", pattern=MARKET)


# Manifests --------------------------------------------------------------------------------------


def _manifest(root: Path, rows: list[str], header: str = "path,pid,camid,split") -> str:
    for number, row in enumerate(rows):
        path = root / row.split(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            noise_image(number).save(path)
    (root / "list.csv").write_text("\n".join([header, *rows]) + "\n")
    return f"manifest:{root / 'list.csv'}"


ROWS = [
    "a/1.jpg,anna,door,train",
    "a/2.jpg,anna,yard,train",
    "b/1.jpg,bo,door,query",
    "b/2.jpg,bo,yard,gallery",
    "c/1.jpg,cem,yard,query",
    "c/2.jpg,cem,door,gallery",
    "d/1.jpg,0,door,gallery",
    "d/2.jpg,-1,door,gallery",
]


def test_a_manifest_says_it_all(tmp_path):
    dataset = open_dataset(_manifest(tmp_path, ROWS))
    assert [(r.key, r.pid, r.camid) for r in dataset.query] == [
        ("query/b/1.jpg", 2, 1),
        ("query/c/1.jpg", 3, 2),
    ]
    assert [(r.key, r.pid) for r in dataset.gallery] == [
        ("gallery/b/2.jpg", 2),
        ("gallery/c/2.jpg", 3),
        ("gallery/d/1.jpg", 0),
    ]
    assert dataset.junk == 1
    assert check_dataset(tmp_path / "list.csv", source=source_of(dataset.name)).ok
    assert "no problems" in _invoke("data", "check", tmp_path / "list.csv")


def test_a_manifest_with_numbers_and_views(tmp_path):
    rows = [
        f"{n}.png,{7 + n % 2},{n % 3},{s},{n if n else ''}"
        for n, s in enumerate(["query", "query", "gallery", "gallery", "gallery", "gallery"])
    ]
    dataset = open_dataset(_manifest(tmp_path, rows, "path,pid,camid,split,view"))
    assert [(r.pid, r.camid, r.view) for r in dataset.query] == [(7, 0, None), (8, 1, 1)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [*rows, "x.jpg,anna,door,test"], "row 9: split 'test': expected train"),
        (lambda rows: [*rows, "x.jpg,,door,train"], "row 9: pid is empty"),
        (lambda rows: [*rows, rows[0]], "train/a/1.jpg: is listed 2 times in train"),
        (lambda rows: [*rows, "b/1.jpg,bo,yard,gallery"], "query/b/1.jpg: this query file is also"),
        (lambda rows: [*rows, "x.jpg,bo,door,train"], "identity 2 is in the training set"),
        (lambda rows: [*rows, "x.jpg,0,door,train"], "belongs in the gallery only"),
    ],
)
def test_a_faulty_manifest_is_named_row_by_row(tmp_path, change, said):
    name = _manifest(tmp_path, change(ROWS))
    with pytest.raises(BenchboxError) as caught:
        open_dataset(name)
    assert said in str(caught.value)
    report = check_dataset(tmp_path / "list.csv", source=source_of(name))
    assert said in "\n".join(map(str, report.problems))


def test_a_missing_image_a_missing_column_and_no_manifest(tmp_path):
    name = _manifest(tmp_path, ROWS)
    (tmp_path / "b" / "2.jpg").unlink()
    with pytest.raises(BenchboxError, match=r"gallery/b/2\.jpg: no such file"):
        open_dataset(name)
    (tmp_path / "list.csv").write_text("path,pid,split\nx.jpg,1,train\n")
    with pytest.raises(BenchboxError, match="has no column camid"):
        open_dataset(name)
    with pytest.raises(BenchboxError, match="not found"):
        open_dataset("manifest:/nowhere/list.csv")


def test_parquet_reads_like_csv_where_its_library_is_there(tmp_path):
    name = _manifest(tmp_path, ROWS)
    parquet = tmp_path / "list.parquet"
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        parquet.write_bytes(b"PAR1")
        with pytest.raises(BenchboxError, match="needs the library pyarrow"):
            open_dataset(f"manifest:{parquet}")
        return
    import pandas as pd

    pd.read_csv(tmp_path / "list.csv").to_parquet(parquet)
    assert open_dataset(f"manifest:{parquet}").digest == open_dataset(name).digest


# Importing --------------------------------------------------------------------------------------


def test_an_imported_tree_is_a_dataset_with_a_test_and_the_names_it_had(tmp_path):
    _tree(tmp_path / "photos")
    out = tmp_path / "lists" / "ours.csv"
    told = _invoke(
        *("data", "import", tmp_path / "photos", "--pattern", "{pid}/{camid}_{*}.jpg"),
        *("--test-share", "0.5", "--out", out),
    )
    assert "train" in told
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 48
    assert {row["pid"] for row in rows} > {"anna", "hana"}
    assert {row["camid"] for row in rows} == {"door", "yard"}
    people = {
        split: {r["pid"] for r in rows if r["split"] == split} for split in ("train", "query")
    }
    assert not people["train"] & people["query"]
    assert rows[0]["path"].startswith("../photos/")
    dataset = open_dataset(f"manifest:{out}")
    assert len(dataset.train) + len(dataset.query) + len(dataset.gallery) == 48
    assert "no problems" in _invoke("data", "check", out)
    with pytest.raises(BenchboxError, match="has a test already"):
        _invoke("data", "import", out, "--test-share", "0.5", "--out", tmp_path / "again.csv")


@pytest.mark.parametrize("name", ["market", "msmt17"])
def test_any_dataset_can_be_imported_and_reads_the_same(tmp_path, name):
    from tests.made_sources import make_msmt17

    root = tmp_path / "set"
    make_market(root) if name == "market" else make_msmt17(root)
    asked = [root] if name == "market" else ["msmt17", "--data-root", root]
    _invoke("data", "import", *asked, "--out", tmp_path / "list.csv")
    first = open_dataset(f"path:{root}" if name == "market" else "msmt17", data_root=root)
    second = open_dataset(f"manifest:{tmp_path / 'list.csv'}")
    for split in ("train", "query", "gallery"):
        labels = [
            sorted((r.path.resolve(), r.pid, r.camid) for r in getattr(dataset, split))
            for dataset in (first, second)
        ]
        assert labels[0] == labels[1]
    assert first.junk == second.junk


# What grids and plugins say ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"market1501": {"same_camera": "keep"}},
            "published dataset is read as it was",
        ),
        ({"path:x": {"patern": "{pid}"}}, "Did you mean 'pattern'"),
        ({"path:x": {"zero": "person"}}, "'distractor' or 'identity'"),
        ({"path:y": {"pattern": "{pid}"}}, "unknown dataset 'path:y'"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(settings, said):
    with pytest.raises(BenchboxError) as caught:
        sources_as_set(["market1501", "path:x"], settings, SOURCES)
    assert said in str(caught.value)


PLUGIN = """
from benchbox.data.layouts.pattern_folders import PatternFolders
from benchbox.data.sources import Source

OURS = Source(
    name="station",
    title="Station",
    layout=PatternFolders(
        pattern="{pid}_{camid}_{*}.jpg", train="train", query="probe", gallery="pool"
    ),
    folders=("station",),
    obtain="ask us",
    citation="ours",
    licence="ours",
)
"""


def test_a_plugin_adds_a_dataset(tmp_path):
    (tmp_path / "station.py").write_text(PLUGIN)
    write = Writer(tmp_path / "data" / "station")
    for pid in (1, 2):
        write(f"train/{pid}_1_a.jpg")
    for pid in (3, 4):
        write(f"probe/{pid}_1_a.jpg")
        write(f"pool/{pid}_2_a.jpg")
    asked = ("--plugin", tmp_path / "station.py")
    assert "Station" in _invoke("list", *asked)
    told = _invoke("data", "check", "station", *asked, "--data-root", tmp_path / "data")
    assert "no problems" in told
    with pytest.raises(BenchboxError, match="unknown dataset 'station'"):
        open_dataset("station", data_root=tmp_path / "data")


def test_list_names_every_dataset_of_the_registry():
    told = _invoke("list")
    assert all(name in told for name in SOURCES)


# What cannot be tested --------------------------------------------------------------------------


def _flat(root: Path, *, people: int, cameras: int) -> Path:
    write = Writer(root)
    for pid in range(1, people + 1):
        write(f"{QUERY}/{pid:04d}_c1s1_000001_01.jpg")
        write(f"{GALLERY}/{pid:04d}_c{cameras}s1_000002_01.jpg")
    write(f"{TRAIN}/0900_c1s1_000001_01.jpg")
    return root


@pytest.mark.parametrize(
    ("people", "cameras", "said"),
    [(3, 1, "all its images from one camera"), (1, 2, "one identity among its queries")],
)
def test_one_camera_or_one_identity_is_a_problem_and_refused_before_training(
    tmp_path, people, cameras, said
):
    from rich.console import Console

    from benchbox.runs.grid import Grid
    from benchbox.runs.opening import open_datasets, planned_datasets
    from benchbox.runs.registry import load_registry

    root = _flat(tmp_path / "flat", people=people, cameras=cameras)
    with pytest.raises(CheckFailed):
        _invoke("data", "check", root)
    report = check_dataset(root)
    assert [said in problem.what for problem in report.problems] == [True]
    grid = Grid(name="x", datasets=[f"path:{root}"], defenses=["origin"])
    registry = load_registry()
    with pytest.raises(BenchboxError, match=said):
        open_datasets(grid, registry, Console(quiet=True), data_root=None)
    missing = planned_datasets(grid, registry, data_root=None).missing
    assert said in missing[f"path:{root}"]


def test_a_set_to_train_on_is_refused_as_a_test_and_taken_in_transfers(tmp_path):
    from rich.console import Console

    from benchbox.runs.grid import Grid
    from benchbox.runs.opening import open_datasets
    from benchbox.runs.registry import load_registry
    from tests.made_sources import make_source

    make_source("randperson", tmp_path, "randperson")
    make_market(tmp_path / "market1501")
    registry, quiet = load_registry(), Console(quiet=True)
    alone = Grid(name="x", datasets=["randperson"], defenses=["origin"])
    with pytest.raises(BenchboxError, match="randperson: has no queries: it is to train on"):
        open_datasets(alone, registry, quiet, data_root=tmp_path)
    pairs = [("randperson", "market1501")]
    beside = Grid(name="x", datasets=["market1501"], transfers=pairs, defenses=["origin"])
    assert set(open_datasets(beside, registry, quiet, data_root=tmp_path)) == {
        "randperson",
        "market1501",
    }


def test_a_run_on_a_tree_with_the_own_camera_kept_says_so_and_reads_its_images_again(tmp_path):
    from rich.console import Console

    from benchbox.results.artefacts import Artefacts
    from benchbox.results.run_folder import read_run
    from benchbox.runs.runner import Options, run_grid
    from tests.micro import make_micro_dataset, write_micro_grid

    flat = make_micro_dataset(tmp_path / "flat", train=4, test=4)
    for path in sorted(flat.rglob("*.png")):
        pid, camera, _, number = path.stem.replace("s1", "").split("_")
        place = tmp_path / "tree" / path.parent.name / f"who{pid}" / f"{camera}_{number}.png"
        target = place.with_name(f"{camera}_{len(list(place.parent.glob('*')))}.png")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    name = f"path:{tmp_path / 'tree'}"
    found = {}
    for rule in ("ignore", "keep"):
        extra = f"""
[dataset."{name}"]
pattern = "{{pid}}/c{{camid}}_{{*}}.png"
same_camera = "{rule}"
"""
        grid = write_micro_grid(tmp_path / f"{rule}.toml", tmp_path / "tree", epochs=1, extra=extra)
        text = grid.read_text().replace('"origin", "bs_ms", "adv_train"', '"origin"')
        grid.write_text(text.replace('attacks = ["fna", "sma"]', "attacks = []"))
        options = Options(device="cpu", workers=1, store=tmp_path / "store")
        assert run_grid(grid, tmp_path / rule, options, Console(quiet=True)).failures == []
        run = read_run(tmp_path / rule)
        assert Artefacts(run).dataset(name).same_camera == rule
        (row,) = run.results.to_dict("records")
        found[rule] = (row["cell"], row["mAP"], run.record.names.title("datasets", name))
    assert found["ignore"][0] != found["keep"][0]
    # Its own camera's images are the nearest: more to find, and easier.
    assert found["keep"][1] > found["ignore"][1]
    assert found["ignore"][2] == name
    assert found["keep"][2] == f"{name} (own camera kept)"
