"""The attacks against numpy re-implementations with plain loops, and the contract of them all."""

import dataclasses
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from attacks import ATTACKS, FNA, SMA, Attack, MetricIFGSM, register
from attacks.ascent import shared_gradients
from benchbox.errors import BenchboxError

ALL = sorted(ATTACKS)
SHAPE = (3, 6, 4)
PIDS = [7, 3, 7, 7, 3, 11, 5]  # 11 and 5 are lone; the largest identity has three queries


class TanhEmbedding:
    """tanh(A·pixels), whose gradient is one line of numpy; counts the images it embeds."""

    def __init__(self, dimensions=5, seed=0):
        generator = np.random.default_rng(seed)
        self.matrix = generator.normal(size=(dimensions, int(np.prod(SHAPE)))) / 3
        self.calls = 0
        self.images = 0

    def __call__(self, images):
        self.calls += 1
        self.images += len(images)
        matrix = torch.as_tensor(self.matrix, dtype=images.dtype)
        return torch.tanh(images.flatten(1) @ matrix.T)

    def embed_one(self, image):
        return np.tanh(self.matrix @ image.ravel())

    def gradient(self, image, towards_embedding):
        embedding = self.embed_one(image)
        return (self.matrix.T @ ((1 - embedding**2) * towards_embedding)).reshape(image.shape)


def clean_images(count=7, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, *SHAPE, generator=generator, dtype=dtype)
    images[:, 0, 0] = 0  # pixels on the border of the range
    images[:, 1, 0] = 1
    return images


def generators(count, seed=0):
    return [torch.Generator().manual_seed(1000 * seed + image) for image in range(count)]


def setting(attack, *, pids=PIDS, seed=0, dtype=torch.float64):
    embed = TanhEmbedding(seed=seed)
    images = clean_images(len(pids), seed + 1, dtype)
    guides = attack.guides(embed(images), pids)
    embed.calls = embed.images = 0
    return embed, images, guides


# --- The oracle: brute-force guides, a loop per image, numpy gradients. -------------------------


def push_list(name, features, pids, query, own):
    if name == "sma":
        return [features[query]]
    same = [features[i] for i in range(len(pids)) if pids[i] == pids[query]]
    if own == "exclude":
        others = [features[i] for i in range(len(pids)) if pids[i] == pids[query] and i != query]
        return [features[query]] if not others and name == "ifgsm" else others
    largest = max(sum(pid == other for other in pids) for pid in pids)
    while len(same) < largest:
        same.append(features[query])
    return same


def pull_list(name, features, pids, query):
    if name != "fna":
        return []
    centroids = [
        np.mean([features[i] for i in range(len(pids)) if pids[i] == pid], axis=0)
        for pid in sorted(set(pids))
        if pid != pids[query]
    ]
    return [max(centroids, key=lambda centroid: np.linalg.norm(centroid - features[query]))]


def slope(embedding, guide, distance):
    difference = embedding - guide
    if distance == "squared":
        return 2 * difference
    length = np.linalg.norm(difference)
    return difference / length if length > 0 else np.zeros_like(difference)


def attacked_one_by_one(attack, embed, images, pids, seed):
    """Eq. 3 for each query on its own; random starts are drawn as a caller would draw them."""
    clean = images.numpy()
    features = [embed.embed_one(image) for image in clean]
    results = []
    for query, image in enumerate(clean):
        point = image
        lone = sum(pid == pids[query] for pid in pids) == 1
        if attack.name == "sma" or (attack.name == "ifgsm" and lone):
            generator = generators(len(pids), seed)[query]
            draw = torch.empty(SHAPE).uniform_(-1, 1, generator=generator).double().numpy()
            point = np.clip(image + attack.eps * draw, image - attack.eps, image + attack.eps)
            point = np.clip(point, 0, 1)
        push = push_list(attack.name, features, pids, query, attack.own)
        pull = pull_list(attack.name, features, pids, query)
        for _ in range(attack.steps):
            embedding = embed.embed_one(point)
            towards = np.zeros_like(embedding)
            for guide in push:
                towards += slope(embedding, guide, attack.distance)
            for guide in pull:
                towards -= slope(embedding, guide, attack.distance)
            point = point + attack.step_size * np.sign(embed.gradient(point, towards))
            point = np.clip(point, image - attack.eps, image + attack.eps)
            point = np.clip(point, 0, 1)
        results.append(point)
    return np.stack(results)


