"""A stage's key has to change with all code its work runs: what it imports is part of the key."""

import ast
import importlib.util
from pathlib import Path

import pytest

import attacks
from benchbox.runs.grid_file import read_grid
from benchbox.runs.plan import make_plan
from benchbox.runs.registry import load_registry
from benchbox.runs.stages import with_needs

HARMLESS = {
    "attacks",  # re-exports every attack; those that are taken from it are looked at one by one
    "attacks.base",  # what an attack knows and hands back; below attacks, where an attack runs
    "benchbox.errors",
    "benchbox.runs.code",
    "benchbox.runs.cost",
    "benchbox.runs.stages.base",
    "benchbox.runs.store",
    "benchbox.torchvision_import",
    "defenses",  # re-exports every defense; the stage names the one it runs
    "defenses.base",
}
"""Modules that hold records, messages and file writing, and no arithmetic."""


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    sources = 'sources = ["origin"]\nattacks = ["fna"'
    text = Path("grids/demo.toml").read_text().replace('attacks = ["fna"', sources)
    text = 'rankings = ["k_reciprocal"]\n' + text
    file = tmp_path_factory.mktemp("grid") / "demo.toml"
    file.write_text(text)
    digests = {"sidewalk-a": "a" * 64, "sidewalk-b": "b" * 64}
    registry = load_registry()
    plan = make_plan(read_grid(file, registry), registry, digests, where=str(file))
    ranks = [cell.rank for cell in (*plan.cells, *plan.reranked, *plan.black_box)]
    return with_needs([*ranks, *ranks_of_other_threats(registry, digests, file)])


def ranks_of_other_threats(registry, digests, file):
    """Of one row: black-box cells are of attacks that leave the gallery alone and aim at nobody."""
    update = {
        "defenses": ["origin"],
        "datasets": ["sidewalk-a"],
        "attacks": ["universal", "hiding", "impersonation"],
        "sources": [],
        "transfers": [],
        "through": "jpeg",
        "attack": {},
    }
    grid = read_grid(file, registry).model_copy(update=update)
    own = {name: digests[name] for name in grid.datasets}
    plan = make_plan(grid, registry, own, where=str(file))
    return [cell.rank for cell in (*plan.cells, *plan.targeted)]


def files_of(module):
    spec = importlib.util.find_spec(module)
    file = Path(spec.origin)
    return set(file.parent.rglob("*.py")) if file.name == "__init__.py" else {file}


def imports_of(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "attacks":
                yield from (getattr(attacks, alias.name).__module__ for alias in node.names)


@pytest.mark.parametrize(
    "kind", ["prepare", "train", "embed", "attack", "replay", "rank", "rerank"]
)
def test_what_a_stage_imports_is_in_its_key(stages, kind):
    of_kind = [stage for stage in stages if stage.kind == kind]
    assert of_kind
    for stage in of_kind:
        reached = {name for need in with_needs([stage]) for name in need.sources}
        covered = {file for module in reached for file in files_of(module)}
        for file in {file for module in stage.sources for file in files_of(module)}:
            for module in imports_of(file):
                if module.split(".")[0] not in ("benchbox", "attacks", "defenses"):
                    continue
                if module in HARMLESS or module.startswith(
                    ("benchbox.files.", "benchbox.runs.stages")
                ):
                    continue
                spec = importlib.util.find_spec(module)
                assert Path(spec.origin) in covered, (stage.title, file, module)


def test_a_model_is_not_trained_again_for_an_attack_that_it_does_not_use(stages):
    trained = [stage.sources for stage in stages if stage.kind == "train"]
    assert any("attacks.fna" in sources for sources in trained)
    for sources in trained:
        assert not {"attacks", "attacks.worst_case", "attacks.tiers", "attacks.square"} & sources
