"""A given model: used as its owner says, tried before anything is measured, each fault one line."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from benchbox.data.reading import read_dataset
from benchbox.errors import BenchboxError
from benchbox.evaluation.embedding import embed_images
from benchbox.models.embed import Bound
from benchbox.models.given import Given
from benchbox.models.given_building import build_given
from benchbox.models.given_model import one_embedding
from benchbox.runs.stages import Data, EmbedStage, GivenStage
from benchbox.runs.worker import do_stage
from benchbox.runs.workplace import Site, Workplace
from tests.micro import make_micro_dataset

SIZE = (32, 16)


class Net(nn.Module):
    """Images to (B, 8): a convolution, a batch norm, a mean."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, images):
        return F.relu(self.norm(self.conv(images))).mean(dim=(2, 3))


class Variant(Net):
    """A net with something done to its output, or its input."""

    def __init__(self, after=lambda e: e, before=lambda x: x):
        super().__init__()
        self.after, self.before = after, before

    def forward(self, images):
        return self.after(super().forward(self.before(images)))


class WithCameras(Net):
    """A net that shifts an embedding by its camera's, as TransReID's SIE does."""

    def __init__(self):
        super().__init__()
        self.sie = nn.Parameter(torch.randn(4, 8))

    def forward(self, images, cam_label=None):
        return super().forward(images) + self.sie[cam_label]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return read_dataset(make_micro_dataset(tmp_path_factory.mktemp("data")), name="micro")


@pytest.fixture
def place(dataset, tmp_path):
    return Workplace(Site(tmp_path / "store", {"micro": dataset}, "cpu", 7))


def stage_of(dataset, builder, **how):
    how = {"image_size": SIZE, **how}
    given = Given(builder=builder, **how)
    data = Data("micro", dataset.digest, given.image_size, given.interpolation)
    return GivenStage("mine", given, data, seed=0)


def embedded(dataset, place, builder, **how):
    """Return the query embeddings that benchbox measures with."""
    network = stage_of(dataset, builder, **how)
    do_stage(network, place)
    embed = EmbedStage(network, network.data, None)
    do_stage(embed, place)
    return embed.features(place)["query"]


def pixels(dataset, size=SIZE, filter_=Image.Resampling.BILINEAR):
    """Oracle: the queries as Pillow opens and resizes them, (Q, 3, H, W) in [0, 1]."""
    opened = [Image.open(r.path).convert("RGB").resize(size[::-1], filter_) for r in dataset.query]
    return torch.tensor(np.stack([np.asarray(image) for image in opened])).permute(0, 3, 1, 2) / 255


MEAN, STD = torch.tensor((0.4, 0.5, 0.6)), torch.tensor((0.2, 0.3, 0.4))


def normalised(images, scale=1.0):
    return (images - scale * MEAN.view(1, 3, 1, 1)) / (scale * STD.view(1, 3, 1, 1))


HOW = {
    "own normalisation": ({"mean": None, "std": None}, lambda x: x),
    "mean and std": ({"mean": MEAN.tolist(), "std": STD.tolist()}, normalised),
    "bytes": (
        {"mean": (255 * MEAN).tolist(), "std": (255 * STD).tolist(), "pixel_range": "0-255"},
        lambda x: normalised(255 * x, 255),
    ),
    "bgr": ({"mean": None, "std": None, "channels": "bgr"}, lambda x: x[:, [2, 1, 0]]),
    "bgr with mean": (
        {"mean": MEAN.tolist(), "std": STD.tolist(), "channels": "bgr"},
        lambda x: normalised(x[:, [2, 1, 0]]),
    ),
}


@pytest.mark.parametrize("how", HOW)
def test_pixels_arrive_as_the_owner_would_make_them(dataset, place, how):
    options, by_hand = HOW[how]
    found = embedded(dataset, place, Net, **options)
    model = build_given(Given(builder=Net, image_size=SIZE, **options)).model
    with torch.no_grad():
        expected = model(by_hand(pixels(dataset)))
    assert torch.allclose(found, expected, atol=1e-5, rtol=1e-4)


def test_every_row_has_its_own_size_and_filter(dataset, place):
    options = {"mean": None, "std": None, "image_size": (48, 24), "interpolation": "bicubic"}
    found = embedded(dataset, place, Net, **options)
    model = build_given(Given(builder=Net, **options)).model
    with torch.no_grad():
        expected = model(pixels(dataset, (48, 24), Image.Resampling.BICUBIC))
    assert torch.allclose(found, expected, atol=1e-5, rtol=1e-4)


def test_flip_test_is_the_mean_of_image_and_mirror_and_is_attacked_through(dataset, place):
    options = {"mean": None, "std": None, "flip_test": True}
    found = embedded(dataset, place, Net, **options)
    given = build_given(Given(builder=Net, image_size=SIZE, **options))
    images = pixels(dataset)
    with torch.no_grad():
        expected = (given.model(images) + given.model(images.flip(3))) / 2
    assert torch.allclose(found, expected, atol=1e-5, rtol=1e-4)
    points = images[:2].requires_grad_()
    (gradient,) = torch.autograd.grad(given(points).sum(), points)
    halves = (given.model(points) + given.model(points.flip(3))).sum() / 2
    assert torch.allclose(gradient, torch.autograd.grad(halves, points)[0], atol=1e-7)


