"""Which stage an attack runs in, by its threat model, and where its numbers belong."""

from typing import Any

from attacks import AnyAttack
from attacks.targeted import Impersonation
from attacks.universal import Universal
from benchbox.errors import BenchboxError
from benchbox.runs.stages import AttackStage, GalleryStage, TargetedStage, UniversalStage


def stage_of(attack: AnyAttack[Any]) -> type[AttackStage]:
    """Return the class of the stages that run an attack."""
    if isinstance(attack, Universal):
        return UniversalStage
    if attack.threat == "gallery":
        return GalleryStage
    return TargetedStage if attack.threat == "targeted" else AttackStage


def is_pooled(attack: AnyAttack[Any] | type[AnyAttack[Any]]) -> bool:
    """Return whether a worst case counts what an attack left of each query.

    It does where queries were attacked so that they do not find their own.
    """
    return attack.threat not in {"gallery", "targeted"}


def require_runnable(kind: type[AnyAttack[Any]], *, is_shown: bool, where: str) -> None:
    """Check that a grid can run an attack.

    Args:
        kind: the attack.
        is_shown: whether the grid shows attacked queries to other models, as a black box.
        where: the grid's file, for the message.

    Raises:
        BenchboxError: it cannot.
    """
    if kind.threat == "targeted" and not issubclass(kind, Impersonation):
        raise BenchboxError(
            f"{where}: attacks: {kind.name}: a targeted attack must be a subclass of "
            "attacks.targeted.Impersonation, which says whom each query is to retrieve."
        )
    if is_shown and not is_pooled(kind):
        does = "changes gallery images" if kind.threat == "gallery" else "aims at an identity"
        raise BenchboxError(
            f"{where}: sources: {kind.name} {does}, and black-box cells are of queries that are "
            "not to find their own; take it out of attacks, or leave out sources."
        )
