"""Test images come in order, a few batches ahead, and are never held all at once."""

import json
import os
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from PIL import ImageFile
from safetensors.torch import load_file, save

from benchbox.data.images import at_size, load_images
from benchbox.data.protocol import ImageRecord
from benchbox.data.streaming import AHEAD, AtSize, FileImages, in_batches
from benchbox.errors import BenchboxError
from benchbox.evaluation.attacking import queries_at_once
from benchbox.evaluation.embedding import embed_images, embed_in_batches
from benchbox.evaluation.feature_distances import RankedGallery, exact_products
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.evaluation.retrieval_inputs import read_features
from benchbox.files.rows_file import writing_rows
from benchbox.runs.memory import memory_in_words
from benchbox.runs.runner import Options, preview
from tests.made_datasets import noise_image
from tests.test_training import TinyModel

CPU = torch.device("cpu")
SIZE = (32, 16)


@pytest.fixture
def records(tmp_path):
    made = []
    for number in range(41):
        path = tmp_path / f"{number:04d}_c1s1_000001_01.jpg"
        noise_image(number).save(path)
        made.append(ImageRecord(path, number, 1))
    return made[::-1]


@pytest.mark.parametrize("batch_size", [1, 7, 41, 64])
@pytest.mark.parametrize("threads", [1, 4])
def test_streamed_batches_are_the_slices_of_the_whole(records, batch_size, threads):
    whole = load_images(records, size=SIZE)
    streamed = FileImages(records, SIZE, threads=threads)
    assert len(streamed) == 41
    batches = list(in_batches(streamed, batch_size))
    assert [rows.start for rows, _ in batches] == list(range(0, 41, batch_size))
    assert all(torch.equal(batch, whole[rows]) for rows, batch in batches)
    assert torch.equal(torch.cat([batch for _, batch in batches]), whole)


def test_embeddings_of_files_are_those_of_the_tensor_to_the_last_bit(records):
    model = TinyModel().eval()
    held, streamed = (
        embed_images(model, images, batch_size=8, device=CPU)
        for images in (load_images(records, size=(16, 8)), FileImages(records, (16, 8)))
    )
    assert torch.equal(held, streamed)
    assert held.unique(dim=0).shape == held.shape


def test_other_sizes_are_made_batch_by_batch(records):
    images = load_images(records, size=SIZE).float() / 255
    whole = at_size(images, (20, 10))
    for rows, batch in in_batches(AtSize(images, (20, 10)), 6):
        torch.testing.assert_close(batch, whole[rows], atol=1e-6, rtol=0)


class Recorded:
    """Images that note which batches were asked of them."""

    def __init__(self, count):
        self.count, self.asked = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, rows):
        self.asked.append(rows.start)
        return torch.zeros(min(rows.stop, self.count) - rows.start, 3, 2, 2)


def test_as_many_batches_are_made_ahead_as_is_said_and_no_more():
    images = Recorded(100)
    for number, _ in enumerate(in_batches(images, 5), start=1):
        deadline = time.monotonic() + 5
        while len(images.asked) < min(20, number + AHEAD) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(images.asked) == min(20, number + AHEAD)
    assert images.asked == list(range(0, 100, 5))


def test_whoever_stops_early_leaves_no_thread_behind():
    images = Recorded(100)
    batches = in_batches(images, 5)
    next(batches)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("batching")]
    batches.close()
    assert len(images.asked) <= 1 + AHEAD
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batching")]


