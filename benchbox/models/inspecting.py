"""Says what a checkpoint is and which builder computes the model it was saved from."""

from dataclasses import dataclass
from pathlib import Path

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.models.checkpoints.accounting import Loading
from benchbox.models.checkpoints.container import Container
from benchbox.models.checkpoints.reading import read_checkpoint
from benchbox.models.checkpoints.repositories import layout_of
from benchbox.models.fitting import fitting_model
from benchbox.models.resnets import VARIANTS


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a checkpoint is.

    Attributes:
        path: of the file.
        container: its format.
        wrapper: the key that held the tensors; empty where they lay bare.
        beside: the keys beside it, which are not used.
        prefix: what stood before every name; often empty.
        layout: whose names it bears; empty where we know nobody's.
        tensors: shapes by name.
        parameters: numbers in all tensors together.
        dtypes: the floating types in the file.
        embedding_dim: D, where its tensor is known.
        classes: training identities, where the file has a classifier.
        bnneck: whether a batch norm without shift stands before the classifier.
        builders: names of builders that compute its model; the first is what its authors test.
        distance: what the authors rank by; empty where the builder is a backbone of ours.
        interpolation: how they resize images; empty likewise.
        loading: what the first builder does with each tensor; None where there is none.
        problem: why no builder of ours can use it, in one line; empty where one can.
    """

    path: Path
    container: Container
    wrapper: str
    beside: tuple[str, ...]
    prefix: str
    layout: str
    tensors: dict[str, tuple[int, ...]]
    parameters: int
    dtypes: tuple[str, ...]
    embedding_dim: int | None
    classes: int | None
    bnneck: bool
    builders: tuple[str, ...]
    distance: str
    interpolation: str
    loading: Loading | None
    problem: str

    def lines(self) -> list[tuple[str, str]]:
        """Return (what, value) pairs to print; what is not known is left out."""
        lay = f"under {self.wrapper!r}" if self.wrapper else "bare"
        beside = f"; beside it, not used: {', '.join(self.beside)}" if self.beside else ""
        taken_off = f"; {self.prefix!r} taken off every name" if self.prefix else ""
        pairs = [
            ("file", f"{self.path}"),
            ("format", f"{self.container}; tensors {lay}{beside}{taken_off}"),
            ("model", self.layout or "none we know"),
            ("tensors", f"{len(self.tensors)}, {self.parameters:,} numbers, {self._types()}"),
            ("embedding", f"{self.embedding_dim} numbers" if self.embedding_dim else ""),
            ("classifier", f"{self.classes} identities" if self.classes else ""),
            ("neck", "BNNeck" if self.bnneck else ""),
            ("builder", " or ".join(self.builders)),
            ("loads", self.loading.summary() if self.loading else ""),
            ("authors use", self._used()),
            ("to do", self.problem),
        ]
        return [(what, value) for what, value in pairs if value]

    def _types(self) -> str:
        return " and ".join(self.dtypes) or "no floats"

    def _used(self) -> str:
        if not self.distance:
            return ""
        return f"{self.distance} distance, {self.interpolation} resizing"


def inspect_checkpoint(path: Path) -> Inspection:
    """Read a checkpoint and say what it is; its builder is tried.

    Raises:
        BenchboxError: the file cannot be read as tensors.
    """
    checkpoint = read_checkpoint(path)
    layout = layout_of(checkpoint.tensors)
    loading, problem = None, ""
    try:
        loading = fitting_model(checkpoint).loading
    except BenchboxError as error:
        problem = str(error).removeprefix(f"{printable(path)}: ")
    builders = layout.builders if layout and loading else ()
    variant = VARIANTS.get(builders[0]) if builders else None
    return Inspection(
        path=path,
        container=checkpoint.container,
        wrapper=checkpoint.wrapper,
        beside=checkpoint.beside,
        prefix=checkpoint.prefix,
        layout=layout.name if layout else "",
        tensors={name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()},
        parameters=sum(tensor.numel() for tensor in checkpoint.tensors.values()),
        dtypes=checkpoint.dtypes,
        embedding_dim=layout.width(checkpoint.tensors) if layout else None,
        classes=layout.classes(checkpoint.tensors) if layout else None,
        bnneck=bool(layout and layout.bnneck),
        builders=builders,
        distance=variant.distance if variant else "",
        interpolation=variant.interpolation if variant else "",
        loading=loading,
        problem=problem,
    )
