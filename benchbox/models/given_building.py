"""Calls an owner's builder: whatever it does, the user reads one line."""

import contextlib
import sys
from pathlib import Path

import torch
from torch import nn

from benchbox.errors import BenchboxError
from benchbox.files.foreign import FAILURES, in_words
from benchbox.files.printable import printable
from benchbox.models.checkpoints.accounting import load_tensors, own_names
from benchbox.models.checkpoints.reading import read_checkpoint
from benchbox.models.fitting import load_checkpoint
from benchbox.models.given import Given
from benchbox.models.given_model import GivenModel
from benchbox.models.registry import build_model
from benchbox.models.resnets import VARIANTS, build_variant
from benchbox.models.weights import load_weights, stored_shape

_OFFLINE = ("URLError", "HTTPError", "ConnectionError", "LocalEntryNotFoundError", "OfflineMode")
"""What the usual downloaders raise without a network, by the names of the classes."""


def build_given(given: Given) -> GivenModel:
    """Return a given model with its weights, on the CPU in evaluation mode.

    The builder runs with a fixed seed, so that what it draws is the same in every process, and
    with its prints on standard error. All generators are left as they were.

    Raises:
        BenchboxError: the builder fails or returns no model, or the weights do not fit.
    """
    model = _own(given, given.builder) if isinstance(given.builder, str) else _built(given)
    if given.weights is not None and not isinstance(given.builder, str):
        checkpoint = read_checkpoint(given.weights)
        load_tensors(model, checkpoint, own_names(model, checkpoint))
    return GivenModel(model.requires_grad_(requires_grad=False), given).eval()


def restore_given(given: Given, stored: Path, *, width: int) -> GivenModel:
    """Return a given model with weights that benchbox stored, whatever became of the owner's file.

    Args:
        given: builder and use.
        stored: see `weights.save_weights`.
        width: of its embeddings.

    Raises:
        BenchboxError: the builder fails, or the weights are another model's.
    """
    name = given.builder
    if not isinstance(name, str):
        model = _built(given)
    elif variant := VARIANTS.get(name):
        model = build_variant(variant, embedding_dim=width)
    else:
        classes = stored_shape(stored, "classifier.weight")[0]
        model = build_model(name, num_classes=classes, image_size=given.image_size)
    load_weights(model, stored)
    return GivenModel(model.requires_grad_(requires_grad=False), given).eval()


def _own(given: Given, name: str) -> nn.Module:
    """Return a model of benchbox's own by name, with the checkpoint's tensors where there is one.

    Raises:
        BenchboxError: the name is unknown, or the checkpoint is of another model.
    """
    if given.weights is not None:
        return load_checkpoint(given.weights, builder=name, image_size=given.image_size).model
    if variant := VARIANTS.get(name):
        return build_variant(variant)
    return build_model(name, num_classes=1, image_size=given.image_size)


def _built(given: Given) -> nn.Module:
    """Return what the owner's function returns, if it is a model.

    Raises:
        BenchboxError: it fails, or returns something else.
    """
    model = call_builder(given.builder, name=given.name)
    if not isinstance(model, nn.Module):
        raise BenchboxError(
            f"builder {printable(given.name)}: returned {_kind(model)}; expected a "
            "torch.nn.Module: return the model, not its class or its state dict."
        )
    return model


def call_builder(builder: object, *, name: str) -> object:
    """Return what an owner's function returns, called with a fixed seed and its prints moved.

    Args:
        builder: takes no arguments.
        name: what messages call it.

    Raises:
        BenchboxError: it fails, leaves Python, or needs arguments.
    """
    where = f"builder {printable(name)}"
    try:
        with (
            contextlib.redirect_stdout(sys.stderr),
            torch.device("cpu"),
            torch.random.fork_rng(devices=[]),
        ):
            torch.default_generator.manual_seed(0)
            return builder() if callable(builder) else None
    except BenchboxError:
        raise
    except FAILURES as error:
        hint = _hint(error)
        raise BenchboxError(f"{where}: it failed with {in_words(error)}{hint}") from error


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def _hint(error: BaseException) -> str:
    """Return what to do about a builder that wants to download its weights."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if not names & set(_OFFLINE):
        return ""
    return " Build the model without downloading (pretrained=False), and name a weights file."
