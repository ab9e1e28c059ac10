"""Files as public repositories write them, and what benchbox says of each: the table of layouts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchbox.models.registry import build_model
from tests.made_checkpoints import (
    AdvReidClassification,
    AdvReidTriplet,
    FastReid2020,
    StrongBaseline,
    hollow,
    hollow_of,
    resnet50,
    saved,
    shapes_of,
    transreid,
)

Write = Callable[[Path], Any]


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{key}": tensor for key, tensor in state.items()}


def listed(name: str) -> dict[str, Tensor]:
    return hollow(shapes_of(name))


def optimizer_state() -> dict[str, Any]:
    """An Adam state as training leaves it."""
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def scheduler_state() -> dict[str, Any]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, [40, 70]).state_dict()


@dataclass(frozen=True)
class Row:
    """A file as somebody writes it, and what it gives: a builder, or the error's words."""

    write: Write
    model: str = ""
    builder: str = ""
    says: tuple[str, ...] = ()
    identities: int | None = 751


READ: dict[str, Row] = {
    "strong-baseline, bare": Row(
        lambda path: saved(path, hollow_of(StrongBaseline())),
        "reid-strong-baseline resnet50, BNNeck",
        "strong_baseline_resnet50",
    ),
    "strong-baseline, DataParallel, model and optimizer": Row(
        lambda path: saved(
            path,
            {
                "model": prefixed("module.", hollow_of(StrongBaseline())),
                "optimizer": optimizer_state(),
            },
        ),
        "reid-strong-baseline resnet50, BNNeck",
        "strong_baseline_resnet50",
        ("'module.' taken off", "not used: optimizer"),
    ),
    "strong-baseline, no neck, torch before 1.6": Row(
        lambda path: saved(
            path,
            hollow_of(StrongBaseline(neck=False)),
            _use_new_zipfile_serialization=False,
        ),
        "reid-strong-baseline resnet50, no neck",
        "strong_baseline_resnet50_pooled",
        ("torch before 1.6",),
    ),
    "fast-reid BoT-R50": Row(
        lambda path: saved(
            path,
            {
                "model": listed("fastreid_bot_r50"),
                "optimizer": optimizer_state(),
                "scheduler": scheduler_state(),
                "iteration": 29099,
            },
        ),
        "fast-reid BoT-R50",
        "fastreid_resnet50",
        ("mean and std as the builder has them", "cosine distance, bicubic"),
    ),
    "fast-reid BoT-R50 of the model zoo": Row(
        lambda path: saved(path, {"model": hollow_of(FastReid2020())}),
        "fast-reid BoT-R50, model zoo of 2020",
        "fastreid_resnet50_2020",
    ),
    "torchreid resnet50, .pth.tar with a NumPy scalar": Row(
        lambda path: saved(
            path,
            {
                "state_dict": listed("torchreid_resnet50"),
                "epoch": 60,
                "rank1": np.float64(0.87),
                "optimizer": optimizer_state(),
                "scheduler": scheduler_state(),
            },
        ),
        "torchreid resnet50",
        "torchreid_resnet50",
        ("euclidean distance",),
    ),
    "torchreid resnet50, compiled, fp16": Row(
        lambda path: saved(
            path,
            {
                "model_state_dict": {
                    key: tensor.half() if tensor.is_floating_point() else tensor
                    for key, tensor in prefixed(
                        "_orig_mod.module.", listed("torchreid_resnet50")
                    ).items()
                }
            },
        ),
        "torchreid resnet50",
        "torchreid_resnet50",
        ("float16", "'_orig_mod.module.' taken off"),
    ),
    "torchreid resnet50_fc512, safetensors, bf16": Row(
        lambda path: save_file(
            {
                key: tensor.to(torch.bfloat16 if tensor.is_floating_point() else None).clone()
                for key, tensor in listed("torchreid_resnet50_fc512").items()
            },
            path,
        ),
        "torchreid resnet50_fc512",
        "torchreid_resnet50_fc512",
        ("safetensors", "bfloat16", "512 numbers"),
    ),
    "adv-reid Classification": Row(
        lambda path: saved(
            path,
            {
                "net": hollow_of(AdvReidClassification()),
                "map": np.float32(71.5),
                "epoch": 19,
                "optim": optimizer_state(),
            },
        ),
        "adv-reid Classification",
        "adv_reid_classification",
    ),
    "adv-reid Triplet": Row(
        lambda path: saved(path, {"net": hollow_of(AdvReidTriplet()), "map": 65.0}),
        "adv-reid Triplet",
        "adv_reid_triplet",
        ("256 numbers",),
        identities=None,
    ),
    "benchbox resnet50, bare": Row(
        lambda path: saved(path, hollow_of(build_model("resnet50", num_classes=751))),
        "benchbox resnet50",
        "resnet50",
    ),
}
"""Layouts that one of our builders computes."""

