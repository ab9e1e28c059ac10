"""The classifier study: fits against scipy, accuracies against plain loops, resume, refusals."""

import csv
import io
import json
import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy.optimize import minimize

from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError
from benchbox.files.digests import digest_of
from benchbox.models.registry import build_model
from benchbox.runs.store import Store
from benchbox.studies import cell_work, classifier_options
from benchbox.studies import classifier as classifier_module
from benchbox.studies.accuracy import Logits, Pgd, correct
from benchbox.studies.cifar import load_cifar
from benchbox.studies.classifier import plan_cells, study_classifier
from benchbox.studies.classifier_options import StudyOptions
from benchbox.studies.heads import Head, encode, fit_head, head_of, with_head, zeros_like
from benchbox.studies.identities import hold_out_images
from benchbox.studies.paired import paired_difference
from benchbox.studies.plain_classifier import MadryAT, build_classifier
from benchbox.studies.results import KIND, Result, read_result
from benchbox.studies.shapes import SHAPES, render_shapes
from benchbox.training.recipe import Training
from benchbox.training.seeding import seeded
from tests.micro import make_micro_dataset

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def learned():
    """An evaluated classifier that tells 40 shapes apart: a random encoder, a fitted head."""
    data = render_shapes("train", each=4)
    model = build_classifier("small", seed=1)
    features = encode(model, data.images, batch_size=40, device=CPU)
    fit = fit_head(features, data.labels, head_of(model), weight_decay=1e-7)
    return with_head(model, fit.head), data


# --- The stand-in ---


def test_the_stand_in_is_the_same_everywhere_and_balanced() -> None:
    data = render_shapes("train", each=3)
    assert data.images.shape == (30, 3, 32, 32)
    assert data.images.dtype == torch.uint8
    assert np.bincount(data.labels.numpy()).tolist() == [3] * len(SHAPES)
    pixels = digest_of(data.images.flatten().tolist())
    assert pixels[:16] == "616c7be1ac9be325"
    again = render_shapes("train", each=3)
    assert torch.equal(again.images, data.images)
    more = render_shapes("train", each=4)
    assert torch.equal(more.images[:30], data.images)
    assert not torch.equal(render_shapes("train", each=3, seed=1).images, data.images)


def test_the_stand_ins_splits_share_no_image() -> None:
    train_set, test_set = (render_shapes(split, each=20) for split in ("train", "test"))
    seen = {image.numpy().tobytes() for image in train_set.images}
    assert len(seen) == len(train_set.images)
    assert seen.isdisjoint(image.numpy().tobytes() for image in test_set.images)
    # Nor are they near one another: every pair differs by more than an attack may change.
    apart = torch.cdist(
        train_set.images.flatten(1).float(), test_set.images.flatten(1).float(), p=math.inf
    )
    assert apart.min() > 16


# --- The head ---


