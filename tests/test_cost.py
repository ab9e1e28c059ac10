"""What stages say they cost, against what they then do."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from attacks import FNA, SMA, MetricIFGSM
from benchbox.data.counting import Counts
from benchbox.data.official import OFFICIAL_COUNTS
from benchbox.runs.cost import images_an_epoch
from benchbox.runs.grid_file import read_grid
from benchbox.runs.plan import make_plan
from benchbox.runs.registry import load_registry
from benchbox.training.sampling import identity_batches

EIGHT, TEN = Fraction(8, 255), Fraction(10, 255)


class Counted(torch.nn.Module):
    """Counts the images that pass."""

    def __init__(self):
        super().__init__()
        self.images = 0

    def forward(self, images):
        self.images += len(images)
        return images.flatten(1)


@pytest.mark.parametrize("attack", [FNA(), SMA(), MetricIFGSM(), FNA(steps=3), FNA(step_size=0.1)])
@pytest.mark.parametrize("budgets", [[EIGHT], [EIGHT, TEN], [TEN, EIGHT, Fraction(2, 255)]])
def test_an_attack_takes_the_gradients_it_says(attack, budgets):
    model, images = Counted(), torch.rand(4, 3, 4, 2)
    pids = torch.tensor([1, 1, 2, 2])
    guides = attack.guides(images.flatten(1), pids)
    attack.sweep(model, images, guides, eps=[float(budget) for budget in budgets])
    assert model.images == len(images) * attack.gradients(budgets)


@pytest.mark.parametrize("seed", range(5))
def test_an_epoch_shows_about_the_images_that_are_said(seed):
    generator = torch.Generator().manual_seed(seed)
    many = torch.randint(2, 40, (60,), generator=generator)
    labels = torch.repeat_interleave(torch.arange(60), many)
    counts = Counts(60, len(labels), 1, 1, 1, 1, 1)
    batches = identity_batches(labels, identities=8, images=4, generator=generator)
    assert images_an_epoch(counts, 4) == pytest.approx(sum(map(len, batches)), rel=0.15)


def test_stages_count_their_datasets_images(tmp_path):
    file = tmp_path / "g.toml"
    file.write_text(
        'name = "g"\ndatasets = ["market1501"]\ndefenses = ["adv_train", "bit_squeezing"]\n'
        'attacks = ["fna", "worst_case"]\nbackbones = ["small"]\npretrained = false\n'
    )
    registry = load_registry()
    small = replace(OFFICIAL_COUNTS["market1501"], query_images=10, gallery_images=100)

    def costs(**counts):
        digests = {"market1501": "0" * 64}
        plan = make_plan(read_grid(file, registry), registry, digests, where="g", **counts)
        return {stage.title: stage.cost for stage in plan.stages}

    usual, few = costs(), costs(counts={"market1501": small})
    name = "market1501 · vanilla behind BitSqueezing · seed 0"
    assert usual[f"fna on {name}"].ascended == 3_368 * 24
    assert few[f"fna on {name}"].ascended == 10 * 24
    assert few[f"rank clean {name}"].pairs == 1_000
    assert few[f"rank worst_case on {name} at 8/255"].pairs == 2_000
    assert few[f"embed {name}"].embedded == 110
    assert few[f"embed {name}"].network == "small 256×128 behind BitSqueezing(bits=5)"
    adv = usual["train adv_train · small · market1501 · seed 0"]
    vanilla = usual["train vanilla · small · market1501 · seed 0"]
    assert adv.trained / vanilla.trained == pytest.approx(1 + 7 * 2 / 3 + 1 / 3)
    assert adv.network == "small 256×128"
