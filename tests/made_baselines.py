"""Makes baselines with drawn APs, for tests of what compares them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchbox.regression.baseline_record import Baseline

CONDITIONS = (("none", 0.0, 0, 0.0), ("fna", 8.0, 16, 1.0), ("sma", 8.0, 16, 1.0))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def made_content(
    *,
    seeds: Sequence[int] = (0,),
    defenses: Sequence[str] = ("origin", "ddd"),
    datasets: Sequence[str] = ("sidewalk-a",),
    queries: int = 140,
    identities: int = 40,
    retraining: float = 0.01,
    shift: Callable[[str, str], float] = lambda defense, attack: 0.0,
    weights: Callable[[str, str, int], str] | None = None,
    grid: Mapping[str, Any] | None = None,
    **replaced: Any,
) -> dict[str, Any]:
    """Return a baseline as JSON; the same arguments give the same numbers.

    Args:
        seeds: one model each; a seed's noise is drawn from it.
        identities: of the queries, in turn.
        retraining: standard deviation of a model's mAP, 0 to 1.
        shift: (defense, attack) → what is added to every query's AP.
        weights: (dataset, defense, seed) → SHA-256; by default of these three.
        grid: settings that replace the grid's.
        replaced: keys that replace the record's.
    """
    weights = weights or (lambda dataset, defense, seed: sha256(f"{dataset}{defense}{seed}"))
    cells = []
    for dataset in datasets:
        for row, defense in enumerate(defenses):
            for column, (attack, eps, steps, step_size) in enumerate(CONDITIONS):
                drawn = np.random.default_rng([row, column])
                own = drawn.uniform(0.25, 0.75, queries) + shift(defense, attack)
                results = []
                for seed in seeds:
                    model = np.random.default_rng([seed, row, column])
                    ap = own + retraining * model.standard_normal()
                    ap = np.clip(ap + model.normal(0, 0.05, queries), 0, 1).round(4)
                    results.append(
                        {
                            "seed": seed,
                            "weights": weights(dataset, defense, seed),
                            "mAP": 100 * float(ap.mean()),
                            "rank1": 50.0,
                            "ap": ap.tolist(),
                        }
                    )
                place = {"train": dataset, "test": dataset, "backbone": "small", "defense": defense}
                budget = {
                    "attack": attack,
                    "eps_255": eps,
                    "steps": steps,
                    "step_size_255": step_size,
                }
                cells.append({**place, **budget, "seeds": results})
    return {
        "schema": 1,
        "name": "made",
        "grid_file": None,
        "grid": {
            "ap": "trapezoid",
            "guides": "reference",
            "training": {"epochs": 6},
            **(grid or {}),
        },
        "ap_convention": "trapezoid",
        "benchbox": "0.1.0",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": False,
        "datasets": {name: sha256(name) for name in datasets},
        "seed_std": {},
        "queries": {name: [f"query/{n:04d}_c1.jpg" for n in range(queries)] for name in datasets},
        "pids": {name: [1 + n % identities for n in range(queries)] for name in datasets},
        "cells": cells,
        **replaced,
    }


def made_baseline(**arguments: Any) -> Baseline:
    """Return `made_content` as a record."""
    return Baseline.model_validate(made_content(**arguments))
