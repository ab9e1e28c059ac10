"""A range of the images of one attack, and the stage that joins ranges to what it would be whole.

A large attack is split so that many devices share it, and a killed one has not lost all. The
joined artefact has the key and the bytes of the attack in one piece: nobody who reads the store
can tell how it was made.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from benchbox.runs.cost import Cost
from benchbox.runs.stages.attack import AttackStage
from benchbox.runs.stages.attacked import Attacked
from benchbox.runs.stages.ranges import Join, Shard
from benchbox.runs.workplace import Workplace


@dataclass(frozen=True)
class AttackShard(Shard):
    """Attack some of the images.

    Attributes:
        whole: the attack on all of them.
        start: place of the first.
        stop: place behind the last.
    """

    code: ClassVar[tuple[str, ...]] = AttackStage.code

    whole: AttackStage

    @property
    @override
    def title(self) -> str:
        return f"{self.whole.title}, images {self.start + 1} to {self.stop}"

    @property
    @override
    def cost(self) -> Cost:
        whole = self.whole.cost
        share = (self.stop - self.start) / self.whole.images_attacked
        return Cost(
            network=whole.network,
            ascended=share * whole.ascended,
            embedded=share * whole.embedded,
            pairs=share * whole.pairs,
            loads=whole.loads,
        )

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        attacked = self.whole.attack_range(place, slice(self.start, self.stop))
        attacked.write(folder, parts=self.whole.attack.parts)


@dataclass(frozen=True)
class JoinStage(Join):
    """Join the ranges of an attack to its artefact; stands where the attack itself would.

    Attributes:
        whole: the attack.
        shards: its ranges, in the images' order.
    """

    kind: ClassVar[str] = AttackStage.kind
    code: ClassVar[tuple[str, ...]] = AttackStage.code
    on_device: ClassVar[bool] = False

    whole: AttackStage
    shards: tuple[AttackShard, ...]

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        budgets = self.whole.budgets
        found = [
            Attacked.read(place.store.folder(shard.kind, shard.key), budgets)
            for shard in self.shards
        ]
        Attacked.joined(found).write(folder, parts=self.whole.attack.parts)
