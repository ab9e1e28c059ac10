"""The sanity checks tell broken defenses from honest ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from benchbox.data.images import to_unit
from benchbox.leaderboard.check_result import CheckResult
from benchbox.leaderboard.sanity import CHECKS, Subject, run_checks
from benchbox.leaderboard.sanity.backward import average_pooled, straight_through
from benchbox.leaderboard.sanity.examining import examine, subject_of
from benchbox.reports.artefacts import Artefacts
from benchbox.reports.measurements import measurements
from benchbox.reports.run_folder import read_run
from benchbox.runs.registry import load_registry
from benchbox.runs.runner import Options, run_grid
from tests.micro import make_micro_dataset, write_micro_grid

PLUGIN = Path(__file__).parent / "plugins" / "broken_defenses.py"
HONEST = ("origin", "adv_train", "ddd")
BROKEN = {"zeroed": "gradients", "noisy": "bpda", "resizing": "eot", "quantised": "gradients"}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Artefacts:
    """A run of honest and broken defenses on a micro dataset."""
    folder = tmp_path_factory.mktemp("run")
    dataset = make_micro_dataset(folder / "micro", train=16, test=40)
    grid = write_micro_grid(folder / "micro.toml", dataset, epochs=12)
    names = ", ".join(f'"{name}"' for name in (*HONEST, *BROKEN))
    text = grid.read_text().replace('"origin", "bs_ms", "adv_train"', names)
    # DDD without the diffusion model, which would take most of the test's time.
    text += (
        '[recipe.ddd]\nmodules = ["adversarial", "meta", "fnes"]\nstart = "vanilla"\nsteps = 2\n'
    )
    grid.write_text(text.replace("steps = 10", "steps = 16"))
    run_grid(grid, folder / "out", Options(workers=1, plugins=(PLUGIN,)), Console(quiet=True))
    return Artefacts(read_run(folder / "out"))


@pytest.fixture(scope="module")
def results(store: Artefacts) -> dict[str, dict[str, CheckResult]]:
    registry = load_registry((PLUGIN,))
    (group,) = measurements(store.run.results, store.run.record.names).groups
    return {
        name: {r.name: r for r in examine(store, registry, group, name, device=CPU)}
        for name in (*HONEST, *BROKEN)
    }


@pytest.fixture(scope="module")
def subject(store: Artefacts) -> Subject:
    cells = measurements(store.run.results, store.run.record.names)
    registry = load_registry((PLUGIN,))
    return subject_of(store, registry, cells, cells.groups[0], "origin", device=CPU)


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_defense_fails_no_check(results, name: str) -> None:
    assert results[name].keys() == CHECKS.keys()
    assert {n: r.says for n, r in results[name].items() if r.outcome == "fail"} == {}
    assert results[name]["bpda"].outcome == "not applicable"
    assert results[name]["transfer"].outcome == "pass"


@pytest.mark.parametrize(("name", "check"), BROKEN.items())
def test_a_broken_defense_fails_the_check_made_for_it(results, name: str, check: str) -> None:
    assert results[name][check].outcome == "fail", results[name][check].says


def test_what_is_said_is_what_was_measured(results, subject: Subject) -> None:
    """The white-box number of the checks is an attack and an evaluation made here."""
    adversarial = subject.attack(subject.embed, to_unit(subject.queries), subject.guides)
    with torch.no_grad():
        expected = subject.ranked(subject.embed(adversarial)).mean()
    said = results["origin"]["more_steps"]
    assert said.numbers["map"] == pytest.approx(expected, abs=0.3)
    assert f"{said.numbers['map']:.1f}" in said.says
    assert results["zeroed"]["gradients"].numbers["zero"] == len(subject.queries)


def test_a_model_that_forgets_its_input_is_no_robust_model(subject: Subject) -> None:
    """Embeddings that do not depend on the image have no gradient, and no check may crash."""
    constant = replace(
        subject,
        model=lambda images: images.flatten(1)[:, :1] * 0 + torch.ones(subject.gallery.shape[1]),
    )
    found = {r.name: r.outcome for r in run_checks(constant, {})}
    assert found["gradients"] == "fail"
    assert found["transfer"] == "not applicable"


def test_nan_gradients_are_counted(subject: Subject) -> None:
    def model(images: torch.Tensor) -> torch.Tensor:
        return subject.model(images) + (images - images).sqrt().sum() * 0

    found = {r.name: r for r in run_checks(replace(subject, model=model), {})}
    assert found["gradients"].outcome == "fail"
    assert found["gradients"].numbers["not_finite"] == len(subject.queries)


@pytest.mark.parametrize("way", [straight_through, average_pooled])
def test_another_backward_pass_changes_no_value(subject: Subject, way) -> None:
    images = to_unit(subject.queries[:4]).requires_grad_()
    through = way(subject.model, torch.round)
    torch.testing.assert_close(through(images), subject.model(torch.round(images)))
    (gradient,) = torch.autograd.grad(through(images).sum(), images)
    assert gradient.abs().amax() > 0


def test_average_pooling_spreads_a_gradient_over_its_window() -> None:
    images = torch.rand(1, 1, 7, 7, requires_grad=True)
    weights = torch.zeros(7, 7)
    weights[3, 3] = 1.0
    through = average_pooled(lambda guarded: (guarded * weights).sum((2, 3)), torch.round)
    (gradient,) = torch.autograd.grad(through(images).sum(), images)
    expected = np.zeros((7, 7))
    expected[2:5, 2:5] = 1 / 9
    np.testing.assert_allclose(gradient[0, 0].numpy(), expected, atol=1e-7)