@pytest.mark.parametrize("distance", ["squared", "euclidean"])
@pytest.mark.parametrize("own", ["reference", "exclude"])
@pytest.mark.parametrize("name", ALL)
def test_attack_equals_loops_over_images_and_guides(name, own, distance):
    attack = ATTACKS[name](eps=5 / 255, steps=9, own=own, distance=distance)
    for seed in range(3):
        embed, images, guides = setting(attack, seed=seed)
        ours = attack(embed, images, guides, generator=generators(len(PIDS), seed))
        expected = attacked_one_by_one(attack, embed, images, PIDS, seed)
        np.testing.assert_allclose(ours.numpy(), expected, atol=1e-12)
        assert (ours - images).abs().max() > 4 / 255


@pytest.mark.parametrize("own", ["reference", "exclude"])
@pytest.mark.parametrize("name", ALL)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_guides_equal_brute_force(name, own, data):
    pids = data.draw(st.lists(st.integers(0, 5), min_size=2, max_size=14))
    if name == "fna" and len(set(pids)) == 1:
        pids[0] += 1
    features = np.random.default_rng(len(pids)).normal(size=(len(pids), 4))
    guides = ATTACKS[name](own=own).guides(features, np.array(pids))
    assert len(guides) == len(pids)
    for query in range(len(pids)):
        for index, weight, expected in (
            (guides.push, guides.push_weight, push_list(name, features, pids, query, own)),
            (guides.pull, guides.pull_weight, pull_list(name, features, pids, query)),
        ):
            chosen = guides.bank[index[query]][weight[query] > 0].numpy()
            assert set(weight[query].tolist()) <= {0.0, 1.0}
            assert len(chosen) == len(expected)
            key = lambda rows: sorted(map(tuple, np.round(rows, 9)))  # noqa: E731
            assert key(chosen) == key(np.array(expected).reshape(len(expected), 4))
        assert bool(guides.lone[query]) == (pids.count(pids[query]) == 1)


def test_reference_guides_are_padded_to_the_largest_identity_of_the_attacked_set():
    guides = MetricIFGSM().guides(np.eye(4), [1, 1, 1, 2])
    assert guides.push.tolist() == [[0, 1, 2], [0, 1, 2], [0, 1, 2], [3, 3, 3]]
    assert guides.push_weight.sum() == 12


def test_guides_select_rows_like_a_tensor():
    guides = FNA().guides(np.random.default_rng(0).normal(size=(7, 3)), PIDS)
    mask = np.array(PIDS) == 7
    for rows in (slice(1, 4), [4, 2], torch.tensor([6, 0]), mask, torch.from_numpy(mask), []):
        chosen = guides[rows]
        index = torch.arange(7)[torch.as_tensor(rows).long() if isinstance(rows, list) else rows]
        assert torch.equal(chosen.push, guides.push[index])
        assert torch.equal(chosen.pull_weight, guides.pull_weight[index])
        assert torch.equal(chosen.lone, guides.lone[index])
        assert chosen.bank is guides.bank
        assert len(chosen) == len(index)
    assert guides.to("cpu").push.equal(guides.push)
    with pytest.raises(BenchboxError, match=r"guides\[2:2\+1\]"):
        guides[2]


# --- The contract, for every attack in the registry. --------------------------------------------


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=30, deadline=None)
@given(
    eps=st.floats(0, 1),
    steps=st.integers(0, 6),
    step_size=st.floats(1e-4, 1),
    seed=st.integers(0, 5),
)
def test_result_stays_in_ball_and_range(name, eps, steps, step_size, seed):
    attack = ATTACKS[name](eps=eps, steps=steps, step_size=step_size)
    embed, images, guides = setting(attack, seed=seed, dtype=torch.float32)
    result = attack(embed, images, guides, generator=generators(len(PIDS), seed))
    assert result.dtype == images.dtype
    assert result.shape == images.shape
    assert not result.requires_grad
    assert (result - images).abs().max() <= eps + 1e-6
    assert result.min() >= 0
    assert result.max() <= 1


