"""Figures of what models see, embed and retrieve, against recomputations by hand."""

import math
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from benchbox.errors import BenchboxError
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.models.registry import build_model
from benchbox.models.reid import ReidModel
from benchbox.reports.figures.drawing import save_figure
from benchbox.reports.figures.embedding_map import (
    COLOURS,
    MARKERS,
    embedding_map,
    embedding_map_caption,
)
from benchbox.reports.figures.generated import GENERATED, ORIGINAL, generated_samples
from benchbox.reports.figures.grad_cam import heat, last_feature_map
from benchbox.reports.figures.heatmaps import Person, heatmaps, overlay
from benchbox.reports.figures.projection import pick_pids, project
from benchbox.reports.figures.retrieval_strips import (
    CORRECT,
    WRONG,
    Strip,
    perturbation,
    retrieval_strips,
)
from benchbox.reports.figures.retrieve import Hit, retrieve

HOSTILE = r"_$\frac{1}{$ <b>&{}%"
SMALL = (64, 32)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made_model(name: str = "small", size: tuple[int, int] = SMALL, *, seed: int = 0) -> ReidModel:
    """An untrained model whose batch norms have statistics to speak of."""
    model = build_model(name, num_classes=3, image_size=size, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.momentum = 1
    with torch.no_grad():
        model.train()
        model(torch.rand(4, 3, *size, generator=generator))
    return model.eval()


def made_images(count: int, size: tuple[int, int] = SMALL, *, seed: int = 0) -> Tensor:
    """Smooth images, so that places differ."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size, mode="bilinear").clamp(0, 1)


def by_hand(maps: Tensor, rest: Callable[[Tensor], Tensor], target: Tensor, size: Any) -> Tensor:
    """Grad-CAM from its equation: maps (1, C, h, w), and what makes an embedding of them."""
    maps = maps.detach().requires_grad_()
    similarity = F.cosine_similarity(rest(maps), target[None]).sum()
    (gradient,) = torch.autograd.grad(similarity, maps)
    weights = gradient.mean((2, 3), keepdim=True)
    cam = (weights * maps).sum(1, keepdim=True).relu().detach()
    cam = (cam - cam.min()) / (cam.max() - cam.min())
    cam = F.interpolate(cam, size, mode="bilinear", align_corners=False)[0, 0]
    return (cam - cam.min()) / (cam.max() - cam.min())


@pytest.mark.parametrize(
    ("size", "stages"), [((256, 128), 4), ((64, 32), 2)], ids=["last stage", "8 x 4 places"]
)
def test_heat_equals_grad_cam_by_hand(size: tuple[int, int], stages: int) -> None:
    model = made_model(size=size)
    trunk: Any = model.trunk
    image, other = made_images(2, size)
    with torch.no_grad():
        target = model(other[None])[0]
        maps = (image[None] - model.mean) / model.std
        for name in (
            "conv1",
            "bn1",
            "act1",
            "maxpool",
            *[f"layer{n}" for n in range(1, stages + 1)],
        ):
            maps = getattr(trunk, name)(maps)

    def rest(maps: Tensor) -> Tensor:
        for stage in range(stages + 1, 5):
            maps = getattr(trunk, f"layer{stage}")(maps)
        return model.neck(maps.mean((2, 3)))

    expected = by_hand(maps, rest, target, size).numpy()
    found = heat(model, image, 3 * target)
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_heat_of_apnet_is_of_its_last_pyramid() -> None:
    model = build_model("apnet", num_classes=2, image_size=(128, 64)).eval()
    trunk: Any = model.trunk
    assert last_feature_map(model, torch.rand(1, 3, 128, 64)) == (trunk.pyramids[-1], None)
    assert last_feature_map(model, torch.rand(1, 3, 64, 32)) == (trunk.pyramids[2], None)


def test_heat_of_a_vision_transformer_lays_its_tokens_out() -> None:
    size = (128, 64)
    model = made_model("test_vit", size)
    trunk: Any = model.trunk
    image, other = made_images(2, size)
    with torch.no_grad():
        target = model(other[None])[0]
    kept: list[Tensor] = []
    handle = trunk.blocks[-1].norm1.register_forward_hook(lambda _m, _i, out: kept.append(out))
    similarity = model(image[None])[0] @ target
    handle.remove()
    (gradient,) = torch.autograd.grad(similarity, kept[0])
    cam = torch.zeros(8, 4)
    weights = gradient[0, 1:].mean(0)  # without the class token
    for place in range(32):
        cam[place // 4, place % 4] = (kept[0][0, 1 + place] @ weights).relu().detach()
    cam = F.interpolate(cam[None, None], size, mode="bilinear")[0, 0]
    expected = ((cam - cam.min()) / (cam.max() - cam.min())).numpy()
    np.testing.assert_allclose(heat(model, image, target), expected, atol=2e-3)


def test_heat_leaves_the_model_as_it_was() -> None:
    model = made_model().train().requires_grad_(requires_grad=False)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    image, other = made_images(2)
    with torch.inference_mode():
        first = heat(model, image, model.eval()(other[None])[0])
        model.train()
        heat(model, image, torch.ones(96))
    assert first.shape == SMALL
    assert 0 <= first.min() < first.max() <= 1
    assert all(module.training for module in model.modules())
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())
    assert all(p.grad is not None and bool((p.grad == 1).all()) for p in model.parameters())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())


def test_heat_refuses_the_images_own_embedding() -> None:
    model = made_model()
    (image,) = made_images(1)
    with torch.no_grad():
        own = model(image[None])[0]
    with pytest.raises(BenchboxError, match="no gradient"):
        heat(model, image, own)
    with pytest.raises(BenchboxError, match="not finite"):
        heat(model, image, own * torch.nan)
    with pytest.raises(BenchboxError, match=r"expected one embedding of this model, \(96,\)"):
        heat(model, image, own[:5])


class Tokens(nn.Module):
    """A transformer's skeleton: a stem of patches, then tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.mix = nn.Linear(8, 8)

    def forward(self, images: Tensor) -> Tensor:
        mixed: Tensor = self.mix(self.stem(images).flatten(2).transpose(1, 2))
        return mixed.mean(1)


@pytest.mark.parametrize("kind", ["tokens", "channels last", "too small"])
def test_trunks_without_a_map_are_refused_by_name(kind: str) -> None:
    size = (32, 16) if kind == "too small" else SMALL
    if kind == "tokens":
        model = ReidModel(Tokens(), embedding_dim=8, num_classes=2)
    else:
        model = build_model("test_mambaout" if kind == "channels last" else "small", num_classes=2)
    name = type(model.trunk).__name__
    with pytest.raises(BenchboxError, match=f"backbone {name}: it has no feature map"):
        last_feature_map(model.eval(), torch.rand(1, 3, *((8, 4) if kind == "too small" else size)))


def test_heatmaps_show_every_model_on_every_person(tmp_path: Path) -> None:
    models = {HOSTILE: made_model(), "A very long title of a defense, with all": made_model(seed=1)}
    clean, others = made_images(2), made_images(2, seed=1)
    people = [
        Person(HOSTILE, image, {title: (image + 0.02).clamp(0, 1) for title in models})
        for image in clean
    ]
    with torch.no_grad():
        targets = {title: model(others) for title, model in models.items()}
    figure = heatmaps(models, people, targets)
    assert len(figure.axes) == 2 * (1 + 2 * 2) + 1
    titles = [axes.get_title() for axes in figure.axes[:5]]
    assert titles == ["image", "clean", "attacked", "clean", "attacked"]
    np.testing.assert_allclose(pixels_of(figure.axes[0]), clean[0].permute(1, 2, 0).numpy())
    attacked = people[1].adversarial[HOSTILE]
    expected = overlay(attacked, heat(models[HOSTILE], attacked, targets[HOSTILE][1]))
    np.testing.assert_allclose(pixels_of(figure.axes[5 + 2]), expected, atol=1e-6)
    assert_prints(figure, tmp_path)


def test_heatmaps_need_all_that_they_show() -> None:
    models = {"a": made_model()}
    (image,) = made_images(1)
    person = Person("P1", image, {"a": image})
    with pytest.raises(BenchboxError, match="at least one model"):
        heatmaps({}, [person], {})
    with pytest.raises(BenchboxError, match=r"targets\['a'\]: expected 1 embeddings"):
        heatmaps(models, [person], {"a": []})
    with pytest.raises(BenchboxError, match="'P2' has no adversarial image of 'a'"):
        heatmaps(models, [Person("P2", image, {})], {"a": [torch.ones(96)]})
    with pytest.raises(BenchboxError, match="differ in size"):
        heatmaps(models, [Person("P", image, {"a": image[:, 1:]})], {"a": [torch.ones(96)]})


def test_an_overlay_colours_the_hot_places_only() -> None:
    grey = torch.full((3, 2, 1), 0.5)
    cold, hot = overlay(grey, np.array([[0.0], [1.0]], dtype=np.float32))[:, 0]
    assert np.ptp(cold) < 0.01
    assert np.ptp(hot) > 0.1


def test_pick_pids_takes_the_most_frequent_then_the_smallest() -> None:
    pids = np.random.default_rng(0).integers(1, 30, 200)
    counts = Counter(pids.tolist())
    expected = sorted(counts, key=lambda pid: (-counts[pid], pid))
    assert pick_pids(pids) == expected[:10]
    assert pick_pids(torch.from_numpy(pids), identities=4) == expected[:4]
    assert pick_pids([7, 7, 3]) == [7, 3]


@pytest.mark.slow
def test_projection_keeps_identities_together_and_is_deterministic(
    capfd: pytest.CaptureFixture[str],
) -> None:
    generator = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(4, 16, generator=generator))
    pids = torch.arange(4).repeat_interleave(10)

    def noisy(centres: Tensor) -> Tensor:
        return F.normalize(centres + 0.02 * torch.randn(40, 16, generator=generator))

    apart = (noisy(centres[pids]), noisy(centres[pids]))
    collapsed = (apart[0], apart[1][:1].expand(40, -1))
    embeddings = {"apart": apart, "collapsed": collapsed}
    before = np.random.get_state()[1].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)
        points = project(embeddings, pids)
        few = project({"few": (apart[0][::14], apart[1][::14])}, pids[::14])
    assert capfd.readouterr() == ("", "")
    assert (np.random.get_state()[1] == before).all()
    assert list(points.columns) == ["model", "pid", "state", "x", "y"]
    assert np.isfinite(points[["x", "y"]]).all(axis=None)
    assert np.isfinite(few[["x", "y"]]).all(axis=None)
    assert Counter(zip(points["model"], points["state"], strict=True)) == dict.fromkeys(
        [(model, state) for model in embeddings for state in ("clean", "adversarial")], 40
    )
    shown = points[points["model"] == "apart"]
    places = shown[["x", "y"]].to_numpy()
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (shown["pid"].to_numpy()[distances.argmin(1)] == shown["pid"].to_numpy()).all()
    for state, name in enumerate(("clean", "adversarial")):
        assert shown[shown["state"] == name]["pid"].tolist() == pids.tolist(), state
    pd.testing.assert_frame_equal(project(embeddings, pids), points)
    assert not np.allclose(project({"apart": apart}, pids, seed=1)[["x", "y"]], places)


