"""A model made ready for attacks: frozen, batch norms folded, laid out for speed.

An attack takes hundreds of gradients of one unchanging function. What training needs and an
attack does not (weight gradients, batch statistics, convolutions apart from their norms) is paid
for at every one of them, so it is removed once, here, where that is exact to float tolerance.
"""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Literal, get_args

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from benchbox.errors import BenchboxError
from benchbox.models.convolutions import rearrange_convolutions

Precision = Literal["fp32", "bf16"]


class AttackReady(nn.Module):
    """A frozen copy of a model for attacks and embedding; images and embeddings keep their dtype.

    Args:
        model: the model, in evaluation mode; it is taken over, not copied.
        precision: ``"bf16"`` runs convolutions and linear layers in bfloat16, their weights
            stored so; what comes before the first of them (the normalisation of pixels) and the
            iterate of an attack stay in float32.
    """

    def __init__(self, model: nn.Module, *, precision: Precision) -> None:
        super().__init__()
        self.model = model
        self.precision = precision

    def forward(self, images: Tensor, *ids: Tensor) -> Tensor:
        """Return the embeddings (B, D) of images (B, 3, H, W) in [0, 1].

        One image goes through the model twice, side by side. On one thread PyTorch gives small
        convolutions of a single image to another kernel (im2col and MKL instead of oneDNN; see
        ``use_mkldnn`` in its Convolution.cpp), which rounds otherwise: numbers of batch size 1,
        and of a last batch of one, would differ from all others.

        Args:
            images: raw pixels.
            ids: what the model takes beside them, such as (B,) camera ids.
        """
        count = len(images)
        if count == 1:
            images, ids = images.expand(2, -1, -1, -1), tuple(each.expand(2) for each in ids)
        images = images.contiguous(memory_format=torch.channels_last)
        half = self.precision == "bf16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            embeddings: Tensor = self.model(images, *ids)
        return embeddings[:count].to(images.dtype)


def attack_ready(model: nn.Module, *, precision: Precision = "fp32") -> AttackReady:
    """Return a fast frozen copy of ``model``; the model itself is left as it is.

    Convolutions absorb the batch norms behind them, everything is channels-last, no parameter
    requires a gradient. In float32 embeddings agree with the model's to about 1e-6 of their size.
    Where a forward pass cannot be traced as a whole, its submodules are folded one by one, and
    what cannot be traced stays as it is.

    Args:
        model: images (B, 3, H, W) in [0, 1] to embeddings (B, D).
        precision: ``"fp32"`` keeps the model's own precision, ``"bf16"`` halves it.

    Raises:
        BenchboxError: the precision is unknown.
    """
    if precision not in get_args(Precision):
        raise BenchboxError(
            f"precision: expected {' or '.join(get_args(Precision))}, got {precision!r}"
        )
    copy = deepcopy(model).eval().requires_grad_(requires_grad=False)
    for parameter in copy.parameters():
        parameter.grad = None
    fold_batch_norms(copy)
    rearrange_convolutions(copy)
    if precision == "bf16":
        for module in copy.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.to(torch.bfloat16)
    copy = copy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return AttackReady(copy, precision=precision).eval()


def fold_batch_norms(model: nn.Module) -> None:
    """Fold each batch norm of an evaluated model into the convolution before it, in place."""
    for first, second in followers(model):
        convolution, norm = model.get_submodule(first), model.get_submodule(second)
        # Subclasses may use their weights in another way, so only the plain ones are folded.
        if type(convolution) is not nn.Conv2d or not isinstance(norm, nn.BatchNorm2d):
            continue
        remainder = _without_norm(norm)
        if remainder is None or norm.running_mean is None or norm.running_var is None:
            continue
        dtype = convolution.weight.dtype
        convolution.weight, convolution.bias = (
            nn.Parameter(folded.to(dtype), requires_grad=False)
            for folded in fuse_conv_bn_weights(
                convolution.weight.double(),
                _double(convolution.bias),
                norm.running_mean.double(),
                norm.running_var.double(),
                norm.eps,
                _double(norm.weight),
                _double(norm.bias),
            )
        )
        model.set_submodule(second, remainder)


def followers(model: nn.Module) -> list[tuple[str, str]]:
    """Return the names of modules (a, b) where a's output goes into b and nowhere else.

    Both are called once and held once; identities between them are passed over.
    """
    held = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    return [
        pair
        for pair in _traced_followers(model, model, "")
        if all(held[id(model.get_submodule(name))] == 1 for name in pair)
    ]


class _Tracer(fx.Tracer):
    """Traces down to layers; a batch norm with extras, such as timm's, counts as one layer."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _BatchNorm) or super().is_leaf_module(m, module_qualified_name)


def _traced_followers(root: nn.Module, part: nn.Module, prefix: str) -> Iterator[tuple[str, str]]:
    try:
        nodes = list(_Tracer().trace(part).nodes)
    except Exception:
        # Whatever a forward pass does that tracing cannot follow, its children may be plainer.
        for name, child in part.named_children():
            yield from _traced_followers(root, child, f"{prefix}{name}.")
        return
    calls = Counter(node.target for node in nodes if node.op == "call_module")

    def called_once(node: fx.Node) -> bool:
        return node.op == "call_module" and calls[node.target] == 1

    for node in nodes:
        user = node
        while len(user.users) == 1:
            source, user = user, next(iter(user.users))
            if not called_once(user) or user.args != (source,) or user.kwargs:
                break
            if not isinstance(root.get_submodule(f"{prefix}{user.target}"), nn.Identity):
                if called_once(node):
                    yield f"{prefix}{node.target}", f"{prefix}{user.target}"
                break


def _without_norm(norm: nn.BatchNorm2d) -> nn.Module | None:
    """Return what a batch norm does besides normalising, or None if that is not known."""
    if type(norm) is nn.BatchNorm2d:
        return nn.Identity()
    drop, act = getattr(norm, "drop", None), getattr(norm, "act", None)
    if type(norm).__name__ == "BatchNormAct2d" and drop is not None and act is not None:
        return nn.Sequential(drop, act)  # timm's batch norm with its activation
    return None


def _double(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.double()