def objective(parameters, features, labels, weight_decay, smoothing, classes):
    """The objective and its gradient in NumPy, from the formulas."""
    matrix = parameters.reshape(classes, -1)
    inputs = np.hstack([features, np.ones((len(features), 1))])
    logits = inputs @ matrix.T
    logits -= logits.max(1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target = np.full(log_p.shape, smoothing / classes)
    target[np.arange(len(labels)), labels] += 1 - smoothing
    value = -(target * log_p).sum(1).mean() + weight_decay / 2 * (matrix**2).sum()
    slope = (np.exp(log_p) - target).T @ inputs / len(features) + weight_decay * matrix
    return value, slope.ravel()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_fitted_head_is_the_convex_optimum_from_either_start(smoothing: float) -> None:
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(3).repeat(20)
    centres = torch.randn(3, 5, generator=generator)
    features = centres[labels] + torch.randn(60, 5, generator=generator)
    options = {"weight_decay": 1e-2, "smoothing": smoothing}
    warm = Head(torch.randn(3, 5, generator=generator) * 3, torch.randn(3, generator=generator))
    best = minimize(
        objective,
        np.zeros(18),
        args=(features.double().numpy(), labels.numpy(), 1e-2, smoothing, 3),
        jac=True,
        method="BFGS",
        options={"gtol": 1e-9},
    )
    matrix = best.x.reshape(3, 6)
    for start in (warm, zeros_like(warm)):
        fit = fit_head(features, labels, start, **options)
        assert fit.gradient < 1e-6
        assert fit.loss < fit.first_loss
        assert fit.loss == pytest.approx(best.fun, abs=1e-9)
        np.testing.assert_allclose(fit.head.weight, matrix[:, :5], atol=1e-5)
        np.testing.assert_allclose(fit.head.bias, matrix[:, 5], atol=1e-5)
    assert torch.equal(zeros_like(warm).weight, torch.zeros(3, 5))


def test_a_head_without_bias_stays_without() -> None:
    start = Head(torch.zeros(2, 3), None)
    fit = fit_head(torch.randn(8, 3), torch.arange(2).repeat(4), start, weight_decay=1e-2)
    assert fit.head.bias is None


@pytest.mark.parametrize("plain", [True, False])
def test_refitting_leaves_the_encoder_bit_for_bit(plain: bool) -> None:
    data = render_shapes("train", each=2)
    model = (
        build_classifier("small", seed=0)
        if plain
        else build_model("small", num_classes=10, image_size=(32, 32))
    )
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    features = encode(model, data.images, batch_size=7, device=CPU)
    assert model.training
    start = head_of(model)
    fit = fit_head(features, data.labels, start, weight_decay=1e-3)
    changed = with_head(model, fit.head)
    assert not changed.training
    for name, tensor in changed.state_dict().items():
        if not name.startswith("classifier."):
            assert torch.equal(tensor, before[name]), name
    assert not torch.equal(changed.classifier.weight, before["classifier.weight"])
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    # The features are what the classifier reads in evaluation mode.
    images = data.images.float() / 255
    with torch.no_grad():
        logits = changed.features(images).logits
        again = torch.nn.functional.linear(
            features, *[p.float() for p in (fit.head.weight, fit.head.bias) if p is not None]
        )
    torch.testing.assert_close(logits, again, rtol=1e-4, atol=1e-4)


# --- Accuracy ---


def test_accuracy_under_attack_is_a_plain_loops(learned) -> None:
    model, data = learned
    attack = Pgd(eps=4 / 255, steps=4, step_size=2 / 255)
    found = correct(model, data, attack, seed=5, batch_size=16, device=CPU)
    generator = seeded("classifier study", "start of PGD", 5)
    expected = []
    for pixels, label in zip(data.images, data.labels, strict=True):
        image = pixels.float() / 255
        noise = torch.empty_like(image).uniform_(-1, 1, generator=generator)
        point = (image + attack.eps * noise).clamp(0, 1)
        for _ in range(attack.steps):
            point = point.detach().requires_grad_()
            loss = -model.features(point[None]).logits.log_softmax(1)[0, label]
            (gradient,) = torch.autograd.grad(loss, point)
            point = point + attack.step_size * gradient.sign()
            point = torch.max(torch.min(point, image + attack.eps), image - attack.eps)
            point = point.clamp(0, 1)
        with torch.no_grad():
            expected.append(model.features(point[None]).logits.argmax().item() == label.item())
    # A sign of a gradient near zero may fall either way in another order of additions.
    assert (found != torch.tensor(expected)).sum() <= 1
    clean = correct(model, data, None, seed=5, batch_size=16, device=CPU)
    assert clean.float().mean() > 0.9
    assert found.sum() < clean.sum()


def test_an_attack_without_budget_changes_nothing(learned) -> None:
    model, data = learned
    clean = correct(model, data, None, seed=0, batch_size=9, device=CPU)
    nothing = Pgd(eps=0.0, steps=5, step_size=2 / 255)
    assert torch.equal(correct(model, data, nothing, seed=0, batch_size=9, device=CPU), clean)
    with torch.no_grad():
        logits = Logits(model)(data.images.float() / 255)
    assert torch.equal(logits.argmax(1) == data.labels, clean)


def test_random_starts_depend_neither_on_the_batch_nor_on_the_head(learned, monkeypatch) -> None:
    model, data = learned
    starts: dict[str, list] = {}

    def recording(name):
        def pgd(classify, images, labels, *, eps, steps, step_size, generator):
            from attacks.start import uniform_noise

            starts.setdefault(name, []).append(uniform_noise(images, range(len(images)), generator))
            return images

        return pgd

    for name, batch_size, head in (
        ("small batches", 7, head_of(model)),
        ("one batch", 40, zeros_like(head_of(model))),
    ):
        monkeypatch.setattr("benchbox.studies.accuracy.classifier_pgd", recording(name))
        changed = with_head(model, head)
        correct(changed, data, Pgd(), seed=1, batch_size=batch_size, device=CPU)
    first, second = (torch.cat(parts) for parts in starts.values())
    assert torch.equal(first, second)


@pytest.mark.parametrize("shift", [0.05, math.nan])
def test_an_attack_that_leaves_its_ball_is_refused(learned, monkeypatch, shift: float) -> None:
    model, data = learned
    monkeypatch.setattr(
        "benchbox.studies.accuracy.classifier_pgd",
        lambda _classify, images, _labels, **_: (images + shift).clamp(0, 1),
    )
    with pytest.raises(
        BenchboxError, match="attack PGD at eps 8/255: adversarial image 0 leaves its ball"
    ):
        correct(model, data, Pgd(), seed=0, batch_size=8, device=CPU)


# --- The paired interval ---


def test_the_interval_is_bonett_and_prices_formula() -> None:
    before = np.array([[1] * 60 + [0] * 40], dtype=bool)
    after = np.array([[1] * 50 + [0] * 10 + [1] * 3 + [0] * 37], dtype=bool)
    lost, gained, images = 10, 3, 100
    p12, p21 = (gained + 1) / (images + 2), (lost + 1) / (images + 2)
    reach = 1.959963984540054 * math.sqrt((p12 + p21 - (p12 - p21) ** 2) / (images + 2))
    found = paired_difference(before, after)
    assert found.value == pytest.approx(-0.07)
    assert found.low == pytest.approx(p12 - p21 - reach)
    assert found.high == pytest.approx(p12 - p21 + reach)


@given(
    st.integers(1, 3).flatmap(
        lambda seeds: st.lists(
            st.tuples(st.tuples(*[st.booleans()] * seeds), st.tuples(*[st.booleans()] * seeds)),
            min_size=1,
            max_size=30,
        )
    )
)
@settings(max_examples=50, deadline=None)
def test_the_interval_holds_the_difference_and_turns_with_it(pairs) -> None:
    before = np.array([pair[0] for pair in pairs]).T
    after = np.array([pair[1] for pair in pairs]).T
    there, back = paired_difference(before, after), paired_difference(after, before)
    assert there.value == pytest.approx(after.mean() - before.mean())
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert -1 <= there.low < there.high <= 1
    if abs(there.value) < 0.5:
        assert there.low <= there.value <= there.high
    assert paired_difference(before, before).is_clear is False


# --- Held-out images ---


@given(
    st.dictionaries(st.integers(1, 99), st.integers(1, 9), min_size=3, max_size=12),
    st.floats(0.05, 0.95),
)
@settings(max_examples=60, deadline=None)
def test_held_out_images_leave_every_identity_in_training(counts, share: float) -> None:
    records = [
        ImageRecord(Path("train") / f"{pid:04d}_c1s1_{frame:06d}_01.png", pid, 1)
        for pid, count in counts.items()
        for frame in range(count)
    ]
    if sum(count > 1 for count in counts.values()) < 2:
        with pytest.raises(BenchboxError, match="no image can be held out"):
            hold_out_images(records, share=share)
        return
    kept, held = hold_out_images(records, share=share)
    assert sorted([*kept, *held], key=str) == sorted(records, key=str)
    assert {record.pid for record in kept} == set(counts)
    for pid, count in counts.items():
        out = sum(record.pid == pid for record in held)
        assert out == min(max(1, round(share * count)), count - 1)
    backwards = hold_out_images(records[::-1], share=share)
    assert set(backwards[1]) == set(held)


# --- CIFAR-10 ---


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_foreign_pickle_is_never_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "exploded"
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(pickle.dumps(Bomb(mark)))
    for given_folder in (tmp_path, folder):
        with pytest.raises(
            BenchboxError, match="data_batch_1 is not CIFAR-10's published"
        ) as raised:
            load_cifar(given_folder)
        assert "\n" not in str(raised.value)
    assert not mark.exists()
    pickle.loads((folder / "test_batch").read_bytes())
    assert mark.exists()  # the pickle would have done it


def test_torchvision_checks_the_sums_before_it_unpickles(tmp_path: Path, monkeypatch) -> None:
    """Our own check aside, the library refuses the same files: what cifar.py says of it is so."""
    mark = tmp_path / "exploded"
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(pickle.dumps(Bomb(mark)))
    monkeypatch.setattr("benchbox.studies.cifar._require_published", lambda _root: None)
    with pytest.raises(BenchboxError, match="cannot be read"):
        load_cifar(tmp_path)
    assert not mark.exists()


def test_a_wrong_cifar_folder_is_one_clear_line(tmp_path: Path) -> None:
    options = StudyOptions(cifar=tmp_path / "nowhere", device="cpu")
    with pytest.raises(BenchboxError, match="data_batch_1 is missing") as raised:
        study_classifier(tmp_path / "out", options, Console(file=io.StringIO()))
    assert "\n" not in str(raised.value)
    assert "cifar-10-python.tar.gz" in str(raised.value)


def test_the_published_cifar_layout_is_read(tmp_path: Path, monkeypatch) -> None:
    """Two images a file in CIFAR-10's layout, their sums put in place of the published ones."""
    import hashlib

    from benchbox.studies.cifar import CIFAR10

    rng = np.random.default_rng(0)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    sums, rows = {}, {}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        rows[name] = rng.integers(0, 256, (2, 3072), dtype=np.uint8)
        content = pickle.dumps({"data": rows[name], "labels": [3, 9]})
        (folder / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    content = pickle.dumps({"label_names": list("abcdefghij")})
    (folder / "batches.meta").write_bytes(content)
    meta = {**CIFAR10.meta, "md5": hashlib.md5(content).hexdigest()}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    monkeypatch.setattr(
        CIFAR10, "train_list", [[f"data_batch_{i}", sums[f"data_batch_{i}"]] for i in range(1, 6)]
    )
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    train_set, test_set = load_cifar(tmp_path)
    assert train_set.images.shape == (10, 3, 32, 32)
    np.testing.assert_array_equal(train_set.images[3], rows["data_batch_2"][1].reshape(3, 32, 32))
    assert test_set.labels.tolist() == [3, 9]


# --- Models ---


def test_a_resnet_gets_the_cifar_stem() -> None:
    model = build_classifier("resnet18", seed=0)
    stem = model.trunk.conv1
    assert (stem.kernel_size, stem.stride, stem.padding) == ((3, 3), (1, 1), (1, 1))
    sizes = []
    hook = model.trunk.layer4.register_forward_hook(lambda *a: sizes.append(a[2].shape[-2:]))
    assert model.features(torch.rand(2, 3, 32, 32)).logits.shape == (2, 10)
    hook.remove()
    assert sizes == [(4, 4)]
    # As many parameters as the usual CIFAR ResNet-18 (Kuang Liu's, among others).
    assert sum(p.numel() for p in model.parameters()) == 11_173_962
    again = build_classifier("resnet18", seed=0)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True)
    )


