"""What balancing by diffusion costs: images of its diffusion model, which has its own rates."""

import importlib.util
from dataclasses import dataclass

from benchbox.data.counting import Counts
from benchbox.runs.cost import DIFFUSION, Cost
from benchbox.runs.stages import PrepareStage, Stage
from defenses.ddd.balancing import Balancing
from defenses.ddd.diffusion import Diffusion

GENERATED = 1 / 4
"""Images generated for each training image, where no cap says how many: a guess. Who lacks images,
and on which cameras, is known only when the training set is read."""


@dataclass(frozen=True)
class MeasuredDiffusion:
    """A diffusion model that is measured.

    Attributes:
        diffusion: the model, its training and its sampling.
        size: (height, width) of the images it makes.
        people: identities it knows.
        cameras: likewise.
    """

    diffusion: Diffusion
    size: tuple[int, int]
    people: int
    cameras: int = 6


def diffusion_of(stage: Stage) -> MeasuredDiffusion | None:
    """Return the diffusion model that a stage trains and samples; None for other stages."""
    if not isinstance(stage, PrepareStage) or not isinstance(stage.preparation, Balancing):
        return None
    model = stage.preparation.diffusion
    return MeasuredDiffusion(model, model.size(stage.data.image_size), stage.data.counts.train_ids)


def can_measure() -> bool:
    """Return whether the library of diffusion models is installed."""
    return importlib.util.find_spec("diffusers") is not None


def diffusion_in_words(model: MeasuredDiffusion) -> str:
    """Return what calibrations call a diffusion model: all of it that its speed depends on."""
    height, width = model.size
    of = model.diffusion
    channels = " ".join(map(str, of.channels))
    return (
        f"{DIFFUSION} {height}×{width}, channels {channels}, layers {of.layers}, "
        f"attention {of.attention}, {of.precision}"
    )


def cost_of(stage: Stage) -> Cost:
    """Return how much a stage computes, balancing in images of its own diffusion model.

    A stage's own ``cost`` counts that in images of a ReID network, roughly: a figure for the order
    of stages, and for estimates where the diffusion model was not measured.
    """
    model = diffusion_of(stage)
    if model is None or not isinstance(stage, PrepareStage):
        return stage.cost
    of = model.diffusion
    return Cost(
        network=diffusion_in_words(model),
        trained=of.steps * of.batch_size,
        embedded=generated(stage) * of.calls,
        loads=1,
    )


def generated(stage: PrepareStage) -> int:
    """Return how many images balancing makes: its cap, or a guess where it has none."""
    cap = stage.preparation.at_most if isinstance(stage.preparation, Balancing) else 0
    return cap or _guess(stage.data.counts)


def _guess(counts: Counts) -> int:
    return round(GENERATED * counts.train_images)