def test_projection_refuses_what_does_not_fit() -> None:
    features = torch.rand(4, 8)
    with pytest.raises(BenchboxError, match="needs 3 queries or more"):
        project({"a": (features[:2], features[:2])}, [1, 2])
    with pytest.raises(BenchboxError, match="adversarial embeddings of a: NaN"):
        project({"a": (features, features * torch.nan)}, [1, 1, 2, 2])
    with pytest.raises(BenchboxError, match="for each of the 4 pids"):
        project({"a": (features, features[:3])}, [1, 1, 2, 2])


def made_points(models: list[str], pids: list[int], *, each: int = 3) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = [
        (model, pid, state, *generator.normal(size=2))
        for model in models
        for state in ("clean", "adversarial")
        for pid in pids
        for _ in range(each)
    ]
    return pd.DataFrame(rows, columns=["model", "pid", "state", "x", "y"])


def test_embedding_map_tells_identities_and_states_apart(tmp_path: Path) -> None:
    models = ["Origin", HOSTILE, "c", "d", "e"]
    points = made_points(models, list(range(10, 20)))
    figure = embedding_map(points)
    panels = [axes for axes in figure.axes if axes.axison]
    assert len(panels) == 5
    assert panels[0].get_title(loc="left") == "Origin"
    shown = points[points["model"] == HOSTILE]
    for place, pid in enumerate(range(10, 20)):
        clean, attacked = panels[1].collections[2 * place : 2 * place + 2]
        for drawn, state in ((clean, "clean"), (attacked, "adversarial")):
            mine = shown[(shown["pid"] == pid) & (shown["state"] == state)]
            np.testing.assert_allclose(drawn.get_offsets(), mine[["x", "y"]])
            assert to_hex(drawn.get_edgecolor()[0]).upper() == COLOURS[place]
        assert len(clean.get_facecolor()) == 1
        assert len(attacked.get_facecolor()) == 0
    assert len(set(COLOURS)) == len(set(MARKERS)) == 10
    assert panels[0].get_xlabel() == "UMAP 1"
    assert not len(panels[0].get_xticks())
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["clean query", "attacked query"]
    assert "not to scale" in embedding_map_caption(points)
    assert embedding_map_caption(points).startswith("30 queries of the 10 identities")
    assert_prints(figure, tmp_path)


