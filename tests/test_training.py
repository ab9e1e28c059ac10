"""The training loop against peers and formulas, and resuming against not having stopped."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from torch import Tensor, nn

from benchbox.errors import BenchboxError
from benchbox.models.reid import Features
from benchbox.training.augmentation import Augmentation, augment
from benchbox.training.loop import train
from benchbox.training.losses import identity_loss, triplet_loss
from benchbox.training.recipe import Training
from benchbox.training.sampling import identity_batches
from benchbox.training.schedule import rate_factor
from benchbox.training.seeding import seeded
from benchbox.training.training_set import TrainingSet
from defenses import (
    ATPGD,
    AdversarialMetricDefense,
    AdvTrain,
    DualInvariantDefense,
    DynamicAttack,
    MetricAT,
    Vanilla,
)
from defenses.amd import Examples


class TinyModel(nn.Module):
    """The interface of ReidModel on a network that trains in milliseconds, with batch norm."""

    def __init__(self, classes: int = 6) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.trunk = nn.Sequential(
                nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2)
            )
            self.neck = nn.BatchNorm1d(32)
            self.classifier = nn.Linear(32, classes, bias=False)

    def features(self, images: Tensor) -> Features:
        pooled = self.trunk(images).flatten(1).to(self.neck.weight.dtype)
        necked = self.neck(pooled)
        return Features(
            pooled=pooled,
            embedding=nn.functional.normalize(necked),
            logits=self.classifier(necked),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.features(images).embedding


class Recorded(TinyModel):
    """Keeps what goes through it in training; an attack's frozen copies are evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[Tensor] = []

    def features(self, images: Tensor) -> Features:
        if self.training:
            self.inputs.append(images.detach())
        return super().features(images)


