"""The evaluator's driver: it agrees with the attack, and it catches one that cheats."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from attacks import ATTACKS, SMA, Attack, Guides
from benchbox.errors import BenchboxError
from benchbox.evaluation.attacking import attack_queries
from benchbox.evaluation.embedding import embed_images
from benchbox.training.seeding import seeded
from tests.test_training import TinyModel

BUDGETS = (8 / 255, 10 / 255)
CPU = torch.device("cpu")


@pytest.fixture
def queries() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (11, 3, 16, 8), generator=generator, dtype=torch.uint8)
    return pixels, torch.tensor([1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4])


def run(attack: Attack, pixels: Tensor, pids: Tensor, *, batch_size: int, **options: Any):
    model = TinyModel().eval()
    features = embed_images(model, pixels, batch_size=batch_size, device=CPU)
    return attack_queries(
        model,
        attack,
        pixels,
        attack.guides(features, pids),
        budgets=BUDGETS,
        generators=[seeded("q", index) for index in range(len(pixels))],
        batch_size=batch_size,
        device=CPU,
        **{"keep": range(100), **options},
    )


@pytest.mark.parametrize("kind", ATTACKS.values(), ids=lambda kind: kind.name)
def test_the_batch_size_does_not_change_an_adversarial_query(kind, queries) -> None:
    whole = run(kind(steps=4), *queries, batch_size=64)
    pieces = run(kind(steps=4), *queries, batch_size=4)
    for one, other in zip(whole, pieces, strict=True):
        # The sign of a gradient that is zero up to rounding may flip; nearly none is.
        assert (one.images != other.images).float().mean() < 0.01
        torch.testing.assert_close(one.features, other.features, atol=1e-3, rtol=0)


def test_kept_images_are_those_that_were_embedded(queries) -> None:
    for result in run(SMA(steps=3), *queries, batch_size=5):
        model = TinyModel().eval()
        torch.testing.assert_close(model(result.images), result.features)
        distance = (result.images - queries[0] / 255).abs().amax()
        assert 0.9 * result.eps < distance <= result.eps + 1e-6
    assert run(SMA(steps=3), *queries, batch_size=5, keep=())[0].images.shape[0] == 0


@dataclass(frozen=True, kw_only=True)
class Cheat(SMA):
    """An attack whose result is spoiled at one query."""

    name: ClassVar[str] = "cheat"
    title: ClassVar[str] = "Cheat"
    spoil: str = "ball"

    def sweep(self, embed: Any, images: Tensor, guides: Guides, **options: Any) -> list[Tensor]:
        results = super().sweep(embed, images, guides, **options)
        for adversarial, eps in zip(results, options["eps"], strict=True):
            pixel = adversarial[-1, 0, 0, 0]
            if self.spoil == "ball":
                pixel.copy_(torch.where(pixel > 0.5, pixel - 2.1 * eps, pixel + 2.1 * eps))
            elif self.spoil == "range":
                adversarial[-1] = images[-1]
                adversarial[-1, 0, 0, 0] = 1 + eps / 2
            else:
                pixel.fill_(float("nan"))
        return results


@pytest.mark.parametrize("spoil", ["ball", "range", "nan"])
def test_an_attack_that_cheats_is_caught_and_named(spoil: str, queries) -> None:
    with pytest.raises(BenchboxError, match=r"attack cheat at eps 8/255: adversarial image 4 "):
        run(Cheat(steps=2, spoil=spoil), *queries, batch_size=5)


def test_a_model_that_answers_nan_is_caught(queries) -> None:
    pixels, pids = queries
    model = TinyModel().eval()
    attack = SMA(steps=1)
    guides = attack.guides(embed_images(model, pixels, batch_size=8, device=CPU), pids)
    calls = []

    def breaks_after_the_ascent(images: Tensor) -> Tensor:
        calls.append(len(images))
        return model(images) * (float("nan") if len(calls) > 2 else 1.0)

    with pytest.raises(BenchboxError, match="finite"):
        attack_queries(
            breaks_after_the_ascent,
            attack,
            pixels,
            guides,
            budgets=BUDGETS,
            generators=[seeded(index) for index in range(len(pixels))],
            batch_size=64,
            device=CPU,
        )


def test_another_precision_is_for_the_gradients_alone(queries) -> None:
    model = TinyModel().eval()
    plain = run(SMA(steps=3), *queries, batch_size=64)
    other = run(SMA(steps=3), *queries, batch_size=64, ascend_on=lambda x: model(x) + model(x**2))
    for one, two in zip(plain, other, strict=True):
        assert not torch.equal(one.images, two.images)
        torch.testing.assert_close(model(two.images), two.features)