@pytest.mark.parametrize("name", ["apnet", "vit_tiny_patch16_224", "resnet1", "resnet50d"])
def test_what_is_no_plain_resnet_is_refused(name: str) -> None:
    with pytest.raises(BenchboxError, match="expected small, or a timm ResNet"):
        build_classifier(name)


def test_madrys_loss_is_the_cross_entropy_of_the_attacked_batch() -> None:
    from benchbox.training.recipe import Batch

    data = render_shapes("train", each=1)
    model = build_classifier("small", seed=0)
    recipe = MadryAT(training=Training(label_smoothing=0.0), steps=2)

    def batch() -> Batch:
        images = data.images.float() / 255
        return Batch(images=images, labels=data.labels, generator=seeded("batch"))

    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    attacked = recipe.attacked(model, batch())
    losses = recipe.losses(model, batch())
    model.load_state_dict(state)
    logits = model.features(attacked).logits.double()
    expected = -logits.log_softmax(1)[torch.arange(10), data.labels].mean()
    assert list(losses) == ["cross_entropy"]
    assert losses["cross_entropy"].item() == pytest.approx(expected.item(), rel=1e-4)


# --- The whole study ---


@pytest.fixture(scope="module")
def micro(tmp_path_factory) -> Path:
    return make_micro_dataset(tmp_path_factory.mktemp("micro"), train=17, test=3)


