"""Makes the stages of a grid's cells, with everything resolved."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import NamedTuple

from attacks import WorstCase
from attacks.corruption import SIDES, row_name
from benchbox.errors import BenchboxError
from benchbox.models.in_use import Use
from benchbox.runs.attack_columns import AttackColumn, attack_columns
from benchbox.runs.attack_stages import is_pooled, stage_of
from benchbox.runs.grid import Grid
from benchbox.runs.resolving import Resolved
from benchbox.runs.stages import (
    AttackStage,
    CorruptedRankStage,
    CorruptStage,
    Data,
    EmbedStage,
    GivenStage,
    HardenedStage,
    ModelStage,
    PrepareStage,
    RankStage,
    ReplayStage,
    SweepStage,
    TargetedRankStage,
    TargetedStage,
    TrainStage,
)
from benchbox.training.recipe import Recipe
from defenses import PreparedGuard


class Row(NamedTuple):
    """A model of the run: a defense, and where, on what network and from which seed."""

    train: str
    test: str
    backbone: str
    defense: str
    seed: int


@dataclass(frozen=True)
class Planner:
    """Makes the stages of one grid.

    Attributes:
        grid: validated.
        resolved: its defenses and attacks.
        data: the datasets by name.
        given: the given models met so far, each built once, by the defense's name.
        hardened: those that were trained on, by name, dataset and seed.
    """

    grid: Grid
    resolved: Resolved
    data: Mapping[str, Data]
    given: dict[str, GivenStage] = field(default_factory=dict)
    hardened: dict[tuple[str, str, int], HardenedStage] = field(default_factory=dict)

    @cached_property
    def columns(self) -> tuple[AttackColumn, ...]:
        """The attacks of the grid, each as often as it stands in the tables."""
        return attack_columns(self.grid, self.resolved.attacks.values())

    def rows(self) -> Iterator[Row]:
        """Yield the rows of the run, before attacks and budgets, in the table's order.

        A given model is one network: it has one backbone, and the grid's first seed, which is that
        of random starts. It is tested on every dataset, as trained on the one its owner states. One
        that is hardened is as many networks as there are seeds.
        """
        grid = self.grid
        pairs = [(name, name) for name in grid.datasets] + list(grid.transfers)
        trained = [name for name in grid.defenses if self.resolved.defenses[name].model is None]
        for backbone, pair, name, seed in product(grid.backbones, pairs, trained, grid.seeds):
            yield Row(*pair, backbone, name, seed)
        for name in grid.defenses:
            given = self.resolved.defenses[name].model
            if given is None:
                continue
            further = [test for train, test in grid.transfers if train == given.trained_on]
            is_hardened = self.resolved.defenses[name].recipe is not None
            seeds = grid.seeds if is_hardened else grid.seeds[:1]
            for test, seed in product(dict.fromkeys([*grid.datasets, *further]), seeds):
                yield Row(given.trained_on or test, test, given.architecture, name, seed)

    def embedded(
        self, train_on: str, test_on: str, backbone: str, name: str, seed: int
    ) -> EmbedStage:
        """Return the clean embeddings of one model, which name the model too.

        A given model has a network of its own, whatever ``train_on`` and ``backbone`` say.
        """
        defense = self.resolved.defenses[name]
        data = self.data[test_on]
        network: ModelStage
        if defense.model is not None:
            given = defense.model
            data = replace(data, image_size=given.image_size, interpolation=given.interpolation)
            learned_on = data
            network = self.given.setdefault(name, GivenStage(name, given, data, seed))
            if defense.recipe is not None:
                network = self._hardened(network, defense.recipe, train_on, seed)
        elif defense.recipe is not None:
            learned_on = self.data[train_on]
            network = self._trained(learned_on, backbone, defense.recipe, seed)
        guard, prepared = defense.guard, None
        if isinstance(guard, PreparedGuard):
            prepared = PrepareStage(learned_on, guard.preparation)
        use = Use() if defense.model else Use(self.grid.flip_test, self.grid.ranked_by)
        return EmbedStage(network=network, data=data, guard=guard, prepared=prepared, use=use)

    def ranks(
        self, clean: EmbedStage, backbone: str, name: str
    ) -> Iterator[tuple[str, Fraction, RankStage]]:
        """Yield (column, budget, stage) of one row: clean first, then attack by attack."""
        ap = self.grid.ap
        yield "none", Fraction(0), RankStage(clean=clean, ap=ap)
        for column in self.columns:
            if column.attack.threat != "targeted":
                for budget in self.grid.budgets_of(column.attack.name):
                    yield column.name, budget, self._rank(clean, column, budget, backbone, name)

    def targeted_ranks(
        self, clean: EmbedStage, backbone: str, name: str
    ) -> Iterator[tuple[str, Fraction, TargetedRankStage]]:
        """Yield (column, budget, stage): how well one row's queries retrieve who they are not."""
        for column in self.columns:
            attacked = self._attacked(clean, column, backbone, name)
            if isinstance(attacked, TargetedStage):
                for budget in self.grid.budgets_of(column.attack.name):
                    yield (
                        column.name,
                        budget,
                        TargetedRankStage(clean, self.grid.ap, attacked, budget),
                    )

    def corrupted_ranks(self, clean: EmbedStage) -> Iterator[tuple[str, CorruptedRankStage]]:
        """Yield (name in results files, stage) of one row's corrupted cells, if it has any."""
        corruption = self.resolved.corruption
        if corruption is not None:
            corrupted = CorruptStage(clean, corruption, clean.network.seed, self.grid.ap)
            for side in SIDES:
                yield row_name(side), CorruptedRankStage(corrupted, side)

    def sweep(self, clean: EmbedStage) -> SweepStage | None:
        """Return the stage of each corruption at each severity; None without corruptions."""
        corruption = self.resolved.corruption
        if corruption is None:
            return None
        return SweepStage(clean, corruption, clean.network.seed, self.grid.ap)

    def black_box_ranks(
        self, clean: EmbedStage, row: Row
    ) -> Iterator[tuple[tuple[str, str], str, Fraction, RankStage]]:
        """Yield (source, attack, budget, stage): what the sources' queries do to one row.

        A source has the row's datasets and seed; beside a model that was given as trained on
        another dataset than the grid's, it is trained on the one it is tested on. Where it is the
        row itself, the attack is the white-box one.
        """
        trained_on = row.train if row.train in self.data else row.test
        for source in self._sources(row.backbone):
            theirs = self.embedded(trained_on, row.test, *source, row.seed)
            for column in self.columns:
                if column.through != "nothing":
                    continue
                shown = ReplayStage(clean, self._attacked(theirs, column, *source))
                for budget in self.grid.budgets_of(column.name):
                    if source == (row.backbone, row.defense):
                        rank = self._rank(clean, column, budget, *source)
                    else:
                        rank = RankStage(clean, self.grid.ap, shown, budget)
                    yield source, column.name, budget, rank

    def _rank(
        self, clean: EmbedStage, column: AttackColumn, budget: Fraction, backbone: str, name: str
    ) -> RankStage:
        """Return the ranking of a row under an attack at one budget.

        The worst case is that of the whole cell: no query counts above what another attack of the
        grid left of it at this budget, through the same JPEG if there is one.
        """
        pooled = [
            self._attacked(clean, other, backbone, name)
            for other in self.columns
            if isinstance(column.attack, WorstCase)
            and other != column
            and is_pooled(other.attack)
            and other.through == column.through
            and budget in self.grid.budgets_of(other.attack.name)
        ]
        attacked = self._attacked(clean, column, backbone, name)
        return RankStage(clean, self.grid.ap, attacked, budget, tuple(pooled))

    def _attacked(
        self, clean: EmbedStage, column: AttackColumn, backbone: str, name: str
    ) -> AttackStage:
        """Return the attack on a model; one that is a source keeps its adversarial queries."""
        grid = self.grid
        shown_to = {row.backbone for row in self.rows()}
        is_source = column.through == "nothing" and any(
            (backbone, name) in self._sources(row) for row in shown_to
        )
        return stage_of(column.attack)(
            clean=clean,
            attack=column.attack,
            budgets=tuple(grid.budgets_of(column.attack.name)),
            seed=clean.network.seed,
            precision=grid.precision,
            # A gallery is many times the queries, of which figures show some.
            keep=(grid.keep_adversarial or is_source) and column.attack.threat != "gallery",
            ap=grid.ap,
            eight_bit=grid.eight_bit,
            through=column.through,
            quality=column.quality,
        )

    def _hardened(
        self, parent: GivenStage, recipe: Recipe, train_on: str, seed: int
    ) -> HardenedStage:
        """Return the training of a given model from the weights it came with.

        Raises:
            BenchboxError: the dataset that it is said to be trained on is none of the grid's.
        """
        if train_on not in self.data:
            raise BenchboxError(
                f"defense {parent.name!r}: is hardened on the images of {train_on}, where its "
                "model was trained as stated; name it among the grid's datasets."
            )
        given = parent.given
        size, interpolation = given.image_size, given.interpolation
        images = replace(self.data[train_on], image_size=size, interpolation=interpolation)
        made = HardenedStage(parent.name, given, parent.data, seed, parent, recipe, images)
        return self.hardened.setdefault((parent.name, train_on, seed), made)

    def _sources(self, backbone: str) -> list[tuple[str, str]]:
        """Return the (backbone, defense) whose queries a row on ``backbone`` is shown.

        Sources are trained on the row's backbone where they name none, beside a given model of
        another architecture on all of the grid's.
        """
        trainable = [backbone] if backbone in self.grid.backbones else self.grid.backbones
        found: dict[tuple[str, str], None] = {}
        for own, defense in self.grid.parsed_sources:
            given = self.resolved.defenses[defense].model
            on = [given.architecture] if given else [own] if own else trainable
            found |= {(name, defense): None for name in on}
        return list(found)

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
