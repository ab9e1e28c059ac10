"""Moves a checkpoint's tensors into a model; every tensor of both is accounted for."""

import difflib
from collections.abc import Mapping, Set, Sized
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.models.checkpoints.layouts import Layout
from benchbox.models.checkpoints.reading import Checkpoint
from benchbox.models.checkpoints.repositories import CLASSIFIER, COUNTER

_COUNTER = "num_batches_tracked"

_CLASSIFIERS = tuple(
    f"{layer}.{part}"
    for layer in ("classifier", "fc", "head", "heads")
    for part in ("weight", "bias")
)
"""Names of classifiers: a model built without one leaves it in the file."""

_OTHER_BUILDER = "Give the builder of the model that the file was saved from."

_LISTED = 3
"""Tensors that a message names."""


@dataclass(frozen=True, slots=True)
class Loading:
    """What became of each tensor of a checkpoint.

    Attributes:
        loaded: (name in the file, name in the model).
        left_out: (name in the file, why).
        kept: names in the model that the file does not have: the builder's own values stand.
    """

    loaded: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str], ...]
    kept: tuple[str, ...]

    def summary(self) -> str:
        """Return one line: how many tensors were loaded, which were left out and why."""
        reasons: dict[str, list[str]] = {}
        for name, why in self.left_out:
            reasons.setdefault(why, []).append(name)
        parts = [f"{len(self.loaded)} tensors loaded"]
        for why, names in reasons.items():
            listed = f"{len(names)}" if len(names) > _LISTED else ", ".join(names)
            parts.append(f"left out {listed} ({why})")
        if self.kept:
            parts.append(f"{' and '.join(self.kept)} as the builder has them")
        return "; ".join(parts)


def own_names(model: nn.Module, checkpoint: Checkpoint) -> Layout:
    """Return the layout of a file that names tensors as ``model`` does: its repository's own model.

    A classifier that only the file has may be left out. A prefix that reading took off is put on
    again where the model has it.
    """
    prefix = checkpoint.prefix
    prefixed = bool(prefix) and all(name.startswith(prefix) for name in model.state_dict())
    return Layout(
        name="the model's own names",
        has=(),
        names=((prefix if prefixed else "", ""),),
        left_out=tuple((name, CLASSIFIER) for name in _CLASSIFIERS),
    )


def load_tensors(model: nn.Module, checkpoint: Checkpoint, layout: Layout) -> Loading:
    """Load a checkpoint into a model by the names of a layout.

    Args:
        model: changed in place, and only if everything fits.
        checkpoint: as read.
        layout: one that fits the checkpoint, for a model of one of its builders, or `own_names`.

    Raises:
        BenchboxError: a tensor is missing, has another shape, or has no place in the model.
    """
    targets = {name: t for name, t in model.state_dict().items() if not name.endswith(_COUNTER)}
    found = checkpoint.tensors
    sources = {target: layout.source_of(target) for target in targets}
    loaded = {target: source for target, source in sources.items() if source in found}
    absent = {target: source for target, source in sources.items() if source not in found}
    missing = {target: source for target, source in absent.items() if target not in layout.defaults}
    _require_none_missing(checkpoint, targets, missing)
    _require_shapes(checkpoint, targets, loaded)
    left_out = _reasons(checkpoint, set(loaded.values()), layout)
    with torch.no_grad():
        for target, source in loaded.items():
            targets[target].copy_(found[source])
            if target in layout.per_255:
                targets[target].div_(255)
    return Loading(
        loaded=tuple((source, target) for target, source in loaded.items()),
        left_out=left_out,
        kept=tuple(target for target in absent if target in layout.defaults),
    )


def _require_none_missing(
    checkpoint: Checkpoint, targets: Mapping[str, Tensor], missing: Mapping[str, str]
) -> None:
    """Refuse a file without the tensors ``missing`` (name in the model → name in the file)."""
    if not missing:
        return
    found = checkpoint.tensors
    told = []
    for target, source in list(missing.items())[:_LISTED]:
        near = difflib.get_close_matches(source, list(found), n=2, cutoff=0.6)
        nearest = " or ".join(f"{_shown(name)} {tuple(found[name].shape)}" for name in near)
        hint = f" (nearest: {nearest})" if nearest else ""
        told.append(f"{_shown(source)} {tuple(targets[target].shape)}{hint}")
    raise BenchboxError(
        f"{printable(checkpoint.path)}: {len(missing)} of the model's {len(targets)} tensors are "
        f"not in the file: {', '.join(told)}{_more(missing)}. {_OTHER_BUILDER}"
    )


def _require_shapes(
    checkpoint: Checkpoint, targets: Mapping[str, Tensor], loaded: Mapping[str, str]
) -> None:
    for target, source in loaded.items():
        theirs, ours = tuple(checkpoint.tensors[source].shape), tuple(targets[target].shape)
        if theirs == ours:
            continue
        advice = _OTHER_BUILDER
        if source in _CLASSIFIERS and theirs[1:] == ours[1:]:
            advice = f"Build it for {theirs[0]} identities."
        raise BenchboxError(
            f"{printable(checkpoint.path)}: {_shown(source)} has shape {theirs}, the model's is "
            f"{ours}. {advice}"
        )


def _reasons(
    checkpoint: Checkpoint, loaded: Set[str], layout: Layout
) -> tuple[tuple[str, str], ...]:
    """Return each tensor of the file that is not loaded, and why.

    Raises:
        BenchboxError: there is no reason for one.
    """
    patterns = [(f"*{_COUNTER}", COUNTER), *layout.left_out]
    reasons = {
        name: next((why for pattern, why in patterns if fnmatchcase(name, pattern)), "")
        for name in checkpoint.tensors
        if name not in loaded
    }
    if unknown := [name for name, why in reasons.items() if not why]:
        listed = ", ".join(
            f"{_shown(name)} {tuple(checkpoint.tensors[name].shape)}" for name in unknown[:_LISTED]
        )
        raise BenchboxError(
            f"{printable(checkpoint.path)}: the model has no place for {len(unknown)} of the "
            f"file's tensors, so it would compute another function: {listed}{_more(unknown)}. "
            f"{_OTHER_BUILDER}"
        )
    return tuple(reasons.items())


def _more(names: Sized) -> str:
    return f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""


def _shown(name: str) -> str:
    return repr(printable(name[:100]))
