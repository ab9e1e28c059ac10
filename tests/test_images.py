"""Loading images into memory: pixels as Pillow gives them, order kept, damage named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from benchbox.data.decoding import decode_image, strict_decoding
from benchbox.data.digest import image_digest
from benchbox.data.images import load_images, to_unit
from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError
from tests.made_datasets import noise_image


def _write(folder: Path, count: int, *, extension: str = "png", **size: int) -> list[ImageRecord]:
    records = []
    for number in range(count):
        path = folder / f"{number:04d}_c1s1_000001_01.{extension}"
        noise_image(number, **size).save(path)
        records.append(ImageRecord(path, number, 1))
    return records


@pytest.mark.parametrize("threads", [1, 4])
def test_pixels_and_order_are_those_of_the_files(tmp_path, threads):
    records = _write(tmp_path, 23)
    shuffled = [records[i] for i in np.random.default_rng(0).permutation(23)]
    images = load_images(shuffled, size=(32, 16), threads=threads)
    assert images.dtype == torch.uint8
    assert images.shape == (23, 3, 32, 16)
    for image, record in zip(images, shuffled, strict=True):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(noise_image(record.pid)))


def test_size_is_height_then_width_and_shrinking_is_antialiased(tmp_path):
    # One-pixel stripes: an antialiased filter averages them, plain bilinear sampling would not.
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 255
    path = tmp_path / "stripes.png"
    Image.fromarray(stripes).save(path)
    images = load_images([ImageRecord(path, 1, 1)], size=(8, 64))
    assert images.shape == (1, 3, 8, 64)
    inner = images[0, :, 1:-1].float()
    assert (inner - 127.5).abs().max() <= 8


def test_resizing_matches_torchs_own_antialiased_bilinear(tmp_path):
    records = _write(tmp_path, 3, height=40, width=20)
    for size in [(16, 8), (80, 60)]:
        got = load_images(records, size=size).float()
        original = load_images(records, size=(40, 20)).float()
        expected = torch.nn.functional.interpolate(
            original, size=size, mode="bilinear", antialias=True, align_corners=False
        )
        assert (got - expected).abs().max() <= 1.0  # Pillow rounds to integers after each axis


def test_grey_palette_and_alpha_become_rgb(tmp_path):
    records = []
    for number, mode in enumerate(["L", "P", "RGBA"]):
        path = tmp_path / f"{mode}.png"
        noise_image(number).convert(mode).save(path)
        records.append(ImageRecord(path, 1, 1))
    images = load_images(records, size=(32, 16))
    assert torch.equal(images[0, 0], images[0, 2])
    assert torch.equal(images[2], torch.from_numpy(np.array(noise_image(2))).permute(2, 0, 1))


def test_sixteen_bits_of_grey_are_scaled_and_not_clipped(tmp_path):
    values = np.linspace(0, 65535, 32 * 16).astype(np.uint16).reshape(32, 16)
    path = tmp_path / "grey.png"
    Image.fromarray(values).save(path)
    assert Image.open(path).mode.startswith("I")
    images = load_images([ImageRecord(path, 1, 1)], size=(32, 16))
    expected = np.round(values / 257).astype(np.uint8)
    assert all(np.array_equal(channel.numpy(), expected) for channel in images[0])
    # Two that Pillow's own conversion makes equally white have two digests.
    other = tmp_path / "other.png"
    Image.fromarray(values // 2 + 300).save(other)
    assert image_digest(path) != image_digest(other)


@pytest.mark.parametrize("extension", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_camera_was_held(tmp_path, extension, orientation):
    path = tmp_path / f"turned.{extension}"
    original = noise_image(3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    original.save(
        path, exif=exif, **({"quality": 100, "subsampling": 0} if extension == "jpg" else {})
    )
    with strict_decoding():
        image, _ = decode_image(path)
    # EXIF 2.32, tag 274: what has to be done to show the stored pixels upright.
    turned = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }[orientation](np.asarray(original))
    assert np.asarray(image).shape == turned.shape
    assert np.abs(np.asarray(image).astype(int) - turned).max() <= (0 if extension == "png" else 3)


def test_cmyk_is_read_as_the_colours_it_shows(tmp_path):
    path = tmp_path / "print.jpg"
    noise_image(5).convert("CMYK").save(path, quality=100)
    images = load_images([ImageRecord(path, 1, 1)], size=(32, 16))
    shown = images[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(shown - np.asarray(noise_image(5))).max() <= 12


def test_no_images_is_an_empty_tensor():
    assert load_images([], size=(32, 16)).shape == (0, 3, 32, 16)


@pytest.mark.parametrize("extension", ["jpg", "png"])
@pytest.mark.parametrize("keep", [0.0, 0.05, 0.5, 0.999])
def test_a_cut_off_file_is_named_and_never_filled_with_grey(tmp_path, monkeypatch, extension, keep):
    # Another library in the process may have told Pillow to accept truncated files.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    records = _write(tmp_path, 5, extension=extension)
    broken = records[3].path
    content = broken.read_bytes()
    broken.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(BenchboxError, match=broken.name) as caught:
        load_images(records, size=(32, 16))
    assert "\n" not in str(caught.value)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_the_first_broken_file_in_order_is_the_one_named(tmp_path):
    records = _write(tmp_path, 40)
    for number in (7, 8, 30):
        records[number].path.write_bytes(b"")
    for _ in range(5):
        with pytest.raises(BenchboxError, match=records[7].path.name):
            load_images(records, size=(32, 16), threads=4)


@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_a_file_cut_off_anywhere_is_noticed(tmp_path, extension):
    path = tmp_path / f"image.{extension}"
    noise_image(0).save(path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with strict_decoding(), pytest.raises(BenchboxError, match=path.name):
            decode_image(path)


def test_every_flipped_byte_of_a_png_is_noticed_or_harmless(tmp_path):
    path = tmp_path / "image.png"
    image = noise_image(0)
    image.save(path)
    content = bytearray(path.read_bytes())
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with strict_decoding():
            try:
                decoded, _ = decode_image(path)
            except BenchboxError:
                continue
        assert np.array_equal(np.asarray(decoded), np.asarray(image))


def test_a_missing_file_and_a_jpeg_called_png_are_refused(tmp_path):
    with pytest.raises(BenchboxError, match=r"gone\.jpg"):
        load_images([ImageRecord(tmp_path / "gone.jpg", 1, 1)], size=(32, 16))
    noise_image(0).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / "a.png")
    with pytest.raises(BenchboxError, match=r"JPEG data under a \.png name"):
        load_images([ImageRecord(tmp_path / "a.png", 1, 1)], size=(32, 16))


def test_formats_that_run_other_programs_are_not_opened(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(BenchboxError, match="not a JPEG or PNG"):
        load_images([ImageRecord(tmp_path / "a.jpg", 1, 1)], size=(32, 16))


@pytest.mark.parametrize("size", [(0, 16), (32, -1)])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(BenchboxError, match="height, width"):
        load_images([], size=size)


def test_a_tensor_beyond_memory_is_one_clear_error(tmp_path):
    records = [ImageRecord(tmp_path / "a.jpg", 1, 1)] * 2
    with pytest.raises(BenchboxError, match="GB of memory"):
        load_images(records, size=(2**22, 2**22))


def test_progress_reaches_one_and_names_the_work(tmp_path):
    told: list[tuple[float, str]] = []
    load_images(
        _write(tmp_path, 4), size=(32, 16), progress=lambda share, text: told.append((share, text))
    )
    assert [share for share, _ in told] == [0.25, 0.5, 0.75, 1.0]
    assert told[-1][1] == "loading image 4 of 4"


def test_to_unit_is_the_exact_quotient_for_every_byte():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    unit = to_unit(levels)
    assert unit.dtype == torch.float32
    expected = (np.arange(256) / 255).astype(np.float32)  # float64 quotient, rounded once
    assert np.array_equal(unit.reshape(-1).numpy(), expected)
    assert torch.equal(levels.reshape(-1), torch.arange(256, dtype=torch.uint8))


def test_to_unit_refuses_images_that_are_scaled_already():
    with pytest.raises(BenchboxError, match="uint8"):
        to_unit(torch.rand(1, 3, 4, 4))
