"""The sanity checks tell broken defenses from honest ones."""

import json
import shutil
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from benchbox.data.images import to_unit
from benchbox.errors import BenchboxError
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.sanity import CHECKS, Subject, run_checks
from benchbox.leaderboard.sanity.attacked_subject import AttackedSubject, beyond_noise
from benchbox.leaderboard.sanity.backward import average_pooled, straight_through
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.sanity.run_subjects import RunSubjects
from benchbox.leaderboard.submitting.check_groups import check_groups
from benchbox.results.artefacts import Artefacts
from benchbox.results.measurements import Group
from benchbox.results.run_folder import read_run
from benchbox.runs.options import Options
from benchbox.runs.registry import load_registry
from benchbox.runs.runner import run_grid
from defenses import DEFENSES
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
def subjects(store: Artefacts) -> RunSubjects:
    protocol = Protocol.model_validate(
        {
            "schema": 1,
            "board": "micro",
            "version": 1,
            "title": "Micro",
            "image_size": [32, 16],
            "attacks": ["fna", "sma"],
            "budgets": ["8/255", "10/255"],
            "steps": 16,
            "step_size": "1/255",
            "ap": "trapezoid",
            "seeds": [0],
            "rerun_tolerance": 0.5,
            "datasets": [{"name": "market1501"}],
        }
    )
    row = store.run.results.iloc[0]
    group = Group(row["backbone"], row["train_dataset"], row["test_dataset"])
    return RunSubjects(store, load_registry((PLUGIN,)), protocol, group, CPU)


@pytest.fixture(scope="module")
def results(subjects: RunSubjects) -> dict[str, dict[str, CheckResult]]:
    return {name: {r.name: r for r in subjects.examine(name)} for name in (*HONEST, *BROKEN)}


@pytest.fixture(scope="module")
def subject(subjects: RunSubjects) -> Subject:
    return subjects.subject("origin")


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_defense_fails_no_check(results, name: str) -> None:
    assert results[name].keys() == CHECKS.keys()
    assert {n: r.says for n, r in results[name].items() if r.outcome == "fail"} == {}
    assert results[name]["bpda"].outcome == "not applicable"
    assert results[name]["transfer"].outcome == "pass"


@pytest.mark.parametrize(("name", "check"), BROKEN.items())
def test_a_broken_defense_fails_the_check_made_for_it(results, name: str, check: str) -> None:
    assert results[name][check].outcome == "fail", results[name][check].says


def test_a_random_guard_draws_the_same_when_its_numbers_are_made_again(store: Artefacts) -> None:
    """Otherwise nobody could recompute an entry of one, suspect as it is."""
    results = store.run.results
    row = results[(results["defense"] == "resizing") & (results["attack"] == "none")].iloc[0]
    cell, out = str(row["cell"]), store.run.path
    before = store.features(cell)
    shutil.rmtree(store.folder(cell, "embed"))
    torch.rand(7)  # wherever the process's own generator is
    given = Options(workers=1, plugins=(PLUGIN,))
    run_grid(out.parent / "micro.toml", out, given, Console(quiet=True))
    after = Artefacts(read_run(out)).features(cell)
    assert all(torch.equal(before[split], after[split]) for split in ("query", "gallery"))


def test_noise_is_that_of_identities() -> None:
    """Against the standard deviation of means over resampled identities."""
    rng = np.random.default_rng(0)
    pids = np.repeat(np.arange(40), rng.integers(1, 6, 40))
    before = rng.uniform(0, 100, len(pids))
    after = before + rng.normal(3, 20, 40)[pids] + rng.normal(0, 5, len(pids))
    paired = after - before
    groups = [paired[pids == pid] for pid in range(40)]
    means = [
        np.concatenate([groups[i] for i in rng.integers(0, 40, 40)]).mean() for _ in range(4000)
    ]
    change, noise = beyond_noise(before, after, pids)
    assert change == pytest.approx(paired.mean())
    assert noise == pytest.approx(2 * np.std(means), rel=0.06)
    assert noise > 1.3 * 2 * paired.std(ddof=1) / np.sqrt(len(paired))
    single = np.arange(len(pids))
    expected = 2 * paired.std(ddof=1) / np.sqrt(len(paired))
    assert beyond_noise(before, after, single)[1] == pytest.approx(expected)


def test_the_examined_identities_are_those_of_the_ranked_queries(subject: Subject) -> None:
    assert len(subject.pids) == len(subject.average_precision(subject.clean))
    alone = replace(subject, gallery_camids=[subject.query_camids[0]] * len(subject.gallery_pids))
    matched = [c != subject.query_camids[0] for c in subject.query_camids]
    assert alone.pids.tolist() == [p for p, m in zip(subject.query_pids, matched, strict=True) if m]
    assert len(alone.ranked(alone.embedded(alone.clean))) == sum(matched)


