"""The guide's way, on micro data: trained outside, measured, entered, made again, and damaged."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import benchbox
from benchbox.cli.main import main
from benchbox.errors import BenchboxError
from tests.micro import make_micro_dataset
from tests.pages import DOCS, commands, of_benchbox

EXAMPLE = Path(__file__).parents[1] / "examples" / "own_model"
PAGE = DOCS / "own-model.md"
ROW = "models.py:SMALL_NET"
HOW = ["--attacks", "fna", "--budgets", "8/255", "--workers", "1", "--data-root", "data"]
ENTRY = "market1501--market1501--small_net--small_net--v1.json"
PROTOCOL = """
schema = 1
board = "any"
version = 1
title = "Any"
attacks = ["fna"]
budgets = ["8/255"]
steps = 16
step_size = "1/255"
ap = "trapezoid"
seeds = [0]
required_checks = ["gradients", "more_steps", "bpda"]
rerun_tolerance = 0.5
[[datasets]]
name = "market1501"
digest = "{digest}"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the example, its data, a checkpoint trained by its own loop, and a run."""
    root = tmp_path_factory.mktemp("own")
    for file in EXAMPLE.glob("*.py"):
        text = file.read_text().replace('"sidewalk-a"', '"market1501"')
        (root / file.name).write_text(text)
    market = make_micro_dataset(root / "data" / "Market-1501-v15.09.15", test=30)
    trained = market / "bounding_box_train"
    order = [sys.executable, "train.py", str(trained), "--epochs", "4"]
    subprocess.run(order, cwd=root, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    code, _ = call(root, "evaluate", ROW, "--on", "market1501", *HOW, "--out", "run")
    assert code == 0
    return root


def call(root, *words):
    """Run a command of benchbox in a folder; return its exit code and what it printed as errors."""
    before, argv, path = Path.cwd(), sys.argv, list(sys.path)
    # A process of its own would know nothing of another folder's network.
    for name in [key for key in sys.modules if key == "network" or "plugin_models" in key]:
        del sys.modules[name]
    os.chdir(root)
    sys.argv = ["benchbox", *map(str, words)]
    try:
        main()
    except SystemExit as end:
        return end.code or 0, end
    finally:
        os.chdir(before)
        sys.argv, sys.path[:] = argv, path
    return 0, None


def results(run):
    return pd.read_csv(run / "results.csv").set_index("attack")


def test_the_row_is_measured_as_its_owner_would(place):
    """Oracle: the checkpoint loaded and ranked by hand."""
    sys.path.insert(0, str(place))
    from network import SmallNet, normalise

    model = SmallNet()
    state = torch.load(place / "model.pth", weights_only=True)["state_dict"]
    model.load_state_dict({k: v for k, v in state.items() if not k.startswith("classifier")})
    sys.path.remove(str(place))
    found = results(place / "run")
    assert found.loc["none", "train_dataset"] == "market1501"
    assert found.loc["none", "backbone"] == "small_net"
    assert found.loc["fna", "mAP"] < found.loc["none", "mAP"]

    def embed(images):
        return torch.nn.functional.normalize(model.eval()(normalise(images)))

    features, labels = {}, {}
    from benchbox.data.images import load_images, to_unit
    from benchbox.data.reading import read_dataset

    dataset = read_dataset(place / "data" / "Market-1501-v15.09.15", name="market1501")
    for split in ("query", "gallery"):
        records = getattr(dataset, split)
        images = to_unit(load_images(records, size=(64, 32), interpolation="bicubic"))
        with torch.no_grad():
            features[split] = embed(images)
        labels[split] = ([r.pid for r in records], [r.camid for r in records])
    by_hand = benchbox.evaluate_retrieval(
        features["query"],
        features["gallery"],
        labels["query"][0],
        labels["gallery"][0],
        labels["query"][1],
        labels["gallery"][1],
    )
    assert found.loc["none", "mAP"] == pytest.approx(100 * by_hand.mAP, abs=1e-3)


def test_an_edited_network_helper_or_checkpoint_is_measured_anew(place, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(place, root)
    (root / "models.py").write_text((root / "models.py").read_text() + "\nUNUSED = 1\n")
    call(root, "evaluate", ROW, "--on", "market1501", *HOW, "--out", "run")
    first = results(root / "run")
    network = root / "network.py"
    network.write_text(network.read_text().replace(".mean(dim=(2, 3))", ".amax(dim=(2, 3))"))
    call(root, "evaluate", ROW, "--on", "market1501", *HOW, "--out", "run")
    pooled = results(root / "run")
    assert pooled.loc["none", "cell"] != first.loc["none", "cell"]
    # The oracle of a stale store: a store that has never seen anything else.
    call(root, "evaluate", ROW, "--on", "market1501", *HOW, "--out", "fresh")
    fresh = results(root / "fresh")
    assert list(pooled["mAP"]) == list(fresh["mAP"]) != list(first["mAP"])
    state = torch.load(root / "model.pth", weights_only=True)
    state["state_dict"]["stem.weight"] *= -1
    torch.save(state, root / "model.pth")
    call(root, "evaluate", ROW, "--on", "market1501", *HOW, "--out", "run")
    assert results(root / "run").loc["none", "cell"] != pooled.loc["none", "cell"]


def test_an_entry_is_written_verified_shown_and_made_again(place):
    record = json.loads((place / "run" / "run.json").read_text())
    board = place / "boards" / "any"
    board.mkdir(parents=True)
    digest = record["datasets"]["market1501"]["digest"]
    (board / "protocol.toml").write_text(PROTOCOL.format(digest=digest))
    plugin = ("--plugin", "models.py")
    told = ("--defense", "small_net", "--board", "any", "--boards", "boards", *plugin)
    assert call(place, "submit", "run", *told)[0] == 0
    entry = json.loads((board / ENTRY).read_text())
    assert entry["given"]["builder"] == "models.py:small_net"
    assert entry["given"]["trained_on"] == "market1501"
    import hashlib

    sha = hashlib.sha256((place / "model.pth").read_bytes()).hexdigest()
    assert entry["weights"][0]["sha256"] == sha
    assert call(place, "leaderboard", "verify", "boards")[0] == 0
    assert call(place, "leaderboard", "build", "--boards", "boards", "--out", "site")[0] == 0
    page = next(path for path in (place / "site").rglob("*.html") if "small_net" in path.name)
    assert "given, trained elsewhere; built by models.py:small_net" in page.read_text()
    model = benchbox.load_model(
        board / ENTRY, weights=place / "model.pth", plugins=[place / "models.py"]
    )
    embedded = model(torch.rand(3, 3, 64, 32))
    assert torch.allclose(embedded.norm(dim=1), torch.ones(3))
    other = place / "other.pth"
    torch.save(torch.load(place / "model.pth", weights_only=True)["state_dict"], other)
    with pytest.raises(BenchboxError, match="SHA-256 is none of those"):
        benchbox.load_model(board / ENTRY, weights=other, plugins=[place / "models.py"])
    weights = ("--weights", "0=model.pth", "--data-root", "data", *plugin)
    code, _ = call(place, "leaderboard", "verify", board / ENTRY, "--rerun", *weights)
    assert code == 0


def test_a_baseline_is_green_and_red_after_one_tensor_is_damaged(place, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(place, root)
    (root / "baselines").mkdir()
    told = ("regress", "baselines/b.json", "--run")
    call(root, *told, "run", "--update")
    assert call(root, *told, "run")[0] == 0
    state = torch.load(root / "model.pth", weights_only=True)
    weight = state["state_dict"]["stem.weight"]
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    weight += weight.std() * noise
    torch.save(state, root / "model.pth")
    call(root, "evaluate", ROW, "--on", "market1501", *HOW, "--out", "damaged")
    assert results(root / "damaged").loc["none", "mAP"] < results(root / "run").loc["none", "mAP"]
    assert call(root, *told, "damaged")[0] == 1


def test_one_call_gives_the_commands_numbers(place):
    sys.path.insert(0, str(place))
    from network import SmallNet

    sys.path.remove(str(place))
    model = SmallNet()
    state = torch.load(place / "model.pth", weights_only=True)["state_dict"]
    model.load_state_dict({k: v for k, v in state.items() if not k.startswith("classifier")})
    found = benchbox.evaluate(
        model.train(),
        "market1501",
        attacks=["fna"],
        image_size=(64, 32),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        distance="cosine",
        data_root=place / "data",
        name="mine",
        keep_images=True,
    )
    assert model.training
    table = found.to_pandas().set_index("attack")
    # Pillow's bilinear filter here, bicubic in the example: near, and not the same.
    assert table.loc["none", "mAP"] == pytest.approx(
        results(place / "run").loc["none", "mAP"], abs=5
    )
    per_query = found.per_query
    clean = per_query[per_query["attack"] == "none"]
    assert 100 * clean["ap"].mean() == pytest.approx(table.loc["none", "mAP"])
    assert found.images("fna").shape == (len(clean), 3, 64, 32)
    assert "mine" in found._repr_html_()
    with pytest.raises(BenchboxError, match="no cell of attack sma"):
        found.images("sma")


def test_the_page_names_commands_options_and_files_that_exist():
    typed = [words for line in commands(PAGE) if (words := of_benchbox(line))]
    assert {"evaluate", "submit", "leaderboard", "regress", "weights"} <= {w[0] for w in typed}
    shown = (EXAMPLE / "models.py").read_text()
    block = shown[shown.index("SMALL_NET = ") :]
    assert block.strip() in PAGE.read_text()
