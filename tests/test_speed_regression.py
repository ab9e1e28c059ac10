"""Speed beside a baseline: ratios to a reference of the same run."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchbox.errors import BenchboxError
from benchbox.regression.speed import compare_speed, speed_table


def benchmarks(file: Path, **times: float) -> Path:
    """Write pytest-benchmark's JSON; the median is half as long again as the minimum."""
    content = {
        "machine_info": {"node": "somewhere"},
        "benchmarks": [
            {
                "name": name,
                "fullname": f"tests/bench.py::{name}",
                "params": None,
                "stats": {"min": time, "median": 1.5 * time, "max": 9.0},
            }
            for name, time in times.items()
        ],
        "version": "5.1.0",
    }
    file.write_text(json.dumps(content))
    return file


def interleaved(
    file: Path, rounds: list[float], beside: Any, *, data: bool = True, block: float = 1.0
) -> Path:
    """Write a benchmark that timed the reference itself, and the reference's own block."""
    benchmarks(file, reference=block, a=min(rounds))
    content = json.loads(file.read_text())
    content["benchmarks"][1]["extra_info"] = {"reference_seconds": beside, "note": [None]}
    if data:
        content["benchmarks"][1]["stats"]["data"] = rounds
    file.write_text(json.dumps(content))
    return file


def test_a_slower_machine_is_not_slower_code(tmp_path: Path) -> None:
    old = benchmarks(tmp_path / "old.json", reference=1.0, attack=0.5, ranking=0.1)
    new = benchmarks(tmp_path / "new.json", reference=3.0, attack=1.5, ranking=0.3)
    found = compare_speed(old, new, reference="reference")
    assert found.ok
    assert [round(cell.times, 9) for cell in found.cells] == [1.0, 1.0]
    assert found.verdict_line == "No benchmark of 2 became slower."


def test_slower_code_is_red_at_the_threshold(tmp_path: Path) -> None:
    old = benchmarks(tmp_path / "old.json", reference=1.0, a=0.5, b=0.5, c=0.5, d=0.5)
    new = benchmarks(tmp_path / "new.json", reference=2.0, a=1.29, b=1.31, c=0.5, d=1.0)
    found = compare_speed(old, new, reference="tests/bench.py::reference")
    assert [cell.verdict for cell in found.cells] == [
        *("within noise", "slower", "faster", "within noise")
    ]
    assert not found.ok
    assert found.verdict_line == "1 of 4 benchmarks became slower."
    assert compare_speed(old, new, reference="reference", threshold=1.4).ok
    table = speed_table(found)
    assert [row[3].text for row in table.rows] == ["1.29", "1.31", "0.50", "1.00"]
    assert "shortest round" in table.caption


def test_the_shortest_round_is_what_counts(tmp_path: Path) -> None:
    old = benchmarks(tmp_path / "old.json", reference=1.0, a=1.0)
    new = json.loads(old.read_text())
    new["benchmarks"][1]["stats"] |= {"median": 30.0, "mean": 40.0}
    (tmp_path / "new.json").write_text(json.dumps(new))
    assert compare_speed(old, tmp_path / "new.json", reference="reference").cells[0].times == 1


def test_what_is_missing_is_refused_with_a_list(tmp_path: Path) -> None:
    old = benchmarks(tmp_path / "old.json", reference=1.0, a=1.0, b=1.0)
    new = benchmarks(tmp_path / "new.json", reference=1.0, c=1.0)
    with pytest.raises(BenchboxError, match=r"(?s)lacks 2 benchmarks.*::a\n.*::b"):
        compare_speed(old, new, reference="reference")
    with pytest.raises(BenchboxError, match="unknown reference"):
        compare_speed(old, new, reference="c")
    with pytest.raises(BenchboxError, match="above 1"):
        compare_speed(old, old, reference="a", threshold=1.0)
    alone = benchmarks(tmp_path / "alone.json", reference=1.0)
    with pytest.raises(BenchboxError, match="reference alone"):
        compare_speed(alone, alone, reference="reference")


@pytest.mark.parametrize("value", [0, -1.0, "1", True, None, 1e12])
def test_times_that_are_none_are_refused(tmp_path: Path, value: Any) -> None:
    file = benchmarks(tmp_path / "bad.json", reference=1.0, a=1.0)
    content = json.loads(file.read_text())
    content["benchmarks"][1]["stats"]["min"] = value
    file.write_text(json.dumps(content))
    with pytest.raises(BenchboxError, match=r"bad\.json: benchmarks\[1\]\.stats\.min"):
        compare_speed(file, file, reference="reference")