def test_cosine_scales_so_that_the_attack_ascends_what_ranks(dataset, place):
    found = embedded(dataset, place, Net, mean=None, std=None, distance="cosine")
    plain = embedded(dataset, place, Net, mean=None, std=None)
    assert torch.allclose(found.norm(dim=1), torch.ones(len(found)))
    squared = torch.cdist(found, found) ** 2
    cosine = F.cosine_similarity(plain[:, None], plain[None], dim=2)
    assert torch.allclose(squared, 2 - 2 * cosine, atol=1e-5)


def test_images_come_with_their_cameras(dataset, place):
    options = {"mean": None, "std": None, "cameras": "cam_label"}
    found = embedded(dataset, place, WithCameras, **options)
    model = build_given(Given(builder=WithCameras, image_size=SIZE, **options)).model
    cameras = torch.tensor([record.camid - 1 for record in dataset.query])
    with torch.no_grad():
        expected = model(pixels(dataset), cam_label=cameras)
    assert torch.allclose(found, expected, atol=1e-5, rtol=1e-4)


def test_bound_rows_keep_their_cameras():
    embed = Bound(
        lambda images, cameras: images.mean((2, 3)) + cameras[:, None], (torch.arange(9),)
    )
    images = torch.rand(9, 3, 2, 2)
    expected = images.mean((2, 3)) + torch.arange(9)[:, None]
    assert torch.equal(embed(images), expected)
    for rows in ([3, 1], slice(2, 5), torch.tensor([True] * 4 + [False] * 5)):
        assert torch.equal(embed[rows](images[rows]), expected[rows])
    batched = embed_images(embed, (images * 255).byte(), batch_size=4, device=torch.device("cpu"))
    assert torch.allclose(
        batched, ((images * 255).byte() / 255).mean((2, 3)) + torch.arange(9)[:, None]
    )


A, B, MAP = torch.rand(2, 3), torch.rand(2, 3), torch.rand(2, 3, 4, 4)
JOINED = {
    "a list, concatenated": ([A, B], "concatenate", torch.cat([A, B], 1)),
    "a tuple, mean": ((A, B), "mean", (A + B) / 2),
    "a dict, by key": ({"global": A, "map": MAP}, "global", A),
    "a list, by place": ([MAP, A], 1, A),
    "a 3-D tensor, concatenated": (torch.stack([A, B], 1), "concatenate", torch.cat([A, B], 1)),
    "a 3-D tensor, mean": (torch.stack([A, B], 1), "mean", (A + B) / 2),
    "a 3-D tensor, the first token": (torch.stack([A, B], 1), 0, A),
    "one tensor": (A, None, A),
}


@pytest.mark.parametrize("case", JOINED)
def test_parts_become_one_embedding(case):
    output, parts, expected = JOINED[case]
    assert torch.allclose(one_embedding(output, parts), expected)