def made_data() -> TrainingSet:
    """Return six identities of one colour each, with noise; eight images each, and examples."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(6).repeat_interleave(8)
    colours = torch.randint(40, 216, (6, 3, 1, 1), generator=generator)
    noise = torch.randint(-30, 30, (48, 3, 16, 8), generator=generator)
    images = (colours[labels] + noise).clamp(0, 255)
    perturbed = images + torch.randint(-5, 6, images.shape, generator=generator)
    return TrainingSet(
        images.to(torch.uint8), labels, examples=perturbed.clamp(0, 255).to(torch.uint8)
    )


@pytest.fixture
def data() -> TrainingSet:
    return made_data()


SHORT = Training(
    epochs=4,
    batch_identities=3,
    batch_images=4,
    lr=1e-2,
    schedule="one_cycle",
    augmentation=Augmentation(pad=2, jitter=0.1, erasing=0.5),
)


def test_identity_loss_is_the_smoothed_cross_entropy_formula() -> None:
    logits, labels = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 3, 1, 1, 2])
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        log_z = math.log(sum(math.exp(v) for v in row))
        mass = [0.1 / 4 + (0.9 if i == label else 0) for i in range(4)]
        total += sum(q * (log_z - v) for q, v in zip(mass, row, strict=True))
    assert identity_loss(logits, labels).item() == pytest.approx(total / 5)


@pytest.mark.parametrize("margin", [0.0, 0.3, 1.0])
def test_triplet_loss_equals_a_peer_library(margin: float) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        features = torch.randn(24, 7, generator=generator, dtype=torch.float64)
        labels = torch.arange(6).repeat(4)
        peer = TripletMarginLoss(margin=margin, distance=_plain_distance(), reducer=_mean_of_all())
        expected = peer(
            features, labels, BatchHardMiner(distance=_plain_distance())(features, labels)
        )
        assert triplet_loss(features, labels, margin=margin).item() == pytest.approx(
            expected.item(), abs=1e-9
        )


def _plain_distance():
    from pytorch_metric_learning.distances import LpDistance

    return LpDistance(normalize_embeddings=False)


def _mean_of_all():
    from pytorch_metric_learning.reducers import MeanReducer

    return MeanReducer()


def test_triplet_loss_of_collapsed_features_has_a_finite_gradient() -> None:
    features = torch.ones(8, 4, requires_grad=True)
    loss = triplet_loss(features, torch.arange(4).repeat(2))
    loss.backward()
    assert loss.item() == pytest.approx(0.3)
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_triplet_loss_without_negatives_is_zero_and_not_nan() -> None:
    assert triplet_loss(torch.randn(4, 3), torch.zeros(4, dtype=torch.long)).item() == 0


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 13), min_size=4, max_size=9),
    images=st.integers(2, 4),
    seed=st.integers(0, 2**31),
)
def test_batches_are_identity_balanced(counts: list[int], images: int, seed: int) -> None:
    labels = torch.cat([torch.full((n,), i) for i, n in enumerate(counts)])
    generator = torch.Generator().manual_seed(seed)
    batches = identity_batches(labels, identities=4, images=images, generator=generator)
    assert batches
    used = torch.cat(batches)
    for batch in batches:
        values, per_identity = labels[batch].unique(return_counts=True)
        assert len(values) == 4
        assert (per_identity == images).all()
    for label, n in enumerate(counts):
        drawn = used[labels[used] == label]
        if n >= images:
            assert len(drawn.unique()) == len(drawn), "an image was drawn twice in one epoch"


def test_every_identity_has_its_turn_over_the_epochs(data: TrainingSet) -> None:
    seen: set[int] = set()
    for epoch in range(3):
        for batch in identity_batches(
            data.labels, identities=3, images=4, generator=seeded(0, epoch)
        ):
            seen |= set(batch.tolist())
    assert seen == set(range(48))


def test_too_few_identities_is_one_clear_error() -> None:
    with pytest.raises(BenchboxError, match=r"has 2 identities.*batch_identities = 16"):
        identity_batches(
            torch.tensor([0, 0, 1]), identities=16, images=4, generator=torch.Generator()
        )


def test_one_cycle_equals_torch() -> None:
    training = replace(SHORT, epochs=5)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    # torch counts its phases in steps between the ends, hence one step more than we take.
    peer = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=1001, pct_start=201 / 1001, cycle_momentum=False
    )
    for step in range(1000):
        expected = peer.get_last_lr()[0]
        assert rate_factor(training, 5 * step / 1000) == pytest.approx(expected, abs=2e-3)
        optimizer.step()
        peer.step()


def test_step_schedule_warms_up_and_decays() -> None:
    training = Training(warmup_epochs=10, milestones=(40, 70))
    factors = [rate_factor(training, epoch) for epoch in (0, 5, 10, 39.9, 40, 69.9, 70, 119)]
    assert factors == pytest.approx([0.1, 0.55, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_augmentation_is_drawn_per_image_and_does_what_it_says() -> None:
    images = torch.randint(0, 256, (40, 3, 12, 6), dtype=torch.uint8)
    nothing = augment(images, Augmentation(flip=0, pad=0, erasing=0), torch.Generator())
    assert torch.equal(nothing, images.float() / 255)
    flipped = augment(images, Augmentation(flip=1, pad=0, erasing=0), torch.Generator())
    assert torch.equal(flipped, images.flip(-1).float() / 255)
    some = augment(images, Augmentation(flip=0.5, pad=0, erasing=0), torch.Generator())
    is_flipped = (some == flipped).flatten(1).all(1)
    is_same = (some == nothing).flatten(1).all(1)
    assert (is_flipped | is_same).all()
    assert 5 < int(is_flipped.sum()) < 35


def test_crops_are_windows_of_the_padded_image() -> None:
    images = torch.randint(1, 256, (30, 3, 8, 5), dtype=torch.uint8)
    cropped = (
        augment(images, Augmentation(flip=0, pad=2, erasing=0), torch.Generator()) * 255
    ).round()
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
    offsets = set()
    for image, crop in zip(padded, cropped.numpy(), strict=True):
        hits = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if np.array_equal(image[:, y : y + 8, x : x + 5], crop)
        ]
        assert len(hits) == 1
        offsets.add(hits[0])
    assert len(offsets) > 8, "all images were cropped alike"


def test_erasing_fills_one_rectangle_of_sensible_size() -> None:
    images = torch.zeros(300, 3, 64, 32, dtype=torch.uint8)
    erased = augment(images, Augmentation(flip=0, pad=0, erasing=1.0), torch.Generator())
    shares = []
    for hole in erased[:, 0] > 0:
        rows, columns = hole.any(1).nonzero().squeeze(1), hole.any(0).nonzero().squeeze(1)
        box = hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert box.all()
        shares.append(hole.float().mean().item())
    assert 0.01 < min(shares) < 0.05
    assert 0.2 < max(shares) <= 0.45
    kept = augment(images, Augmentation(flip=0, pad=0, erasing=0.5), torch.Generator())
    assert 100 < int((kept > 0).flatten(1).any(1).sum()) < 200


SHORT_ATTACK = {"eps": 8 / 255, "steps": 2, "step_size": 4 / 255}
TRAINED = {
    "vanilla": Vanilla(training=SHORT),
    "adv_train": AdvTrain(training=SHORT, **SHORT_ATTACK),
    "at_pgd": ATPGD(training=SHORT, **SHORT_ATTACK),
    "metric_at": MetricAT(training=SHORT, **SHORT_ATTACK),
    "amd": AdversarialMetricDefense(training=SHORT, examples=Examples(steps=2)),
    "das": DynamicAttack(training=SHORT, steps=2),
    "ddd": DualInvariantDefense(
        training=SHORT, modules=("adversarial", "meta", "fnes"), **SHORT_ATTACK
    ),
}
"""Every trained recipe, short; DDD without the module that needs a preparation."""

CPU = torch.device("cpu")


class Killed(Exception):
    pass


def assert_same_weights(ours: nn.Module, theirs: nn.Module) -> None:
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


def without_seconds(log: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in log]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", TRAINED)
def test_a_killed_training_resumes_to_the_same_weights(name, precision, data, tmp_path) -> None:
    recipe = replace(TRAINED[name], training=replace(SHORT, precision=precision))
    whole = TinyModel()
    history = train(recipe, whole, data, seed=3, folder=tmp_path / "whole", device=CPU)
    for stop in (0.3, 0.6):

        def kill(share: float, _text: str, stop: float = stop) -> None:
            if share > stop:
                raise Killed

        with pytest.raises(Killed):
            train(
                recipe,
                TinyModel(),
                data,
                seed=3,
                folder=tmp_path / "cut",
                device=CPU,
                progress=kill,
            )
    resumed = TinyModel()
    log = train(recipe, resumed, data, seed=3, folder=tmp_path / "cut", device=CPU)
    assert_same_weights(whole, resumed)
    assert without_seconds(log) == without_seconds(history)
    lines = (tmp_path / "cut" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == log
    saved = [
        torch.load(tmp_path / run / "checkpoint.pt", weights_only=True) for run in ("whole", "cut")
    ]
    _assert_same(saved[0].get("companion"), saved[1].get("companion"))
    assert ("companion" in saved[0]) == (name in {"das", "ddd"})


def _assert_same(ours: object, theirs: object) -> None:
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            _assert_same(ours[key], theirs[key])
    elif isinstance(ours, Tensor):
        assert torch.equal(ours, theirs)
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", TRAINED)
def test_the_log_says_each_epoch_how_well_identities_are_told_apart(name, data, tmp_path) -> None:
    train(TRAINED[name], TinyModel(), data, seed=0, folder=tmp_path, device=CPU)
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in entries] == [1, 2, 3, 4]
    for entry in entries:
        assert 0 <= entry["clean_rank1"] <= 1
        assert ("robust_rank1" in entry) == (name != "vanilla")
        assert 0 <= entry.get("robust_rank1", 0) <= 1
        assert all(math.isfinite(value) for value in entry.values())
    # Six colours are easy: a log that always said the same would not pass for learning.
    assert entries[-1]["clean_rank1"] > 0.5
    assert ("budget_mean" in entries[0]) == (name == "das")


_TRAIN_BOTH = """
import sys
from pathlib import Path
import torch
from benchbox.training.loop import train
from tests.test_training import CPU, TRAINED, TinyModel, made_data

