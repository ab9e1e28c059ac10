"""Every dataset of the registry on a made fake: found, read, counted; its traps, its faults."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchbox.data.checking import check_dataset
from benchbox.data.finding import DATASETS, open_dataset
from benchbox.data.official import compare_with_official
from benchbox.data.protocol import ReidDataset
from benchbox.data.sources import SOURCES
from benchbox.errors import BenchboxError
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.evaluation.valid_matches import matches_by_query
from tests.made_datasets import GALLERY, QUERY, TRAIN, make_market, noise_image
from tests.made_sources import MAKERS, make_source

TRAIN_ONLY = {"personx", "randperson", "clonedperson"}
PUBLISHED = [name for name in DATASETS if not name.startswith("sidewalk")]


def _opened(name: str, data_root: Path) -> ReidDataset:
    make_source(name, data_root, SOURCES[name].folders[0])
    return open_dataset(name, data_root=data_root)


def test_every_published_dataset_has_a_fake_and_says_whose_it_is() -> None:
    assert set(MAKERS) == set(PUBLISHED)
    for source in SOURCES.values():
        assert source.citation
        assert source.licence
        assert source.how_to_get.startswith(f"{source.name}: ")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_fake_is_found_in_every_folder_read_and_counted(tmp_path: Path, name: str) -> None:
    source = SOURCES[name]
    for number, folder in enumerate(source.folders):
        data_root = tmp_path / str(number)
        make_source(name, data_root, folder)
        dataset = open_dataset(name, data_root=data_root)
        assert dataset.name == name
        injected = {name: replace(source, official=MAKERS[name][1])}
        assert compare_with_official(dataset, injected) == []
    listed = (*dataset.train, *dataset.query, *dataset.gallery)
    assert len({record.key for record in listed}) == len(listed)
    if source.official is not None:
        assert compare_with_official(dataset)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_sound_fake_has_no_problem_and_the_readers_digest(tmp_path: Path, name: str) -> None:
    source = SOURCES[name]
    root = make_source(name, tmp_path, source.folders[0])
    report = check_dataset(root, source=replace(source, official=MAKERS[name][1]))
    assert report.problems == ()
    assert report.warnings == ()
    assert report.digest == open_dataset(name, data_root=tmp_path).digest
    markets = source.layout.parts[:3] == (TRAIN, QUERY, GALLERY) and "cuhk" not in name
    folders = (TRAIN, QUERY, GALLERY) if markets else ("train", "query", "gallery")
    assert tuple(split.folder for split in report.splits) == folders
    # Its own folder's name says what it is; scaled down, it is not the official one.
    found = check_dataset(root)
    asked = "market1501" if name == "market1501-500k" else name
    told = [
        warning for warning in found.warnings if warning.startswith(f"not the official {asked}:")
    ]
    assert bool(told) == (source.official is not None)
    assert not any("not the official" in warning for warning in set(found.warnings) - set(told))


@pytest.mark.parametrize("name", sorted(TRAIN_ONLY))
def test_sets_to_train_on_have_no_test(tmp_path: Path, name: str) -> None:
    dataset = _opened(name, tmp_path)
    assert dataset.train
    assert dataset.query == dataset.gallery == ()


# The traps --------------------------------------------------------------------------------------


def test_msmt17s_test_identities_are_other_people_and_none_is_a_distractor(tmp_path: Path) -> None:
    dataset = _opened("msmt17", tmp_path)
    train, test = ({r.pid for r in split} for split in (dataset.train, dataset.query))
    assert train == {1, 2, 3}  # validation included
    assert test == {r.pid for r in dataset.gallery} == {4, 5, 6}
    assert {r.camid for r in dataset.gallery} == {1, 2, 15}
    # Person 0 of the test is found like any other: perfect embeddings give a perfect ranking.
    features = np.eye(7)
    result = evaluate_retrieval(
        features[[r.pid for r in dataset.query]],
        features[[r.pid for r in dataset.gallery]],
        [r.pid for r in dataset.query],
        [r.pid for r in dataset.gallery],
        dataset.query_camids,
        dataset.gallery_camids,
    )
    assert result.mAP == 1
    assert result.queries == 9


def test_cuhk_leaves_out_a_querys_own_camera(tmp_path: Path) -> None:
    dataset = _opened("cuhk03-np-detected", tmp_path)
    # The repeated image on the query's own camera is no match, and no problem either.
    assert set(matches_by_query(dataset).values()) == {1, 2}
    assert matches_by_query(dataset)[dataset.query[2].key] == 1
    report = check_dataset(dataset.root, source=SOURCES["cuhk03-np-detected"])
    assert report.ok
    assert any("on their own camera" in note for note in report.notes)


def test_the_500k_distractors_are_nobody_and_stand_in_the_gallery(tmp_path: Path) -> None:
    dataset = _opened("market1501-500k", tmp_path)
    added = [record for record in dataset.gallery if record.path.parent.name == "images"]
    assert len(added) == 5
    assert {record.pid for record in added} == {0}
    assert dataset.junk == 2
    plain = open_dataset("market1501", data_root=tmp_path)
    assert len(plain.gallery) == len(dataset.gallery) - 5
    assert plain.digest != dataset.digest


def test_veris_queries_lie_in_its_gallery_on_their_own_camera(tmp_path: Path) -> None:
    dataset = _opened("veri776", tmp_path)
    assert {r.camid for r in dataset.query} == {1, 20}
    assert set(matches_by_query(dataset).values()) == {2}


def test_last_has_no_camera_and_ranks_every_gallery_image(tmp_path: Path) -> None:
    dataset = _opened("last", tmp_path)
    assert dataset.same_camera == "keep"
    assert SOURCES["last"].heading == "LaST (own camera kept)"
    assert {r.pid for r in dataset.train} == {1, 2}
    assert {r.pid for r in dataset.query} == {3, 4, 5}
    assert matches_by_query(dataset) == {record.key: 2 for record in dataset.query}
    cameras = {*dataset.query_camids} & {*dataset.gallery_camids}
    assert not cameras
    # Under Market-1501's rule nothing of it could be ranked.
    ignoring = replace(dataset, same_camera="ignore")
    assert matches_by_query(ignoring) == {}
    strict = replace(SOURCES["last"], same_camera="ignore")
    report = check_dataset(dataset.root, source=strict)
    assert any("one camera" in str(problem) for problem in report.problems)
    assert strict.read(dataset.root).digest != dataset.digest


def test_scene_and_camera_together_are_the_camera(tmp_path: Path) -> None:
    dataset = _opened("randperson", tmp_path)
    assert {r.pid for r in dataset.train} == {1, 2}  # person 0 is a person
    assert [r.camid for r in dataset.train] == [1, 2, 3, 1, 2, 3]


def test_personxs_backgrounds_are_cameras_and_its_views_are_read(tmp_path: Path) -> None:
    dataset = _opened("personx", tmp_path)
    assert {(r.camid, r.view) for r in dataset.train} == {(1, 1), (1, 33), (2, 1), (2, 33)}


# A broken one of each kind ----------------------------------------------------------------------


def _rewrite(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


BROKEN: list[tuple[str, Callable[[Path], object], str]] = [
    ("msmt17", lambda root: (root / "list_val.txt").unlink(), "list_val.txt is missing"),
    ("msmt17", lambda root: (root / "list_query.txt").write_text(""), "list_query.txt is empty"),
    (
        "msmt17",
        lambda root: _rewrite(root / "list_query.txt", lambda text: text.replace(" 1\n", "\n")),
        "list_query.txt line 4: expected a path, a space and an identity",
    ),
    (
        "msmt17",
        lambda root: _rewrite(root / "list_train.txt", lambda text: text.replace(" 1\n", " 0\n")),
        "listed as identity 0, named as 0001",
    ),
    (
        "msmt17",
        lambda root: _rewrite(
            root / "list_gallery.txt", lambda t: t.replace("_15_0303", "_x_0303")
        ),
        "the third field of its name is no camera",
    ),
    (
        "msmt17",
        lambda root: next((root / "test/0002").iterdir()).unlink(),
        "0002_.*: no such file",
    ),
    (
        "msmt17",
        lambda root: _rewrite(root / "list_gallery.txt", lambda text: text + text.splitlines()[0]),
        "is listed 2 times in gallery",
    ),
    (
        "cuhk03-np-labeled",
        lambda root: (root / QUERY / "photo.png").write_bytes(b""),
        r"query/photo\.png: misnamed, expected a name like \{pid\}_c\{camid\}",
    ),
    (
        "cuhk03-np-labeled",
        lambda root: noise_image(9).save(root / TRAIN / "0768_c1_1.png"),
        "identity 768 is in the training set",
    ),
    (
        "market1501-500k",
        lambda root: [path.unlink() for path in (root / "images").iterdir()],
        "images/ is empty",
    ),
    (
        "market1501-500k",
        lambda root: (root / "images").rename(root / "elsewhere"),
        "distractors_500k/ is missing",
    ),
    (
        "veri776",
        lambda root: noise_image(9).save(root / "image_query" / "0000_c001_1.jpg"),
        "pid 0 .junk or distractor. belongs in the gallery only",
    ),
    (
        "last",
        lambda root: (root / "test/gallery").rename(root / "gone"),
        "test/gallery/ is missing",
    ),
    ("personx", lambda root: (root / "1" / TRAIN / "a.jpg").touch(), "a.jpg: misnamed"),
    (
        "occluded-duke",
        lambda root: [(root / f).rename(root / f"{f}_") for f in (QUERY, GALLERY)],
        "query/ is missing, bounding_box_test/ is missing",
    ),
]


@pytest.mark.parametrize(("name", "break_it", "said"), BROKEN)
def test_a_broken_one_is_refused_and_checked_in_the_same_words(
    tmp_path: Path, name: str, break_it: Callable[[Path], object], said: str
) -> None:
    root = make_source(name, tmp_path, SOURCES[name].folders[0])
    open_dataset(name, data_root=tmp_path)
    break_it(root)
    with pytest.raises(BenchboxError, match=said) as caught:
        open_dataset(name, data_root=tmp_path)
    assert "\n" not in str(caught.value)
    report = check_dataset(root, source=SOURCES[name])
    assert not report.ok
    text = "\n".join(f"{problem.file} {problem.what}\n{problem}" for problem in report.problems)
    for part in said.split(", "):
        assert re.search(part, text)


def test_occluded_duke_asked_as_duke_is_compared_with_duke(tmp_path: Path) -> None:
    root = make_source("occluded-duke", tmp_path, "Occluded_Duke")
    told = check_dataset(root, source=SOURCES["occluded-duke"]).warnings
    assert "not the official occluded-duke: query images: 6, officially 2,210" in told
    assert all("dukemtmcreid" not in warning for warning in told)


def test_a_market_folder_asked_as_duke_is_refused(tmp_path: Path) -> None:
    make_market(tmp_path / "DukeMTMC-reID")
    with pytest.raises(BenchboxError, match=r"found as dukemtmcreid.*Market-1501"):
        open_dataset("dukemtmcreid", data_root=tmp_path)
    report = check_dataset(tmp_path / "DukeMTMC-reID", source=SOURCES["dukemtmcreid"])
    assert any("named like another dataset" in problem.what for problem in report.problems)