def test_embedding_map_refuses_too_many_identities() -> None:
    with pytest.raises(BenchboxError, match="1 to 10 identities, got 11"):
        embedding_map(made_points(["a"], list(range(11))))
    with pytest.raises(BenchboxError, match="got 0"):
        embedding_map(made_points([], []))


def test_retrieve_orders_as_a_sort_by_hand_with_ties() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        gallery = generator.integers(0, 3, (40, 3))
        query = generator.integers(0, 3, 3)
        pids = generator.choice([-1, 0, 1, 2], 40)
        camids = generator.integers(1, 4, 40)
        hits = retrieve(
            torch.from_numpy(query).float(),
            torch.from_numpy(gallery).float(),
            pid=1,
            camid=2,
            gallery_pids=pids,
            gallery_camids=camids,
            k=12,
        )
        kept = [
            (sum((int(a) - int(b)) ** 2 for a, b in zip(query, row, strict=True)), place)
            for place, row in enumerate(gallery)
            if pids[place] != -1 and not (pids[place] == 1 and camids[place] == 2)
        ]
        expected = sorted(kept)[:12]
        assert [hit.index for hit in hits] == [place for _, place in expected]
        assert [hit.correct for hit in hits] == [pids[place] == 1 for _, place in expected]
        for hit, (square, _) in zip(hits, expected, strict=True):
            assert hit.distance == pytest.approx(math.sqrt(square))


