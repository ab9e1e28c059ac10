"""The files a reader takes away: a board as CSV and JSON, an entry's grid as TOML."""

import csv
import io
import json
from typing import Any

from benchbox.leaderboard.entry.files import file_name
from benchbox.leaderboard.entry.numbers import Mean
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.site.boards import Board, Row
from benchbox.leaderboard.site.published import PublishedRow
from benchbox.results.conditions import CLEAN_ATTACK, Condition
from benchbox.untrusted.grid_toml import as_toml
from benchbox.untrusted.json import as_json

COLUMNS = (
    *("board", "version", "train", "test", "backbone", "defense", "training_protocol"),
    *("step_cost", "training_seconds", "status", "rank"),
    *("attack", "eps_255", "steps", "step_size_255", "seeds"),
    *("mAP", "mAP_std", "mAP_low", "mAP_high"),
    *("rank1", "rank1_std", "rank5", "rank5_std", "rank10", "rank10_std", "digest"),
)


def board_csv(board: Board) -> str:
    """Return the measured numbers of a board, one row per entry and condition, in percent.

    Only registry names and numbers stand in it: a title might be a formula to a spreadsheet.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in board.rows:
        writer.writerows(_csv_rows(row))
    return stream.getvalue()


def board_json(board: Board) -> str:
    """Return a board with its protocol, its entries in full and the published rows apart."""
    content = {
        "schema": 1,
        "board": board.name,
        "protocol": as_json(board.protocol),
        "entries": [
            {
                "file": f"{row.stem}.json",
                "rank": row.rank,
                "best_known": row.worst,
                "challenges": [as_json(challenge) for challenge in row.challenges],
                "entry": as_json(row.entry),
            }
            for row in board.rows
        ],
        "published": [
            {"backbone": block.group.backbone, "train": block.group.train}
            | {"test": block.group.test, **_published(row, block.protocol.conditions)}
            for block in board.blocks
            for row in block.published
        ],
    }
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def entry_toml(row: Row) -> str:
    """Return the grid of an entry's run as a file that ``benchbox run`` takes.

    Raises:
        BenchboxError: the grid holds null.
    """
    head = (
        f"# The resolved grid behind {row.stem}.\n"
        "# It may have more rows than this one: shorten `defenses` to run less.\n"
    )
    where = f"{file_name(row.entry)}: provenance.grid"
    return head + as_toml(row.entry.provenance.grid, where=where)


def _csv_rows(row: Row) -> list[dict[str, Any]]:
    entry = row.entry
    same = {
        "board": entry.board,
        "version": entry.version,
        "train": entry.train.name,
        "test": entry.test.name,
        "backbone": entry.backbone,
        "defense": entry.defense.name,
        "training_protocol": entry.training_protocol,
        "step_cost": _or_nothing(entry.step_cost),
        "training_seconds": _or_nothing(entry.provenance.training_seconds),
        "status": entry.status,
        "rank": "" if row.rank is None else row.rank,
        "seeds": len(entry.weights),
        "digest": entry.digest,
    }
    measured = [
        {
            "attack": result.attack,
            "eps_255": result.eps_255,
            "steps": result.steps,
            "step_size_255": result.step_size_255,
            **_mean("mAP", result.mAP),
            "mAP_low": result.mAP.low,
            "mAP_high": result.mAP.high,
            **_mean("rank1", result.rank1),
            **_mean("rank5", result.rank5),
            **_mean("rank10", result.rank10),
        }
        for result in entry.results
    ]
    worst = [
        {
            # The attack worst_case has a row of its own, like any other.
            "attack": f"worst_of_{'_'.join(_attacks_at(entry, worst.eps_255))}",
            "eps_255": worst.eps_255,
            **_mean("mAP", worst.mAP),
            "mAP_low": worst.mAP.low,
            "mAP_high": worst.mAP.high,
        }
        for worst in entry.worst_of_single_attacks
    ]
    return [same | values for values in (*measured, *worst)]


def _or_nothing(value: float | None) -> float | str:
    return "" if value is None else value


def _attacks_at(entry: Entry, eps_255: float) -> list[str]:
    """Return the attacks that an entry met at a budget."""
    return [r.attack for r in entry.results if not r.is_clean and r.eps_255 == eps_255]


def _mean(key: str, mean: Mean) -> dict[str, Any]:
    return {key: mean.mean, f"{key}_std": "" if mean.std is None else mean.std}


def _published(row: PublishedRow, conditions: tuple[Condition, ...]) -> dict[str, Any]:
    there = [c for c in conditions if (c.attack, c.eps_255) in row.values]
    return {
        "source": row.about.reference,
        "tables": list(row.tables),
        "reported": row.about.reported,
        "defense": row.defense,
        "label": row.label,
        "results": [
            {
                "attack": c.attack,
                "eps_255": c.eps_255,
                "steps": c.steps if c.attack != CLEAN_ATTACK else 0,
                "mAP": float(row.values[c.attack, c.eps_255][0]),
                "rank1": float(row.values[c.attack, c.eps_255][1]),
            }
            for c in there
        ],
    }
