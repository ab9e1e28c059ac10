"""Grids: every fault is one line with file, key, value and what is allowed."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from benchbox.errors import BenchboxError
from benchbox.runs.grid import parse_fraction
from benchbox.runs.grid_file import read_grid
from benchbox.runs.override import override
from benchbox.runs.plan import make_plan
from benchbox.runs.registry import Registry, load_registry
from benchbox.training.recipe import Training
from defenses import AdvTrain, SqueezeThenSmooth

MINIMAL = """
name = "mini"
datasets = ["sidewalk-a"]
defenses = ["origin", "bs_ms", "adv_train"]
backbones = ["small"]
pretrained = false
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture
def write(tmp_path: Path):
    def write_grid(text: str) -> Path:
        file = tmp_path / "my.toml"
        file.write_text(text)
        return file

    return write_grid


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('budgets = ["8/0"]', r'my\.toml: budgets\[0\]: expected a fraction such as "8/255", not \'8/0\''),  # noqa: E501
        ('budgets = ["9"]', r"budgets\[0\]: expected a fraction between 0 and 1"),
        ("budgets = [0.03]", r"budgets\[0\]: expected a string such as .8/255., not 0\.03"),
        ('budgets = ["8/255", "16/510"]', r"budgets: 8/255 stands there twice"),
        ('budgets = ["0/255"]', r"budgets\[0\]: expected a fraction above 0; clean queries are"),
        ('[attack.fna]\nbudgets = ["0.0"]', r"fna\.budgets: expected a fraction above 0"),
        ('step_size = "0/255"', r"step_size: expected a fraction above 0"),
        ("budgets = []", r"budgets: .*at least 1"),
        ('attacks = ["fnaa"]', r"my\.toml: attacks: unknown attack 'fnaa'\. Did you mean 'fna'\?"),
        ('transfers = [["sidewalk-a", "market"]]', r"transfers: unknown dataset 'market'\. Did you mean 'market1501'"),  # noqa: E501
        ("steps = 0", r"steps: .*greater than or equal to 1, not 0"),
        ('steps = "16"', r"steps: .*valid integer, not '16'"),
        ("seeds = [0, 0]", r"seeds: 0 stands there twice"),
        ('ap = "trapezium"', r"ap: .*'trapezoid' or 'step', not 'trapezium'"),
        ("image_size = [4, 4]", r"image_size: expected \[height, width\] between 16 and 1024"),
        ("stepz = 3", r"unknown key 'stepz'\. Did you mean 'steps'\?"),
        ('sidewalk_size = "huge"', r"sidewalk_size: unknown size 'huge'"),
        ("[recipe.adv_trane]\nsteps = 3", r"recipe: unknown recipe 'adv_trane'\. Did you mean 'adv_train'"),  # noqa: E501
        ("[guard.bs]\nbits = 3", r"guard: unknown defense 'bs'"),
        ("[attack.fnaa]\nsteps = 3", r"attack: unknown attack 'fnaa'\. Did you mean 'fna'"),
        ("steps = = 3", r"my\.toml: not valid TOML"),
    ],
)  # fmt: skip
def test_a_fault_is_one_readable_line(write, registry, line: str, message: str) -> None:
    with pytest.raises(BenchboxError, match=message):
        read_grid(write(MINIMAL + line + "\n"), registry)


def test_unknown_names_in_the_lists_suggest_the_nearest(write, registry) -> None:
    for old, new, message in (
        ('"bs_ms"', '"bsms"', r"defenses: unknown defense 'bsms'\. Did you mean 'bs_ms'"),
        ('"sidewalk-a"', '"sidewalk_a"', r"datasets: unknown dataset .* Did you mean 'sidewalk-a'"),
        (
            '"small"',
            '"resnet5O"',
            r"backbones: unknown backbone 'resnet5O'\. Did you mean 'resnet50'",
        ),
        ('name = "mini"', 'name = "../mini"', r"name: .*pattern"),
        ('name = "mini"\n', "", r"name: Field required"),
    ):
        with pytest.raises(BenchboxError, match=message):
            read_grid(write(MINIMAL.replace(old, new)), registry)


