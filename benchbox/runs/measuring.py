"""Measures how fast this machine trains, attacks, embeds and ranks: what a calibration says."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from attacks import FNA
from benchbox.data.images import to_unit
from benchbox.evaluation.embedding import embed_images
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.files.progress import Progress, silent
from benchbox.models.embed import Embed
from benchbox.models.folding import attack_ready
from benchbox.runs.balancing_cost import MeasuredDiffusion
from benchbox.runs.calibration import Calibration, Provenance, Rates, machine_name
from benchbox.runs.measured_networks import MeasuredNetwork
from benchbox.runs.provenance import device_name, git_state, now, versions
from benchbox.runs.stages.embed import guarded
from benchbox.training.loop import train
from benchbox.training.recipe import Training
from benchbox.training.training_set import TrainingSet
from defenses import Vanilla
from defenses.ddd.conditional_unet import ConditionalUNet
from defenses.ddd.diffusion import Diffusion
from defenses.ddd.diffusion_training import train_diffusion
from defenses.ddd.edm import Examples, sample

_STEPS = 4
"""Of a measured attack."""
_BATCHES = 12
"""Of a measured training."""
_FEW = 4
"""Images that tell how many of them fit into the time."""
_RANKED = (64, 16_000, 512)
"""Queries, gallery images and dimensions of a measured ranking, about Market-1501's."""


