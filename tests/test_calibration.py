"""What a calibration says of a machine, and what estimates make of it."""

from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from benchbox.data.official import OFFICIAL_COUNTS
from benchbox.errors import BenchboxError
from benchbox.runs.balancing_cost import cost_of, diffusion_of
from benchbox.runs.calibration import (
    Calibration,
    Provenance,
    Rates,
    calibration_file,
    read_calibration,
    write_calibration,
)
from benchbox.runs.cost import Cost
from benchbox.runs.estimating import Speed, estimate_parts, require_within, seconds_of
from benchbox.runs.measured_networks import (
    MeasuredNetwork,
    backbone_alone,
    diffusions_of,
    networks_of,
)
from benchbox.runs.measuring import measure
from benchbox.runs.options import Options
from benchbox.runs.runner import preview, run_grid
from benchbox.runs.stages import Stage
from tests.micro import make_micro_dataset, write_micro_grid

HERE = Provenance(
    machine="here", device="cpu (x)", threads=1, clock="process", versions={}, commit=None
)


def calibration(pairs: float = 1e6, **networks: Rates) -> Calibration:
    return Calibration(provenance=HERE, measured="2026-11-27", pairs=pairs, networks=networks)


def rates(trained: float | None = 10.0, ascended: float = 20.0) -> Rates:
    return Rates(trained=trained, ascended=ascended, embedded=50.0, load_seconds=3.0)


def test_seconds_are_work_over_rates() -> None:
    known = calibration(net=rates())
    cost = Cost(network="net", trained=30, ascended=60, embedded=200, pairs=5e6, loads=2)
    assert known.seconds(cost) == pytest.approx(3 + 3 + 4 + 5 + 6)
    assert known.seconds(Cost(pairs=2e6)) == pytest.approx(2)


def test_training_of_a_network_without_a_name_goes_by_the_slowest() -> None:
    known = calibration(fast=rates(100.0), slow=rates(5.0), attacked=rates(None))
    assert known.seconds(Cost(trained=10)) == pytest.approx(2)


def test_what_was_not_measured_is_named() -> None:
    known = calibration(net=rates(), guarded=rates(None))
    costs = [Cost(network=name, embedded=1) for name in ("net", "guarded", "other", "other")]
    assert known.lacks([*costs, Cost(pairs=1)]) == ["other"]
    assert known.lacks([Cost(network="guarded", trained=1)]) == ["guarded"]


