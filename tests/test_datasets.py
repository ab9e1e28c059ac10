"""Reading, comparing and finding datasets: names, splits, digests, clear errors."""

import dataclasses
import hashlib
import shutil
import string
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchbox.data import finding, sidewalk
from benchbox.data.finding import find_dataset, how_to_get, open_dataset, planned_digest
from benchbox.data.naming import NAME_EXAMPLES, ImageName, format_name, is_clutter, parse_name
from benchbox.data.official import OFFICIAL_COUNTS, compare_with_official
from benchbox.data.protocol import ImageRecord, ReidDataset
from benchbox.data.reading import read_dataset
from benchbox.data.sources import sidewalk as sidewalk_source
from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_json
from benchbox.files.progress import silent
from tests.made_datasets import GALLERY, QUERY, TRAIN, make_duke, make_market, noise_image

MAKERS = {"market": make_market, "duke": make_duke}

pids = st.just(-1) | st.integers(0, 9_999_999)
market_names = st.builds(
    ImageName,
    naming=st.just("market"),
    pid=pids,
    camid=st.integers(1, 99),
    sequence=st.integers(1, 99),
    frame=st.integers(0, 999_999_999),
    box=st.integers(0, 9_999),
)
duke_names = st.builds(
    ImageName,
    naming=st.just("duke"),
    pid=pids,
    camid=st.integers(1, 99),
    frame=st.integers(0, 999_999_999),
)


# Names ------------------------------------------------------------------------------------------


@given(market_names | duke_names, st.sampled_from(["jpg", "JPG", "jpeg", "png"]))
def test_a_formatted_name_reads_back(name, extension):
    assert parse_name(format_name(name, extension=extension)) == name


def test_the_official_examples_mean_what_the_datasets_say():
    assert parse_name("0002_c1s1_000451_03.jpg") == ImageName("market", 2, 1, 451, 1, 3)
    assert parse_name("-1_c6s4_000401_00.jpg") == ImageName("market", -1, 6, 401, 4, 0)
    assert parse_name("0000_c3s2_000151_01.jpg") == ImageName("market", 0, 3, 151, 2, 1)
    assert parse_name("0001_c2_f0046182.jpg") == ImageName("duke", 1, 2, 46182)
    for example in NAME_EXAMPLES.values():
        parsed = parse_name(example)
        assert parsed
        assert format_name(parsed) == example


@given(st.text(max_size=30))
def test_text_that_is_no_name_is_refused(text):
    # A name holds these and nothing else, so text with anything else can be no name.
    if not set(text) <= set(string.ascii_letters + string.digits + "_-."):
        assert parse_name(text) is None
    else:
        parsed = parse_name(text)
        assert parsed is None or text.startswith(("-1_c", f"{parsed.pid:04d}"))


@given(market_names | duke_names, st.data())
def test_a_name_with_one_character_more_or_less_is_another_or_none(name, data):
    text = format_name(name)
    place = data.draw(st.integers(0, len(text) - 1))
    stray = data.draw(st.sampled_from(" x.-\n\0é٣"))
    assert parse_name(text[:place] + stray + text[place:]) is None
    assert parse_name(text[:place] + text[place + 1 :]) != name or text[place] == "0"


@pytest.mark.parametrize(
    "text",
    [
        "0002_c0s1_000451_03.jpg",  # cameras count from 1
        "0002_c100s1_000451_03.jpg",
        "0002_c1s0_000451_03.jpg",
        "-2_c1s1_000451_03.jpg",
        "002_c1s1_000451_03.jpg",
        "0002_c1s1_451_03.jpg",
        "0002_c1s1_000451_03.jpg.jpg",
        "0002_c1s1_000451_03.bmp",
        "0002_c1s1_000451_03",
        "0001_c2_0046182.jpg",
        "0001_c2s1_f0046182.jpg",
        "٠٠٠٢_c1s1_000451_03.jpg",  # digits of another script
        "0002_c1s1_000451_03.jpg\n",
        "",
    ],
)
def test_near_misses_are_refused(text):
    assert parse_name(text) is None


def test_clutter_is_what_operating_systems_leave_behind():
    left = ["Thumbs.db", "thumbs.db", ".DS_Store", "._0002_c1s1_000451_03.jpg", "desktop.ini"]
    assert all(map(is_clutter, left))
    assert not is_clutter("0002_c1s1_000451_03.jpg")
    assert not is_clutter("notes.txt")