@dataclass(frozen=True)
class _Meter:
    """Measures on one device.

    On a CPU it counts the time of this process, which is what a stage takes on a core of its own,
    however busy the machine is; on another device it counts the time until that has finished.

    Attributes:
        device: where networks are.
        batch_size: images at a time, at most.
        seconds: about how long one thing is measured.
    """

    device: torch.device
    batch_size: int
    seconds: float

    def clock(self) -> float:
        if self.device.type == "cpu":
            return time.process_time()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def each(self, work: Callable[[], Any]) -> float:
        """Return the median seconds of some work, after one time that is not counted."""
        work()
        times: list[float] = []
        while sum(times) < self.seconds:
            started = self.clock()
            work()
            times.append(max(self.clock() - started, 1e-9))
        return median(times)

    def affordable(self, image_seconds: float, most: int) -> int:
        """Return how many images at a time leave room for a few rounds."""
        return max(_FEW, min(most, int(self.seconds / (3 * image_seconds))))

    def rates(self, network: MeasuredNetwork) -> Rates:
        """Return what a second gives of a network."""
        network.build()  # once for what is imported on the way
        started = self.clock()
        ready = attack_ready(network.build().to(self.device), precision=network.precision)
        load_seconds = self.clock() - started

        def of(count: int) -> Embed:
            ids = torch.zeros(count, dtype=torch.int64, device=self.device)
            return guarded(ready, network.guard, (ids,) * network.ids)

        pixels = _pixels(self.batch_size, network.image_size)
        few = self._embedded(of(_FEW), pixels[:_FEW])
        count = self.affordable(few, self.batch_size)
        forward = self._embedded(of(count), pixels[:count])
        count = self.affordable(3 * _STEPS * forward, self.batch_size)
        training = network.training
        return Rates(
            trained=1 / self._trained(network, training, 3 * forward) if training else None,
            ascended=1 / self._ascended(of(count), pixels[:count]),
            embedded=1 / forward,
            load_seconds=load_seconds,
        )

    def _embedded(self, embed: Embed, images: Tensor) -> float:
        """Return the seconds an image takes to pass forward."""
        count = len(images)

        def work() -> None:
            embed_images(embed, images, batch_size=count, device=self.device)

        return self.each(work) / count

    def _ascended(self, embed: Embed, images: Tensor) -> float:
        """Return the seconds an image takes in a step of an attack."""
        there = to_unit(images.to(self.device))
        attack = FNA(steps=_STEPS)
        with torch.no_grad():
            guides = attack.guides(embed(there), torch.arange(len(there)) // 2)
        return self.each(lambda: attack(embed, there, guides)) / (len(there) * _STEPS)

    def _trained(self, network: MeasuredNetwork, training: Training, image_seconds: float) -> float:
        """Return the seconds an image takes in training, between one step's end and the next's."""
        together = training.batch_images
        fitting = self.affordable(image_seconds, training.batch_identities * together) // together
        people = min(max(2, fitting), training.batch_identities, network.people)
        count = people * together
        data = TrainingSet(
            _pixels(_BATCHES * count, network.image_size),
            torch.arange(_BATCHES * count) // together % network.people,
        )
        recipe = Vanilla(training=replace(training, epochs=1, batch_identities=people))
        with self._watched() as (ends, progress), tempfile.TemporaryDirectory() as folder:
            train(
                recipe,
                network.build(),  # type: ignore[arg-type]  # what is trained is a ReidModel
                data,
                seed=0,
                folder=Path(folder),
                device=self.device,
                progress=progress,
            )
        return median(second - first for first, second in pairwise(ends)) / count

    def diffusion_rates(self, model: MeasuredDiffusion) -> Rates:
        """Return what a second gives of a diffusion model: images trained on, and network calls.

        No attack goes through it; the gradient to its pixels counts as a training pass.
        """
        started = self.clock()
        network = ConditionalUNet(
            model.diffusion, identities=model.people, cameras=model.cameras, size=model.size, seed=0
        ).to(self.device)
        load_seconds = self.clock() - started
        short = replace(model.diffusion, sampler_steps=2)

        def sampled(count: int) -> float:
            noise = torch.randn((count, 3, *model.size), device=self.device)
            ids = torch.zeros(count, dtype=torch.int64, device=self.device)

            def work() -> None:
                with torch.no_grad():
                    sample(network, short, noise=noise, identity=ids, camera=ids)

            return self.each(work) / (count * short.calls)

        call = sampled(self.affordable(sampled(_FEW) * short.calls, self.batch_size))
        fitting = self.affordable(3 * call, model.diffusion.batch_size)
        trained = 1 / self._diffused(model, replace(model.diffusion, batch_size=fitting))
        return Rates(
            trained=trained, ascended=trained, embedded=1 / call, load_seconds=load_seconds
        )

    def _diffused(self, model: MeasuredDiffusion, settings: Diffusion) -> float:
        """Return the seconds an image takes in a diffusion model's training."""
        many = max(model.people, model.cameras)
        examples = Examples(
            images=torch.rand(many, 3, *model.size) * 2 - 1,
            identity=torch.arange(many) % model.people,
            camera=torch.arange(many) % model.cameras,
        )
        with self._watched() as (ends, progress), tempfile.TemporaryDirectory() as folder:
            train_diffusion(
                settings,
                examples,
                seed=0,
                scratch=Path(folder),
                device=self.device,
                progress=progress,
            )
        return median(second - first for first, second in pairwise(ends)) / settings.batch_size

    @contextmanager
    def _watched(self) -> Iterator[tuple[list[float], Progress]]:
        """Yield when each step of a training ended, and the progress that notes it.

        The block ends when the training has been watched for long enough.
        """
        ends: list[float] = []

        def progress(share: float, text: str) -> None:
            del share, text
            ends.append(self.clock())
            if len(ends) > 2 and ends[-1] - ends[0] > self.seconds:
                raise _Enough

        with suppress(_Enough):
            yield ends, progress

    def pairs(self) -> float:
        """Return how many pairs of a query and a gallery image are ranked in a second."""
        queries, images, width = _RANKED
        generator = torch.Generator().manual_seed(0)
        query, gallery = (
            normalize(torch.randn(many, width, generator=generator)) for many in (queries, images)
        )
        labels = (
            torch.arange(queries),
            torch.arange(images) % 750,
            torch.zeros(queries, dtype=torch.int64),
            torch.ones(images, dtype=torch.int64),
        )
        clock = replace(self, device=torch.device("cpu"))
        return queries * images / clock.each(lambda: evaluate_retrieval(query, gallery, *labels))


class _Enough(Exception):
    """The training has been watched for long enough."""


def _pixels(count: int, image_size: tuple[int, int]) -> Tensor:
    """Return random images, which cost what photographs cost, (count, 3, H, W) uint8."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, *image_size), generator=generator, dtype=torch.uint8)


def measure(
    networks: Mapping[str, MeasuredNetwork],
    *,
    device: str,
    batch_size: int,
    diffusions: Mapping[str, MeasuredDiffusion] = MappingProxyType({}),
    minutes: float = 1.0,
    progress: Progress = silent,
) -> Calibration:
    """Return this machine's rates for some networks, each as a stage would have them.

    Args:
        networks: by name; see `networks_of`.
        device: such as ``cpu`` or ``cuda:0``.
        batch_size: images at a time in attacks and embedding.
        diffusions: diffusion models by name; see `diffusions_of`.
        minutes: about how long to measure.
        progress: told after each network.
    """
    things = 1 + sum(4 if network.training else 3 for network in networks.values())
    things += 3 * len(diffusions)
    many = len(networks) + len(diffusions)
    meter = _Meter(torch.device(device), batch_size, 60 * minutes / (2 * things))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rates = {}
        for index, (name, network) in enumerate(networks.items()):
            rates[name] = meter.rates(network)
            progress((index + 1) / (many + 1), name)
        for name, model in diffusions.items():
            rates[name] = meter.diffusion_rates(model)
            progress(many / (many + 1), name)
        pairs = meter.pairs()
    finally:
        torch.set_num_threads(threads)
    here = Provenance(
        machine=machine_name(),
        device=device_name(device),
        threads=1,
        clock="process" if meter.device.type == "cpu" else "wall",
        versions=versions(),
        commit=git_state()["commit"],
    )
    return Calibration(provenance=here, measured=now(), pairs=pairs, networks=rates)