def test_the_first_damaged_image_is_named_when_its_turn_comes(records, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for number in (17, 18, 30):
        content = records[number].path.read_bytes()
        records[number].path.write_bytes(content[: len(content) // 2])
    streamed = FileImages(records, (16, 8))
    batches = embed_in_batches(TinyModel().eval(), streamed, batch_size=5, device=CPU)
    assert [len(next(batches)) for _ in range(3)] == [5, 5, 5]
    with pytest.raises(BenchboxError, match=records[17].path.name) as caught:
        next(batches)
    assert "\n" not in str(caught.value)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_rows_written_in_turn_are_the_file_that_safetensors_writes(tmp_path):
    draw = torch.Generator().manual_seed(0)
    whole = {"query": torch.randn(7, 5, generator=draw), "gallery": torch.randn(9, 5)}
    file = tmp_path / "features.safetensors"
    with writing_rows(file, {name: len(rows) for name, rows in whole.items()}) as written:
        for name in ("query", "gallery"):
            for rows in whole[name].split(4):
                written.append(name, rows.numpy())
        assert not file.exists()
    assert file.read_bytes() == save(whole)
    assert all(torch.equal(rows, whole[name]) for name, rows in load_file(file).items())


def write(file, *parts):
    with writing_rows(file, {"query": 7}) as written:
        for part in parts:
            written.append("query", torch.zeros(part).numpy())


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([(3, 5), (3, 4)], "width 4"),
        ([(3, 5), (5, 5)], "do not fit"),
        ([(3, 5)], "3 rows were written"),
    ],
)
def test_rows_that_do_not_fill_the_matrix_make_no_file(tmp_path, parts, says):
    file = tmp_path / "features.safetensors"
    with pytest.raises(BenchboxError, match=says):
        write(file, *parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("order", ["C", "F"])
def test_embeddings_mapped_from_a_file_are_ranked_like_those_in_memory(tmp_path, order):
    draw = np.random.default_rng(0)
    query, gallery = (draw.standard_normal((n, 6), dtype=np.float32) for n in (30, 400))
    gallery[300:] = gallery[:100]
    np.save(tmp_path / "gallery.npy", np.asarray(gallery, order=order))
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    labels = (np.arange(30) % 9, np.arange(400) % 9, np.zeros(30, int), np.ones(400, int))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate_retrieval(query, mapped, *labels)
        read = read_features("gallery", mapped)
    expected = evaluate_retrieval(query, gallery, *labels)
    np.testing.assert_array_equal(found.ap, expected.ap)
    # Rows that lie one after another stay in the file.
    assert np.shares_memory(read.numpy(), mapped) == (order == "C")


def test_rows_are_repeats_only_where_they_are_equal_in_every_column():
    draw = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 2, (3000, 70), generator=draw).float()
    rows[:, ::2] = rows[:1, ::2]  # every sampled column alike: all rows are suspects
    rows[1700:1900] = rows[40:240]
    rows[5] = -0.0
    rows[2999] = 0.0
    first: dict[tuple[float, ...], int] = {}
    pairs = [
        (place, first.setdefault(tuple(row), place)) for place, row in enumerate(rows.tolist())
    ]
    with exact_products(CPU):
        ranked = RankedGallery.of(rows, "euclidean")
    found = list(zip(ranked.copies.tolist(), ranked.originals.tolist(), strict=True))
    assert found == [(place, original) for place, original in pairs if place != original]
    assert (2999, 5) in found


@pytest.mark.parametrize(
    ("batch", "gallery", "expected"),
    [(64, 0, 64), (64, 15_913, 64), (256, 82_161, 256), (64, 520_000, 64), (256, 520_000, 64)],
)
def test_an_attack_that_knows_a_large_gallery_takes_fewer_queries_at_a_time(
    batch, gallery, expected
):
    assert queries_at_once(batch, gallery) == expected
    assert queries_at_once(batch, 10**9) == 1


def test_a_plan_says_what_a_worker_holds(tmp_path):
    grid = tmp_path / "grid.toml"
    grid.write_text(
        'name = "large"\ndatasets = ["msmt17"]\nbudgets = ["8/255"]\n'
        'defenses = ["origin"]\nattacks = ["worst_case"]\nkeep_adversarial = true\n'
    )
    plan, _ = preview(grid, Options(data_root=tmp_path))
    pixels = 3 * 256 * 128
    # Two batches ahead and one in use, that one in float32 too; MSMT17's published counts.
    images = [round(batch * pixels * (3 + 4) / 1e6) for batch in (64, 256)]
    pairs = [round(batch * 82_161 * 4 * 6 / 1e6) for batch in (64, 256)]
    assert memory_in_words(plan) == (
        f"test images {images[0]} MB at a batch of 64, {images[1]} MB at 256; distances 34 MB; "
        f"attacks that know the gallery {pairs[0]} MB at a batch of 64, {pairs[1]} MB at 256; "
        f"adversarial queries kept {11_659 * pixels * 4 / 1e9:.1f} GB; "
        f"training set {32_621 * pixels / 1e9:.1f} GB"
    )


# Images are written at 64×32 and fed at 192×96, so that a split held whole is noticed: 4,500 more
# of them are 249 MB. What else grows with a dataset, names and labels, is a few hundred bytes each.
MEMORY_SCRIPT = """
import json, re, sys, tempfile, threading, time
from pathlib import Path
import torch
import benchbox
from benchbox.data.images import load_images
from benchbox.data.protocol import ImageRecord
from benchmarks.large_gallery import make_dataset

SIZE = (192, 96)
peak, stop = 0.0, threading.Event()

def watch():
    global peak
    while not stop.wait(0.005):
        status = Path("/proc/self/status").read_text()
        peak = max(peak, int(re.search(r"RssAnon:\\s+(\\d+)", status)[1]) / 1024)

class Pooled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 16, 8, stride=8)
    def forward(self, images):
        return self.conv(images).relu().mean(dim=(2, 3))

threading.Thread(target=watch, daemon=True).start()
found = {}
with tempfile.TemporaryDirectory() as folder:
    for gallery in (500, 5000):
        data = make_dataset(Path(folder) / str(gallery), gallery=gallery, queries=20)
        peak = 0.0
        done = benchbox.evaluate(
            Pooled(), f"path:{data}", attacks=["fna"], steps=2, image_size=SIZE, device="cpu"
        )
        assert len(done.to_pandas()) == 2
        found[gallery] = peak
    files = sorted((data / "bounding_box_test").iterdir())
    peak = 0.0
    held = load_images([ImageRecord(file, 1, 1) for file in files], size=SIZE)
    time.sleep(0.1)
    found["held whole"] = peak
print(json.dumps(found))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_of_embedding_attack_and_ranking_does_not_grow_with_the_gallery():
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT],
        # Memory that was freed goes back to the system, so that only what is held is counted.
        env={**os.environ, "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    mebibytes = json.loads(done.stdout.splitlines()[-1])
    assert mebibytes["5000"] - mebibytes["500"] < 30, mebibytes
    # The same bound would be broken by holding the gallery, which shows that it can be.
    assert mebibytes["held whole"] - mebibytes["500"] > 100, mebibytes