@pytest.mark.parametrize("name", ALL)
def test_zero_budget_is_the_identity_and_needs_no_gradient(name):
    attack = ATTACKS[name](eps=0)
    embed, images, guides = setting(attack)
    assert torch.equal(attack(embed, images, guides), images)
    assert embed.calls == 0


@pytest.mark.parametrize("name", ALL)
def test_batch_size_and_order_do_not_matter(name):
    attack = ATTACKS[name]()
    embed, images, guides = setting(attack)
    whole = attack(embed, images, guides, generator=generators(len(PIDS)))
    for order in ([[0, 1, 2], [3, 4], [5, 6]], [[6, 2], [0, 5, 1, 4], [3]]):
        for rows in order:
            parts = generators(len(PIDS))
            part = attack(embed, images[rows], guides[rows], generator=[parts[row] for row in rows])
            torch.testing.assert_close(part, whole[rows], rtol=0, atol=1e-12)


@pytest.mark.parametrize("budgets", [(8, 10), (10, 8), (2, 5, 5, 12, 30), (0, 8, 10), (0.4, 1)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", ALL)
def test_sweep_equals_single_budgets_bit_for_bit(name, dtype, budgets):
    for seed in range(4):
        embed, images, guides = setting(ATTACKS[name](), seed=seed, dtype=dtype)
        eps = [budget / 255 for budget in budgets]
        swept = ATTACKS[name]().sweep(
            embed, images, guides, eps=eps, generator=generators(len(PIDS))
        )
        for budget, result in zip(eps, swept, strict=True):
            alone = ATTACKS[name](eps=budget)
            assert torch.equal(
                result, alone(embed, images, guides, generator=generators(len(PIDS)))
            )


def plain_loop(embed, images, objective, *, eps, steps, step_size):
    """The textbook loop, projecting after each step."""
    point = images
    for _ in range(steps):
        point = point.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(embed(point)), point)
        point = point.detach() + step_size * gradient.sign()
        point = torch.minimum(torch.maximum(point, images - eps), images + eps).clamp(0, 1)
    return point


@pytest.mark.parametrize("name", ["fna", "ifgsm"])
@pytest.mark.parametrize("steps", [16, 7])
def test_sweep_equals_the_textbook_loop_bit_for_bit(name, steps):
    attack = ATTACKS[name](steps=steps)
    for seed in range(5):
        embed, images, guides = setting(attack, pids=[1, 1, 2, 2, 1], seed=seed)
        budgets = [8 / 255, 10 / 255, 3.3 / 255]

        def objective(embeddings, guides=guides):
            return attack.objective(embeddings, guides).sum()

        for eps, swept in zip(
            budgets, attack.sweep(embed, images, guides, eps=budgets), strict=True
        ):
            expected = plain_loop(embed, images, objective, eps=eps, steps=steps, step_size=1 / 255)
            assert torch.equal(swept, expected)


@pytest.mark.parametrize("name", ["fna", "ifgsm"])
def test_attack_equals_torchattacks_pgd_with_the_same_objective(name, monkeypatch):
    torchattacks = pytest.importorskip("torchattacks")
    attack = ATTACKS[name]()
    embed, images, guides = setting(attack, pids=[1, 1, 2, 2, 1])
    model = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(SHAPE)), 5, bias=False), nn.Tanh())
    model = model.double()
    model[1].weight.data = torch.from_numpy(embed.matrix)

    def loss(outputs, rows):
        return attack.objective(outputs, guides[rows]).sum()

    made = SimpleNamespace(CrossEntropyLoss=lambda: loss)
    monkeypatch.setattr("torchattacks.attacks.pgd.nn", made)
    pgd = torchattacks.PGD(model, eps=8 / 255, alpha=1 / 255, steps=16, random_start=False)
    theirs = pgd(images, torch.arange(5))
    torch.testing.assert_close(attack(model, images, guides), theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "expected"), [("fna", 24), ("ifgsm", 24), ("sma", 32)])
def test_sweep_takes_24_gradients_for_the_papers_two_budgets(name, expected):
    attack = ATTACKS[name](steps=16, step_size=1 / 255)
    embed, images, guides = setting(attack, pids=[1, 1, 2, 2])
    attack.sweep(embed, images, guides, eps=[8 / 255, 10 / 255])
    assert embed.calls == expected