@pytest.fixture
def short(micro: Path, monkeypatch) -> StudyOptions:
    """Options of a study that takes seconds."""
    made = classifier_options._short
    monkeypatch.setattr(
        classifier_options, "_short", lambda epochs, **rest: made(min(epochs, 2), **rest)
    )
    return StudyOptions(
        train_each=8,
        test_each=3,
        dataset=f"path:{micro}",
        image_size=(32, 16),
        pgd=Pgd(steps=3, step_size=3 / 255),
        device="cpu",
    )


def told(out: Path, options: StudyOptions) -> str:
    console = Console(file=io.StringIO(), width=200)
    table = study_classifier(out, options, console)
    assert len(table.rows) == 6
    return console.file.getvalue()


def test_a_study_writes_tables_and_provenance_and_does_nothing_twice(
    short: StudyOptions, tmp_path: Path, monkeypatch
) -> None:
    lines = told(tmp_path, short)
    assert "2 models, 0 of them in the folder already." in lines
    assert "Stand-in (10 shapes): 80 training and 30 test images" in lines
    record = json.loads((tmp_path / "study.json").read_text())
    assert {"versions", "git", "device", "started", "finished", "schema"} <= set(record)
    assert {len(m["images"]) for m in record["materials"].values() if "images" in m} == {64}
    rows = list(csv.DictReader((tmp_path / "tables" / "classifier_study.csv").open()))
    assert [row["Defense"] for row in rows[:2]] == ["AT", "AT → fine-tuned (only classifier)"]
    for cell in record["cells"]:
        assert cell["settings"]["pgd"] == {"eps": 8 / 255, "steps": 3, "step_size": 3 / 255}
        assert cell["fits"]["fine_tuned"]["gradient"] < 1e-5
    # The table's numbers, counted again from the record.
    for start, cell in zip((0, 3), record["cells"], strict=True):
        counts = list(cell["recognised"].values())
        heads = [cell["recognised"][name] for name in ("adversarial", "fine_tuned", "fresh")]
        assert len(counts) == 3
        for row, head in zip(rows[start : start + 3], heads, strict=True):
            assert row["Clean"] == f"{100 * head['clean'] / cell['test_images']:.2f}"
            assert row["PGD"] == f"{100 * head['pgd'] / cell['test_images']:.2f}"
    markdown = (tmp_path / "tables" / "classifier_study.md").read_text()
    assert "is not CIFAR-10" in markdown
    assert r"\begin{table*}" in (tmp_path / "tables" / "classifier_study.tex").read_text()
    # Again, and with a seed more: what is there is not trained again.
    calls: list[int] = []
    trained = cell_work.train

    def counting(*args, **kwargs):
        calls.append(kwargs["seed"])
        return trained(*args, **kwargs)

    monkeypatch.setattr(cell_work, "train", counting)
    assert "2 models, 2 of them" in told(tmp_path, short)
    assert calls == []
    told(tmp_path, replace(short, seeds=(0, 1)))
    assert calls == [1, 1, 1, 1]
    rows = list(csv.DictReader((tmp_path / "tables" / "classifier_study.csv").open()))
    assert "±" in rows[0]["Clean"]