for name in ("ddd", "das"):
    model, folder = TinyModel(), Path(sys.argv[1]) / name
    progress = lambda share, _text: print(name, share, flush=True)
    train(TRAINED[name], model, made_data(), seed=3, folder=folder, device=CPU, progress=progress)
    torch.save(model.state_dict(), folder / "finished.pt")
"""


def train_both_until(name: str, share: float, folder: Path) -> tuple[str, float]:
    """Train DDD, then DAS, in a process that is killed at a point; return where it began."""
    process = subprocess.Popen(
        [sys.executable, "-c", _TRAIN_BOTH, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    told = []
    for line in process.stdout:
        told.append((line.split()[0], float(line.split()[1])))
        if told[-1][0] == name and told[-1][1] > share:
            process.send_signal(signal.SIGKILL)
            break
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return told[0]


@pytest.mark.slow
def test_a_training_process_killed_by_the_system_resumes_to_the_same_weights(
    data, tmp_path
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cut = tmp_path / "cut"
    began = train_both_until("ddd", 0.55, cut)
    assert began[1] < 0.1
    for name, following in (("ddd", "das"), ("das", None)):
        assert not (cut / name / "finished.pt").exists()
        left = [json.loads(s) for s in (cut / name / "log.jsonl").read_text().splitlines()]
        assert 1 <= len(left) < SHORT.epochs
        resumed = TinyModel()
        if following is not None:
            began = train_both_until(following, 0.55, cut)
            assert began == (name, pytest.approx((len(left) + 0.25) / 4)), "it began again"
            resumed.load_state_dict(torch.load(cut / name / "finished.pt", weights_only=True))
        else:
            train(TRAINED[name], resumed, data, seed=3, folder=cut / name, device=CPU)
        whole = TinyModel()
        log = train(TRAINED[name], whole, data, seed=3, folder=tmp_path / name, device=CPU)
        assert_same_weights(whole, resumed)
        lines = (cut / name / "log.jsonl").read_text().splitlines()
        assert without_seconds([json.loads(line) for line in lines]) == without_seconds(log)
    torch.set_num_threads(threads)


def test_a_kill_between_checkpoint_and_log_loses_no_line(data, tmp_path, monkeypatch) -> None:
    from benchbox.training import checkpoint

    write_text = checkpoint.write_text

    def killed_at_the_last(path: Path, text: str) -> None:
        if text.count("\n") == SHORT.epochs:
            raise Killed
        write_text(path, text)

    monkeypatch.setattr(checkpoint, "write_text", killed_at_the_last)
    arguments = {"seed": 0, "folder": tmp_path, "device": CPU}
    with pytest.raises(Killed):
        train(TRAINED["vanilla"], TinyModel(), data, **arguments)
    monkeypatch.undo()
    log = train(TRAINED["vanilla"], TinyModel(), data, **arguments)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == log
    assert len(log) == SHORT.epochs


def test_training_learns_and_another_seed_gives_other_weights(data, tmp_path) -> None:
    recipe = Vanilla(training=replace(SHORT, epochs=12))
    models = [TinyModel(), TinyModel()]
    logs = [
        train(
            recipe, model, data, seed=seed, folder=tmp_path / str(seed), device=torch.device("cpu")
        )
        for seed, model in enumerate(models)
    ]
    assert logs[0][-1]["identity"] < logs[0][0]["identity"] * 0.8
    assert not torch.equal(models[0].classifier.weight, models[1].classifier.weight)


def test_a_damaged_checkpoint_costs_its_epochs_only(data, tmp_path) -> None:
    recipe = Vanilla(training=SHORT)
    expected = TinyModel()
    train(recipe, expected, data, seed=0, folder=tmp_path / "a", device=torch.device("cpu"))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "checkpoint.pt").write_bytes(b"PK\x03\x04 half a checkpoint")
    model = TinyModel()
    train(recipe, model, data, seed=0, folder=tmp_path / "b", device=torch.device("cpu"))
    assert torch.equal(model.classifier.weight, expected.classifier.weight)


def test_a_loss_that_is_not_finite_stops_with_a_clear_error(data, tmp_path) -> None:
    recipe = Vanilla(training=replace(SHORT, lr=1e30, clip_norm=0.0))
    with pytest.raises(BenchboxError, match=r"recipe vanilla: the \w+ loss is .* in epoch"):
        train(recipe, TinyModel(), data, seed=0, folder=tmp_path, device=torch.device("cpu"))


def test_the_attack_inside_training_leaves_mode_and_statistics_alone(data) -> None:
    from attacks import FNA
    from attacks.in_training import attack_batch

    model = TinyModel().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = data.images[:24].float() / 255
    adversarial = attack_batch(
        FNA(eps=8 / 255, steps=2, step_size=4 / 255), model, images, data.labels[:24]
    )
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert 0 < (adversarial - images).abs().max() <= 8 / 255 + 1e-6