# Reading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("naming", MAKERS)
@pytest.mark.parametrize("extension", ["jpg", "jpeg", "png"])
def test_lists_are_the_files_sorted_with_pid_and_camera_of_the_name(tmp_path, naming, extension):
    made = MAKERS[naming](tmp_path, extension=extension)
    dataset = read_dataset(tmp_path, name="mine")
    assert dataset.name == "mine"
    assert [r.path.name for r in dataset.train] == made.files[TRAIN]
    assert [r.path.name for r in dataset.query] == made.files[QUERY]
    kept = [name for name in made.files[GALLERY] if not name.startswith("-1")]
    assert [r.path.name for r in dataset.gallery] == kept
    assert dataset.junk == len(made.files[GALLERY]) - len(kept)
    for record in (*dataset.train, *dataset.query, *dataset.gallery):
        pid, camera = record.path.name.split("_")[:2]
        assert record.pid == int(pid)
        assert record.camid == int(camera.split("s")[0].removeprefix("c"))


def test_junk_is_left_out_and_distractors_stay(tmp_path):
    make_market(tmp_path)
    dataset = read_dataset(tmp_path)
    assert dataset.junk == 2
    assert sum(record.pid == 0 for record in dataset.gallery) == 3
    assert all(record.pid >= 0 for record in dataset.gallery)
    assert dataset.name == tmp_path.name


