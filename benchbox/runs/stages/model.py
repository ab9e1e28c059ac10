"""What gives a run a model: a stage whose artefact is weights."""

from abc import abstractmethod

from torch import Tensor, nn

from benchbox.models.reid import ReidModel
from benchbox.runs.stages.base import Stage
from benchbox.runs.stages.data import Data, Split
from benchbox.runs.workplace import Workplace


class ModelStage(Stage):
    """A stage behind which there is a model, trained here or given.

    Attributes:
        seed: of its training; of random starts of attacks on it.
    """

    seed: int

    @property
    @abstractmethod
    def label(self) -> str:
        """The model in words, for the titles of stages that use it."""

    @property
    @abstractmethod
    def architecture(self) -> str:
        """Names the network, as far as its speed is concerned."""

    @property
    def preparations(self) -> tuple[Stage, ...]:
        """The stages that made what the model was trained on, if any did."""
        return ()

    def ids(self, data: Data, place: Workplace, split: Split) -> tuple[Tensor, ...]:  # noqa: ARG002
        """Return what the model takes beside a split's images, (N,) each; most take nothing."""
        return ()

    @abstractmethod
    def model(self, place: Workplace) -> nn.Module:
        """Return the model on the CPU, once the artefact is in the store.

        It takes images (B, 3, H, W) in [0, 1] and gives embeddings (B, D).
        """


class ReidModelStage(ModelStage):
    """A stage behind which there is one of benchbox's own models, for recipes to start from."""

    @abstractmethod
    def model(self, place: Workplace) -> ReidModel:
        """Return the model, on the CPU in training mode, once the artefact is in the store."""