def test_retrieve_agrees_with_the_evaluator() -> None:
    generator = torch.Generator().manual_seed(0)
    query = F.normalize(torch.randn(12, 8, generator=generator))
    gallery = F.normalize(torch.randn(60, 8, generator=generator))
    gallery[30:40] = gallery[0]  # a gallery collapsed in part: ties
    query_pids, gallery_pids = torch.arange(12) % 4, torch.arange(60) % 6 - 1
    query_camids, gallery_camids = torch.arange(12) % 3, torch.arange(60) % 5
    score = evaluate_retrieval(
        query, gallery, query_pids, gallery_pids, query_camids, gallery_camids, ap="step"
    )
    for row in range(12):
        hits = retrieve(
            query[row],
            gallery,
            pid=int(query_pids[row]),
            camid=int(query_camids[row]),
            gallery_pids=gallery_pids,
            gallery_camids=gallery_camids,
            k=60,
        )
        ranks = [rank for rank, hit in enumerate(hits, start=1) if hit.correct]
        assert score.first_hit[row] == ranks[0]
        precision = sum(Fraction(place, rank) for place, rank in enumerate(ranks, start=1))
        assert score.ap[row] == pytest.approx(float(precision / len(ranks)))
    with pytest.raises(BenchboxError, match="both must come from the same model"):
        retrieve(query[0, :5], gallery, pid=1, camid=1, gallery_pids=[1], gallery_camids=[1])