def test_what_operating_systems_leave_behind_is_tolerated(tmp_path):
    make_market(tmp_path)
    before = read_dataset(tmp_path)
    for folder in (TRAIN, QUERY, GALLERY):
        for name in ("Thumbs.db", ".DS_Store", "._0002_c1s1_000451_01.jpg"):
            (tmp_path / folder / name).write_bytes(b"x")
    (tmp_path / "readme.txt").write_text("about the dataset")
    assert read_dataset(tmp_path) == before


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda root: shutil.rmtree(root / QUERY), "query/ is missing"),
        (lambda root: shutil.rmtree(root / GALLERY), "bounding_box_test/ is missing"),
        (lambda root: [p.unlink() for p in (root / TRAIN).iterdir()], "train/ is empty"),
        (lambda root: (root / QUERY / "notes.txt").write_text("x"), r"query/notes\.txt: misnamed"),
        (lambda root: (root / QUERY / "0002_c0s1_000451_03.jpg").touch(), "cameras count from 1"),
        (lambda root: (root / GALLERY / "more").mkdir(), "bounding_box_test/more: misnamed"),
        (lambda root: (root / GALLERY / "0009_c1s1_000451_03.jpg").mkdir(), "not a file"),
        (
            lambda root: (root / TRAIN / "0009_c1s1_000451_03.jpg").symlink_to(root / "gone"),
            "broken link",
        ),
        (lambda root: (root / GALLERY / "1000_c1_f0046182.jpg").touch(), "DukeMTMC-reID naming"),
        (lambda root: (root / QUERY / "-1_c1s1_000451_03.jpg").touch(), "pid -1"),
        (lambda root: (root / QUERY / "0000_c1s1_000451_03.jpg").touch(), "pid 0"),
        (lambda root: (root / TRAIN / "0000_c1s1_000451_03.jpg").touch(), "pid 0"),
        (lambda root: (root / TRAIN / "1000_c1s1_000451_03.jpg").touch(), "identity 1000"),
        (lambda root: (root / QUERY / "1000_c3s1_000451_03.jpg").touch(), "empty"),
        (lambda root: (root / QUERY / "1000_c3s1_000451_03.png").write_bytes(b"P"), "cannot be"),
        (lambda root: (root / QUERY / "\udc80\udcff.jpg").touch(), "misnamed"),
        (lambda root: (root / QUERY / "line\nbreak.jpg").touch(), r"line\\nbreak\.jpg: misnamed"),
        (lambda root: (root / QUERY / "人物.jpg").touch(), r"人物\.jpg: misnamed"),
    ],
)
def test_a_faulty_dataset_is_one_printable_line_that_names_the_fault(tmp_path, break_it, said):
    make_market(tmp_path)
    read_dataset(tmp_path)
    break_it(tmp_path)
    with pytest.raises(BenchboxError, match=said) as caught:
        read_dataset(tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert message.isprintable()
    message.encode()


def test_a_missing_folder_says_what_is_expected(tmp_path):
    for root in (tmp_path / "gone", tmp_path):
        with pytest.raises(
            BenchboxError, match="bounding_box_train/, query/ and bounding_box_test"
        ):
            read_dataset(root)


def test_many_offending_files_are_counted_and_the_first_named(tmp_path):
    make_market(tmp_path)
    for number in range(12):
        (tmp_path / QUERY / f"wrong{number:02d}.jpg").touch()
    with pytest.raises(
        BenchboxError, match=r"12 offending.*wrong00.*wrong02.*and 9 more"
    ) as caught:
        read_dataset(tmp_path)
    assert "wrong03" not in str(caught.value)


def test_a_gallery_of_junk_alone_is_refused(tmp_path):
    made = make_market(tmp_path)
    for name in made.files[GALLERY]:
        if not name.startswith("-1"):
            (tmp_path / GALLERY / name).unlink()
    with pytest.raises(BenchboxError, match="nothing but junk"):
        read_dataset(tmp_path)


# Digest -----------------------------------------------------------------------------------------


def test_the_digest_is_the_written_down_formula(tmp_path):
    make_market(tmp_path)
    dataset = read_dataset(tmp_path)
    lines = []
    for split, records in [
        (TRAIN, dataset.train),
        (QUERY, dataset.query),
        (GALLERY, dataset.gallery),
    ]:
        for record in records:
            content = hashlib.sha256(record.path.read_bytes()).hexdigest()
            lines.append(f"{split}/{record.path.name} {content}\n")
    assert dataset.digest == hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def test_the_digest_depends_on_neither_place_nor_threads_nor_creation_order(tmp_path):
    made = make_market(tmp_path / "a")
    for folder, names in made.files.items():
        (tmp_path / "b" / folder).mkdir(parents=True)
        for name in reversed(names):
            shutil.copy(made.root / folder / name, tmp_path / "b" / folder / name)
    first = read_dataset(tmp_path / "a", threads=1).digest
    assert read_dataset(tmp_path / "b", threads=7).digest == first


def test_a_recompressed_png_keeps_the_digest_and_a_changed_pixel_does_not(tmp_path):
    made = make_market(tmp_path, extension="png")
    first = read_dataset(tmp_path).digest
    path = tmp_path / QUERY / made.files[QUERY][0]
    pixels = np.array(Image.open(path))
    before = path.read_bytes()
    Image.fromarray(pixels).save(path, compress_level=1)
    assert path.read_bytes() != before
    assert read_dataset(tmp_path).digest == first
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    assert read_dataset(tmp_path).digest != first


@pytest.mark.parametrize("folder", [TRAIN, QUERY, GALLERY])
def test_other_jpeg_bytes_or_another_name_change_the_digest(tmp_path, folder):
    made = make_market(tmp_path)
    first = read_dataset(tmp_path).digest
    path = tmp_path / folder / made.files[folder][-1]
    content = path.read_bytes()
    path.write_bytes(content + b"\0")
    assert read_dataset(tmp_path).digest != first
    path.write_bytes(content)
    assert read_dataset(tmp_path).digest == first
    path.rename(path.with_name(path.name.replace("_01.", "_02.")))
    assert read_dataset(tmp_path).digest != first


def test_junk_does_not_count_in_the_digest(tmp_path):
    made = make_market(tmp_path)
    first = read_dataset(tmp_path)
    (tmp_path / GALLERY / made.files[GALLERY][0]).unlink()
    assert read_dataset(tmp_path) == dataclasses.replace(first, junk=1)


# Official counts --------------------------------------------------------------------------------


def _published(name: str) -> ReidDataset:
    """Return records with the numbers that the papers print, built from those numbers alone."""

    def records(images: int, ids: int, cameras: int, *, first: int) -> tuple[ImageRecord, ...]:
        return tuple(
            ImageRecord(Path(f"{i}.jpg"), first + i % ids, 1 + i % cameras) for i in range(images)
        )

    if name == "market1501":
        train = records(12_936, 751, 6, first=1)
        query = records(3_368, 750, 6, first=2000)
        gallery, junk = records(15_913, 750, 6, first=2000), 19_732 - 15_913
    else:
        train = records(16_522, 702, 8, first=1)
        query = records(2_228, 702, 8, first=2000)
        gallery, junk = records(17_661, 1_110, 8, first=2000), 0
    return ReidDataset(name, Path(), train, query, gallery, junk, "")


@pytest.mark.parametrize("name", ["market1501", "dukemtmcreid"])
def test_the_published_datasets_do_not_differ_and_a_lost_image_does(name):
    dataset = _published(name)
    assert compare_with_official(dataset) == []
    lost = dataclasses.replace(dataset, gallery=dataset.gallery[1:])
    assert len(compare_with_official(lost)) == 2  # gallery, and files in bounding_box_test
    assert "15,912" in compare_with_official(lost)[0] or "17,660" in compare_with_official(lost)[0]
    one_id = dataclasses.replace(
        dataset, query=tuple(r for r in dataset.query if r.pid != 2000), junk=dataset.junk + 1
    )
    assert [line.split(":")[0] for line in compare_with_official(one_id)] == [
        "query identities",
        "query images",
        "images in bounding_box_test",
    ]


def test_only_published_names_have_official_counts(tmp_path):
    make_market(tmp_path)
    assert compare_with_official(read_dataset(tmp_path, name="sidewalk-a")) == []
    market = read_dataset(tmp_path, name="market1501")
    assert len(compare_with_official(market)) == len(
        dataclasses.fields(OFFICIAL_COUNTS["market1501"])
    )


# Finding ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("market1501", "Market-1501-v15.09.15"),
        ("market1501", "market1501/Market-1501-v15.09.15"),
        ("market1501", "market1501"),
        ("market1501", "Market-1501"),
        ("market1501", "."),
        ("dukemtmcreid", "DukeMTMC-reID"),
        ("dukemtmcreid", "dukemtmc-reid/DukeMTMC-reID"),
        ("dukemtmcreid", "dukemtmcreid"),
        ("dukemtmcreid", "."),
    ],
)
def test_usual_folders_are_found_by_argument_and_by_environment(
    tmp_path, monkeypatch, name, folder
):
    maker = make_market if name == "market1501" else make_duke
    maker(tmp_path / folder)
    assert find_dataset(name, data_root=tmp_path) == tmp_path / folder
    monkeypatch.setenv("BENCHBOX_DATA", str(tmp_path))
    assert find_dataset(name) == tmp_path / folder
    dataset = open_dataset(name)
    assert dataset.name == name
    assert len(dataset.query) == 6
    assert planned_digest(name) is None


