"""What a GPU gives: rates of training and attacks, and whether its numbers are the CPU's.

One command measures it all and writes ``gpu.json`` and ``gpu.md``, with what they rest on:

    pip install --editable '.[bench]'
    python benchmarks/gpu.py --out runs/gpu

Rates are of random pixels, which cost what photographs cost. ``--device cpu --backbone small
--size 64x32 --batch 16`` tries the script where no GPU is: the same cells are then measured twice
on the CPU, and that memory runs out is played. A table of measured robustness is the grid's:
``benchbox run grids/sidewalk-full.toml --device cuda``; the test suite on a GPU is ``pytest``
there.
"""

import argparse
import contextlib
import importlib
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import normalize

from attacks import FNA, Labelled, WorstCase
from attacks.tiers import Tier
from benchbox.evaluation.attacking import attack_queries
from benchbox.evaluation.embedding import embed_images
from benchbox.evaluation.scoring import whole_knowledge
from benchbox.files.atomic import write_json, write_text
from benchbox.files.console import make_console
from benchbox.files.progress import Notice, unheard
from benchbox.models.embed import Embed
from benchbox.models.folding import attack_ready
from benchbox.models.registry import build_model
from benchbox.models.reid import ReidModel
from benchbox.runs.options import Options as RunOptions
from benchbox.runs.provenance import device_name
from benchbox.runs.runner import run_grid
from benchbox.training.loop import train
from benchbox.training.recipe import Recipe
from benchbox.training.seeding import seeded
from benchbox.training.training_set import TrainingSet
from defenses import DualInvariantDefense, MetricAT

EPS = 8 / 255
STEPS = 16
PEOPLE = 751
GALLERY = 15_913
"""People in Market-1501's training set, and images in its gallery."""
BATCHES = 12
"""Of an epoch of training."""
ROUNDS = 3
PRECISIONS = ("fp32", "tf32", "bf16")
TIERS: tuple[Tier, ...] = ("fast", "full")
PEER = "torchattacks, PGD"
CELLS = Path(__file__).with_name("gpu-cells.toml")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is measured on what.

    Attributes:
        device: to measure.
        backbone: a name in the registry of models.
        size: (height, width) of an image.
        batch: images at a time.
    """

    device: torch.device
    backbone: str
    size: tuple[int, int]
    batch: int

    def images(self, count: int) -> Tensor:
        """Return random images, (count, 3, H, W) in [0, 1] on the device."""
        generator = torch.Generator().manual_seed(0)
        return torch.rand((count, 3, *self.size), generator=generator).to(self.device)

    def model(self) -> ReidModel:
        """Return a random network on the device."""
        return build_model(
            self.backbone, num_classes=PEOPLE, pretrained=False, image_size=self.size, seed=0
        ).to(self.device)


@contextlib.contextmanager
def products(precision: str) -> Iterator[None]:
    """Multiply float32 in full, or with TF32's ten bits of mantissa where the GPU has them."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    allowed = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def least_seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Return the least time of some rounds, after one that is not counted."""
    times = []
    for _ in range(1 + ROUNDS):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times[1:])


def training_rates(options: Options) -> pd.DataFrame:
    """Return images/s in training: clean images, each of which a recipe may attack as well."""
    count = BATCHES * options.batch // 4
    data = TrainingSet(
        options.images(4 * count).mul(255).to("cpu", torch.uint8),
        torch.arange(4 * count) // 4,
    )
    recipes: dict[str, Recipe] = {"Metric AT": MetricAT(), "DDD": DualInvariantDefense()}
    rows = []
    for title, recipe in recipes.items():
        for precision in PRECISIONS:
            training = replace(
                recipe.training,
                epochs=2,
                batch_identities=options.batch // 4,
                precision="bf16" if precision == "bf16" else "fp32",
            )
            with products(precision), tempfile.TemporaryDirectory() as folder:
                history = train(
                    replace(recipe, training=training),
                    options.model(),
                    data,
                    seed=0,
                    folder=Path(folder),
                    device=options.device,
                )
            rate = len(data.images) / history[-1]["seconds"]
            rows.append({"trained": title, "precision": precision, "images/s": round(rate, 1)})
    return pd.DataFrame(rows)


