"""A frozen copy for an attack equals a deep copy; a second one sees what changed in between."""

import copy

import pytest
import torch
from torch import nn

from benchbox.models.copying import frozen_copy, own_tensors
from benchbox.models.folding import attack_ready


class Odd(nn.Module):
    """Holds what a careless copy gets wrong."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.tied = nn.Conv2d(3, 4, 3)
        self.tied.weight = self.first.weight
        self.twice = self.norm
        self.hidden = [nn.ReLU(), self.norm]  # not registered, or registered elsewhere
        self.hooked = nn.Conv2d(4, 4, 1)
        self.hooked.register_forward_pre_hook(lambda module, inputs: (inputs[0] + module.bias[0],))
        self.noted = nn.Identity()
        self.noted.notes = [self.norm]
        self.register_buffer("scale", torch.full((1,), 2.0))

    def forward(self, images):
        x = self.hidden[0](self.hidden[1](self.first(images) + self.tied(images)))
        return self.noted(self.hooked(x) * self.scale).mean((2, 3))


def gradient(model, images):
    images = images.clone().requires_grad_()
    return torch.autograd.grad(model(images).square().sum(), images)[0]


def test_a_frozen_copy_is_a_deep_copy():
    torch.manual_seed(0)
    model = Odd().train()
    images = torch.rand(2, 3, 8, 8)
    model(images)  # moves the statistics away from 0 and 1
    model.norm.bias.grad = torch.ones(4)
    ours, expected = frozen_copy(model), copy.deepcopy(model).eval()
    torch.testing.assert_close(gradient(ours, images), gradient(expected, images), rtol=0, atol=0)
    assert ours.hidden[1] is ours.norm is ours.twice is not model.norm
    assert ours.noted.notes[0] is ours.norm
    assert ours.tied.weight is ours.first.weight
    assert not any(p.requires_grad or p.grad is not None for p in ours.parameters())
    assert not any(module.training for module in ours.modules())
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    containers = {id(v) for m in model.modules() for v in vars(m).values() if isinstance(v, dict)}
    assert not any(id(v) in containers for m in ours.modules() for v in vars(m).values())


def test_a_layers_own_hooks_and_notes_stay_its_own():
    model = Odd()
    ours = frozen_copy(model)
    ours.first.register_forward_hook(lambda *_: None)
    ours.first.stride = (2, 2)
    assert not model.first._forward_hooks
    assert model.first.stride == (1, 1)


def test_owned_tensors_do_not_follow_the_model():
    model = Odd()
    ours = frozen_copy(model)
    assert ours.first.weight.data_ptr() == model.first.weight.data_ptr()
    own_tensors(ours, model)
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())
    assert ours.tied.weight is ours.first.weight


def test_an_attack_ready_copy_does_not_follow_the_model():
    """Linear layers and necks are not folded: nothing but `own_tensors` parts them."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.BatchNorm1d(5)).eval()
    ready, images = attack_ready(model), torch.rand(2, 3, 2, 2)
    before = ready(images)
    randomise(model)
    assert torch.equal(ready(images), before)
    assert not torch.equal(attack_ready(model)(images), before)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.bn = nn.BatchNorm2d(3)

    def forward(self, images):
        return self.bn(self.conv(images))


class Seen(Block):
    def forward(self, images):
        x = self.conv(images)
        return self.bn(x) + x


def randomise(model):
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5)


@pytest.mark.parametrize(
    "change",
    [
        randomise,
        lambda model: model.set_submodule("1", randomised(Seen())),
        lambda model: model.set_submodule("1.bn", nn.Identity()),
        lambda model: model.set_submodule("0.conv", model[1].conv),  # now held twice
        lambda model: model.append(randomised(Block())),
    ],
    ids=["weights", "replaced", "norm removed", "tied", "added"],
)
def test_a_second_copy_sees_what_changed(change):
    """Tracing is remembered; what it says must still hold."""
    torch.manual_seed(0)
    model = nn.Sequential(randomised(Block()), randomised(Block())).double().eval()
    images = torch.rand(2, 3, 6, 6, dtype=torch.float64)
    attack_ready(model)
    change(model)
    model.double().eval()
    torch.testing.assert_close(attack_ready(model)(images), model(images))


def randomised(model):
    randomise(model)
    return model