def test_the_argument_beats_the_environment_which_beats_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "user_cache_dir", lambda *_a, **_k: str(tmp_path / "cache"))
    make_market(tmp_path / "cache" / "data" / "market1501")
    monkeypatch.delenv("BENCHBOX_DATA", raising=False)
    assert find_dataset("market1501") == tmp_path / "cache" / "data" / "market1501"
    make_market(tmp_path / "env" / "market1501")
    monkeypatch.setenv("BENCHBOX_DATA", str(tmp_path / "env"))
    assert find_dataset("market1501") == tmp_path / "env" / "market1501"
    make_market(tmp_path / "arg" / "market1501")
    assert find_dataset("market1501", data_root=tmp_path / "arg") == tmp_path / "arg" / "market1501"


def test_the_root_itself_is_not_taken_for_the_other_dataset(tmp_path):
    make_duke(tmp_path)
    with pytest.raises(BenchboxError, match="market1501: not found"):
        find_dataset("market1501", data_root=tmp_path)


def test_a_dataset_under_the_other_ones_name_is_refused(tmp_path):
    make_duke(tmp_path / "market1501")
    with pytest.raises(BenchboxError, match=r"found as market1501.*DukeMTMC-reID"):
        open_dataset("market1501", data_root=tmp_path)


def test_a_complete_folder_beats_a_half_unpacked_one_which_is_named(tmp_path):
    (tmp_path / "Market-1501-v15.09.15" / TRAIN).mkdir(parents=True)
    with pytest.raises(BenchboxError, match=r"Market-1501-v15.*query/ is missing"):
        open_dataset("market1501", data_root=tmp_path)
    make_market(tmp_path / "market1501")
    assert find_dataset("market1501", data_root=tmp_path) == tmp_path / "market1501"


@pytest.mark.parametrize("name", ["market1501", "dukemtmcreid"])
def test_a_missing_dataset_lists_where_it_looked_and_how_to_get_it(tmp_path, name):
    with pytest.raises(BenchboxError) as caught:
        open_dataset(name, data_root=tmp_path)
    message = str(caught.value)
    assert str(tmp_path / name) in message
    assert how_to_get(name) in message
    assert caught.value.exit_code == 2
    assert "\n" not in message


def test_duke_is_described_as_withdrawn():
    assert "withdrew it in 2019" in how_to_get("dukemtmcreid")
    assert "neither distributes" in how_to_get("dukemtmcreid")


