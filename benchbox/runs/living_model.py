"""A model that lives in this process, as the builder of a given one."""

import hashlib
import inspect
import uuid
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

from torch import Tensor, nn

from benchbox.errors import BenchboxError
from benchbox.files.foreign import FAILURES, in_words


@dataclass(frozen=True, eq=False)
class LivingModel:
    """Gives copies of a model, so that measuring leaves the owner's as it is.

    Attributes:
        model: the owner's.
        name: what tables call it.
    """

    model: nn.Module
    name: str

    def __call__(self) -> nn.Module:
        """Return a copy.

        Raises:
            BenchboxError: the model cannot be copied.
        """
        try:
            return deepcopy(self.model)
        except FAILURES as error:
            raise BenchboxError(
                f"the model cannot be copied ({in_words(error)}); give a function that builds it "
                "(Given(builder=…)) and its weights file."
            ) from error

    @property
    def modules(self) -> set[str]:
        """The Python modules that define the model's layers, but for code typed into a session."""
        found = {type(layer).__module__ for layer in self.model.modules()}
        return found - {"__main__"}

    @property
    def typed_in(self) -> str | None:
        """What tells the code of layers defined in a notebook or script; None without any.

        Where Python has no source of a class, a word that never comes again: nothing measured with
        it is taken from a store later.
        """
        classes = {type(layer) for layer in self.model.modules() if _is_typed_in(layer)}
        try:
            sources = sorted(inspect.getsource(each) for each in classes)
        except (OSError, TypeError):
            return str(uuid.uuid4())
        return hashlib.sha256("\n".join(sources).encode()).hexdigest() if sources else None


def _is_typed_in(layer: nn.Module) -> bool:
    return type(layer).__module__ == "__main__"


class EmbeddingFunction(nn.Module):
    """A plain function from images to embeddings, as a module without weights.

    Args:
        function: images (B, 3, H, W) to embeddings (B, D), differentiable.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def __deepcopy__(self, memo: dict[int, object]) -> "EmbeddingFunction":
        return self  # a function has no copy, and holds what it holds

    def forward(self, images: Tensor) -> Tensor:
        """Return what the function returns."""
        return self.function(images)
