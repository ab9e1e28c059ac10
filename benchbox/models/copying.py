"""Copies of a model for attacks, cheap enough to be made in every training step."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn


def frozen_copy(model: nn.Module) -> nn.Module:
    """Return an evaluated copy whose tensors are the model's own memory and need no gradient.

    It equals ``deepcopy``, but for what takes the time there: tensors are not copied, as most of
    them will be replaced (see `own_tensors`), and layers of torch are copied by their values.

    Args:
        model: left as it is; the copy must not be written to.
    """
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        if type(tensor) is nn.Parameter:
            memo[id(tensor)] = nn.Parameter(tensor.detach(), requires_grad=False)
        elif type(tensor) is Tensor:
            memo[id(tensor)] = tensor.detach()
    for module in model.modules():
        if type(module).__module__.startswith("torch.nn.modules."):
            layer = _copied_layer(module, memo)
            if layer is not None:
                memo[id(module)] = layer
    copy = deepcopy(model, memo).eval().requires_grad_(requires_grad=False)
    for parameter in copy.parameters():
        parameter.grad = None
    return copy


def own_tensors(copy: nn.Module, model: nn.Module) -> None:
    """Give a copy memory of its own wherever it still shares the model's."""
    shared = {_memory(tensor) for tensor in (*model.parameters(), *model.buffers())}
    for tensor in (*copy.parameters(), *copy.buffers()):
        if _memory(tensor) in shared:
            tensor.data = tensor.detach().clone()


def _memory(tensor: Tensor) -> tuple[torch.device, int]:
    return tensor.device, tensor.untyped_storage().data_ptr()


def _copied_layer(layer: nn.Module, memo: dict[int, Any]) -> nn.Module | None:
    """Return a copy with tensors from ``memo``, or None if the layer holds more than values."""
    state: dict[str, Any] = {}
    for name, value in vars(layer).items():
        if name in ("_parameters", "_buffers"):
            state[name] = {key: memo.get(id(tensor)) for key, tensor in value.items()}
            if any(state[name][key] is None for key in value if value[key] is not None):
                return None
        elif _is_value(value):
            state[name] = value
        # An empty dict holds no hooks and no children.
        elif isinstance(value, dict | list | set) and all(map(_is_value, value)):
            if isinstance(value, dict) and value:
                return None
            state[name] = value.copy()
        else:
            return None
    copy = object.__new__(type(layer))
    vars(copy).update(state)
    return copy


def _is_value(value: object) -> bool:
    """Tell whether ``value`` cannot change and holds nothing that can."""
    if isinstance(value, tuple):
        return all(map(_is_value, value))
    return value is None or isinstance(value, bool | int | float | str)
