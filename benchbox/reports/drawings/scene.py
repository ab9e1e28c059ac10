"""What the figures of one block of the tables share: store, results, models to compare."""

from dataclasses import dataclass

from benchbox.data.protocol import ReidDataset
from benchbox.errors import BenchboxError
from benchbox.results.artefacts import Artefacts, Attacked
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group, Measurements


@dataclass(frozen=True)
class Scene:
    """One block of the tables under one attack, with the models that figures compare.

    Attributes:
        store: where models, embeddings and images come from.
        cells: all results of the run.
        group: the block: its backbone and its datasets.
        attack: the run's first attack at its smallest budget.
        defenses: names of the defenses to compare, in the order they are shown.
    """

    store: Artefacts
    cells: Measurements
    group: Group
    attack: Condition
    defenses: tuple[str, ...]

    @property
    def data(self) -> ReidDataset:
        """The dataset whose queries are shown."""
        return self.store.dataset(self.group.test)

    def title(self, defense: str) -> str:
        """Return a defense's title."""
        return self.cells.names.title("defenses", defense)

    def cell(self, defense: str, condition: Condition) -> str:
        """Return the cell of the lowest seed."""
        scores = self.cells.at(self.group, defense, condition)
        if not scores:
            raise BenchboxError(
                f"{self.title(defense)} has no result under {self.cells.condition_title(condition)}"
            )
        return scores[min(scores)].cell

    def attacked(self, defense: str) -> str:
        """Return the cell of a defense under the attack."""
        return self.cell(defense, self.attack)

    def stored(self, defense: str) -> Attacked:
        """Return the attacked queries of a defense that the store holds as images."""
        return self.store.attacked(
            self.attacked(defense), self.attack, queries=len(self.data.query)
        )

    @property
    def where(self) -> str:
        """What is shown: block, attack, seed."""
        seed = min(seed for seed in self.cells.seeds)
        return (
            f"{self.cells.group_title(self.group)}, {self.cells.condition_title(self.attack)}, "
            f"seed {seed}."
        )
