"""What gives a run a model: a stage whose artefact is weights."""

from abc import abstractmethod

from benchbox.models.reid import ReidModel
from benchbox.runs.stages.base import Stage
from benchbox.runs.workplace import Workplace


class ModelStage(Stage):
    """A stage behind which there is a model.

    Attributes:
        seed: of the model.
    """

    seed: int

    @abstractmethod
    def model(self, place: Workplace) -> ReidModel:
        """Return the model, on the CPU in training mode, once the artefact is in the store."""
