"""Makes the stages of a grid's cells, with everything resolved."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from attacks import Attack
from benchbox.runs.grid import Grid
from benchbox.runs.resolving import Resolved
from benchbox.runs.stages import (
    AttackStage,
    Data,
    EmbedStage,
    PrepareStage,
    RankStage,
    ReplayStage,
    TrainStage,
)
from benchbox.training.recipe import Recipe


@dataclass(frozen=True)
class Planner:
    """Makes the stages of one grid.

    Attributes:
        grid: validated.
        resolved: its defenses and attacks.
        data: the datasets by name.
    """

    grid: Grid
    resolved: Resolved
    data: Mapping[str, Data]

    def embedded(
        self, train_on: str, test_on: str, backbone: str, name: str, seed: int
    ) -> EmbedStage:
        """Return the clean embeddings of one model, which name the model too."""
        defense = self.resolved.defenses[name]
        train = self._trained(self.data[train_on], backbone, defense.recipe, seed)
        return EmbedStage(train=train, data=self.data[test_on], guard=defense.guard)

    def ranks(
        self, clean: EmbedStage, backbone: str, name: str
    ) -> Iterator[tuple[str, Fraction, RankStage]]:
        """Yield (attack, budget, stage) of one row: clean first, then attack by attack."""
        ap = self.grid.ap
        yield "none", Fraction(0), RankStage(clean=clean, ap=ap)
        for attack in self.resolved.attacks.values():
            attacked = self._attacked(clean, attack, backbone, name)
            for budget in self.grid.budgets:
                rank = RankStage(clean=clean, ap=ap, attacked=attacked, budget=budget)
                yield attack.name, budget, rank

    def black_box_ranks(
        self, clean: EmbedStage, backbone: str, name: str
    ) -> Iterator[tuple[tuple[str, str], str, Fraction, RankStage]]:
        """Yield (source, attack, budget, stage): what the sources' queries do to one row.

        A source has the row's datasets and seed. Where it is the row itself, the attack is the
        white-box one.
        """
        trained_on, seed = clean.train.data.name, clean.train.seed
        for source in self._sources(backbone):
            theirs = self.embedded(trained_on, clean.data.name, *source, seed)
            for attack in self.resolved.attacks.values():
                made = self._attacked(theirs, attack, *source)
                shown = made if source == (backbone, name) else ReplayStage(clean, made)
                for budget in self.grid.budgets:
                    rank = RankStage(clean=clean, ap=self.grid.ap, attacked=shown, budget=budget)
                    yield source, attack.name, budget, rank

    def _attacked(self, clean: EmbedStage, attack: Attack, backbone: str, name: str) -> AttackStage:
        """Return the attack on a model; one that is a source keeps its adversarial queries."""
        grid = self.grid
        is_source = any((backbone, name) in self._sources(row) for row in grid.backbones)
        return AttackStage(
            clean=clean,
            attack=attack,
            budgets=tuple(grid.budgets),
            seed=clean.train.seed,
            precision=grid.precision,
            keep=grid.keep_adversarial or is_source,
        )

    def _sources(self, backbone: str) -> list[tuple[str, str]]:
        """Return the (backbone, defense) whose queries a row on ``backbone`` is shown."""
        named = self.grid.parsed_sources
        return list(dict.fromkeys((own or backbone, defense) for own, defense in named))

    def _trained(self, data: Data, backbone: str, recipe: Recipe, seed: int) -> TrainStage:
        """Return the training of one model, with the trainings and preparations it starts from."""
        vanilla = self.resolved.vanilla
        parent = self._trained(data, backbone, vanilla, seed) if recipe.start == "vanilla" else None
        prepared = None
        if (preparation := recipe.preparation) is not None:
            needed = preparation.needs_vanilla
            source = self._trained(data, backbone, vanilla, seed) if needed else None
            prepared = PrepareStage(data, preparation, source)
        pretrained = self.grid.pretrained
        if isinstance(pretrained, str):
            pretrained = str(Path(pretrained).expanduser().resolve())
        return TrainStage(
            data=data,
            backbone=backbone,
            pretrained=pretrained,
            recipe=recipe,
            seed=seed,
            parent=parent,
            prepared=prepared,
        )
