"""`benchmarks/gpu.py` runs to its end where no GPU is, in its smallest form."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kills import write_grid

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


@pytest.fixture
def script(monkeypatch) -> Any:
    spec = importlib.util.spec_from_file_location("gpu_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_script", module)
    spec.loader.exec_module(module)
    for name, value in {
        "PEOPLE": 12,
        "GALLERY": 60,
        "BATCHES": 1,
        "ROUNDS": 1,
        "STEPS": 2,
        "PRECISIONS": ("fp32",),
        "TIERS": ("fast",),
    }.items():
        monkeypatch.setattr(module, name, value)
    return module


@pytest.mark.slow
def test_it_measures_all_it_promises(script, tmp_path, monkeypatch) -> None:
    grid = write_grid(tmp_path, ["origin"])
    options = ["--device", "cpu", "--backbone", "small", "--size", "32x16", "--batch", "8"]
    out = ["--cells", str(grid), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *options, *out])
    script.main()
    tables = json.loads((tmp_path / "out" / "gpu.json").read_text())["tables"]
    assert [row["trained"] for row in tables["Training"]] == ["Metric AT", "DDD"]
    assert all(row["images/s"] > 0 for row in tables["Training"])
    attacks = {row["attack"]: row["image-steps/s"] for row in tables["Attacks"]}
    assert attacks["benchbox, fp32"] > 0
    peer = next(name for name in attacks if name.startswith(script.PEER))
    if importlib.util.find_spec("torchattacks"):
        assert attacks[peer] > 0
    else:
        assert "No module named 'torchattacks'" in peer
    assert [row["attack"] for row in tables["The worst case"]][1:] == ["worst case, fast"]
    for row in tables["Memory that runs out"]:
        assert "32 images at a time do not fit" in row["said"]
        assert "going on with 8" in row["said"]
        assert row["largest difference"] < 1e-5
    cells = tables["The same cells on the CPU and on the device"]
    assert [row["attack"] for row in cells] == ["none", "fna"]
    # On one device, from two empty stores, nothing differs.
    assert [row["difference"] for row in cells] == [0, 0]
