"""The networks that a calibration measures, as a plan's stages use them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from benchbox.models.folding import Precision
from benchbox.models.registry import build_model, try_backbone
from benchbox.runs.balancing_cost import (
    MeasuredDiffusion,
    can_measure,
    diffusion_in_words,
    diffusion_of,
)
from benchbox.runs.cost import network_in_words
from benchbox.runs.stages import AttackStage, EmbedStage, GivenStage, ModelStage, Stage, TrainStage
from benchbox.runs.stages.data import MARKET
from benchbox.training.recipe import Training
from defenses import Guard, PreparedGuard, Vanilla


@dataclass(frozen=True, kw_only=True)
class MeasuredNetwork:
    """A network that is measured.

    Attributes:
        build: returns it on the CPU, with any weights.
        image_size: (height, width) of what it is fed.
        guard: stands before it.
        ids: how many ids it takes beside an image.
        precision: of the gradients to the pixels.
        training: how it is trained; None where it is not.
        people: identities it is trained to tell apart.
    """

    build: Callable[[], nn.Module]
    image_size: tuple[int, int]
    guard: Guard | None = None
    ids: int = 0
    precision: Precision = "fp32"
    training: Training | None = None
    people: int = 0


def networks_of(stages: Iterable[Stage]) -> dict[str, MeasuredNetwork]:
    """Return the networks that some stages' images pass through, by their names in costs."""
    found: dict[str, MeasuredNetwork] = {}
    # A network that is trained is measured in all it does, so trainings come first.
    for stage in sorted(stages, key=lambda stage: not isinstance(stage, TrainStage)):
        if isinstance(stage, TrainStage):
            one = replace(
                _network(stage, stage.data.image_size),
                training=stage.recipe.training,
                people=stage.data.counts.train_ids,
            )
        elif isinstance(stage, GivenStage):
            one = _network(stage, stage.given.image_size)
        elif isinstance(stage, EmbedStage):
            one = _behind(stage)
        elif isinstance(stage, AttackStage):
            one = replace(_behind(stage.clean), precision=stage.precision)
        else:
            continue
        # What a guard of this kind stands on is made by a run: nothing is there to be measured.
        if not isinstance(one.guard, PreparedGuard):
            found.setdefault(stage.cost.network, one)
    return found


def diffusions_of(stages: Iterable[Stage]) -> dict[str, MeasuredDiffusion]:
    """Return the diffusion models that some stages train, by their names; none without diffusers.

    What cannot be measured is guessed in estimates, which say so.
    """
    found = [diffusion_of(stage) for stage in stages] if can_measure() else []
    return {diffusion_in_words(model): model for model in found if model is not None}


def _network(stage: ModelStage, image_size: tuple[int, int]) -> MeasuredNetwork:
    ids = 0
    if isinstance(stage, GivenStage):
        ids = sum(name is not None for name in (stage.given.cameras, stage.given.views))
    return MeasuredNetwork(build=stage.fresh, image_size=image_size, ids=ids)


def _behind(clean: EmbedStage) -> MeasuredNetwork:
    return replace(_network(clean.network, clean.data.image_size), guard=clean.guard)


def backbone_alone(name: str, image_size: tuple[int, int]) -> dict[str, MeasuredNetwork]:
    """Return one network of ours as vanilla training has it, by its name in costs.

    Raises:
        BenchboxError: there is no such network, or it takes no images of this size.
    """
    try_backbone(name, image_size)
    people = MARKET.train_ids
    build = partial(
        build_model, name, num_classes=people, pretrained=False, image_size=image_size, seed=0
    )
    one = MeasuredNetwork(
        build=build, image_size=image_size, training=Vanilla().training, people=people
    )
    return {network_in_words(name, image_size): one}