def test_lone_queries_ride_apart_from_those_that_share_gradients():
    embed, images, guides = setting(MetricIFGSM())
    assert guides.lone.tolist() == [pid in (11, 5) for pid in PIDS]
    MetricIFGSM().sweep(embed, images, guides, eps=[8 / 255, 10 / 255])
    assert embed.images == 24 * 5 + 32 * 2


@settings(max_examples=300, deadline=None)
@given(eps=st.floats(0, 0.2), step_size=st.floats(1e-3, 0.1), start=st.floats(0, 1), data=st.data())
def test_shared_gradients_end_before_the_ball_can_bind(eps, step_size, start, data):
    """A pixel that walks anywhere is at every shared gradient where a free walk would be."""
    steps = 20
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64]))
    signs = data.draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=steps, max_size=steps))
    clean = torch.tensor(start, dtype=dtype)
    bound = free = clean
    for sign in signs[: shared_gradients(eps, step_size, steps, dtype) - 1]:
        bound = torch.clamp(
            bound + step_size * sign, (clean - eps).clamp(min=0), (clean + eps).clamp(max=1)
        )
        free = (free + step_size * sign).clamp(0, 1)
        assert torch.equal(bound, free)


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_result(name):
    embed, images, guides = setting(ATTACKS[name]())
    seeded = lambda seed: torch.Generator().manual_seed(seed)  # noqa: E731
    first = ATTACKS[name]()(embed, images, guides, generator=seeded(5))
    assert torch.equal(first, ATTACKS[name]()(embed, images, guides, generator=seeded(5)))
    assert torch.equal(first, ATTACKS[name](generator=seeded(5))(embed, images, guides))
    default = ATTACKS[name]()(embed, images, guides)
    state = torch.random.get_rng_state()
    assert torch.equal(default, ATTACKS[name]()(embed, images, guides))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(default, first) == (name == "fna")


def test_random_starts_scale_one_draw_by_the_budget_and_fill_the_ball():
    attack = SMA(steps=0)
    embed, images, guides = setting(attack)
    images = images * 0.5 + 0.25
    small, large = attack.sweep(
        embed, images, guides, eps=[0.02, 0.04], generator=generators(len(PIDS))
    )
    torch.testing.assert_close((large - images) / 2, small - images)
    assert (small - images).abs().max() > 0.0198
    assert (small - images).mean().abs() < 0.002


class WaitCounter(TorchDispatchMode):
    """Counts operations whose result the host must wait for."""

    waits = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.waits += name in {"_local_scalar_dense", "equal", "is_nonzero", "nonzero"}
        self.waits += name == "_to_copy"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ALL)
def test_no_step_waits_for_the_device(name):
    waits = []
    embed, images, guides = setting(ATTACKS[name]())
    matrix = torch.from_numpy(embed.matrix)
    for steps in (3, 16):
        with WaitCounter() as counter:
            ATTACKS[name](steps=steps)(
                lambda batch: torch.tanh(batch.flatten(1) @ matrix.T), images, guides
            )
        waits.append(counter.waits)
    assert waits[0] == waits[1] > 0


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_model_and_images_are_left_as_they_were(name, context):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5)
    )
    model.train()
    model[1].eval()
    model[0].bias.requires_grad_(requires_grad=False)
    flags = [parameter.requires_grad for parameter in model.parameters()]
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    images = clean_images(dtype=torch.float32)
    with context():
        guides = ATTACKS[name]().guides(model(images), PIDS)
        result = ATTACKS[name]()(model, images, guides)
    assert (result - images).abs().max() > 7 / 255
    assert not result.is_inference()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert [module.training for module in model] == [True, False, True, True, True]
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert not images.requires_grad


@pytest.mark.parametrize("name", ALL)
def test_images_with_history_and_memory_format(name):
    attack = ATTACKS[name]()
    embed, images, guides = setting(attack)
    expected = attack(embed, images, guides)
    source = images.clone().requires_grad_()
    with_history = (source * 1.0).contiguous(memory_format=torch.channels_last)
    result = attack(embed, with_history, guides)
    assert not result.requires_grad
    assert source.grad is None
    assert result.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("distance", ["squared", "euclidean"])
