"""Memory that runs out: smaller portions, said once each time, and the same results."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from attacks import SMA
from benchbox.errors import BenchboxError
from benchbox.evaluation.attacking import AttackedQueries, attack_queries
from benchbox.evaluation.embedding import embed_images
from benchbox.training.seeding import seeded
from tests.test_training import TinyModel

CPU = torch.device("cpu")
QUERIES = 11


@dataclass
class Cramped:
    """A model on a device that holds so many images at a time; notes how many it was asked for."""

    holds: int
    asked: list[int] = field(default_factory=list)
    model: TinyModel = field(default_factory=lambda: TinyModel().eval())

    def __call__(self, images: Tensor) -> Tensor:
        self.asked.append(len(images))
        if len(images) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        embeddings: Tensor = self.model(images)
        return embeddings


def queries() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (QUERIES, 3, 16, 8), generator=generator, dtype=torch.uint8)


def attacked(model: Cramped, notices: list[str], *, batch_size: int) -> AttackedQueries:
    """Attack by SMA, whose start is random: a try that failed must not have drawn from it."""
    attack, pixels = SMA(steps=3), queries()
    pids = torch.tensor([1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4])
    clean = embed_images(TinyModel().eval(), pixels, batch_size=64, device=CPU)
    (found,) = attack_queries(
        model,
        attack,
        pixels,
        attack.guides(clean, pids),
        budgets=(8 / 255,),
        generators=[seeded("q", index) for index in range(QUERIES)],
        batch_size=batch_size,
        device=CPU,
        keep=range(QUERIES),
        notice=notices.append,
    )
    return found


def test_an_attack_goes_on_in_smaller_portions_to_the_same_images() -> None:
    roomy, cramped = Cramped(64), Cramped(3)
    told: list[str] = []
    expected = attacked(roomy, told, batch_size=2)
    assert told == []
    found = attacked(cramped, told, batch_size=8)
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.features, expected.features)
    assert told == [
        f"{tried} images at a time do not fit into the memory of cpu: going on with {half}. "
        f"--batch-size {half} spares the failed try."
        for tried, half in ((8, 4), (4, 2))
    ]
    # The second batch knows what the first one found out.
    assert [count for count in cramped.asked if count > 2] == [8, 4]


def test_the_whole_batch_and_its_portions_find_the_same_but_for_rounding() -> None:
    whole = attacked(Cramped(64), [], batch_size=64)
    portions = attacked(Cramped(3), [], batch_size=64)
    # The sign of a gradient that is zero up to rounding may flip; nearly none is.
    assert (whole.images != portions.images).float().mean() < 0.01
    torch.testing.assert_close(whole.features, portions.features, atol=1e-3, rtol=0)


def test_embedding_goes_on_in_smaller_portions() -> None:
    told: list[str] = []
    cramped = Cramped(4)
    whole = embed_images(TinyModel().eval(), queries(), batch_size=64, device=CPU)
    found = embed_images(cramped, queries(), batch_size=9, device=CPU, notice=told.append)
    torch.testing.assert_close(found, whole)
    assert cramped.asked == [9, 4, 4, 1, 2]
    assert len(told) == 1


def test_one_image_that_does_not_fit_is_an_error_that_says_what_to_do() -> None:
    nothing = Cramped(0)
    with pytest.raises(BenchboxError, match=r"one image of 16×8 .* lower image_size .*--device"):
        embed_images(nothing, queries(), batch_size=4, device=CPU)
    assert nothing.asked == [4, 2, 1]
    with pytest.raises(BenchboxError, match="one image of 16×8"):
        attacked(nothing, [], batch_size=4)
