"""A layout: one way to name a model's tensors, and which builder uses them rightly."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Size, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way to name a model's tensors.

    Attributes:
        name: whose it is, in words.
        has: patterns, each of which matches a name in the file; ``*`` stands for anything.
        lacks: patterns that match none.
        builders: names of builders that take these tensors; the first is what its authors test.
        names: (prefix in the builder's model, prefix in the file).
        left_out: (pattern of names that are not used, why).
        defaults: names in the builder's model that the file may lack.
        per_255: names in the builder's model whose values the file has on the scale 0 to 255.
        embedding: pattern of the tensor whose first axis has the embedding's width.
        classifier: patterns of the tensor whose first axis has a row for each training identity.
        bnneck: whether a batch norm without shift stands before the classifier.
        any_backbone: whether the names do not tell the backbone, so that any may be the builder.
        instead: what to do where no builder is named.
    """

    name: str
    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()
    builders: tuple[str, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    defaults: tuple[str, ...] = ()
    per_255: tuple[str, ...] = ()
    embedding: str = ""
    classifier: tuple[str, ...] = ()
    bnneck: bool = False
    any_backbone: bool = False
    instead: str = ""

    def fits(self, names: Iterable[str]) -> bool:
        """Say whether a file with these names is laid out so."""
        names = list(names)
        return all(_any(names, pattern) for pattern in self.has) and not any(
            _any(names, pattern) for pattern in self.lacks
        )

    def source_of(self, target: str) -> str:
        """Return what the file calls the tensor ``target`` of a builder's model."""
        for ours, theirs in self.names:
            if target.startswith(ours):
                return theirs + target.removeprefix(ours)
        return target

    def classes(self, tensors: Mapping[str, Tensor]) -> int | None:
        """Return the number of training identities, None where the classifier is gone."""
        return _rows(tensors, self.classifier)

    def width(self, tensors: Mapping[str, Tensor]) -> int | None:
        """Return the embedding's width, None where its tensor is not in the file."""
        return _rows(tensors, (self.embedding,))


def _any(names: Iterable[str], pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in names)


def _rows(tensors: Mapping[str, Tensor], patterns: tuple[str, ...]) -> int | None:
    shapes: list[Size] = [
        tensor.shape
        for name, tensor in tensors.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns) and tensor.ndim
    ]
    return shapes[0][0] if shapes else None
