"""An attack called on a model by hand leaves the model as it was, and takes pixels as they are."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import attacks
from benchbox.errors import BenchboxError
from benchbox.models.embed import Bound


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


IMAGES = torch.rand(4, 3, 12, 8, generator=torch.Generator().manual_seed(1))
PIDS = torch.tensor([1, 1, 2, 2])


def guides_of(attack, model):
    with torch.no_grad():
        return attack.guides(model.eval()(IMAGES), PIDS)


@pytest.mark.parametrize("kind", [attacks.FNA, attacks.SMA, attacks.MetricIFGSM])
def test_a_model_in_train_mode_is_evaluated_and_given_back_as_it_was(kind):
    model, attack = network(), kind(steps=3)
    guides = guides_of(attack, model)
    expected = attack(model.eval(), IMAGES, guides)
    model.train()
    model[2].eval()  # a mode of its own, as frozen layers have
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = attack(model, IMAGES, guides)
    assert torch.equal(found, expected)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert [module.training for module in model] == [True, True, False, True, True]


def test_a_bound_model_is_too():
    model, attack = network(), attacks.FNA(steps=2)
    guides = guides_of(attack, model)

    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, images, cameras):
            return self.inner(images) + cameras[:, None]

    shifted = Shifted().train()
    before = model[1].running_mean.clone()
    attack(Bound(shifted, (torch.zeros(4),)), IMAGES, guides)
    assert torch.equal(model[1].running_mean, before)
    assert shifted.training


def test_pixels_that_left_the_range_by_rounding_are_clamped():
    mean, std = torch.tensor(0.485), torch.tensor(0.229)
    edge = torch.linspace(0, 1, 4 * 3 * 12 * 8).reshape(4, 3, 12, 8)
    edge[0, 0, 0, :4] = torch.tensor([0.0, 1.0, -2.98e-8, 1 + 1.2e-7])
    restored = (edge - mean) / std * std + mean
    assert ((restored < 0) | (restored > 1)).any()
    model, attack = network(), attacks.FNA(steps=2)
    found = attack(model, restored, guides_of(attack, model))
    assert ((found >= 0) & (found <= 1)).all()
    assert torch.equal(found, attack(model, restored.clamp(0, 1), guides_of(attack, model)))


@pytest.mark.parametrize("pixel", [-2e-6, 1 + 2e-6, float("nan")])
def test_pixels_further_out_are_refused(pixel):
    model, attack = network(), attacks.FNA(steps=2)
    images = IMAGES.clone()
    images[0, 0, 0, 0] = pixel
    with pytest.raises(BenchboxError, match=r"outside \[0, 1\] or not finite"):
        attack(model, images, guides_of(attack, model))


def test_length_matters_where_cosine_ranks():
    """What the documentation says: scale embeddings before an attack whose ranking is by angle."""
    torch.manual_seed(2)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(288, 6)).requires_grad_(requires_grad=False)

    def unit(images):
        return F.normalize(linear(images))

    def raw(images):
        # Brighter images have longer embeddings: the cheapest way to get far is to get long.
        return unit(images) * (1 + 50 * images.mean(dim=(1, 2, 3)))[:, None]

    def angle(model_embeds, images):
        return F.cosine_similarity(model_embeds(IMAGES), model_embeds(images), dim=1).mean()

    attack = attacks.SMA(eps=8 / 255, steps=16)
    left = {}
    for name, embed in (("raw", raw), ("unit", unit)):
        guides = attack.guides(embed(IMAGES).detach(), PIDS)
        left[name] = float(angle(raw, attack(embed, IMAGES, guides)))
    assert left["unit"] < left["raw"]
