"""DDD's data balancing: the counts of Eq. 1 and 2 against brute force, and the set on disk."""

import csv
import json
import os
import random
from collections import Counter
from fractions import Fraction
from math import floor
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchbox.data.contact_sheet import Frame, contact_sheet
from benchbox.data.images import load_images
from benchbox.data.naming import parse_name
from benchbox.data.protocol import ImageRecord
from benchbox.data.reading import read_dataset
from benchbox.data.scanning import TRAIN, scan_dataset
from benchbox.errors import BenchboxError
from benchbox.training.training_set import TrainingSet, class_labels
from defenses.ddd.balanced_set import (
    Synthetic,
    generated_name,
    is_generated,
    read_generated,
    require_originals,
    write_balanced_set,
)
from defenses.ddd.balancing import Balancing
from defenses.ddd.counting import images_to_make, mean_level
from tests.made_datasets import make_duke, make_market, noise_image

RECORDS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4)), min_size=1, max_size=40)
SHARES = st.sampled_from([0.0, 0.25, 0.5, 0.6, 0.75, 1.0])


def rounded(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def test_a_set_counted_by_hand() -> None:
    # Person 1: 4 of 5 images from camera 1, on 2 cameras, so 5/2 → 3 of each of cameras 2 and 3.
    # Person 2: one image, camera 3: two more there, and 1 of each of cameras 1 and 2.
    # Person 3: 1, 2, 2: camera 2 has 2/5, no more than half; full.
    records = [(1, 1)] * 4 + [(1, 2), (2, 3), (3, 1), (3, 2), (3, 2), (3, 3), (3, 3)]
    made = images_to_make(records, fill_to=3, camera_share=0.5)
    assert Counter((s.pid, s.camid, s.reason) for s in made) == {
        (1, 2, "camera"): 3,
        (1, 3, "camera"): 3,
        (2, 3, "fill"): 2,
        (2, 1, "camera"): 1,
        (2, 2, "camera"): 1,
    }
    assert mean_level(records) == 4  # 11 / 3
    assert mean_level([(1, 1)] * 3 + [(2, 1)] * 2) == 3  # 5 / 2


@given(records=RECORDS, fill_to=st.integers(0, 15), share=SHARES, seed=st.integers(0, 9))
def test_counts_are_those_of_the_equations(
    records: list[tuple[int, int]], fill_to: int, share: float, seed: int
) -> None:
    made = images_to_make(records, fill_to=fill_to, camera_share=share)
    cameras = {camid for _, camid in records}
    for pid in {pid for pid, _ in records}:
        own = Counter(camid for p, camid in records if p == pid)
        n = sum(own.values())
        # Eq. 1
        fills = Counter(s.camid for s in made if s.pid == pid and s.reason == "fill")
        assert sum(fills.values()) == max(0, fill_to - n)
        assert set(fills) <= set(own)
        after = {camid: own[camid] + fills[camid] for camid in own}
        assert all(after[c] - 1 <= after[d] for c in fills for d in own)
        # Eq. 2
        others = Counter(s.camid for s in made if s.pid == pid and s.reason == "camera")
        most = max(own.values())
        # The share as it is written: 3/5 is not above 0.6, though above the nearest binary number.
        if Fraction(most, n) > Fraction(str(share)):
            major = min(camid for camid in own if own[camid] == most)
            mean = rounded(Fraction(n, len(own)))
            assert others == dict.fromkeys(cameras - {major}, mean)
        else:
            assert not others
    assert len({(s.pid, s.camid, s.number) for s in made}) == len(made)
    for (pid, camid), count in Counter((s.pid, s.camid) for s in made).items():
        numbers = [s.number for s in made if (s.pid, s.camid) == (pid, camid)]
        assert numbers == list(range(1, count + 1))
    random.Random(seed).shuffle(records)
    assert images_to_make(records, fill_to=fill_to, camera_share=share) == made


@given(records=RECORDS, fill_to=st.integers(0, 15), share=SHARES, cap=st.integers(1, 30))
def test_a_cap_serves_the_poorest_first(
    records: list[tuple[int, int]], fill_to: int, share: float, cap: int
) -> None:
    everything = images_to_make(records, fill_to=fill_to, camera_share=share)
    made = images_to_make(records, fill_to=fill_to, camera_share=share, at_most=cap)
    assert len(made) == min(cap, len(everything))
    wanted = Counter(s.reason for s in everything)
    got = Counter(s.reason for s in made)
    assert got["fill"] == min(cap, wanted["fill"])
    # Nobody passes an identity that still lacks images.
    has = Counter(pid for pid, _ in records)
    has.update(s.pid for s in made if s.reason == "fill")
    lacking = [has[pid] for pid in has if has[pid] < fill_to]
    for pid in {s.pid for s in made if s.reason == "fill"}:
        assert has[pid] <= min(lacking, default=fill_to) + 1
    # Eq. 2's images go to its identities in turn.
    asked = Counter(s.pid for s in everything if s.reason == "camera")
    served = Counter(s.pid for s in made if s.reason == "camera")
    short = [served[pid] for pid in asked if served[pid] < asked[pid]]
    assert all(served[pid] <= min(short, default=cap) + 1 for pid in served)
    # And per identity, to its cameras in turn.
    for pid in served:
        per = Counter(s.camid for s in made if (s.pid, s.reason) == (pid, "camera"))
        cameras = {s.camid for s in everything if (s.pid, s.reason) == (pid, "camera")}
        assert max(per.values()) - min(per[camid] for camid in cameras) <= 1


@pytest.mark.parametrize("like", ["0002_c1s1_000451_03.jpg", "0001_c2_f0046182.jpg"])
@given(pid=st.integers(1, 99_999), camid=st.integers(1, 99), number=st.integers(1, 99_999))
def test_a_generated_name_says_who_where_and_that_it_is_generated(
    like: str, pid: int, camid: int, number: int
) -> None:
    name = generated_name(Synthetic(pid, camid, number, "fill"), like=like)
    parsed, original = parse_name(name), parse_name(like)
    assert parsed is not None
    assert original is not None
    assert (parsed.naming, parsed.pid, parsed.camid) == (original.naming, pid, camid)
    assert is_generated(name)
    assert not is_generated(like)
    assert name != generated_name(Synthetic(pid, camid, number + 1, "fill"), like=like)


def balanced(root: Path, records: tuple[ImageRecord, ...]) -> tuple[Path, list[Synthetic]]:
    """Write a balanced set whose generated images are noise."""
    pairs = [(record.pid, record.camid) for record in records]
    wanted = images_to_make(pairs, fill_to=5, camera_share=0.5)
    made = {s: root / "scratch" / generated_name(s, like=records[0].path.name) for s in wanted}
    (root / "scratch").mkdir(parents=True)
    for number, path in enumerate(made.values()):
        noise_image(1000 + number, height=16, width=8).save(path)
    (root / "set").mkdir()
    write_balanced_set(records, made, root / "set", settings={"seed": 3})
    return root / "set", list(wanted)


@pytest.mark.parametrize("make", [make_market, make_duke])
@pytest.mark.parametrize("links", [True, False])
def test_a_balanced_set_is_a_dataset(
    make: type, links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = read_dataset(make(tmp_path / "source").root)
    if not links:

        def refuse(*_args: object) -> None:
            raise OSError("no links here")

        monkeypatch.setattr(os, "link", refuse)
    folder, wanted = balanced(tmp_path / "made", source.train)
    scan = scan_dataset(folder)
    assert not scan.problems
    train = scan.records[TRAIN]
    before = Counter((record.pid, record.camid) for record in source.train)
    assert wanted
    assert Counter((r.pid, r.camid) for r in train) == before + Counter(
        (s.pid, s.camid) for s in wanted
    )
    for record in source.train:
        assert (folder / record.key).read_bytes() == record.path.read_bytes()
        assert (folder / record.key).samefile(record.path) == links
    with (folder / "synthetic.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(int(r["pid"]), int(r["camid"]), r["reason"]) for r in rows] == [
        (s.pid, s.camid, s.reason) for s in wanted
    ]
    assert {row["file"] for row in rows} == {
        r.path.name for r in train if is_generated(r.path.name)
    }
    manifest = json.loads((folder / "balanced.json").read_text())
    assert manifest["before"]["images"] == len(source.train)
    assert manifest["after"]["images"] == len(train)
    assert manifest["after"]["identities"] == {
        str(pid): {
            str(camid): number
            for (p, camid), number in Counter((r.pid, r.camid) for r in train).items()
            if p == pid
        }
        for pid in source.train_pids
    }
    assert manifest["generated"] == dict(Counter(s.reason for s in wanted))
    assert manifest["settings"] == {"seed": 3}
    # The reader's digest of a dataset of these training images alone.
    for split in ("query", "bounding_box_test"):
        (folder / split).symlink_to(source.root / split)
    lists = read_dataset(folder)
    assert lists.digest != source.digest
    alone = scan_digest(folder, train)
    assert manifest["digest"] == alone


def scan_digest(folder: Path, records: tuple[ImageRecord, ...]) -> str:
    """Hash names and contents the long way round."""
    import hashlib

    lines = []
    for record in sorted(records, key=lambda record: record.key):
        if record.path.suffix == ".png":
            image = Image.open(record.path).convert("RGB")
            content = f"{image.width}x{image.height}:".encode() + image.tobytes()
        else:
            content = record.path.read_bytes()
        lines.append(f"{TRAIN}/{record.path.name} {hashlib.sha256(content).hexdigest()}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_training_set_gains_the_generated_images(tmp_path: Path) -> None:
    records = read_dataset(make_market(tmp_path / "source").root).train
    folder, wanted = balanced(tmp_path / "made", records)
    data = TrainingSet(load_images(records, size=(32, 16)), class_labels(records))
    more = Balancing().training_set(records, data, folder)
    n = len(records)
    assert torch.equal(more.images[:n], data.images)
    assert torch.equal(more.labels[:n], data.labels)
    assert more.images.shape == (n + len(wanted), 3, 32, 16)
    pids = sorted({record.pid for record in records})
    assert more.labels[n:].tolist() == [pids.index(s.pid) for s in wanted]
    for image, record in zip(more.images[n:], read_generated(folder), strict=True):
        shown = Image.open(record.path).resize((16, 32), Image.Resampling.BILINEAR)
        assert image.permute(1, 2, 0).numpy().tobytes() == shown.tobytes()
    with_examples = TrainingSet(data.images, data.labels, examples=data.images)
    with pytest.raises(BenchboxError, match="Balance first"):
        Balancing().training_set(records, with_examples, folder)


def test_a_balanced_set_is_not_balanced_again(tmp_path: Path) -> None:
    records = read_dataset(make_market(tmp_path / "source").root).train
    require_originals(records)
    folder, _ = balanced(tmp_path / "made", records)
    with pytest.raises(BenchboxError, match="balanced already"):
        require_originals(scan_dataset(folder).records[TRAIN])
    with pytest.raises(BenchboxError, match=r"photo\.png"):
        require_originals([ImageRecord(tmp_path / "photo.png", 1, 1)])


def test_a_damaged_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchboxError, match=r"synthetic\.csv"):
        read_generated(tmp_path)
    (tmp_path / "synthetic.csv").write_text("file,pid\nx.png,1\n")
    with pytest.raises(BenchboxError, match=r"synthetic\.csv"):
        read_generated(tmp_path)


@pytest.mark.parametrize("wrong", [{"fill_to": -1}, {"camera_share": 1.5}, {"at_most": -2}])
def test_wrong_numbers_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BenchboxError, match=next(iter(wrong))):
        Balancing(**wrong)


def test_frames_stand_around_their_images(tmp_path: Path) -> None:
    records = []
    for number, colour in enumerate(["navy", "purple"], start=1):
        path = tmp_path / f"000{number}_c1s1_000001_01.png"
        Image.new("RGB", (8, 16), colour).save(path)
        records.append(ImageRecord(path, number, 1))
    frame = Frame("#FF0000", "the second one")

    def colours(sheet: Path) -> set[tuple[int, int, int]]:
        return {pixel for _, pixel in Image.open(sheet).getcolors(maxcolors=100_000) or []}

    rows = {1: [records[0]], 2: [records[1]]}
    plain = contact_sheet(rows, tmp_path / "plain.png", title="Two")
    assert (255, 0, 0) not in colours(plain)
    framed = contact_sheet(
        rows,
        tmp_path / "framed.png",
        title="Two",
        frame=lambda record: frame if record.pid == 2 else None,
    )
    image = Image.open(framed)
    places = {
        colour: [
            (x, y)
            for x in range(image.width)
            for y in range(image.height)
            if image.getpixel((x, y)) == colour
        ]
        for colour in ((255, 0, 0), (0, 0, 128), (128, 0, 128))
    }
    assert len(places[0, 0, 128]) == len(places[128, 0, 128]) == 96 * 192
    (left, top), (right, bottom) = places[128, 0, 128][0], places[128, 0, 128][-1]
    red = set(places[255, 0, 0])
    assert {(left - 1, top), (right + 1, bottom), (left, top - 1), (right, bottom + 1)} <= red
    first = places[0, 0, 128][0]
    assert (first[0] - 1, first[1]) not in red
    assert min(y for _, y in red) < first[1]  # the legend