def attack_rates(options: Options) -> pd.DataFrame:
    """Return image-steps/s of FNA against torchattacks' PGD with the same objective."""
    model, images = options.model().eval(), options.images(options.batch)
    attack = FNA(steps=STEPS)
    with torch.no_grad():
        guides = attack.guides(model(images), torch.arange(len(images)) // 4)

    def peer() -> Tensor:
        torchattacks = importlib.import_module("torchattacks")

        def loss(outputs: Tensor, rows: Tensor) -> Tensor:
            return attack.objective(outputs, guides[rows]).sum()

        ours = SimpleNamespace(CrossEntropyLoss=lambda: loss)
        with mock.patch("torchattacks.attacks.pgd.nn", ours):
            pgd = torchattacks.PGD(model, eps=EPS, alpha=1 / 255, steps=STEPS, random_start=False)
            found: Tensor = pgd(images, torch.arange(len(images)))
            return found

    sides: dict[str, tuple[str, Callable[[], Any]]] = {PEER: ("fp32", peer)}
    for precision in PRECISIONS:
        ready = attack_ready(model, precision="bf16" if precision == "bf16" else "fp32")
        variants: dict[str, Embed] = {"": ready}
        if options.device.type == "cuda":
            graphs = torch.compile(ready, mode="reduce-overhead")
            variants |= {", torch.compile": torch.compile(ready), ", CUDA graphs": graphs}
        for name, used in variants.items():
            ascent = partial(attack, used, images, guides)
            sides[f"benchbox, {precision}{name}"] = precision, ascent
    rows = []
    for name, (precision, side) in sides.items():
        try:
            with products(precision):
                seconds = least_seconds(side, options.device)
        except ModuleNotFoundError as missing:
            rows.append({"attack": f"{name} ({missing})"})
            continue
        rows.append({"attack": name, "image-steps/s": round(len(images) * STEPS / seconds, 1)})
    table = pd.DataFrame(rows)
    table["× torchattacks"] = (table["image-steps/s"] / table["image-steps/s"][0]).round(2)
    return table


def worst_case_rates(options: Options) -> pd.DataFrame:
    """Return seconds a batch of the worst case and of FNA, on a gallery of Market-1501's size."""
    ready, images = attack_ready(options.model().eval()), options.images(options.batch)
    with torch.no_grad():
        features = ready(images).cpu()
    generator = torch.Generator().manual_seed(1)
    pids = torch.arange(1, len(images) + 1)
    people = normalize(torch.randn(PEOPLE, features.shape[1], generator=generator))
    people[pids - 1] = features
    drawn = torch.randint(0, PEOPLE, (GALLERY,), generator=generator)
    noise = torch.randn(GALLERY, features.shape[1], generator=generator)
    known = whole_knowledge(
        Labelled(features, pids, torch.zeros_like(pids)),
        Labelled(normalize(people[drawn] + 0.02 * noise), drawn + 1, torch.ones_like(drawn)),
        ap="trapezoid",
        device=options.device,
        draws=1,
    )
    guides = FNA().guides(features, pids).to(options.device)
    sides: dict[str, Callable[[], Any]] = {
        "FNA, 16 steps": partial(FNA(steps=STEPS), ready, images, guides)
    }
    for tier in TIERS:
        attack = WorstCase(tier=tier)
        # No query counts as finished: the dearest case, a model that resists.
        aim = attack.prepare(known).to(options.device)
        aim = replace(aim, finished=torch.full_like(aim.finished, -1.0))
        sides[f"worst case, {tier}"] = partial(attack.search, ready, images, aim, eps=[EPS])
    rows = []
    with products("fp32"):
        for name, side in sides.items():
            seconds = least_seconds(side, options.device)
            rows.append({"attack": name, "seconds a batch": round(seconds, 3)})
    table = pd.DataFrame(rows)
    table["× FNA"] = (table["seconds a batch"] / table["seconds a batch"][0]).round(2)
    return table


def scarce_memory(options: Options) -> pd.DataFrame:
    """Return what is said when images do not fit at once, and how far results are moved by it.

    Four times as many images are asked for as there is memory for: a GPU's is capped a little above
    what a batch takes; a CPU's has no such end, and an error plays it.
    """
    model, most = attack_ready(options.model().eval()), options.batch
    images = options.images(4 * most).mul(255).to("cpu", torch.uint8)
    guides = FNA().guides(
        embed_images(model, images, batch_size=most, device=options.device),
        torch.arange(len(images)) // 4,
    )

    def embedded(embed: Embed, batch_size: int, notice: Notice) -> Tensor:
        return embed_images(
            embed, images, batch_size=batch_size, device=options.device, notice=notice
        )

    def attacked(embed: Embed, batch_size: int, notice: Notice) -> Tensor:
        (found,) = attack_queries(
            embed,
            FNA(steps=2),
            images,
            guides,
            budgets=[EPS],
            generators=[seeded(0, row) for row in range(len(images))],
            batch_size=batch_size,
            device=options.device,
            notice=notice,
        )
        return found.features

    rows = []
    for title, work in {"embedding": embedded, "FNA": attacked}.items():
        said: list[str] = []
        plenty = _measured(partial(work, model, most, unheard), options.device)
        with _room_for(plenty.bytes, options.device):
            embed = model if plenty.bytes else _refusing(model, most)
            apart = (work(embed, len(images), said.append) - plenty.result).abs().max()
        rows.append(
            {
                "work": title,
                "memory": "capped" if plenty.bytes else "played",
                "images at a time": len(images),
                "largest difference": float(apart),
                "said": " | ".join(said) or "nothing: they fitted",
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Measured:
    """What some work gave, and the bytes of a GPU that it took; 0 on a CPU."""

    result: Tensor
    bytes: int


def _measured(work: Callable[[], Tensor], device: torch.device) -> _Measured:
    if device.type != "cuda":
        return _Measured(work(), 0)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return _Measured(work(), torch.cuda.max_memory_reserved(device))


@contextlib.contextmanager
def _room_for(needed: int, device: torch.device) -> Iterator[None]:
    """Leave a GPU half as much memory again as was needed; a CPU (0) has what it has."""
    if not needed:
        yield
        return
    whole = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 1.5 * needed / whole), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def _refusing(embed: Embed, most: int) -> Embed:
    """Return a model that takes no more than so many images at a time."""

    def refusing(images: Tensor) -> Tensor:
        if len(images) > most:
            raise torch.OutOfMemoryError("played")
        return embed(images)

    return refusing


def cells(options: Options, grid: Path, out: Path) -> pd.DataFrame:
    """Return mAP of the same cells on the CPU and on the device: trained and attacked there."""
    tables = []
    for where, device in (("cpu", "cpu"), ("device", str(options.device))):
        folder = out / f"cells-on-{where}"
        outcome = run_grid(grid, folder, RunOptions(device=device), make_console())
        if outcome.failures:
            raise SystemExit("\n".join(outcome.failures))
        columns = ["defense", "attack", "eps_255"]
        tables.append(pd.read_csv(folder / "results.csv")[[*columns, "mAP"]])
    both = tables[0].merge(tables[1], on=columns, suffixes=(", CPU", ", device"))
    both["difference"] = both["mAP, device"] - both["mAP, CPU"]
    return both.round(2)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="folder of the results")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--size", default="256x128", help="height x width of an image")
    parser.add_argument("--batch", type=int, default=64, help="images at a time, four a person")
    parser.add_argument("--cells", type=Path, default=CELLS, help="grid of the cells side by side")
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device is here; --device cpu --backbone small tries the script.")
    height, _, width = given.size.partition("x")
    options = Options(
        device=device,
        backbone=given.backbone,
        size=(int(height), int(width)),
        batch=given.batch,
    )
    provenance = {
        "device": device_name(given.device),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "model": f"{options.backbone}, {given.size}, {options.batch} images at a time",
    }
    tables = {
        "Training": training_rates(options),
        "Attacks": attack_rates(options),
        "The worst case": worst_case_rates(options),
        "Memory that runs out": scarce_memory(options),
        "The same cells on the CPU and on the device": cells(options, given.cells, given.out),
    }
    lines = [f"{name}: {value}  " for name, value in provenance.items()]
    for title, table in tables.items():
        lines += ["", f"## {title}", "", "```", table.to_string(index=False), "```"]
    text = "\n".join(["# What a GPU gives", "", *lines, ""])
    print(text)
    given.out.mkdir(parents=True, exist_ok=True)
    write_text(given.out / "gpu.md", text)
    records = {
        title: table.astype(object).where(table.notna(), None).to_dict(orient="records")
        for title, table in tables.items()
    }
    write_json(given.out / "gpu.json", {**provenance, "tables": records})


if __name__ == "__main__":
    main()