def test_an_ambiguous_reference_is_refused(tmp_path: Path) -> None:
    file = benchmarks(tmp_path / "old.json", reference=1.0, a=1.0, b=1.0)
    content = json.loads(file.read_text())
    content["benchmarks"][1]["name"] = "reference"
    file.write_text(json.dumps(content))
    with pytest.raises(BenchboxError, match="several benchmarks are called"):
        compare_speed(file, file, reference="reference")
    content["benchmarks"][1]["fullname"] = content["benchmarks"][0]["fullname"]
    file.write_text(json.dumps(content))
    with pytest.raises(BenchboxError, match="stands there twice"):
        compare_speed(file, file, reference="reference")


def test_a_reference_between_the_rounds_takes_out_what_disturbs_both(tmp_path: Path) -> None:
    rounds, beside = [0.2, 0.2, 0.2, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1, 0.1]
    old = interleaved(tmp_path / "old.json", rounds, {"reference": beside})
    # Other work came in the third round and stayed; the second was hit alone, the block was not.
    disturbed = {"reference": [0.1, 0.1, 0.3, 0.3, 0.3]}
    new = interleaved(tmp_path / "new.json", [0.2, 0.5, 0.6, 0.6, 0.6], disturbed, block=0.4)
    (cell,) = (found := compare_speed(old, new, reference="reference")).cells
    assert (cell.rule, cell.verdict) == ("median of rounds", "within noise")
    assert (cell.old, cell.new) == pytest.approx((2, 2))
    assert "median over rounds" in speed_table(found).caption
    slower = interleaved(tmp_path / "new.json", [0.3, 0.2, 0.9, 0.9, 0.9], disturbed)
    (cell,) = compare_speed(old, slower, reference="tests/bench.py::reference").cells
    assert (cell.verdict, cell.times) == ("slower", pytest.approx(1.5))


def test_both_sides_are_held_by_one_rule(tmp_path: Path) -> None:
    beside = {"reference": [0.5, 0.25]}
    full = interleaved(tmp_path / "full.json", [1.0, 1.0], beside)
    short = interleaved(tmp_path / "short.json", [1.0, 1.0], beside, data=False)
    other = interleaved(tmp_path / "other.json", [1.0, 1.0], {"ranking": [0.5, 0.25]})
    for old, new, rule, ratio in (
        (full, full, "median of rounds", 3.0),
        (full, short, "shortest beside", 4.0),
        (short, full, "shortest beside", 4.0),
        (full, other, "shortest", 1.0),
        (other, short, "shortest", 1.0),
    ):
        (cell,) = compare_speed(old, new, reference="reference").cells
        assert (cell.rule, cell.old, cell.new) == (rule, ratio, ratio)


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({"reference": [0.1]}, r"bad\.json: tests/bench\.py::a: 1 times of the reference for 2"),
        ({"reference": []}, r"extra_info\.reference_seconds"),
        ({"reference": [0.1, 0]}, r"extra_info\.reference_seconds"),
        ({"reference": [0.1, "1"]}, r"extra_info\.reference_seconds"),
        ({"reference": 0.1}, r"extra_info\.reference_seconds"),
        ([0.1, 0.1], r"extra_info\.reference_seconds"),
        ({str(place): [0.1] for place in range(101)}, r"extra_info\.reference_seconds"),
    ],
)
def test_reference_times_that_are_none_are_refused(
    tmp_path: Path, beside: Any, message: str
) -> None:
    file = interleaved(tmp_path / "bad.json", [1.0, 1.0], beside)
    with pytest.raises(BenchboxError, match=message):
        compare_speed(file, file, reference="reference")


@pytest.mark.parametrize("rounds", [[], [1.0, -1.0], [1.0, None], 1.0, {}])
def test_rounds_that_are_none_are_refused(tmp_path: Path, rounds: Any) -> None:
    file = interleaved(tmp_path / "bad.json", [1.0, 1.0], {"reference": [1.0, 1.0]})
    content = json.loads(file.read_text())
    content["benchmarks"][1]["stats"]["data"] = rounds
    file.write_text(json.dumps(content))
    with pytest.raises(BenchboxError, match=r"bad\.json: benchmarks\[1\]\.stats\.data"):
        compare_speed(file, file, reference="reference")
