"""Import torchvision beside a CPU build of torch: call this before importing timm."""

import functools
import importlib
import sys

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def ensure_torchvision() -> None:
    """Import torchvision, declaring its box operators first where its own library cannot.

    The wheels of torchvision on PyPI carry operators compiled for torch with CUDA. Beside a CPU
    build of torch that library does not load. torchvision tolerates this, except in one place: on
    import it registers a shape function for ``torchvision::nms``, and torch refuses that for an
    operator nobody declared. We use image models only, never box operators, so two empty schemas
    (no kernel behind them; calling one still raises) make the import work. timm imports
    torchvision, hence the order.

    Calling it again costs nothing. Where torchvision imports by itself, nothing is declared.

    Raises:
        RuntimeError: torchvision fails for any other reason.
        ImportError: torchvision is not installed.
    """
    try:
        importlib.import_module("torchvision")
        return
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
    # The failed attempt leaves submodules behind that would be taken for finished ones.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    _declare_operators()
    importlib.import_module("torchvision")


@functools.cache
def _declare_operators() -> torch.library.Library:
    """Declare the schemas once; the cache keeps the library, and with it the schemas, alive."""
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]
    return library