def test_a_missing_file_is_a_clear_error(tmp_path, registry) -> None:
    with pytest.raises(BenchboxError, match=r"nope\.toml: cannot be read"):
        read_grid(tmp_path / "nope.toml", registry)


def test_fractions_are_exact() -> None:
    assert parse_fraction("8/255") == Fraction(8, 255)
    assert parse_fraction("10 / 255") == Fraction(2, 51)


def test_override_changes_what_it_names_and_nothing_else() -> None:
    recipe = AdvTrain()
    changed = override(
        recipe, {"eps": "8/255", "training": {"epochs": 3, "milestones": [1, 2]}}, where="g"
    )
    assert changed == replace(
        recipe, eps=8 / 255, training=replace(Training(), epochs=3, milestones=(1, 2))
    )
    guard = override(SqueezeThenSmooth(), {"squeeze": {"bits": 3}}, where="g")
    assert guard.squeeze.bits == 3
    assert guard.smooth == SqueezeThenSmooth().smooth


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epss": 1}, r"g: unknown parameter 'epss'\. Did you mean 'eps'"),
        ({"training": {"epoch": 3}}, r"g\.training: unknown parameter 'epoch'\. Did you mean 'epochs'"),  # noqa: E501
        ({"steps": "3"}, r"g: steps: .*integer, not '3'"),
        ({"eps": "8/0"}, r"g\.eps: expected a fraction"),
        ({"start": "imagenet"}, r"g: start: .*'backbone' or 'vanilla'"),
        ({"training": {"optimizer": "sgd"}}, r"optimizer: .*'adam' or 'adamw'"),
    ],
)  # fmt: skip
def test_a_bad_override_is_one_readable_line(changes, message) -> None:
    with pytest.raises(BenchboxError, match=message):
        override(AdvTrain(), changes, where="g")


def test_overriding_the_guard_of_a_defense_without_one_is_refused(write, registry) -> None:
    grid = read_grid(write(MINIMAL + "[guard.adv_train]\nbits = 3\n"), registry)
    with pytest.raises(BenchboxError, match="this defense has no guard"):
        make_plan(grid, registry, {"sidewalk-a": "0"}, where="my.toml")


def test_the_plan_shares_what_can_be_shared(write, registry) -> None:
    text = MINIMAL.replace('"origin", ', '"origin", "bit_squeezing", "median_smoothing", ')
    text += '[recipe.adv_train]\nstart = "vanilla"\n'
    plan = make_plan(read_grid(write(text), registry), registry, {"sidewalk-a": "0"}, where="g")
    kinds = [stage.kind for stage in plan.stages]
    # Five defenses over one vanilla training and one adversarial one that starts from it.
    assert kinds.count("train") == 2
    assert kinds.count("embed") == 5
    assert kinds.count("attack") == 5 * 3, "one sweep serves both budgets"
    assert kinds.count("rank") == len(plan.cells) == 5 * (1 + 3 * 2)
    assert len({cell.id for cell in plan.cells}) == len(plan.cells)


def test_keys_change_with_what_determines_a_number_and_with_nothing_else(write, registry) -> None:
    def keys(text: str, digest: str = "0") -> dict[tuple, str]:
        plan = make_plan(
            read_grid(write(text), registry), registry, {"sidewalk-a": digest}, where="g"
        )
        return {(c.defense, c.attack, c.budget): c.id for c in plan.cells}

    base = keys(MINIMAL)
    assert keys(MINIMAL + 'title = "another title"\n') == base
    assert keys(MINIMAL + "[recipe.vanilla]\n") == base
    for change in (
        'guides = "exclude"',
        'distance = "euclidean"',
        "steps = 15",
        'precision = "bf16"',
    ):
        changed = keys(MINIMAL + change + "\n")
        assert changed["origin", "fna", Fraction(8, 255)] != base["origin", "fna", Fraction(8, 255)]
    for change in ('ap = "step"', "seeds = [1]", "image_size = [64, 32]", "[training]\nepochs = 1"):
        changed = keys(MINIMAL + change + "\n")
        assert not set(changed.values()) & set(base.values()), change
    assert not set(keys(MINIMAL, "1").values()) & set(base.values())
    own = keys(MINIMAL + "[recipe.adv_train]\nsteps = 2\n")
    assert {k for k in base if own[k] != base[k]} == {k for k in base if k[0] == "adv_train"}
    guard = keys(MINIMAL + "[guard.bs_ms.squeeze]\nbits = 4\n")
    assert {k for k in base if guard[k] != base[k]} == {k for k in base if k[0] == "bs_ms"}


