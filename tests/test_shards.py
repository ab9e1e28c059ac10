"""What is large leaves in pieces what it leaves in one: the same key, the same bytes."""

import os
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from attacks import FNA, WorstCase
from attacks.gallery import Hiding
from attacks.square import Square
from benchbox.data.counting import counts_of
from benchbox.data.reading import read_dataset
from benchbox.errors import BenchboxError
from benchbox.runs.cost import Cost
from benchbox.runs.executors.events import Done, Failed, LeftOut
from benchbox.runs.executors.inline import Inline
from benchbox.runs.executors.local import LocalProcesses
from benchbox.runs.grid_file import read_grid
from benchbox.runs.plan import make_plan
from benchbox.runs.registry import load_registry
from benchbox.runs.sharding import in_shards
from benchbox.runs.stages import (
    AttackShard,
    AttackStage,
    EmbedJoin,
    EmbedShard,
    EmbedStage,
    GalleryStage,
    JoinStage,
    ModelStage,
    RankStage,
    Stage,
    TargetedStage,
    UniversalStage,
)
from benchbox.runs.stages.data import Data
from benchbox.runs.store import Store
from benchbox.runs.worker import do_stage
from benchbox.runs.workplace import Site, Workplace
from defenses import BitSqueezing
from tests.micro import make_micro_dataset, write_micro_grid

