"""Checkpoints as other repositories write them, and those repositories' models written out anew.

The models stand on torchvision's ResNet-50, which no builder of ours uses, and follow the
repositories' sources line by line; their names and shapes are compared with the lists that the
packages gave.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchbox.torchvision_import import ensure_torchvision

ensure_torchvision()
from torchvision.models.resnet import ResNet, resnet50  # noqa: E402 - as trunks.py does

KEYS = Path(__file__).parent / "data" / "checkpoint_keys"
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def shapes_of(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes as a package's model has them."""
    listed = json.loads((KEYS / f"{name}.json").read_text())
    shapes = shapes_of(listed["like"]) if "like" in listed else {}
    for key in listed.get("without", ()):
        del shapes[key]
    return shapes | {
        key: tuple(int(number) for number in text.split("x") if number)
        for key, text in listed["shapes"].items()
    }


def hollow(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Tensors of these shapes whose file is small: each is a view of one zero."""
    return {
        key: torch.zeros((), dtype=torch.int64 if key.endswith("tracked") else None).expand(shape)
        for key, shape in shapes.items()
    }


def hollow_of(model: nn.Module) -> dict[str, Tensor]:
    return hollow({key: tuple(tensor.shape) for key, tensor in model.state_dict().items()})


def scrambled(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """Every parameter and statistic random, so that none can be mixed up or forgotten unseen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
                tensor.copy_(0.5 + noise.abs() / 2)
            elif tensor.ndim == 1:
                tensor.copy_(noise / 5)
            else:
                tensor.copy_(noise / tensor[0].numel() ** 0.5)
    return model.eval()


def body(*, last_stride: int, maxpool: nn.Module | None = None) -> ResNet:
    net = resnet50(weights=None)
    if last_stride == 1:
        net.layer4[0].conv2.stride = (1, 1)
        net.layer4[0].downsample[0].stride = (1, 1)
    if maxpool is not None:
        net.maxpool = maxpool
    return net


def pooled(net: ResNet, images: Tensor, *, relu: bool = True) -> Tensor:
    maps = net.bn1(net.conv1(images))
    maps = net.maxpool(net.relu(maps) if relu else maps)
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        maps = stage(maps)
    return nn.functional.adaptive_avg_pool2d(maps, 1).flatten(1)


def without(net: ResNet, name: str = "fc") -> ResNet:
    delattr(net, name)
    return net


class StrongBaseline(nn.Module):
    """modeling/baseline.py; its ResNet's forward has the stem's ReLU commented out."""

    def __init__(self, *, neck: bool = True, after: bool = True) -> None:
        super().__init__()
        self.base = without(body(last_stride=1))
        self.after = after
        if neck:
            self.bottleneck = nn.BatchNorm1d(2048)
        self.classifier = nn.Linear(2048, 751, bias=not neck)

    def forward(self, images: Tensor) -> Tensor:
        feature = pooled(self.base, (images - MEAN) / STD, relu=False)
        return self.bottleneck(feature) if self.after else feature


class FastReid(nn.Module):
    """meta_arch/baseline.py with EmbeddingHead of 1.4.0; pixels are on the scale 0 to 255."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", MEAN * 255, persistent=False)
        self.register_buffer("pixel_std", STD * 255, persistent=False)
        maxpool = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.backbone = without(body(last_stride=1, maxpool=maxpool))
        self.heads = nn.Module()
        self.heads.weight = nn.Parameter(torch.zeros(751, 2048))
        self.heads.bottleneck = nn.Sequential(nn.BatchNorm2d(2048))

    def forward(self, images: Tensor) -> Tensor:
        feature = pooled(self.backbone, (images * 255 - self.pixel_mean) / self.pixel_std)
        return self.heads.bottleneck(feature[..., None, None])[..., 0, 0]


class FastReid2020(nn.Module):
    """The same of 2020: another name for the neck, usual pooling, pixel statistics in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor([120.0, 115.0, 100.0]).view(1, 3, 1, 1))
        self.register_buffer("pixel_std", torch.tensor([60.0, 58.0, 57.0]).view(1, 3, 1, 1))
        self.backbone = without(body(last_stride=1))
        self.heads = nn.Module()
        self.heads.bnneck = nn.BatchNorm2d(2048)
        self.heads.classifier = nn.Linear(2048, 751, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        feature = pooled(self.backbone, (images * 255 - self.pixel_mean) / self.pixel_std)
        return self.heads.bnneck(feature[..., None, None])[..., 0, 0]


class Torchreid(ResNet):
    """models/resnet.py: resnet50, and resnet50_fc512."""

    def __init__(self, *, fc512: bool = False) -> None:
        net = body(last_stride=1 if fc512 else 2)
        nn.Module.__init__(self)
        for name, module in net.named_children():
            if name not in ("fc", "avgpool"):
                self.add_module(name, module)
        self.fc = (
            nn.Sequential(nn.Linear(2048, 512), nn.BatchNorm1d(512), nn.ReLU()) if fc512 else None
        )
        self.classifier = nn.Linear(512 if fc512 else 2048, 751)

    def forward(self, images: Tensor) -> Tensor:
        feature = pooled(self, (images - MEAN) / STD)
        return feature if self.fc is None else self.fc(feature)


class AdvReidClassification(nn.Module):
    """models/architectures/models.py: the batch norm stands where the network's classifier was."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = body(last_stride=2)
        self.backbone.fc = nn.BatchNorm1d(2048)
        self.fc = nn.Linear(2048, 751)

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone.fc(pooled(self.backbone, (images - MEAN) / STD))


class AdvReidTriplet(nn.Module):
    """The same file's model for the triplet loss."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = body(last_stride=2)
        self.backbone.fc = nn.Sequential(nn.BatchNorm1d(2048), nn.ReLU(), nn.Linear(2048, 256))

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone.fc(pooled(self.backbone, (images - MEAN) / STD))


ORACLES: dict[str, Callable[[], nn.Module]] = {
    "strong_baseline_resnet50": StrongBaseline,
    "strong_baseline_resnet50_pooled": lambda: StrongBaseline(after=False),
    "fastreid_resnet50": FastReid,
    "fastreid_resnet50_2020": FastReid2020,
    "torchreid_resnet50": Torchreid,
    "torchreid_resnet50_fc512": lambda: Torchreid(fc512=True),
    "adv_reid_classification": AdvReidClassification,
    "adv_reid_triplet": AdvReidTriplet,
}
"""The model of each builder, written out anew."""


def transreid() -> dict[str, Tensor]:
    """Some of TransReID's names, with those that tell it from the others."""
    shapes: dict[str, tuple[int, ...]] = {
        "base.cls_token": (1, 1, 768),
        "base.pos_embed": (1, 211, 768),
        "base.sie_embed": (6, 1, 768),
        "base.patch_embed.proj.weight": (768, 3, 16, 16),
        "base.blocks.0.norm1.weight": (768,),
        "base.blocks.0.attn.qkv.weight": (2304, 768),
        "bottleneck.running_mean": (768,),
        "classifier.weight": (751, 768),
    }
    return hollow(shapes)


def saved(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path