def test_local_start_weights_are_named_by_their_content(write, registry, tmp_path) -> None:
    def key(file: Path) -> str:
        text = MINIMAL.replace("pretrained = false", f'pretrained = "{file}"')
        plan = make_plan(read_grid(write(text), registry), registry, {"sidewalk-a": "0"}, where="g")
        return plan.cells[0].id

    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors", "c.safetensors")]
    for file, content in zip(files, (b"same", b"same", b"other"), strict=True):
        file.write_bytes(content)
    assert key(files[0]) == key(files[1]) != key(files[2])
    with pytest.raises(BenchboxError, match=r"missing\.safetensors.*cannot be read"):
        key(tmp_path / "missing.safetensors")


def test_defended_reaches_every_recipe_but_vanilla_and_only_what_each_has(write, registry) -> None:
    text = MINIMAL.replace('"adv_train"]', '"adv_train", "amd", "ddd"]') + (
        '[defended]\neps = "6/255"\nstart = "vanilla"\ntraining = { epochs = 7 }\n'
        "[recipe.ddd]\nsteps = 2\n"
    )
    file = write(text)
    plan = make_plan(read_grid(file, registry), registry, {"sidewalk-a": "0" * 64}, where="my.toml")
    recipes = {name: defense.recipe for name, defense in plan.defenses.items()}
    assert recipes["origin"] == registry.defenses["origin"].recipe
    assert recipes["adv_train"] == replace(
        AdvTrain(), eps=6 / 255, start="vanilla", training=Training(epochs=7)
    )
    amd = registry.defenses["amd"].recipe  # has no eps of its own, its examples have
    assert recipes["amd"] == replace(amd, start="vanilla", training=Training(epochs=7))
    assert (recipes["ddd"].eps, recipes["ddd"].steps) == (6 / 255, 2)
    changes = {cell.defense: cell.overrides for cell in plan.cells}
    assert changes["origin"] == {}
    assert set(changes["amd"]["defended"]) == {"start", "training"}
    assert set(changes["ddd"]) == {"defended", "recipe"}


def test_a_key_of_defended_that_no_recipe_has_is_refused(write, registry) -> None:
    file = write(MINIMAL + "[defended]\nepsilon = 0.1\n")
    with pytest.raises(
        BenchboxError, match=r"my.toml: \[defended\]: unknown parameter 'epsilon'.*'eps'"
    ):
        make_plan(read_grid(file, registry), registry, {"sidewalk-a": "0" * 64}, where="my.toml")


def test_a_value_a_recipe_refuses_names_file_and_table(write, registry) -> None:
    file = write(MINIMAL.replace('"adv_train"', '"ddd"') + "[recipe.ddd.fnes]\nscale = 0.5\n")
    with pytest.raises(BenchboxError, match=r"my.toml: \[recipe.ddd\].*fnes.scale.*0.5"):
        make_plan(read_grid(file, registry), registry, {"sidewalk-a": "0" * 64}, where="my.toml")


def test_the_vanilla_recipe_is_found_without_the_papers_name_of_a_row(write, registry) -> None:
    """A registry without Origin still has what other recipes start from."""
    others = {name: each for name, each in registry.defenses.items() if name != "origin"}
    text = MINIMAL.replace('"origin", ', "").replace('"adv_train"', '"adv_train", "amd"')
    text += '[defended]\nstart = "vanilla"\n'
    grid = read_grid(write(text), registry)
    alone, whole = (
        make_plan(grid, known, {"sidewalk-a": "0" * 64}, where="my.toml")
        for known in (Registry(registry.attacks, others), registry)
    )
    assert [cell.id for cell in alone.cells] == [cell.id for cell in whole.cells]
    assert any(stage.kind == "train" and stage.recipe.name == "vanilla" for stage in alone.stages)
