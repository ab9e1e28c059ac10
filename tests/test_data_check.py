"""``check_dataset`` finds every fault of a folder, and counts what papers count."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from benchbox.data import sidewalk
from benchbox.data.checking import check_dataset
from benchbox.data.decoding import MAX_PIXELS
from benchbox.data.reading import read_dataset
from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_json
from tests.made_datasets import (
    GALLERY,
    QUERY,
    TRAIN,
    make_duke,
    make_market,
    noise_image,
    write_dataset,
)


def _what(root: Path) -> dict[str, str]:
    """Return file → problem, after checking that every file is named at most once."""
    problems = check_dataset(root).problems
    found = {problem.file: problem.what for problem in problems}
    assert len(found) == len(problems)
    return found


@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_a_sound_market_folder_counts_and_has_the_readers_digest(tmp_path, extension):
    made = make_market(tmp_path, extension=extension)
    report = check_dataset(tmp_path)
    assert report.ok
    assert report.warnings == ()
    assert report.notes == ()  # the distractors, all of one camera, are no identity
    assert report.digest == read_dataset(tmp_path).digest
    train, query, gallery = report.splits
    assert (train.images, train.identities, train.cameras) == (9, 3, 3)
    assert (query.images, query.identities, query.cameras) == (6, 3, 2)
    assert gallery.images == len(made.files[GALLERY]) == 14
    assert (gallery.identities, gallery.cameras, gallery.junk, gallery.distractors) == (3, 3, 2, 3)
    assert report.lines()[-1] == "no problems"


def test_a_sound_duke_folder_notes_its_single_camera_identity_as_normal(tmp_path):
    make_duke(tmp_path)
    report = check_dataset(tmp_path)
    assert report.ok
    assert report.warnings == ()
    assert len(report.notes) == 1
    assert report.notes[0].startswith("1 gallery identities are seen by one camera only, 1 of")
    assert "normal" in report.notes[0]


def test_every_fault_is_found_in_one_pass(tmp_path):
    made = make_market(tmp_path)
    train, query, gallery = (tmp_path / folder for folder in (TRAIN, QUERY, GALLERY))
    truncated = train / made.files[TRAIN][0]
    truncated.write_bytes(truncated.read_bytes()[:-40])
    empty = query / made.files[QUERY][1]
    empty.write_bytes(b"")
    garbage = gallery / made.files[GALLERY][-1]
    garbage.write_bytes(b"this is no image at all")
    junk = gallery / made.files[GALLERY][0]  # pid -1: never ranked, decoded all the same
    junk.write_bytes(b"\xff\xd8\xff")
    (train / "notes.txt").write_text("x")
    (gallery / "0001_c2_f0046182.jpg").write_bytes(b"")
    shutil.copy(query / made.files[QUERY][2], gallery / "0000_c3s3_000009_01.jpg")
    shutil.copy(query / made.files[QUERY][2], gallery / "-1_c3s3_000009_01.jpg")
    noise_image(77).save(train / f"1001_{made.files[QUERY][0][5:]}")
    found = _what(tmp_path)
    expected = {
        f"{TRAIN}/{truncated.name}": "truncated",
        f"{QUERY}/{empty.name}": "empty",
        f"{GALLERY}/{garbage.name}": "not a JPEG or PNG",
        f"{GALLERY}/{junk.name}": "",
        f"{TRAIN}/notes.txt": "misnamed",
        f"{GALLERY}/0001_c2_f0046182.jpg": "DukeMTMC-reID naming",
        f"{QUERY}/{made.files[QUERY][2]}": f"as {GALLERY}/0000_c3s3_000009_01.jpg",
        f"{TRAIN}/1001_{made.files[QUERY][0][5:]}": "identity 1001",
    }
    assert found.keys() == expected.keys()
    for file, what in expected.items():
        assert what in found[file]
    text = "\n".join(check_dataset(tmp_path).lines())
    assert all(file in text for file in expected)
    assert "8 problem(s)" in text
    assert check_dataset(tmp_path).digest is None


def test_a_half_unpacked_folder_is_checked_as_far_as_it_goes(tmp_path):
    made = make_market(tmp_path)
    shutil.rmtree(tmp_path / QUERY)
    for path in (tmp_path / GALLERY).iterdir():
        path.unlink()
    (tmp_path / TRAIN / made.files[TRAIN][0]).write_bytes(b"")
    found = _what(tmp_path)
    assert found["query/"] == "is missing"
    assert found["bounding_box_test/"] == "is empty"
    assert "empty" in found[f"{TRAIN}/{made.files[TRAIN][0]}"]
    with pytest.raises(BenchboxError, match="no such folder"):
        check_dataset(tmp_path / "gone")


def test_a_query_copied_losslessly_under_another_format_is_found(tmp_path):
    made = make_market(tmp_path, extension="png")
    name = made.files[QUERY][0]
    image = Image.open(tmp_path / QUERY / name)
    image.save(tmp_path / GALLERY / "1002_c3s1_000099_09.png", compress_level=0)
    assert "1002_c3s1_000099_09.png" in _what(tmp_path)[f"{QUERY}/{name}"]


def test_queries_without_a_valid_match_are_a_warning(tmp_path):
    # Query 1000 meets its own camera only, 1001 nobody, 1002 another camera.
    files = {
        TRAIN: ["0002_c1s1_000451_01.jpg"],
        QUERY: [f"{pid}_c1s1_000051_01.jpg" for pid in (1000, 1001, 1002)],
        GALLERY: ["1000_c1s1_000077_01.jpg", "1002_c2s1_000077_01.jpg", "0000_c2s1_000001_01.jpg"],
    }
    write_dataset(tmp_path, files)
    report = check_dataset(tmp_path)
    assert report.ok
    (warning,) = report.warnings
    assert warning.startswith("2 queries have no valid match")
    assert files[QUERY][0] in warning
    assert files[QUERY][1] in warning
    assert files[QUERY][2] not in warning


def test_repeated_and_leaked_contents_are_warnings(tmp_path):
    made = make_market(tmp_path)
    gallery = tmp_path / GALLERY
    first = made.files[GALLERY][-1]
    shutil.copy(gallery / first, gallery / "1002_c3s2_000099_09.jpg")
    shutil.copy(gallery / first, tmp_path / TRAIN / "0003_c3s2_000099_09.jpg")
    junk = made.files[GALLERY][0]
    shutil.copy(gallery / junk, gallery / "-1_c3s2_000099_09.jpg")  # junk may repeat itself
    report = check_dataset(tmp_path)
    assert report.ok
    repeated, leaked = report.warnings
    assert repeated.startswith("bounding_box_test: 1 images repeat")
    assert first in repeated
    assert leaked.startswith("1 training images are also test images")
    assert "0003_c3s2_000099_09.jpg" in leaked


@pytest.mark.parametrize(
    ("maker", "folder", "warned"),
    [
        (make_market, "Market-1501-v15.09.15", True),
        (make_market, "market1501", True),
        (make_duke, "DukeMTMC-reID", True),
        (make_duke, "market1501", False),
        (make_market, "mine", False),
    ],
)
def test_a_copy_of_a_published_dataset_is_held_to_its_numbers(tmp_path, maker, folder, warned):
    maker(tmp_path / folder)
    warnings = check_dataset(tmp_path / folder).warnings
    assert bool(warnings) == warned
    assert all("officially" in warning for warning in warnings)
    if warned:
        assert any("training identities: 3, officially 7" in warning for warning in warnings)


def test_a_query_again_on_its_own_camera_is_left_out_and_no_problem(tmp_path):
    made = make_market(tmp_path)
    name = made.files[QUERY][0]
    shutil.copy(tmp_path / QUERY / name, tmp_path / GALLERY / name)
    shutil.copy(tmp_path / QUERY / name, tmp_path / GALLERY / name.replace("_01.", "_02."))
    report = check_dataset(tmp_path)
    assert report.ok
    assert any(note.startswith("1 queries are in the gallery, too") for note in report.notes)
    assert report.digest == read_dataset(tmp_path).digest
    # Another camera's is ranked: the query would find itself.
    shutil.copy(tmp_path / QUERY / name, tmp_path / GALLERY / name.replace("_c1s", "_c3s"))
    assert "also in the gallery" in _what(tmp_path)[f"{QUERY}/{name}"]


def test_pictures_that_are_no_crops_are_named(tmp_path):
    made = make_market(tmp_path, extension="png")
    first, second = (tmp_path / TRAIN / name for name in made.files[TRAIN][:2])
    Image.new("RGB", (1, 1), (9, 9, 9)).save(first)
    Image.new("RGB", (20_000, 10)).save(second)
    report = check_dataset(tmp_path)
    assert report.ok
    (warning,) = report.warnings
    assert warning.startswith("2 images are no person's crop by their size")
    assert f"{first.name} (1×1)" in warning
    assert f"{second.name} (20000×10)" in warning


def test_transparent_pixels_are_a_problem(tmp_path):
    made = make_market(tmp_path, extension="png")
    path = tmp_path / QUERY / made.files[QUERY][0]
    image = Image.open(path).convert("RGBA")
    image.save(path)
    assert check_dataset(tmp_path).ok
    image.putpixel((3, 4), (1, 2, 3, 0))
    image.save(path)
    assert "transparent pixels" in _what(tmp_path)[f"{QUERY}/{path.name}"]


def test_a_decompression_bomb_is_a_problem(tmp_path):
    made = make_market(tmp_path, extension="png")
    for name, side in zip(made.files[QUERY], (8_000, 11_000, 15_000), strict=False):
        assert side * side > MAX_PIXELS
        Image.new("1", (side, side)).save(tmp_path / QUERY / name)
    found = _what(tmp_path)
    assert set(found) == {f"{QUERY}/{name}" for name in made.files[QUERY][:3]}
    assert all("pixels" in what for what in found.values())


def test_names_in_other_scripts_and_broken_encodings_print(tmp_path):
    make_market(tmp_path)
    for name in ("人物.jpg", "\udc80\udcff.jpg", "two\nlines.jpg"):
        (tmp_path / QUERY / name).touch()
    report = check_dataset(tmp_path)
    assert len(report.problems) == 3
    for line in report.lines():
        assert line.isprintable()
        line.encode()


def _sidewalk(root: Path, **changes: object) -> None:
    """Make a folder that says it is a Sidewalk, of a seed without a recorded digest."""
    make_market(root, extension="png")
    digest = read_dataset(root).digest
    held = {"domain": "sidewalk-a", "size": "tiny", "seed": 12345, "version": sidewalk.VERSION}
    write_json(root / "sidewalk.json", held | {"digest": digest} | changes)


def test_a_sidewalk_is_held_to_its_digest_and_not_to_market(tmp_path):
    root = tmp_path / "market1501"
    _sidewalk(root)
    report = check_dataset(root)
    assert report.ok
    assert report.warnings == ()
    noise_image(999).save(next((root / QUERY).iterdir()))
    assert "not the recorded sidewalk-a" in _what(root)["./"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": -1}, "of version -1"),
        ({"domain": "sidewalk-z"}, "does not exist"),
        ({"seed": "x"}, "does not exist"),
        ({"digest": None}, "not the recorded"),
    ],
)
def test_a_sidewalk_manifest_that_lies_is_a_problem(tmp_path, changes, said):
    _sidewalk(tmp_path, **changes)
    assert said in _what(tmp_path)["./"]