def test_sources_are_the_preferred_of_the_run_but_not_the_defense_itself(
    subjects: RunSubjects,
) -> None:
    """Origin first, then the trained ones whose queries carry over best; never its own weights."""
    assert subjects.sources("quantised") == ["adv_train", "ddd"]  # its weights are origin's
    assert subjects.sources("adv_train") == ["origin", "ddd"]
    preferred = resources.files("benchbox.leaderboard.sanity") / "transfer_sources.json"
    content = json.loads(preferred.read_text(encoding="utf-8"))
    assert set(content["defenses"]) <= set(DEFENSES)
    assert content["defenses"][0] == "origin"


def test_a_run_without_another_model_is_refused_before_anything_is_attacked(
    store: Artefacts, subjects: RunSubjects, monkeypatch
) -> None:
    protocol = subjects.protocol.model_copy(update={"required_checks": ("transfer",)})
    monkeypatch.setattr(RunSubjects, "examine", lambda *_, **__: pytest.fail("was examined"))
    monkeypatch.setattr(RunSubjects, "_training", lambda *_: "the same")
    with pytest.raises(BenchboxError, match=r"no other model.*\n.*nothing was written"):
        check_groups(store, load_registry([PLUGIN]), protocol, [subjects.group], "origin")


def test_another_guard_of_the_same_name_is_not_examined(subjects: RunSubjects) -> None:
    known = subjects.registry.defenses
    milder = replace(known["quantised"].guard, levels=255)
    other = replace(known["quantised"], guard=milder)
    registry = replace(subjects.registry, defenses={**known, "quantised": other})
    with pytest.raises(BenchboxError, match=r"levels.*255.*plugin it was made with"):
        replace(subjects, registry=registry).examine("quantised")


def test_numbers_that_weights_do_not_give_are_refused(subjects: RunSubjects, monkeypatch) -> None:
    stored = RunSubjects._stored
    monkeypatch.setattr(RunSubjects, "_stored", lambda *given: np.minimum(stored(*given) + 20, 100))
    with pytest.raises(BenchboxError, match=r"adv_train leaves .* mAP here, the run says"):
        subjects.examine("adv_train")


def test_weights_that_do_not_give_the_stored_embeddings_are_refused(
    subjects: RunSubjects, monkeypatch
) -> None:
    stored = Artefacts.features

    def turned(self: Artefacts, cell: str) -> dict[str, torch.Tensor]:
        return {name: rows.roll(1, dims=1) for name, rows in stored(self, cell).items()}

    monkeypatch.setattr(Artefacts, "features", turned)
    with pytest.raises(BenchboxError, match="stored embeddings of origin are not those"):
        subjects.examine("origin")


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
    found = {r.name: r.outcome for r in run_checks(AttackedSubject(constant, {}))}
    assert found["gradients"] == "fail"
    assert found["transfer"] == "not run"
    assert found["random_noise"] == "pass"  # nothing is left of it at all


def test_nan_gradients_are_counted(subject: Subject) -> None:
    def model(images: torch.Tensor) -> torch.Tensor:
        return subject.model(images) + (images - images).sqrt().sum() * 0

    found = {r.name: r for r in run_checks(AttackedSubject(replace(subject, model=model), {}))}
    assert found["gradients"].outcome == "fail"
    assert found["gradients"].numbers["not_finite"] == len(subject.queries)


@pytest.mark.parametrize("way", [straight_through, average_pooled])
def test_another_backward_pass_changes_no_value(subject: Subject, way) -> None:
    images = to_unit(subject.queries[:4]).requires_grad_()
    through = way(torch.round)
    torch.testing.assert_close(through(images), torch.round(images))
    (gradient,) = torch.autograd.grad(subject.model(through(images)).sum(), images)
    assert gradient.abs().amax() > 0


def test_average_pooling_spreads_a_gradient_over_its_window() -> None:
    images = torch.rand(1, 1, 7, 7, requires_grad=True)
    weights = torch.zeros(7, 7)
    weights[3, 3] = 1.0
    guarded = average_pooled(torch.round)(images)
    (gradient,) = torch.autograd.grad((guarded * weights).sum(), images)
    expected = np.zeros((7, 7))
    expected[2:5, 2:5] = 1 / 9
    np.testing.assert_allclose(gradient[0, 0].numpy(), expected, atol=1e-7)