QUERIES, BATCH = 22, 3
"""Seven whole batches, and one of one query."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A store with one trained model and its clean embeddings."""
    folder = tmp_path_factory.mktemp("shards")
    root = make_micro_dataset(folder / "micro", test=QUERIES // 2)
    dataset = read_dataset(root)
    assert len(dataset.query) == QUERIES
    return Site(
        folder / "store", {f"path:{root}": replace(dataset, name=f"path:{root}")}, "cpu", BATCH
    )


@pytest.fixture(scope="module")
def clean(site: Site) -> RankStage:
    """The clean cell of that model, done."""
    ((name, dataset),) = site.datasets.items()
    file = write_micro_grid(site.store.parent / "g.toml", dataset.root, epochs=1)
    registry = load_registry()
    plan = make_plan(
        read_grid(file, registry),
        registry,
        {name: dataset.digest},
        where="g",
        counts={name: counts_of(dataset)},
    )
    rank = plan.cells[0].rank
    for stage in (rank.clean.network, rank.clean):
        do_stage(stage, Workplace(site))
    return rank


def attacked(
    clean: RankStage, attack: Any, *, stage: type[AttackStage] = AttackStage, **settings: Any
) -> AttackStage:
    budgets = (Fraction(8, 255), Fraction(10, 255))
    return stage(clean.clean, attack, budgets, seed=0, **settings)


def contents(store: Path, stage: Stage) -> dict[str, bytes]:
    folder = Store(store).folder(stage.kind, stage.key)
    return {f.name: f.read_bytes() for f in sorted(folder.iterdir()) if f.name != "stage.json"}


def in_pieces(stage: AttackStage, queries: int) -> list[Stage]:
    return list(in_shards([stage], queries=queries, batch_size=BATCH))


def embedded_in(stage: EmbedStage, images: int) -> list[Stage]:
    return list(in_shards([stage], queries=0, images=images, batch_size=BATCH))


def beside(site: Site, folder: Path) -> Site:
    """Another store with the same model and embeddings."""
    for name in ("train", "embed"):
        for path in site.store.glob(f"{name}-*"):
            shutil.copytree(path, folder / path.name)
    return replace(site, store=folder)


@pytest.mark.parametrize(
    ("attack", "settings"),
    [
        (WorstCase(tier="fast"), {"keep": True}),
        (WorstCase(tier="fast"), {"eight_bit": True, "precision": "bf16"}),
        (FNA(steps=4), {}),
        (Square(tries=20), {}),
        (Hiding(steps=2), {"stage": GalleryStage}),
    ],
    ids=["worst case", "8 bits", "fna", "square", "gallery"],
)
def test_an_attack_in_one_three_and_eight_shards_is_the_same_bytes(
    site: Site, clean: RankStage, tmp_path: Path, attack: Any, settings: dict[str, Any]
) -> None:
    whole = attacked(clean, attack, **settings)
    found = {}
    for shards in (1, 3, 8):
        here = beside(site, tmp_path / str(shards))
        stages = in_pieces(whole, -(-whole.images_attacked // shards))
        assert len(stages) == (1 if shards == 1 else shards + 1)
        assert stages[-1].key == whole.key
        # Backwards: a shard does not rest on those before it.
        for stage in [*reversed(stages[:-1]), stages[-1]]:
            do_stage(stage, Workplace(here))
        found[shards] = contents(here.store, whole)
        assert not list(here.store.glob("shard-*"))
    assert set(found[1]) >= {"features.safetensors", "counts.json", "parts.safetensors"}
    assert found[1] == found[3] == found[8]


@dataclass(frozen=True)
class Noise:
    """A guard that draws at random."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return (images + 0.05 * torch.randn_like(images)).clamp(0, 1)


def test_what_a_guard_draws_does_not_depend_on_the_split(
    site: Site, clean: RankStage, tmp_path: Path
) -> None:
    noisy = replace(clean, clean=replace(clean.clean, guard=Noise()))
    whole = attacked(noisy, FNA(steps=2), keep=True)
    found = []
    for queries in (QUERIES, 6):
        here = beside(site, tmp_path / str(queries))
        for stage in (noisy.clean, *in_pieces(whole, queries)):
            do_stage(stage, Workplace(here))
        found.append(contents(here.store, whole))
    assert found[0] == found[1]


def test_seconds_are_those_of_all_shards(site: Site, clean: RankStage, tmp_path: Path) -> None:
    whole = attacked(clean, FNA(steps=2))
    here = beside(site, tmp_path / "store")
    *shards, join = in_pieces(whole, 6)
    taken = [do_stage(shard, Workplace(here)) for shard in shards]
    do_stage(join, Workplace(here))
    manifest = Store(here.store).manifest("attack", whole.key)
    assert manifest is not None
    assert manifest.seconds >= 0.9 * sum(taken)
    # Joined already, by another run say: nothing is attacked again.
    assert do_stage(shards[0], Workplace(here)) == 0
    assert not list(here.store.glob("shard-*"))


def test_shards_cover_all_queries_once_in_whole_batches(clean: RankStage) -> None:
    whole = attacked(clean, FNA(steps=2))
    for queries in range(1, QUERIES + 5):
        *shards, last = in_pieces(whole, queries)
        if isinstance(last, AttackStage):
            assert not shards
            continue
        assert isinstance(last, JoinStage)
        rows = [row for shard in shards for row in range(shard.start, shard.stop)]
        assert rows == list(range(QUERIES))
        assert all(shard.start % BATCH == 0 for shard in shards)
        assert sum(shard.cost.ascended for shard in shards) == pytest.approx(whole.cost.ascended)


@pytest.mark.parametrize("edited", [AttackStage, EmbedStage])
def test_a_shard_is_as_stale_as_its_whole(
    clean: RankStage, monkeypatch: pytest.MonkeyPatch, edited: type[Stage]
) -> None:
    """A killed run may leave shards; after an edit of the stage's code nobody joins them."""

    def shards() -> set[str]:
        fresh = replace(clean, clean=replace(clean.clean))
        if edited is EmbedStage:
            return {stage.key for stage in embedded_in(fresh.clean, BATCH)}
        return {stage.key for stage in in_pieces(attacked(fresh, FNA(steps=2)), BATCH)}

    before = shards()
    monkeypatch.setattr(edited, "code", (*edited.code, "benchbox.errors"))
    assert len(before) > 2
    assert not before & shards()


@pytest.mark.parametrize("stage", [UniversalStage, TargetedStage])
def test_what_is_made_on_all_images_or_leaves_more_is_not_split(
    clean: RankStage, stage: type[AttackStage]
) -> None:
    whole = attacked(clean, FNA(steps=2), stage=stage)
    assert in_pieces(whole, BATCH) == [whole]


def test_only_large_attacks_are_split_where_nobody_says_how(clean: RankStage) -> None:
    small, large = attacked(clean, FNA(steps=4)), attacked(clean, FNA(steps=100_000))
    stages = list(in_shards([clean.clean, small, large], queries=0, batch_size=1))
    assert stages[:2] == [clean.clean, small]
    assert {type(stage) for stage in stages[2:-1]} == {AttackShard}


@dataclass(frozen=True, kw_only=True)
class Deadly(FNA):
    """Takes its process with it the first time it meets the first query, or never can meet it."""

    notes: str = ""
    always: bool = False

    def search(self, embed: Any, images: Any, aim: Any, **more: Any) -> Any:
        file = Path(self.notes) / f"{float(images.sum()):.6f}"
        seen = file.exists()
        with file.open("a") as stream:
            stream.write("x")
        if self.always and len(images) < BATCH:
            raise BenchboxError("the last query cannot be attacked")
        if not seen and not self.always and len(images) < BATCH:
            os._exit(9)
        return super().search(embed, images, aim, **more)


def test_a_killed_shard_is_repeated_alone(site: Site, clean: RankStage, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    whole = attacked(clean, Deadly(steps=1, notes=str(notes)))
    here = beside(site, tmp_path / "store")
    events: list[Any] = []
    stages = in_pieces(whole, 6)
    LocalProcesses(here, 2).execute(stages, events.append)
    assert [e.error for e in events if isinstance(e, Failed)] == []
    assert len([e for e in events if isinstance(e, Done)]) == len(stages)
    met = Counter(len(file.read_text()) for file in notes.iterdir())
    # Eight batches: the one that died twice, the other of its shard perhaps too, six once.
    assert met[2] in (1, 2)
    assert met[1] + met[2] == 8
    assert Store(here.store).manifest("attack", whole.key) is not None


def test_a_shard_that_fails_takes_down_the_attack_and_what_needs_it(
    site: Site, clean: RankStage, tmp_path: Path
) -> None:
    whole = attacked(clean, Deadly(steps=1, notes=str(tmp_path), always=True))
    rank = RankStage(clean.clean, "trapezoid", whole, whole.budgets[0])
    here = beside(site, tmp_path / "store")
    stages = [*in_pieces(whole, 6), rank]
    events: list[Any] = []
    Inline(here).execute(stages, events.append)
    failed = [event.error for event in events if isinstance(event, Failed)]
    assert failed == ["the last query cannot be attacked"]
    lost = [event.stage.kind for event in events if isinstance(event, LeftOut)]
    assert lost == ["attack", "rank"]
    # What was found for other queries is kept for the next try.
    assert len(list(here.store.glob("shard-*"))) == len(stages) - 3


class Seeing(torch.nn.Module):
    """Embeds an image and the camera that saw it."""

    def forward(self, images: torch.Tensor, camids: torch.Tensor) -> torch.Tensor:
        means = torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)
        return torch.cat([means, camids[:, None].float()], dim=1)


@dataclass(frozen=True)
class OfCameras(ModelStage):
    """A model that takes the camera beside the image; its artefact is a name."""

    kind = "cameras"
    code = ()
    seed: int = 0
    label = architecture = title = "cameras"
    needs = ()
    cost = Cost()

    def settings(self) -> dict[str, Any]:
        return {}

    def work(self, place: Workplace, folder: Path) -> None:
        (folder / "name.txt").write_text("cameras")

    def ids(self, data: Data, place: Workplace, split: Any) -> tuple[torch.Tensor, ...]:
        return (torch.tensor([record.camid for record in data.records(place, split)]),)

    def fresh(self) -> torch.nn.Module:
        return Seeing()

    def model(self, place: Workplace) -> torch.nn.Module:
        return Seeing()


@pytest.mark.parametrize("what", ["trained", "guarded", "cameras", "random"])
def test_an_embedding_in_one_three_and_eight_shards_is_the_same_bytes(
    site: Site, clean: RankStage, tmp_path: Path, what: str
) -> None:
    """A model that draws is embedded in one piece, whatever was asked for."""
    whole = clean.clean
    if what in {"guarded", "random"}:
        whole = replace(whole, guard=BitSqueezing() if what == "guarded" else Noise())
    elif what == "cameras":
        whole = replace(whole, network=OfCameras())
    found = {}
    for shards, images in ((1, 66), (3, 24), (8, 9)):
        here = replace(site, store=tmp_path / str(shards))
        for path in site.store.glob("train-*"):
            shutil.copytree(path, here.store / path.name)
        do_stage(whole.network, Workplace(here))
        stages = embedded_in(whole, images)
        assert len(stages) == (1 if shards == 1 else shards + 1)
        assert (stages[-1].kind, stages[-1].key) == (whole.kind, whole.key)
        for stage in [*reversed(stages[:-1]), stages[-1]]:
            do_stage(stage, Workplace(here))
        found[shards] = contents(here.store, whole)
        assert not list(here.store.glob("shard-*"))
    assert list(found[1]) == ["features.safetensors"]
    assert found[1] == found[3] == found[8]


def test_shards_of_an_embedding_cover_all_images_once_in_whole_batches(clean: RankStage) -> None:
    counts = clean.clean.data.counts
    assert (counts.query_images, counts.gallery_images) == (QUERIES, 44)
    assert embedded_in(clean.clean, 0) == embedded_in(clean.clean, 66) == [clean.clean]
    for images in range(1, 66):
        *shards, last = embedded_in(clean.clean, images)
        assert isinstance(last, EmbedJoin)
        for split, many in (("query", QUERIES), ("gallery", 44)):
            own = [s for s in shards if isinstance(s, EmbedShard) and s.split == split]
            assert [row for s in own for row in range(s.start, s.stop)] == list(range(many))
            assert all(shard.start % BATCH == 0 for shard in own)
        assert sum(shard.cost.embedded for shard in shards) == clean.clean.cost.embedded
