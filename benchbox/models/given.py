"""A model that exists already: built by its owner's code, with weights from elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from torch import nn

from benchbox.data.images import Interpolation
from benchbox.errors import BenchboxError, unknown_name
from benchbox.models.reid import IMAGENET_MEAN, IMAGENET_STD

Channel = tuple[float, float, float]
PixelRange = Literal["0-1", "0-255"]
Channels = Literal["rgb", "bgr"]
RankingDistance = Literal["euclidean", "cosine"]
Parts = Literal["concatenate", "mean"]

_CHOICES: dict[str, Any] = {
    "interpolation": Interpolation,
    "pixel_range": PixelRange,
    "channels": Channels,
    "distance": RankingDistance,
}


@dataclass(frozen=True, kw_only=True)
class Given:
    """A model made elsewhere, and what it needs to be used rightly.

    The defaults are torchreid's: RGB in [0, 1], ImageNet's mean and standard deviation, 256×128,
    bilinear, Euclidean distance. Compare every line with the code the model was trained by: a
    wrong one costs accuracy without an error.

    Attributes:
        builder: a function without arguments that returns the `torch.nn.Module`, defined at the
            top of a plugin file; or the name of one of benchbox's own backbones, such as
            ``resnet50``, which normalises pixels itself.
        weights: a checkpoint to load into it (see `benchbox.models.checkpoints`); None where the
            builder loads them.
        backbone: the name of the architecture in tables, whose block the row stands in. Empty:
            the builder's name.
        trained_on: the dataset the model was trained on, as its owner states it; benchbox cannot
            check it. None: not stated.
        image_size: (height, width) in pixels.
        interpolation: of the resizing to that size (Pillow's filters).
        mean: per channel, in the order of ``channels`` and the units of ``pixel_range``; None
            where the model normalises pixels itself.
        std: likewise.
        pixel_range: ``"0-1"``, or ``"0-255"`` where the model wants pixels as bytes count them.
        channels: ``"rgb"`` or ``"bgr"`` (OpenCV's order).
        distance: by which the gallery is ranked. The attack ascends this distance: with
            ``"cosine"`` embeddings are scaled to unit length, where the squared Euclidean
            distance is 2 − 2 cos.
        unit_length: scale embeddings to unit length, with the Euclidean distance too.
        parts: how several outputs become one embedding: ``"concatenate"``, ``"mean"``, or the
            place or key of the one to pick. None: the model returns one (B, D) tensor.
        cameras: the keyword by which ``forward`` takes the images' cameras, such as
            ``cam_label``, as (B,) int64; None where it takes none.
        views: likewise for view ids.
        first_camera: the number the model gives camera 1: 0 in TransReID.
        flip_test: embed the image and its mirror, and take the mean.

    Raises:
        BenchboxError: a value is out of its range.
    """

    builder: Callable[[], nn.Module] | str
    weights: Path | None = None
    backbone: str = ""
    trained_on: str | None = None
    image_size: tuple[int, int] = (256, 128)
    interpolation: Interpolation = "bilinear"
    mean: Channel | None = IMAGENET_MEAN
    std: Channel | None = IMAGENET_STD
    pixel_range: PixelRange = "0-1"
    channels: Channels = "rgb"
    distance: RankingDistance = "euclidean"
    unit_length: bool = False
    parts: Parts | int | str | None = None
    cameras: str | None = None
    views: str | None = None
    first_camera: int = 0
    flip_test: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.builder, str) and not callable(self.builder):
            raise BenchboxError(
                f"builder: expected a function that returns a model, or one of benchbox's "
                f"backbones by name, not {type(self.builder).__name__}."
            )
        if isinstance(self.builder, nn.Module):
            raise BenchboxError(
                "builder: is a model already; give a function that returns it, or call "
                "benchbox.evaluate(model, …)."
            )
        if self.weights is not None and not isinstance(self.weights, Path):
            object.__setattr__(self, "weights", Path(self.weights))
        for key, allowed in _CHOICES.items():
            if getattr(self, key) not in get_args(allowed):
                raise unknown_name(key, str(getattr(self, key)), get_args(allowed))
        object.__setattr__(self, "image_size", _size(self.image_size))
        if (self.mean is None) != (self.std is None):
            raise BenchboxError("mean and std: give both, or neither (None, None).")
        for key in ("mean", "std"):
            object.__setattr__(self, key, _channels(key, getattr(self, key)))
        if isinstance(self.builder, str):
            # Our own models hold their normalisation, as their weights file has it.
            object.__setattr__(self, "mean", None)
            object.__setattr__(self, "std", None)

    @property
    def name(self) -> str:
        """The builder's name, without its file."""
        return self.builder if isinstance(self.builder, str) else _name_of(self.builder)

    @property
    def architecture(self) -> str:
        """What tables call the backbone."""
        return self.backbone or self.name

    @property
    def scales(self) -> bool:
        """Whether embeddings are scaled to unit length."""
        return self.unit_length or self.distance == "cosine"

    def settings(self) -> dict[str, Any]:
        """Return all but builder and weights, as JSON: what a record says of the model's use."""
        left_out = ("builder", "weights")
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}
        listed = {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}
        return {"builder": self.name, **listed, "backbone": self.architecture}


def _name_of(builder: Callable[[], nn.Module]) -> str:
    name = getattr(builder, "__name__", None) or getattr(builder, "name", None)
    return str(name or type(builder).__name__)


def _size(value: object) -> tuple[int, int]:
    match value:
        case (int(height), int(width)) if 1 <= min(height, width) <= max(height, width) <= 4096:
            return height, width
        case [int(height), int(width)] if 1 <= min(height, width) <= max(height, width) <= 4096:
            return height, width
    raise BenchboxError(f"image_size: expected (height, width) of 1 to 4096 pixels, not {value!r}.")


def _channels(key: str, value: Any) -> Channel | None:
    if value is None:
        return None
    try:
        first, second, third = (float(number) for number in value)
    except (TypeError, ValueError) as error:
        raise BenchboxError(f"{key}: expected three numbers or None, not {value!r}.") from error
    if key == "std" and min(first, second, third) <= 0:
        raise BenchboxError(f"std: expected three numbers above 0, not {value!r}.")
    return first, second, third