UNCLEAR = {
    "several without a word": ([A, B], None, r"a list \(a tensor of shape \(2, 3\), a tensor"),
    "a feature map among those joined": ([A, MAP], "concatenate", "does not fit"),
    "a place that is not there": ([A, B], 5, "parts = 5 does not fit"),
    "a key that is not there": ({"a": A}, "b", "parts = 'b' does not fit"),
    "a feature map": (MAP, None, r"shape \(2, 3, 4, 4\); expected one embedding per image"),
    "means of different widths": ([A, A[:, :2]], "mean", "does not fit"),
    "nothing": (None, None, "a NoneType; expected one embedding"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_unclear_parts_are_refused_with_their_shapes(case):
    output, parts, says = UNCLEAR[case]
    with pytest.raises(BenchboxError, match=says):
        one_embedding(output, parts)


def counted():
    class Counting(Net):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, images):
            self.calls += 1
            return super().forward(images)

    return Counting()


def trained_mode():
    class Stubborn(Net):
        def forward(self, images):
            return self.norm.train() and super().forward(images)

    return Stubborn()


def exits():
    raise SystemExit(3)


def downloads():
    from urllib.error import URLError

    raise URLError("Name or service not known")


def raises():
    raise KeyError("depth")


BROKEN = {
    "raises": (raises, {}, "it failed with KeyError: 'depth'"),
    "exits": (exits, {}, "it failed with SystemExit: 3"),
    "downloads": (downloads, {}, r"pretrained=False\), and name a weights file"),
    "needs arguments": (lambda depth: Net(), {}, "it failed with TypeError"),
    "returns nothing": (lambda: None, {}, "returned NoneType; expected a torch.nn.Module"),
    "returns the class": (lambda: Net, {}, "returned the class Net"),
    "returns a state dict": (lambda: Net().state_dict(), {}, "returned OrderedDict"),
    "dropout in evaluation mode": (
        lambda: Variant(after=F.dropout),
        {},
        "two passes over the same images give different",
    ),
    "looks at the batch": (
        lambda: Variant(before=lambda x: x - 0.5 * x.mean(0)),
        {},
        "depends on the batch it is in",
    ),
    "batch norm in train mode": (trained_mode, {}, "depends on the batch|changes itself"),
    "counts its calls": (counted, {}, "changes itself when it embeds"),
    "detached": (
        lambda: Variant(after=lambda e: e.detach()),
        {},
        "carry no gradient to the images",
    ),
    "rounded": (lambda: Variant(before=torch.round), {}, "zero everywhere"),
    "NaN": (lambda: Variant(after=lambda e: e / 0 * 0), {}, "NaN or infinite"),
    "constant": (lambda: Variant(after=lambda e: e * 0 + 1), {}, "one and the same embedding"),
    "integers": (lambda: Variant(after=lambda e: e.long()), {}, "expected floating point"),
    "a feature map": (
        lambda: Variant(after=lambda e: e[:, :, None, None]),
        {},
        r"a tensor of shape \(4, 8, 1, 1\); expected one embedding",
    ),
    "several outputs": (lambda: Variant(after=lambda e: [e, e]), {}, "Say how: parts"),
    "another number of rows": (
        lambda: Variant(after=lambda e: e.mean(0, keepdim=True)),
        {},
        r"4 images became embeddings of shape \(1, 8\)",
    ),
    "a fixed size": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(10, 4)),
        {},
        "fails on images of 32×16: RuntimeError",
    ),
    "no cameras in forward": (Net, {"cameras": "cam_label"}, "unexpected keyword argument"),
    "too few cameras": (
        WithCameras,
        {"cameras": "cam_label", "first_camera": 9},
        "fails on images of 32×16: IndexError",
    ),
    "views that the dataset lacks": (Net, {"views": "view"}, "the dataset has none"),
    "an unknown builder": ("resnet5O", {}, "unknown backbone 'resnet5O'"),
    "no such weights": (Net, {"weights": Path("nowhere.pth")}, "nowhere.pth"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_given_is_one_line(dataset, place, case):
    builder, how, says = BROKEN[case]
    with pytest.raises(BenchboxError, match=says) as error:
        do_stage(stage_of(dataset, builder, **how), place)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("given model mine: ") or "mine" in str(error.value)


WRONG = {
    "a model, not a function": ({"builder": Net()}, "is a model already"),
    "a number": ({"builder": 5}, "expected a function that returns a model"),
    "half a normalisation": ({"mean": None}, "give both, or neither"),
    "two numbers": ({"mean": (0.5, 0.5)}, "mean: expected three numbers"),
    "no spread": ({"std": (0.0, 1.0, 1.0)}, "std: expected three numbers above 0"),
    "a size of nothing": ({"image_size": (0, 128)}, "image_size: expected"),
    "an unknown distance": ({"distance": "manhattan"}, "unknown distance"),
    "an unknown filter": ({"interpolation": "linear"}, "unknown interpolation"),
    "an unknown order": ({"channels": "brg"}, "unknown channels"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_refused_where_it_is_made(case):
    options, says = WRONG[case]
    with pytest.raises(BenchboxError, match=says):
        Given(**{"builder": Net, **options})


def test_a_builder_that_prints_does_not_spoil_standard_output(capsys):
    def builder():
        print("loading …")
        return Net()

    build_given(Given(builder=builder))
    assert capsys.readouterr().out == ""


def test_building_moves_no_generator():
    before = torch.random.get_rng_state()
    first = build_given(Given(builder=Net)).model.state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    second = build_given(Given(builder=Net)).model.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_key_follows_weights_and_settings(dataset, tmp_path):
    torch.save(Net().state_dict(), tmp_path / "w.pth")
    weights = {"weights": tmp_path / "w.pth"}
    first = stage_of(dataset, Net, **weights).key
    assert stage_of(dataset, Net, **weights).key == first
    assert stage_of(dataset, Net, **weights, flip_test=True).key != first
    damaged = Net().state_dict()
    damaged["conv.weight"][0, 0, 0, 0] += 1e-3
    torch.save(damaged, tmp_path / "w.pth")
    assert stage_of(dataset, Net, **weights).key != first


def test_weights_that_the_builder_loads_itself_are_in_the_key(dataset, tmp_path):
    file = tmp_path / "own.pth"

    def builder():
        model = Net()
        model.load_state_dict(torch.load(file, weights_only=True))
        return model

    torch.save(Net().state_dict(), file)
    first = stage_of(dataset, builder).key
    torch.save({key: value + 1 for key, value in Net().state_dict().items()}, file)
    assert stage_of(dataset, builder).key != first


def test_the_weights_in_the_store_outlive_the_users_file(dataset, place, tmp_path):
    torch.save(Net().state_dict(), tmp_path / "w.pth")
    stage = stage_of(dataset, Net, weights=tmp_path / "w.pth")
    do_stage(stage, place)
    kept = stage.model(place).model.state_dict()
    with contextlib.suppress(FileNotFoundError):
        expected = torch.load(tmp_path / "w.pth", weights_only=True)
    assert all(torch.equal(kept[key], expected[key]) for key in expected)