def test_any_folder_can_be_named_by_its_path(tmp_path):
    make_duke(tmp_path / "mine")
    dataset = open_dataset(f"path:{tmp_path / 'mine'}")
    assert dataset.root == tmp_path / "mine"
    assert dataset.name == f"path:{tmp_path / 'mine'}"
    assert planned_digest(dataset.name) is None
    with pytest.raises(BenchboxError, match="not found"):
        open_dataset(f"path:{tmp_path / 'gone'}")


@pytest.mark.parametrize("call", [find_dataset, open_dataset, planned_digest, how_to_get])
def test_an_unknown_name_suggests_the_nearest(call):
    with pytest.raises(BenchboxError, match="Did you mean 'market1501'"):
        call("market1502")


# Sidewalk ---------------------------------------------------------------------------------------


@pytest.fixture
def renderer(monkeypatch):
    """Stand in for the renderer: a made folder in no time, with a record of the calls."""
    state = types.SimpleNamespace(calls=[], recorded=None, version=1)

    def make(domain, out, *, size="tiny", seed=0, workers=1, progress=silent):
        state.calls.append(out)
        if out.exists():
            raise BenchboxError(f"{out}: holds something else")
        make_market(out, extension="png")
        digest = read_dataset(out).digest
        held = {"domain": domain, "size": size, "seed": seed, "version": state.version}
        write_json(out / "sidewalk.json", held | {"digest": digest})
        progress(0.5, f"rendering {domain} image 15 of 30")
        return digest

    state.fake = types.SimpleNamespace(
        DOMAINS=sidewalk.DOMAINS,
        SIZES=sidewalk.SIZES,
        VERSION=1,
        make=make,
        recorded_digest=lambda domain, *, size, seed=0: state.recorded,
        manifest=sidewalk.manifest,
    )
    monkeypatch.setattr(sidewalk_source, "sidewalk", state.fake)
    return state


def test_a_missing_sidewalk_is_rendered_once(tmp_path, renderer):
    told: list[tuple[float, str]] = []
    first = open_dataset(
        "sidewalk-a", data_root=tmp_path, progress=lambda share, text: told.append((share, text))
    )
    assert first.root == tmp_path / "sidewalk-a-tiny"
    assert told[0] == (0.5, "rendering sidewalk-a image 15 of 30")
    assert told[-1][0] == 1.0
    assert open_dataset("sidewalk-a", data_root=tmp_path) == first
    assert len(renderer.calls) == 1  # a finished one is read only: its root may be read-only
    assert find_dataset("sidewalk-a", data_root=tmp_path) == first.root
    with pytest.raises(BenchboxError, match="benchbox data make sidewalk-b"):
        find_dataset("sidewalk-b", data_root=tmp_path)


@pytest.mark.parametrize("other", ["another version", "another size", "no manifest"])
def test_a_folder_that_holds_something_else_is_the_renderers_to_refuse(tmp_path, renderer, other):
    folder = open_dataset("sidewalk-a", data_root=tmp_path).root
    if other == "another version":
        renderer.fake.VERSION = 2
    elif other == "another size":
        folder.rename(tmp_path / "sidewalk-a-small")
    else:
        (folder / "sidewalk.json").unlink()
    size = "small" if other == "another size" else "tiny"
    with pytest.raises(BenchboxError, match="holds something else"):
        open_dataset("sidewalk-a", data_root=tmp_path, sidewalk_size=size)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_sidewalk_that_differs_from_the_record_is_refused(tmp_path, renderer, recorded):
    first = open_dataset("sidewalk-a", data_root=tmp_path)
    if recorded:
        renderer.recorded = first.digest
    assert planned_digest("sidewalk-a") == renderer.recorded
    assert open_dataset("sidewalk-a", data_root=tmp_path) == first
    noise_image(999).save(first.query[0].path)
    with pytest.raises(BenchboxError, match="not the recorded sidewalk-a"):
        open_dataset("sidewalk-a", data_root=tmp_path)


def test_an_unknown_size_and_a_root_that_cannot_be_written_are_clear(tmp_path):
    with pytest.raises(BenchboxError, match="unknown Sidewalk size 'medium'"):
        open_dataset("sidewalk-a", data_root=tmp_path, sidewalk_size="medium")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BenchboxError, match="cannot be written"):
        open_dataset("sidewalk-a", data_root=tmp_path / "file")