@pytest.mark.parametrize("name", ALL)
def test_collapsed_embedding_leaves_images_at_their_start(name, distance):
    """All embeddings equal: every gradient is zero, none is NaN."""
    attack = ATTACKS[name](distance=distance)
    images = clean_images()

    def embed(batch):
        return batch.flatten(1)[:, :4] * 0 + 1

    guides = attack.guides(embed(images), PIDS)
    moved = attack(embed, images, guides, generator=generators(len(PIDS))) - images
    still = ~guides.lone if name == "ifgsm" else torch.full((len(PIDS),), name == "fna")
    assert moved.isfinite().all()
    assert (moved[still] == 0).all()
    assert (moved[~still].flatten(1).abs().amax(1) > 0).all()


@pytest.mark.parametrize("own", ["reference", "exclude"])
def test_lone_query_is_really_attacked(own):
    attack = MetricIFGSM(own=own)
    embed, images, guides = setting(attack)
    clean = embed(images)
    moved = (embed(attack(embed, images, guides)) - clean).norm(dim=1)
    noise = (embed(SMA(steps=0)(embed, images, guides)) - clean).norm(dim=1)
    assert (moved[guides.lone] > 2 * noise[guides.lone]).all()


# --- Damage on a trained model. ------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy():
    """A small network trained on coloured blobs of 8 identities, with 64 queries it never saw."""
    torch.manual_seed(0)
    colours = torch.rand(8, 3, 4, 2)

    def draw(count):
        labels = torch.arange(count) % 8
        pictures = F.interpolate(colours[labels], size=(16, 8)) * 0.2 + 0.4
        return (pictures + 0.08 * torch.randn_like(pictures)).clamp(0, 1), labels

    trunk = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(),
        nn.Linear(256, 16),
    )  # fmt: skip
    head = nn.Linear(16, 8)
    optimizer = torch.optim.Adam([*trunk.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(80):
        images, labels = draw(64)
        loss = F.cross_entropy(head(trunk(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trunk.eval()
    gallery, gallery_labels = draw(160)
    images, labels = draw(64)
    with torch.no_grad():
        centres = torch.stack(
            [trunk(gallery)[gallery_labels == label].mean(0) for label in range(8)]
        )
    return trunk, centres, images, labels


def rank1(toy, images):
    trunk, centres, _, labels = toy
    with torch.no_grad():
        return (torch.cdist(trunk(images), centres).argmin(1) == labels).float().mean().item()


@pytest.mark.parametrize("distance", ["squared", "euclidean"])
@pytest.mark.parametrize("name", ALL)
def test_attack_does_real_damage_and_more_with_more_budget(toy, name, distance):
    trunk, _, images, labels = toy
    attack = ATTACKS[name](steps=32, distance=distance)
    guides = attack.guides(trunk(images), labels)
    assert rank1(toy, images) > 0.95
    noisy = (images + 24 / 255 * torch.sign(torch.randn_like(images))).clamp(0, 1)
    assert rank1(toy, noisy) > 0.9
    small, large = attack.sweep(trunk, images, guides, eps=[2 / 255, 24 / 255])
    assert rank1(toy, large) < 0.5
    assert rank1(toy, large) < rank1(toy, small)


def test_variants_differ_from_their_parents(toy):
    trunk, _, images, labels = toy

    def result(attack):
        return attack(trunk, images, attack.guides(trunk(images), labels))

    base = result(FNA())
    for variant in (FNA(own="exclude"), FNA(distance="euclidean"), MetricIFGSM(), SMA()):
        assert not torch.equal(base, result(variant))


# --- Bad input. -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "wrong",
    [
        {"eps": -0.1}, {"eps": 8}, {"eps": float("nan")}, {"eps": True}, {"eps": "8/255"},
        {"steps": -1}, {"steps": 1.5}, {"steps": True},
        {"step_size": 0}, {"step_size": float("inf")}, {"step_size": float("nan")},
        {"own": "all"}, {"distance": "cosine"},
    ],
)  # fmt: skip
def test_bad_parameters_are_refused_by_name(name, wrong):
    (key,) = wrong
    with pytest.raises(BenchboxError, match=f"^{key}: "):
        ATTACKS[name](**wrong)


def test_sweep_refuses_a_bad_budget():
    embed, images, guides = setting(FNA())
    with pytest.raises(BenchboxError, match="eps"):
        FNA().sweep(embed, images, guides, eps=[8 / 255, float("nan")])


@pytest.mark.parametrize("name", ALL)
def test_non_finite_embeddings_are_refused(name):
    attack = ATTACKS[name]()
    embed, images, guides = setting(attack)
    features = embed(images)
    features[2, 1] = torch.nan
    with pytest.raises(BenchboxError, match=r"row 2 is not finite \(1 of 7"):
        attack.guides(features, PIDS)

    def broken(batch):
        return torch.where(batch.mean() > 0, torch.inf, 1.0) * embed(batch)

    with pytest.raises(BenchboxError, match="not finite during the attack"):
        attack(broken, images, guides)


@pytest.mark.parametrize("name", ALL)
def test_images_and_embeddings_that_do_not_fit_are_refused(name):
    attack = ATTACKS[name]()
    embed, images, guides = setting(attack)
    for wrong, message in (
        (images[:3], "7 for 3 images"),
        (images * 2, "outside"),
        (images - torch.nan, "outside"),
        ((images * 255).to(torch.uint8), "uint8"),
        (images[0], "shape"),
    ):
        with pytest.raises(BenchboxError, match=message):
            attack(embed, wrong, guides)
    with pytest.raises(BenchboxError, match="no gradient"):
        attack(lambda batch: embed(batch).detach(), images, guides)
    with pytest.raises(BenchboxError, match="shape"):
        attack(lambda batch: embed(batch)[:, :2], images, guides)
    if name == "sma":
        with pytest.raises(BenchboxError, match=r"one per image \(7\), got 3"):
            attack(embed, images, guides, generator=generators(3))


@pytest.mark.parametrize("name", ALL)
def test_features_and_pids_that_do_not_fit_are_refused(name):
    attack = ATTACKS[name]()
    for features, pids in (
        (np.zeros((3, 2)), [1, 2]),
        (np.zeros((0, 2)), []),
        (np.zeros(3), [1, 2, 3]),
        (np.zeros((3, 2)), [1.0, 2.0, 3.0]),
        (np.zeros((3, 2), dtype=int), [1, 2, 3]),
    ):
        with pytest.raises(BenchboxError, match="query_"):
            attack.guides(features, pids)


def test_fna_needs_a_second_identity():
    with pytest.raises(BenchboxError, match="one identity"):
        FNA().guides(np.eye(3), [4, 4, 4])


# --- The registry. --------------------------------------------------------------------------------


def test_registry_names_and_pickling():
    assert ALL == ["fna", "ifgsm", "sma"]
    for name, attack in ATTACKS.items():
        assert attack.name == name
        copy = pickle.loads(pickle.dumps(attack(eps=4 / 255)))
        assert copy == attack(eps=4 / 255)
        assert copy != attack(eps=5 / 255)
        assert dataclasses.asdict(copy)["eps"] == 4 / 255


def test_registering_an_attack():
    registry = dict(ATTACKS)

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Pull(FNA):
        name = "pull"
        title = "Pull only"

        def objective(self, embeddings, guides):
            return -(embeddings - guides.bank[guides.pull[:, 0]]).square().sum(1)

    assert register(registry, Pull) is Pull
    assert registry["pull"] is Pull
    embed, images, guides = setting(Pull())
    target = guides.bank[guides.pull[:, 0]]
    before = (embed(images) - target).norm(dim=1)
    assert ((embed(Pull()(embed, images, guides)) - target).norm(dim=1) < before).all()
    with pytest.raises(BenchboxError, match="exists already"):
        register(registry, Pull)
    for wrong in (FNA, type("NoName", (Attack,), {}), type("None_", (FNA,), {"name": "none"})):
        with pytest.raises(BenchboxError):
            register(registry, wrong)
    assert "pull" not in ATTACKS
    with pytest.raises(TypeError):
        ATTACKS["pull"] = Pull


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ALL)
def test_half_precision_embeddings_guide_as_their_widened_selves(name, dtype):
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(7, 5, generator=generator).to(dtype)
    attack = ATTACKS[name]()
    given, wide = (attack.guides(each, torch.tensor(PIDS)) for each in (features, features.float()))
    for field in dataclasses.fields(wide):
        ours, theirs = getattr(given, field.name), getattr(wide, field.name)
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs), field.name