OWN = "builder of your own, file.py:function"

KNOWN: dict[str, Row] = {
    "torchreid OSNet": Row(
        lambda path: saved(path, {"state_dict": listed("torchreid_osnet_x1_0"), "epoch": 250}),
        "torchreid OSNet",
        says=("OSNet is not among our models", OWN),
    ),
    "torchreid resnet50_ibn_a": Row(
        lambda path: saved(path, listed("torchreid_resnet50_ibn_a")),
        "torchreid resnet50_ibn",
        says=("instance norms", OWN),
    ),
    "fast-reid SBS": Row(
        lambda path: saved(path, {"model": listed("fastreid_sbs_r50")}),
        "fast-reid ResNet with non-local blocks",
        says=("non-local blocks are not", OWN),
    ),
    "fast-reid BoT-R50-ibn": Row(
        lambda path: saved(path, {"model": listed("fastreid_bot_r50_ibn")}),
        "fast-reid ResNet with IBN",
        says=("instance norms", OWN),
    ),
    "fast-reid, 512 numbers": Row(
        lambda path: saved(path, {"model": listed("fastreid_bot_r50_embedding512")}),
        "fast-reid ResNet with a reduced embedding",
        says=("does not reduce the embedding", OWN),
    ),
    "TransReID": Row(lambda path: saved(path, transreid()), "TransReID", says=("camera ids", OWN)),
    "torchvision resnet50": Row(
        lambda path: saved(path, hollow_of(resnet50())),
        "ResNet of torchvision or timm",
        says=("starts a training", 'pretrained = "FILE"'),
        identities=1000,
    ),
    "benchbox, a backbone it does not tell": Row(
        lambda path: saved(path, build_model("small", num_classes=751).state_dict()),
        "benchbox, another backbone",
        says=("name the backbone",),
    ),
    "nobody's": Row(
        lambda path: saved(path, {"encoder.0.weight": torch.ones(3)}),
        says=("'encoder.0.weight'", "no repository we know", OWN),
        identities=None,
    ),
    "a tensor missing": Row(
        lambda path: saved(
            path,
            {
                key: tensor
                for key, tensor in listed("fastreid_bot_r50").items()
                if key != "backbone.layer4.2.bn3.running_var"
            },
        ),
        "fast-reid BoT-R50",
        says=(
            "1 of the model's 271 tensors are not in the file",
            "'backbone.layer4.2.bn3.running_var' (2048,)",
            "nearest: 'backbone.layer4.",
        ),
    ),
    "another shape": Row(
        lambda path: saved(
            path, listed("torchreid_resnet50") | {"layer1.0.conv1.weight": torch.ones(32, 64, 1, 1)}
        ),
        "torchreid resnet50",
        says=("'layer1.0.conv1.weight' has shape (32, 64, 1, 1)", "is (64, 64, 1, 1)"),
    ),
    "a tensor too many": Row(
        lambda path: saved(
            path, hollow_of(StrongBaseline()) | {"base.layer3.6.conv1.weight": torch.ones(1)}
        ),
        "reid-strong-baseline resnet50, BNNeck",
        says=("no place for 1", "'base.layer3.6.conv1.weight' (1,)", "another function"),
    ),
}
"""Layouts that are recognised, and what to do about them."""