def test_a_file_keeps_what_was_measured_on_the_same_machine(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "here.json"
    assert read_calibration(file) is None
    write_calibration(file, calibration(a=rates()))
    write_calibration(file, calibration(pairs=5.0, b=rates(None)))
    assert read_calibration(file) == calibration(pairs=5.0, a=rates(), b=rates(None))
    other = Calibration(
        provenance=HERE.model_copy(update={"device": "cpu (y)"}),
        measured="2026-11-28",
        pairs=1.0,
        networks={"c": rates()},
    )
    write_calibration(file, other)
    assert read_calibration(file) == other
    assert [path.name for path in file.parent.iterdir()] == ["here.json"]


def test_a_damaged_file_is_one_line_and_measuring_replaces_it(tmp_path: Path) -> None:
    file = tmp_path / "here.json"
    file.write_text('{"pairs": "fast"}')
    with pytest.raises(BenchboxError, match=r"here\.json: cannot be read as a calibration"):
        read_calibration(file)
    write_calibration(file, calibration(a=rates()))
    assert read_calibration(file) == calibration(a=rates())


def test_it_lies_in_the_users_cache_beside_the_machines_name(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("benchbox.runs.calibration.user_cache_dir", lambda *_, **__: str(tmp_path))
    monkeypatch.setattr("platform.node", lambda: "gpu 7.lab/x")
    assert calibration_file("cuda:1") == tmp_path / "calibrations" / "gpu-7.lab-x-cuda.json"


class Repeated(nn.Module):
    """The same pass so many times over."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.layer = nn.Conv2d(3, 32, 5)

    def forward(self, images: torch.Tensor, *ids: torch.Tensor) -> torch.Tensor:
        assert all(len(each) == len(images) for each in ids)
        return sum(self.layer(images).mean((2, 3)) for _ in range(self.times))


def test_four_times_the_work_is_about_a_quarter_of_the_rate() -> None:
    networks = {
        str(times): MeasuredNetwork(
            build=lambda times=times: Repeated(times), image_size=(32, 16), ids=1
        )
        for times in (1, 4)
    }
    found = measure(networks, device="cpu", batch_size=16, minutes=0.02)
    once, often = found.networks["1"], found.networks["4"]
    assert 2 < once.embedded / often.embedded < 8
    assert 2 < once.ascended / often.ascended < 8
    assert once.trained is None
    assert found.provenance.clock == "process"


def test_a_backbone_is_measured_in_training_too() -> None:
    networks = backbone_alone("small", (32, 16))
    found = measure(networks, device="cpu", batch_size=16, minutes=0.01).networks
    (known,) = found.values()
    assert list(found) == ["small 32×16"]
    assert known.trained is not None
    # A training pass has the forward pass in it.
    assert known.trained < known.embedded


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grid")
    return write_micro_grid(folder / "micro.toml", make_micro_dataset(folder / "micro"))


def told(parts) -> str:
    console = Console(file=StringIO(), width=300)
    for part in parts:
        console.print(part)
    return console.file.getvalue()


def test_a_grids_networks_are_all_that_its_stages_need(grid: Path) -> None:
    plan, _ = preview(grid, Options())
    networks = networks_of(plan.stages)
    assert {one.training is not None for one in networks.values()} == {True, False}
    measured = calibration(
        **{name: rates(1.0 if one.training else None) for name, one in networks.items()}
    )
    assert measured.lacks([stage.cost for stage in plan.stages]) == []


def test_a_guard_that_a_run_prepares_is_not_measured(tmp_path: Path) -> None:
    """It stands on what is trained in the run; the other networks are measured."""
    grid = write_micro_grid(tmp_path / "g.toml", make_micro_dataset(tmp_path / "micro"))
    grid.write_text(grid.read_text().replace('"bs_ms"', '"bs_ms", "purification"'))
    names = networks_of(preview(grid, Options())[0].stages)
    assert not any("Purification" in name for name in names)
    assert any("SqueezeThenSmooth" in name for name in names)


def test_without_a_calibration_there_are_shares_and_what_to_do(grid: Path) -> None:
    plan, _ = preview(grid, Options())
    speed = Speed("cpu", None, "benchbox calibrate my.toml")
    text = told(estimate_parts(plan.stages, speed, workers=2))
    assert "share of the work" in text
    assert "benchbox calibrate my.toml does that in about a minute" in text
    assert "hours;" not in text
    with pytest.raises(BenchboxError, match="--device-hours 3: how long it takes is not known"):
        require_within(3, plan.stages, speed)


def test_with_one_there_are_hours_and_a_makespan(grid: Path) -> None:
    plan, _ = preview(grid, Options())
    names = networks_of(plan.stages)
    none = Rates(trained=1e12, ascended=1e12, embedded=1e12, load_seconds=0)
    known = calibration(pairs=1e12, **dict.fromkeys(names, none))
    bare = plan.stages[0].cost
    assert bare.trained
    # Only trainings take time: two, the second waits for the first, so two workers gain nothing.
    trained = none.model_copy(update={"trained": 1.0})
    known = calibration(pairs=1e12, **{**known.networks, bare.network: trained})
    hours = sum(stage.cost.trained for stage in plan.stages) / 3600
    text = told(estimate_parts(plan.stages, Speed("cpu", known, ""), workers=2))
    assert f"about {hours:.2f} cpu-hours; on 2 workers" in text
    seconds = hours * 3600
    spelled = f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
    assert text.count(spelled) == 2


def test_a_dataset_that_is_not_here_is_counted_as_published(tmp_path: Path) -> None:
    plan, missing = preview(Path("grids/whitebox.toml"), Options(data_root=tmp_path))
    assert set(missing) == {"market1501", "dukemtmcreid"}
    text = told(estimate_parts(plan.stages, Speed("cpu", None, "x"), workers=1, missing=missing))
    for name in missing:
        counts = OFFICIAL_COUNTS[name]
        assert (
            f"{name} is not here and counts as {counts.train_images:,} training images, "
            f"{counts.query_images:,} queries" in text
        )


def test_a_run_beyond_its_budget_is_not_started(grid: Path, tmp_path: Path) -> None:
    plan, _ = preview(grid, Options())
    slow = Rates(trained=1.0, ascended=1.0, embedded=1.0, load_seconds=0)
    file = tmp_path / "slow.json"
    write_calibration(file, calibration(**dict.fromkeys(networks_of(plan.stages), slow)))
    options = Options(device="cpu", device_hours=0.01, calibration=file)
    with pytest.raises(BenchboxError, match="nothing was started") as error:
        run_grid(grid, tmp_path / "out", options, Console(quiet=True))
    assert error.value.exit_code == 2
    assert list((tmp_path / "out").rglob("stage.json")) == []
    with pytest.raises(BenchboxError, match=r"gone\.json: no such file"):
        Speed.of("cpu", tmp_path / "gone.json", where="g")


@pytest.fixture(scope="module")
def balanced(grid: Path) -> list[Stage]:
    """The stages of a grid that balances by a small diffusion model."""
    text = grid.read_text().replace('["origin", "bs_ms", "adv_train"]', '["ddd"]')
    own = "max_height = 32, channels = [8, 16], layers = 1, attention = 0, precision = 'fp32'"
    run = "steps = 40, batch_size = 4, sampler_steps = 3"
    table = f"[recipe.ddd.balancing]\nat_most = 20\ndiffusion = {{ {own}, {run} }}\n"
    file = grid.with_name("balanced.toml")
    file.write_text(text.split("[recipe.adv_train]")[0] + table)
    return list(preview(file, Options())[0].stages)


def test_balancing_costs_its_diffusion_models_steps_and_calls(balanced: list[Stage]) -> None:
    pytest.importorskip("diffusers")
    (prepare,) = (stage for stage in balanced if diffusion_of(stage))
    fast = Rates(trained=1e12, ascended=1e12, embedded=1e12, load_seconds=0)
    known = calibration(pairs=1e12, **dict.fromkeys(networks_of(balanced), fast))
    (name,) = diffusions_of(balanced)
    own = Rates(trained=2.0, ascended=1e12, embedded=4.0, load_seconds=5)
    whole = calibration(pairs=1e12, **{**known.networks, name: own})
    # 40 steps of 4 images; 20 images in 3 steps of sampling, twice for guidance; the start.
    assert seconds_of(prepare, whole) == pytest.approx(40 * 4 / 2 + 20 * 3 * 2 / 4 + 5)
    text = told(estimate_parts(balanced, Speed("cpu", whole, "measure"), workers=1))
    assert "counts as making 20 images" in text
    assert f"about {115 / 3600:.2f} cpu-hours" in text


def test_a_diffusion_model_that_was_not_measured_is_said_to_be_guessed(
    balanced: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    (prepare,) = (stage for stage in balanced if diffusion_of(stage))
    known = calibration(**dict.fromkeys(networks_of(balanced), rates(5.0)))
    assert known.lacks([cost_of(prepare)]) != []
    assert seconds_of(prepare, known) == pytest.approx(prepare.cost.trained / 5)
    for installed, said in ((True, "network. measure"), (False, "pip install diffusers, then")):
        monkeypatch.setattr(
            "benchbox.runs.estimating.can_measure", lambda installed=installed: installed
        )
        text = told(estimate_parts(balanced, Speed("cpu", known, "measure it"), workers=1))
        assert "is guessed: its diffusion model was not measured" in text
        assert said in text


def test_a_diffusion_model_is_measured_in_training_and_in_sampling(balanced: list[Stage]) -> None:
    pytest.importorskip("diffusers")
    models = diffusions_of(balanced)
    found = measure({}, diffusions=models, device="cpu", batch_size=8, minutes=0.05).networks
    assert list(found) == list(models)
    (known,) = found.values()
    assert known.trained is not None
    # A step has a call of the network in it.
    assert known.trained < known.embedded
