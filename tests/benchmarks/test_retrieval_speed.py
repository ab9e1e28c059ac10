"""Ranking at Market-1501's size against numpy's full argsort, and against the product alone.

Every test measures both sides in one process on one thread, alternately, in CPU seconds (other
processes' load counts less that way), and keeps the ratio of each side's best round. Run with
``pytest tests/benchmarks/test_retrieval_speed.py -s --override-ini addopts=``.
"""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from benchbox.evaluation.retrieval import evaluate_retrieval, rank_distances

QUERIES, GALLERY, IDENTITIES, CAMERAS, DIMENSIONS = 3368, 15913, 750, 6, 2048
DISTRACTORS = 2798
ROUNDS = 3


def made_labels(identities):
    generator = np.random.default_rng(0)
    gallery_pids = generator.integers(1, identities + 1, GALLERY)
    gallery_pids[generator.choice(GALLERY, DISTRACTORS, replace=False)] = 0
    return {
        "query_pids": np.arange(QUERIES) % identities + 1,
        "gallery_pids": gallery_pids,
        "query_camids": generator.integers(1, CAMERAS + 1, QUERIES),
        "gallery_camids": generator.integers(1, CAMERAS + 1, GALLERY),
    }


def made_distances(labels, model):
    """Distances of a good model (matches in front, some lost) or of an attacked one (anywhere)."""
    generator = np.random.default_rng(1)
    distances = generator.gamma(12, 1 / 12, (QUERIES, GALLERY)).astype(np.float32)
    if model == "good":
        for row, pid in zip(distances, labels["query_pids"], strict=True):
            matches = np.flatnonzero(labels["gallery_pids"] == pid)
            row[matches] *= generator.uniform(0.1, 0.7, len(matches)).astype(np.float32)
    return distances


def made_features(labels, model):
    generator = np.random.default_rng(2)
    centres = generator.standard_normal((IDENTITIES + 1, DIMENSIONS)).astype(np.float32)

    def embed(pids):
        noise = generator.standard_normal((len(pids), DIMENSIONS)).astype(np.float32)
        return noise * 1.5 + (centres[pids] if model == "good" else 0)

    return embed(labels["query_pids"]), embed(labels["gallery_pids"])


def argsort_evaluator(
    distances, query_pids, gallery_pids, query_camids, gallery_camids, *, kind, max_rank=50
):
    """The usual python evaluation: sort everything, then walk the queries (step AP)."""
    order = np.argsort(distances, axis=1, kind=kind)
    correct = gallery_pids[order] == query_pids[:, None]
    precisions, curves = [], []
    for row, hits, pid, camid in zip(order, correct, query_pids, query_camids, strict=True):
        junk = (gallery_pids[row] == pid) & (gallery_camids[row] == camid)
        hits = hits[~junk]
        if not hits.any():
            continue
        found = hits.cumsum()
        curves.append(np.minimum(found[:max_rank], 1))
        precision = found / np.arange(1, len(hits) + 1) * hits
        precisions.append(precision.sum() / found[-1])
    return np.mean(precisions), np.mean(curves, axis=0)


def alternately(rounds, **sides):
    """Return each side's least CPU seconds and last result, the sides measured in turn."""
    seconds = {name: [] for name in sides}
    results = {}
    for _ in range(rounds):
        for name, side in sides.items():
            started = time.process_time()
            results[name] = side()
            seconds[name].append(time.process_time() - started)
    return {name: min(times) for name, times in seconds.items()}, results


@pytest.mark.benchmark(group="ranking from distances")
@pytest.mark.parametrize("identities", [IDENTITIES, 100])
@pytest.mark.parametrize("model", ["good", "attacked"])
def test_ranking_distances_against_argsort(benchmark, capsys, model, identities):
    """With 100 identities a query has some 110 matches, as the largest of Duke's have."""
    labels = made_labels(identities)
    distances = made_distances(labels, model)

    def ours():
        return rank_distances(distances, **labels, ap="step")

    seconds, results = alternately(
        ROUNDS,
        ours=ours,
        stable=lambda: argsort_evaluator(distances, **labels, kind="stable"),
        quick=lambda: argsort_evaluator(distances, **labels, kind="quicksort"),
    )
    expected_map, expected_cmc = results["stable"]
    assert results["ours"].mAP == pytest.approx(expected_map, abs=1e-9)
    np.testing.assert_allclose(results["ours"].cmc, expected_cmc, atol=1e-12)
    benchmark.pedantic(ours, rounds=1)
    benchmark.extra_info |= {
        "mAP": results["ours"].mAP,
        "seconds": seconds,
        "times faster than stable argsort": seconds["stable"] / seconds["ours"],
        "times faster than unstable argsort": seconds["quick"] / seconds["ours"],
    }
    show(capsys, f"distances, {model}, {identities} identities", benchmark.extra_info)


@pytest.mark.benchmark(group="ranking from embeddings")
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("model", ["good", "attacked"])
def test_ranking_features_against_the_product(benchmark, capsys, model, metric):
    labels = made_labels(IDENTITIES)
    query, gallery = (torch.from_numpy(rows) for rows in made_features(labels, model))
    product = torch.empty(QUERIES, GALLERY)

    def ours():
        return evaluate_retrieval(query, gallery, **labels, metric=metric)

    seconds, results = alternately(
        ROUNDS, ours=ours, product=lambda: torch.mm(query, gallery.T, out=product)
    )
    benchmark.pedantic(ours, rounds=1)
    benchmark.extra_info |= {
        "mAP": results["ours"].mAP,
        "seconds": seconds,
        "times the product": seconds["ours"] / seconds["product"],
    }
    show(capsys, f"features, {model}, {metric}", benchmark.extra_info)


# ru_maxrss would be inherited from the parent process; VmHWM starts afresh.
MEMORY_SCRIPT = """
import json, re, sys
from pathlib import Path
import numpy as np, torch
from benchbox.evaluation.retrieval import evaluate_retrieval
torch.set_num_threads(1)
queries, gallery, dimensions = map(int, sys.argv[1:])
generator = torch.Generator().manual_seed(0)
query = torch.randn(queries, dimensions, generator=generator)
galleries = torch.randn(gallery, dimensions, generator=generator)
pids = lambda count: np.arange(count) % 750 + 1
evaluate_retrieval(query[:8], galleries[:64], pids(8), pids(64), [1] * 8, [2] * 64)
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
before = peak()
evaluate_retrieval(query, galleries, pids(queries), pids(gallery), [1] * queries, [2] * gallery)
print(json.dumps({"before": before, "peak": peak()}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.benchmark(group="memory")
def test_memory_beyond_the_embeddings(benchmark, capsys):
    def measure():
        sizes = [str(size) for size in (QUERIES, GALLERY, DIMENSIONS)]
        done = subprocess.run(
            [sys.executable, "-c", MEMORY_SCRIPT, *sizes],
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    measured = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info |= {
        "MiB beyond the embeddings": measured["peak"] - measured["before"],
        "MiB of the full matrix": QUERIES * GALLERY * 4 / 2**20,
    }
    show(capsys, "memory", benchmark.extra_info)


def show(capsys, title, extra_info):
    with capsys.disabled():
        print(f"\n{title}: {json.dumps(extra_info, indent=2)}")
