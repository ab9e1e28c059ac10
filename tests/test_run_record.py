"""run.json and the tables: one description for who writes and who reads them."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from benchbox.results.record import read_record
from benchbox.results.run_folder import read_run
from benchbox.runs.columns import PER_ID_COLUMNS, RESULT_COLUMNS
from benchbox.runs.record import CellRecord, RunRecord, write_record
from tests.made_runs import make_run

MEASURED = Path(__file__).resolve().parents[1] / "leaderboards" / "measured"

WHOLE: dict[str, Any] = {
    "schema": 1,
    "name": "made",
    "title": "A made run",
    "started": "2025-11-23T00:00:00Z",
    "finished": None,
    "command": "benchbox run made.toml",
    "versions": {"torch": "2.13.0"},
    "git": {"commit": None, "dirty": None},
    "device": "cpu",
    "batch_size": 64,
    "store": "store",
    "datasets": {},
    "titles": {},
    "order": {},
    "grid": {"steps": 16},
    "defenses": {},
    "attacks": {},
    "rows": [],
    "trainings": [
        {
            "train": "a",
            "backbone": "small",
            "defense": "ddd",
            "seed": 0,
            "seconds": 3.5,
            "devices": ["cpu"],
        }
    ],
    "cells": {},
    "near_chance": [],
    "failures": [],
}


def test_what_is_written_is_read_back_and_has_no_other_key(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_record(path, RunRecord.model_validate(WHOLE))
    assert json.loads(path.read_text()) == WHOLE
    assert read_record(path).model_dump(by_alias=True) == WHOLE


@pytest.mark.parametrize("key", sorted(WHOLE.keys() - {"schema", "name"}))
def test_a_key_that_was_left_out_is_not_written(tmp_path: Path, key: str) -> None:
    less = {name: value for name, value in WHOLE.items() if name != key}
    with pytest.raises(ValueError, match="left out"):
        write_record(tmp_path / "run.json", RunRecord.model_validate(less))
    assert not (tmp_path / "run.json").exists()


def test_a_key_of_a_cell_that_was_left_out_is_not_written(tmp_path: Path) -> None:
    cell = CellRecord(skipped_queries=0, lone_queries=0, stages={})
    record = RunRecord.model_validate({**WHOLE, "cells": {"a": cell}})
    with pytest.raises(ValueError, match="left out"):
        write_record(tmp_path / "run.json", record)


def test_an_unknown_key_cannot_be_written_but_is_passed_over_when_read(tmp_path: Path) -> None:
    cell = {"skipped_queries": 1, "lone_queries": 0, "stages": {}, "overrides": {}}
    later = {**WHOLE, "weather": "fine", "cells": {"a": {**cell, "train_stage": "0"}}}
    with pytest.raises(ValidationError, match="weather"):
        RunRecord.model_validate(later)
    (tmp_path / "run.json").write_text(json.dumps(later))
    assert read_record(tmp_path / "run.json").cells["a"].skipped_queries == 1


@pytest.mark.parametrize("run", sorted(MEASURED.glob("*/run.json")), ids=lambda p: p.parent.name)
def test_measured_runs_of_earlier_versions_are_read(run: Path) -> None:
    assert len(read_run(run.parent).results) > 0


def test_tables_are_read_in_the_columns_they_are_written_in(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path))
    assert tuple(run.results.columns) == RESULT_COLUMNS
    assert tuple(run.per_id.columns) == PER_ID_COLUMNS