def test_a_killed_study_ends_with_the_same_numbers(
    short: StudyOptions, tmp_path: Path, monkeypatch
) -> None:
    told(tmp_path / "whole", short)
    whole = json.loads((tmp_path / "whole" / "study.json").read_text())
    watched = classifier_module.watched
    for stop in (0.3, 0.55, 0.9):  # in clean training, in adversarial training, in measuring

        def dying(watch, cell, console, stop=stop):
            inner = watched(watch, cell, console)

            def report(share, text):
                inner(share, text)
                if share > stop:
                    raise KeyboardInterrupt

            return report

        with monkeypatch.context() as patch:
            patch.setattr(classifier_module, "watched", dying)
            with pytest.raises(KeyboardInterrupt):
                study_classifier(tmp_path / "killed", short, Console(file=io.StringIO()))
        assert not (tmp_path / "killed" / "study.json").exists()
    left = list((tmp_path / "killed" / "store" / "scratch").rglob("log.jsonl"))
    assert left, "the killed attempts left no checkpoint to go on from"
    told(tmp_path / "killed", short)
    killed = json.loads((tmp_path / "killed" / "study.json").read_text())
    assert killed["rows"] == whole["rows"]
    assert [c["fits"] for c in killed["cells"]] == [c["fits"] for c in whole["cells"]]


