"""Makes run folders (contract C6) with drawn numbers, for tests of what reads them."""

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

RESULT_COLUMNS = [
    *("train_dataset", "test_dataset", "backbone", "defense", "attack", "eps_255", "steps"),
    *("step_size_255", "seed", "mAP", "rank1", "rank5", "rank10", "ap_convention", "queries"),
    *("gallery", "seconds", "cell"),
]

TITLES = {
    "defenses": {
        "origin": "Origin",
        "bit_squeezing": "BitSqueezing",
        "median_smoothing": "MedianSmoothing2D",
        "bs_ms": "BS+MS",
        "adv_train": "Adv_train",
        "amd": "AMD",
        "das": "DAS",
        "ddd": "Ours",
    },
    "attacks": {"none": "Clean", "fna": "FNA", "sma": "SMA", "ifgsm": "IFGSM"},
    "datasets": {"sidewalk-a": "Sidewalk-A", "sidewalk-b": "Sidewalk-B"},
    "backbones": {"tiny": "TinyNet", "resnet50": "ResNet50"},
}


def make_run(
    folder: Path,
    *,
    defenses: Sequence[str] = ("origin", "bit_squeezing", "median_smoothing", "bs_ms", "adv_train"),
    attacks: Sequence[str] = ("fna", "sma", "ifgsm"),
    budgets: Sequence[float] = (8.0, 10.0),
    datasets: Sequence[str] = ("sidewalk-a", "sidewalk-b"),
    transfers: Sequence[tuple[str, str]] = (),
    backbones: Sequence[str] = ("resnet50",),
    seeds: Sequence[int] = (0,),
    ap: str = "trapezoid",
    identities: int = 60,
    titles: dict[str, dict[str, str]] | None = None,
    drop: Sequence[int] = (),
    **record: Any,
) -> Path:
    """Write a run folder; the same arguments give the same numbers.

    Args:
        folder: to write into.
        drop: places of rows to leave out of results.csv and per_id.csv, as if not yet run.
        record: keys that replace run.json's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    pairs = [*((name, name) for name in datasets), *transfers]
    conditions = [("none", 0.0), *((a, eps) for a in attacks for eps in budgets)]
    rows: list[dict[str, Any]] = []
    per_id: list[tuple[str, int, int, float]] = []
    cells: dict[str, Any] = {}
    queries_of = {test: draw.integers(1, 6, identities) for _, test in pairs}
    for backbone in backbones:
        for train, test in pairs:
            for defense in defenses:
                for seed in seeds:
                    for attack, eps in conditions:
                        key = f"{backbone}|{train}|{test}|{defense}|{attack}|{eps}|{seed}"
                        cell = hashlib.sha256(key.encode()).hexdigest()[:16]
                        queries = queries_of[test]
                        strength = 1.0 if attack == "none" else 1.5 + eps / 4
                        quality = 0.3 + 1.2 * defenses.index(defense) / len(defenses)
                        ap_of = draw.beta(1 + 3 * quality, 2, identities) ** strength
                        mean_ap = float((queries * ap_of).sum() / queries.sum())
                        rows.append(
                            dict(
                                zip(
                                    RESULT_COLUMNS,
                                    (
                                        train,
                                        test,
                                        backbone,
                                        defense,
                                        attack,
                                        eps,
                                        16 if eps else 0,
                                        1.0 if eps else 0.0,
                                        seed,
                                        100 * mean_ap,
                                        *(min(100.0, 100 * mean_ap * k) for k in (1.2, 1.4, 1.5)),
                                        ap,
                                        int(queries.sum()),
                                        400,
                                        1.5,
                                        cell,
                                    ),
                                    strict=True,
                                )
                            )
                        )
                        cells[cell] = {
                            "skipped_queries": 2 if test == "sidewalk-b" else 0,
                            "lone_queries": 3 if test == "sidewalk-a" else 0,
                            "stages": {"train": hashlib.sha256(b"train").hexdigest()},
                            "overrides": {},
                        }
                        per_id += [
                            (cell, pid + 1, int(n), float(value))
                            for pid, (n, value) in enumerate(zip(queries, ap_of, strict=True))
                        ]
    dropped = {rows[place]["cell"] for place in drop}
    write_csv(
        folder / "results.csv",
        RESULT_COLUMNS,
        [list(row.values()) for row in rows if row["cell"] not in dropped],
    )
    write_csv(
        folder / "per_id.csv",
        ["cell", "pid", "queries", "ap"],
        [list(row) for row in per_id if row[0] not in dropped],
    )
    split = {"images": 500, "ids": identities, "cameras": 6}
    content = {
        "schema": 1,
        "name": "made",
        "title": "A made run",
        "started": "2025-11-23T00:00:00Z",
        "finished": "2025-11-23T00:05:00Z",
        "versions": {"benchbox": "0.1.0", "torch": "2.13.0", "python": "3.11.2"},
        "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        "device": "cpu",
        "datasets": {
            name: {
                "digest": hashlib.sha256(name.encode()).hexdigest(),
                "root": f"/data/{name}",
                "size": "tiny",
                "train": split,
                "query": split,
                "gallery": split,
            }
            for name in dict.fromkeys(name for pair in pairs for name in pair)
        },
        "titles": titles or TITLES,
        "order": {
            "defenses": list(defenses),
            "attacks": list(attacks),
            "datasets": list(dict.fromkeys(name for pair in pairs for name in pair)),
            "backbones": list(backbones),
        },
        "grid": {
            "name": "made",
            "datasets": list(datasets),
            "transfers": [list(pair) for pair in transfers],
            "backbones": list(backbones),
            "defenses": list(defenses),
            "attacks": list(attacks),
            "budgets": [f"{eps:g}/255" if eps == int(eps) else str(eps / 255) for eps in budgets],
            "steps": 16,
            "step_size": "1/255",
            "seeds": list(seeds),
            "ap": ap,
        },
        "cells": {cell: value for cell, value in cells.items() if cell not in dropped},
        "failures": [],
        **record,
    }
    (folder / "run.json").write_text(json.dumps(content))
    return folder


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a CSV file; floats keep their shortest exact form."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([[repr(v) if isinstance(v, float) else v for v in row] for row in rows])