def made_strip(title: str = "DDD", *, eps: float = 8 / 255) -> Strip:
    clean, *gallery = made_images(5)
    sign = torch.rand(clean.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    clean = clean.clamp(0.2, 0.8)
    adversarial = torch.where(sign, clean - eps, clean + eps)
    adversarial[:, 0, 0] = clean[:, 0, 0]
    hits = [Hit(n, n % 2 == 0, 0.5 + n / 10) for n in range(4)]
    shown = list(zip(hits, gallery, strict=True))
    return Strip(title, clean, adversarial, eps, shown, shown[1:])


def test_strips_frame_hits_and_amplify_the_perturbation(tmp_path: Path) -> None:
    strips = [made_strip(HOSTILE), made_strip()]
    figure = retrieval_strips(strips)
    assert len(figure.axes) == 2 * (3 + 4 + 3)
    labels = [axes.get_xlabel() for axes in figure.axes[:10]]
    assert labels[:3] == ["clean query", "attacked", ""]
    assert labels[3:7] == ["✓ 0.50", "✗ 0.60", "✓ 0.70", "✗ 0.80"]
    assert labels[7:] == ["✗ 0.60", "✓ 0.70", "✗ 0.80"]
    for axes in figure.axes[3:10]:
        frame = {to_hex(spine.get_edgecolor()).upper() for spine in axes.spines.values()}
        assert frame == {CORRECT if "✓" in axes.get_xlabel() else WRONG}
        assert axes.spines["left"].get_visible()
    difference = figure.axes[2]
    assert difference.get_title() == "perturbation\n×16"
    strip = strips[0]
    for place in ((0, 0), (5, 7), (63, 31)):
        for channel in range(3):
            moved = float(strip.adversarial[channel][place] - strip.clean[channel][place])
            expected = 0.5 + moved / (2 * 8 / 255)
            assert pixels_of(difference)[place][channel] == pytest.approx(expected, abs=1e-5)
    assert {0.0, 0.5, 1.0} == set(pixels_of(difference).round(4).ravel().tolist())
    np.testing.assert_allclose(pixels_of(figure.axes[1]), strip.adversarial.permute(1, 2, 0))
    assert_prints(figure, tmp_path)


def test_a_perturbation_beyond_its_budget_is_refused() -> None:
    strip = made_strip()
    small = Strip("small", strip.clean, strip.adversarial, 2 / 255, [], [])
    with pytest.raises(BenchboxError, match=r"8\.00/255 at eps 2\.00/255"):
        perturbation(small)
    for eps in (0.0, -1.0, float("nan")):
        with pytest.raises(BenchboxError, match=r"an eps in \(0, 1\]"):
            perturbation(Strip("none", strip.clean, strip.clean, eps, [], []))
    assert perturbation(made_strip(eps=64 / 255))[1] == "×2.0"
    with pytest.raises(BenchboxError, match="at least one query"):
        retrieval_strips([])


def test_generated_samples_show_originals_and_generated(tmp_path: Path) -> None:
    train = tmp_path / "set" / "bounding_box_train"
    train.mkdir(parents=True)
    for pid in (2, 5, 9):
        for name in (f"{pid:04}_c1s1_000001_00.png", f"{pid:04}_c2s1_000002_00.png"):
            Image.new("RGB", (32, 64), "#123456").save(train / name)
    with pytest.raises(BenchboxError, match="no generated images"):
        generated_samples(tmp_path / "set", tmp_path / "sheet.png")
    for pid in (2, 9):
        Image.new("RGB", (32, 64), "#654321").save(train / f"{pid:04}_c2s99_000001_00.png")
    path = generated_samples(tmp_path / "set", tmp_path / "sheet.png")
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    for frame, inside, images in ((ORIGINAL, "#123456", 4), (GENERATED, "#654321", 2)):
        area = (pixels == np.array(rgb(inside))).all(2).sum()
        assert area == images * 96 * 192
        framed = (pixels == np.array(rgb(frame.colour))).all(2).sum()
        assert framed > images * 2 * 3 * (96 + 192)


@pytest.mark.parametrize(
    ("library", "package", "draw"),
    [
        (
            "pytorch_grad_cam",
            "grad-cam",
            lambda: heat(made_model(), made_images(1)[0], torch.ones(96)),
        ),
        (
            "umap",
            "umap-learn",
            lambda: project({"a": (torch.rand(4, 8), torch.rand(4, 8))}, [1, 1, 2, 2]),
        ),
    ],
)
def test_a_missing_library_is_named(
    library: str, package: str, draw: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(BenchboxError) as raised:
        draw()
    assert str(raised.value).endswith(f"pip install {package}.")
    assert "\n" not in str(raised.value)


def rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:], 16)


def pixels_of(axes: Axes) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


def assert_prints(figure: Figure, folder: Path) -> None:
    """Saved without a warning, no wider than a page, and every text legible and on the page."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = save_figure(figure, folder / "figure.png")
    assert all(path.stat().st_size > 1000 for path in written)
    assert figure.get_figwidth() <= 7.3
    texts = [*figure.texts, *(axes.title for axes in figure.axes)]
    texts += [label for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label)]
    page = figure.bbox
    for text in (text for text in texts if text.get_text()):
        assert text.get_fontsize() >= 7
        box = text.get_window_extent()
        margins = (box.x0 - page.x0, page.x1 - box.x1, box.y0 - page.y0, page.y1 - box.y1)
        assert min(margins) > -0.5, text.get_text()