def test_other_settings_are_another_cell(short: StudyOptions) -> None:
    console = Console(file=io.StringIO())
    keys = {cell.key for cell in plan_cells(short, console)}
    for other in (
        replace(short, pgd=replace(short.pgd, steps=4)),
        replace(short, weight_decay=1e-3),
        replace(short, seeds=(1,)),
    ):
        assert keys.isdisjoint(cell.key for cell in plan_cells(other, console))
    same = replace(short, batch_size=7)
    assert {cell.key for cell in plan_cells(same, console)} == keys


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "not json",
        '{"adversarial": {"clean": "012", "pgd": "000"}}',
        None,
    ],
)
def test_a_foreign_result_is_refused(tmp_path: Path, content: str | None) -> None:
    folder = Store(tmp_path).folder(KIND, "k" * 64)
    folder.mkdir(parents=True)
    hits = {"clean": "0110", "pgd": "0100"}
    heads = dict.fromkeys(("adversarial", "fine_tuned", "fresh"), hits)
    (folder / "result.json").write_text(content or json.dumps(heads | {"fits": {}}))
    if content is None:
        result = read_result(Store(tmp_path), "k" * 64, images=4)
        assert isinstance(result, Result)
        assert result.hits("fresh", "clean").tolist() == [False, True, True, False]
    with pytest.raises(BenchboxError, match="no result of this study"):
        read_result(Store(tmp_path), "k" * 64, images=5)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epochs": -1}, "epochs"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"weight_decay": 0.0}, "weight_decay"),
        ({"weight_decay": math.nan}, "weight_decay"),
        ({"train_each": 0}, "train_each"),
    ],
)
def test_a_value_out_of_range_is_named(change, named: str) -> None:
    with pytest.raises(BenchboxError, match=named):
        StudyOptions(**change)
