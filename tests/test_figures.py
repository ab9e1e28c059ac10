import builtins
import csv
import math
import statistics
from io import BytesIO
from itertools import combinations, pairwise, product
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError
from benchbox.reports.figures import per_identity, save_figure
from benchbox.reports.figures.budgets import budget_curves
from benchbox.reports.figures.curves import curve_places, curve_style
from benchbox.reports.figures.identity_rows import identity_rows
from benchbox.reports.figures.identity_spread import (
    bin_edges,
    identity_spread,
    identity_spread_caption,
)
from benchbox.reports.figures.image_counts import count_images, images_per_identity
from benchbox.reports.figures.names_of_points import LABEL
from benchbox.reports.figures.near_duplicates import hamming_distances, hash_images, near_duplicates
from benchbox.reports.figures.redundancy import redundancy, redundancy_montage
from benchbox.reports.figures.trade_off import trade_off
from benchbox.reports.layouts import main_defenses
from benchbox.results.run_folder import read_run
from defenses import DEFENSES
from tests.made_runs import TITLES, make_run

HOSTILE = r"<b>$\frac{x}$ a_b^{c</b> & 50% \z " + "long" * 40
MANY = (*TITLES["defenses"], *(f"mine_{number}" for number in range(6)))


def rows_of(run: Path, name: str = "results.csv") -> list[dict[str, str]]:
    with (run / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def record(pid: int, number: int = 0, camid: int = 1, folder: Path = Path("train")) -> ImageRecord:
    return ImageRecord(folder / f"{pid:04d}_c{camid}s1_{number:06d}_00.png", pid, camid)


def titles_of(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]


def legend_texts(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


# Robustness against budget


@pytest.mark.parametrize(
    ("budgets", "seeds"), [((8.0, 10.0), (0,)), (tuple(range(1, 17)), (3, 1, 2))]
)
def test_budget_curves_hold_the_means_of_the_file(
    tmp_path: Path, budgets: tuple[float, ...], seeds: tuple[int, ...]
) -> None:
    run = make_run(tmp_path, budgets=budgets, seeds=seeds)
    folder = read_run(run)
    figure = budget_curves(folder.results, folder.record.names)
    defenses = list(dict.fromkeys(row["defense"] for row in rows_of(run)))
    places = list(product(("sidewalk-a", "sidewalk-b"), defenses))
    panels = [axes for axes in figure.axes if axes.get_visible()]
    for (dataset, defense), axes in zip(places, panels, strict=True):
        title = axes.get_title(loc="left")
        assert title.endswith(TITLES["defenses"][defense])
        assert (TITLES["datasets"][dataset] in title) == (defense == defenses[0])
        curves: dict[str, dict[float, list[float]]] = {a: {} for a in ("fna", "sma", "ifgsm")}
        for row in rows_of(run):
            if (row["test_dataset"], row["defense"]) == (dataset, defense):
                for attack in curves if row["attack"] == "none" else (row["attack"],):
                    of_budget = curves[attack].setdefault(float(row["eps_255"]), [])
                    of_budget.append(float(row["mAP"]))
        containers = [c for c in axes.containers if len(c.lines[0].get_xdata())]
        assert len(containers) == len(curves)
        for container, points in zip(containers, curves.values(), strict=True):
            line, _, bars = container.lines
            assert list(line.get_xdata()) == sorted(points)
            means = [sum(points[eps]) / len(seeds) for eps in sorted(points)]
            assert list(line.get_ydata()) == pytest.approx(means)
            assert bool(bars) == (len(seeds) > 1)
            if bars:
                lengths = [(high[1] - low[1]) / 2 for low, high in bars[0].get_segments()]
                deviations = [statistics.stdev(points[eps]) for eps in sorted(points)]
                assert lengths == pytest.approx(deviations)
    assert legend_texts(figure) == ["FNA, 16 steps", "SMA, 16 steps", "IFGSM, 16 steps"]
    # From 0 to the largest, and no two labels too near to read.
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert (labels[0], labels[-1]) == ("0", f"{budgets[-1]:g}/255")
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_a_missing_budget_interrupts_its_curve(tmp_path: Path) -> None:
    run = make_run(tmp_path, defenses=("origin", "ddd"), datasets=("sidewalk-a",), drop=(1,))
    folder = read_run(run)
    figure = budget_curves(folder.results, folder.record.names)
    line = figure.axes[0].containers[0].lines[0]
    assert [math.isnan(y) for y in line.get_ydata()] == [False, True, False]


def test_equal_curves_stand_side_by_side(tmp_path: Path) -> None:
    folder = read_run(make_run(tmp_path, defenses=("origin",), datasets=("sidewalk-a",)))
    results = folder.results
    results["mAP"] = 5.0
    figure = budget_curves(results, folder.record.names)
    figure.draw_without_rendering()
    lines = [container.lines[0] for container in figure.axes[0].containers[:3]]
    at = [line.get_transform().transform((8.0, 5.0)) for line in lines]
    assert at[0][0] < at[1][0] < at[2][0]
    assert {round(y, 6) for _, y in at} == {round(at[0][1], 6)}
    low, high = figure.axes[0].get_ylim()
    assert low < 0
    assert high > 5


def test_step_sizes_have_curves_of_their_own(tmp_path: Path) -> None:
    folder = read_run(make_run(tmp_path, attacks=("fna",), datasets=("sidewalk-a",), grid={}))
    results = folder.results
    results.loc[results["eps_255"] == 10, "step_size_255"] = 2.0
    figure = budget_curves(results, folder.record.names)
    assert legend_texts(figure) == [
        "FNA, 16 steps of 1/255",
        "FNA, 16 steps of 2/255",
    ]


def test_budget_curves_can_be_restricted(tmp_path: Path) -> None:
    folder = read_run(make_run(tmp_path))
    names = folder.record.names
    figure = budget_curves(folder.results, names, defenses=["adv_train", "origin"])
    titles = [axes.get_title(loc="left").split("\n")[-1] for axes in figure.axes]
    assert titles == ["Origin", "Adv_train"] * 2
    with pytest.raises(BenchboxError, match=r"no cell of 'pgd'\. It holds: origin"):
        budget_curves(folder.results, names, defenses=["pgd"])


def test_identity_curves_can_be_restricted(tmp_path: Path) -> None:
    folder = read_run(make_run(tmp_path, defenses=MANY, datasets=("sidewalk-a",)))
    chosen = ["origin", "mine_0"]
    figure = per_identity(
        folder.results, folder.per_id, folder.record.names, defenses=chosen, attack="sma"
    )
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    firsts = [text.get_text().split("\n")[0] for text in legends[0].get_texts()]
    assert firsts == ["Origin", "mine_0"]
    wanted = {
        row["cell"]
        for row in rows_of(folder.path)
        if row["defense"] in chosen
        and (row["attack"] == "none" or (row["attack"], row["eps_255"]) == ("sma", "8.0"))
    }
    values = [
        100 * float(r["ap"]) for r in rows_of(folder.path, "per_id.csv") if r["cell"] in wanted
    ]
    drawn = [y for axes in figure.axes for line in axes.lines for y in line.get_ydata()]
    assert sorted(drawn) == pytest.approx(sorted(values))
    # Origin's place and mine_0's share a colour among 14; here they differ.
    assert len({line.get_color() for line in figure.axes[0].lines}) == 2


# Clean against robust


def trade_off_containers(figure: Figure, panel: int) -> list[tuple[float, float]]:
    lines = [container.lines[0] for container in figure.axes[panel].containers]
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in lines]
    return [point for point in points if not math.isnan(point[0])]


def test_trade_off_points_are_means_of_the_file(tmp_path: Path) -> None:
    # Place 0 is Origin's clean cell of seed 0, places 1 and 8 are both seeds under FNA at 8/255.
    run = make_run(tmp_path, seeds=(0, 1), drop=(0, 1, 8))
    folder = read_run(run)
    for attack, eps in (("fna", "8.0"), ("sma", "8.0")):
        figure = trade_off(folder.results, folder.record.names, attack=attack)
        for panel, dataset in enumerate(("sidewalk-a", "sidewalk-b")):
            found: dict[str, tuple[list[float], list[float]]] = {}
            for row in rows_of(run):
                kind = (row["attack"], row["eps_255"])
                if row["test_dataset"] == dataset and kind in (("none", "0.0"), (attack, eps)):
                    pair = found.setdefault(row["defense"], ([], []))
                    pair[row["attack"] != "none"].append(float(row["mAP"]))
            expected = [(np.mean(a), np.mean(b)) for a, b in found.values() if a and b]
            drawn = trade_off_containers(figure, panel)
            assert np.array(drawn) == pytest.approx(np.array(expected))
    with pytest.raises(BenchboxError, match="no cell under attack 'pgd'"):
        trade_off(folder.results, folder.record.names, attack="pgd")


def labels_of(figure: Figure, panel: int) -> list[Text]:
    return [text for text in figure.axes[panel].texts if text.get_gid() == LABEL]


@pytest.mark.parametrize("defenses", [("origin",), MANY[:5], MANY])
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_labels_of_the_trade_off_overlap_neither_each_other_nor_a_point(
    tmp_path: Path, defenses: tuple[str, ...], seeds: tuple[int, ...]
) -> None:
    folder = read_run(make_run(tmp_path, defenses=defenses, seeds=seeds, attacks=("fna",)))
    figure = trade_off(folder.results, folder.record.names)
    figure.draw_without_rendering()
    for panel in range(2):
        axes, labels = figure.axes[panel], labels_of(figure, panel)
        titles = [TITLES["defenses"].get(name, name) for name in defenses]
        if figure.legends:
            assert not labels
            assert sorted(legend_texts(figure)) == sorted(titles)
            continue
        assert sorted(label.get_text() for label in labels) == sorted(titles)
        boxes = [label.get_window_extent() for label in labels]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        points = axes.transData.transform(trade_off_containers(figure, panel))
        assert not any(box.contains(*point) for box in boxes for point in points)
        inside = axes.get_window_extent()
        assert all(inside.contains(*box.min) and inside.contains(*box.max) for box in boxes)


def test_points_that_coincide_fall_back_on_a_legend(tmp_path: Path) -> None:
    titles = {**TITLES, "defenses": {name: f"{name} " + "w" * 18 for name in MANY}}
    folder = read_run(make_run(tmp_path, defenses=MANY, attacks=("fna",), titles=titles))
    folder.results["mAP"] = 50.0
    figure = trade_off(folder.results, folder.record.names)
    assert len(legend_texts(figure)) == len(MANY)
    assert not any(labels_of(figure, panel) for panel in range(2))


# Images per identity


def test_image_counts_are_those_of_a_plain_count(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    path = tmp_path / "images.csv"
    pids = {name: draw.geometric(0.08, 400) for name in ("A", HOSTILE)}
    rows = [(name, pid, n) for name, of in pids.items() for n, pid in enumerate(of)]
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("dataset", "pid", "n"), *rows])
    records = {name: [record(int(pid), n) for d, pid, n in rows if d == name] for name in pids}
    records["A"] += [record(-1), record(0), record(0, 1)]
    figure = images_per_identity(count_images(records))
    for axes, name in zip(figure.axes, pids, strict=True):
        counts: dict[str, int] = {}
        with path.open(newline="") as stream:
            for row in csv.DictReader(stream):
                if row["dataset"] == name:
                    counts[row["pid"]] = counts.get(row["pid"], 0) + 1
        falling = sorted(counts.values(), reverse=True)
        (bars,) = axes.patches
        assert list(bars.get_data().values) == falling
        mean = sum(falling) / len(falling)
        assert axes.lines[0].get_ydata()[0] == pytest.approx(mean)
        difference = sum(abs(a - b) for a, b in product(falling, falling))
        gini = difference / (2 * len(falling) ** 2 * mean)
        (text,) = [text.get_text() for text in axes.texts]
        assert text.split("\n") == [
            f"{len(falling)} identities, 400 images",
            f"mean {mean:.1f} (dashed), min {falling[-1]}, max {falling[0]}",
            f"Gini {gini:.2f}, CV {statistics.stdev(falling) / mean:.2f}",
        ]


def test_no_images_are_refused() -> None:
    with pytest.raises(BenchboxError, match="no images"):
        images_per_identity(count_images({"empty": []}))


# Redundancy


CODES = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(0, 2**64 - 1)), max_size=30
)


@given(CODES, st.integers(0, 64))
@settings(max_examples=60)
def test_near_duplicates_equal_a_loop_over_all_pairs(
    images: list[tuple[int, int, int]], threshold: int
) -> None:
    frame = pd.DataFrame(
        [("A", pid, camid, f"{code:016x}") for pid, camid, code in images],
        columns=["dataset", "pid", "camid", "phash"],
    )
    expected: dict[int, tuple[int, int, int]] = {}
    for index, (pid, camid, code) in enumerate(images):
        near = [
            other[1]
            for place, other in enumerate(images)
            if place != index and other[0] == pid and (other[2] ^ code).bit_count() <= threshold
        ]
        n, found, same = expected.get(pid, (0, 0, 0))
        expected[pid] = (n + 1, found + bool(near), same + (camid in near))
    given_rows = near_duplicates(frame, threshold=threshold)
    assert {row.pid: (row.images, row.near_duplicates, row.same_camera)
            for row in given_rows.itertuples()} == expected  # fmt: skip
    assert all(row.share == row.near_duplicates / row.images for row in given_rows.itertuples())


def test_a_distance_is_the_number_of_bits_that_differ() -> None:
    codes = ["0" * 16, "f" * 16, "8000000000000001", "00000000000000ff"]
    expected = [[(int(a, 16) ^ int(b, 16)).bit_count() for b in codes] for a in codes]
    assert hamming_distances(codes, codes).tolist() == expected


def made_images(folder: Path) -> list[ImageRecord]:
    """Two identities: of 1 each image is there thrice, nearly; of 2 each is another."""
    draw = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    records = []
    for pid, copies in ((1, 3), (2, 1)):
        for scene in range(2):
            coarse = draw.integers(0, 256, (8, 4, 3)).astype(np.uint8)
            image = np.asarray(Image.fromarray(coarse).resize((32, 64))).astype(float)
            for copy in range(copies):
                own = record(pid, 10 * scene + copy, camid=scene + 1, folder=folder)
                noisy = np.clip(image + draw.normal(0, 4, image.shape), 0, 255)
                Image.fromarray(noisy.astype(np.uint8)).save(own.path)
                records.append(own)
    junk = record(-1, folder=folder)
    return [*records, junk]


def test_near_duplicates_of_images_equal_imagehash_itself(tmp_path: Path) -> None:
    records = made_images(tmp_path)
    hashes = hash_images({"A": records})
    assert list(hashes["path"]) == [r.path for r in records if r.pid > 0]
    codes = {r.path: imagehash.phash(Image.open(r.path)) for r in records if r.pid > 0}
    for row in near_duplicates(hashes).itertuples():
        own = [r for r in records if r.pid == row.pid]
        near = [
            any(codes[a.path] - codes[b.path] <= 8 for b in own if b is not a)
            for a in own
        ]  # fmt: skip
        assert (row.images, row.near_duplicates) == (len(own), sum(near))
    assert near_duplicates(hashes)["near_duplicates"].tolist() == [6, 0]


def test_the_figures_of_redundancy_show_shares_and_distances(tmp_path: Path) -> None:
    hashes = hash_images({HOSTILE: made_images(tmp_path)}, threads=2)
    bars = redundancy(near_duplicates(hashes)).axes[0].patches[0].get_data()
    assert list(bars.values) == [50, *[0] * 8, 50]
    figure = redundancy_montage(hashes, images=5)
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == 3
    first, *others = [imagehash.hex_to_hash(code) for code in hashes["phash"][:3]]
    texts = [axes.texts[-1].get_text().split("\n") for axes in shown]
    assert texts[0] == ["first", "camera 1"]
    assert {camera for _, camera in texts} == {"camera 1"}
    distances = [int(text.split()[0]) for text, _ in texts[1:]]
    assert distances == sorted(distances)
    assert all(distance <= 8 for distance in distances)
    assert distances in [
        sorted(a - b for b in (first, *others) if b is not a) for a in (first, *others)
    ]
    save_figure(figure, tmp_path / "montage.png")
    nothing = redundancy_montage(hashes[hashes["pid"] == 2])
    assert "No two images" in nothing.texts[0].get_text()


def test_without_imagehash_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name == "imagehash":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BenchboxError, match=r"pip install 'benchbox-reid\[plots\]'"):
        hash_images({"A": made_images(tmp_path)})


# AP against the number of images


def gallery_images(identities: int = 60) -> dict[str, dict[int, int]]:
    draw = np.random.default_rng(1)
    counts = draw.geometric(0.07, (2, identities))
    return {
        name: {pid + 1: int(n) for pid, n in enumerate(row)}
        for name, row in zip(("sidewalk-a", "sidewalk-b"), counts, strict=True)
    }


def test_identity_spread_holds_means_and_deviations_of_its_bins(tmp_path: Path) -> None:
    run, images = make_run(tmp_path, seeds=(0, 1)), gallery_images()
    folder = read_run(run)
    chosen = ["origin", "adv_train"]
    frame = identity_rows(
        folder.results, folder.per_id, folder.record.names, images, defenses=chosen
    )
    figure = identity_spread(frame)
    conditions = (("none", "0.0"), ("fna", "8.0"))
    for panel, (dataset, kind) in enumerate(product(images, conditions)):
        containers = [c for c in figure.axes[panel].containers if len(c.lines[0].get_xdata())]
        assert len(containers) == len(chosen)
        edges = bin_edges(np.array(list(images[dataset].values()), dtype=float))
        for container, defense in zip(containers, chosen, strict=True):
            cells = [
                r["cell"]
                for r in rows_of(run)
                if (r["attack"], r["eps_255"], r["test_dataset"], r["defense"])
                == (*kind, dataset, defense)
            ]
            assert len(cells) == 2
            ap: dict[int, list[float]] = {}
            for row in rows_of(run, "per_id.csv"):
                if row["cell"] in cells:
                    ap.setdefault(int(row["pid"]), []).append(100 * float(row["ap"]))
            bins: dict[int, list[int]] = {}
            for pid in ap:
                place = next(i for i, edge in enumerate(edges) if images[dataset][pid] <= edge)
                bins.setdefault(place, []).append(pid)
            line, _, whiskers = container.lines
            for place, pids in bins.items():
                values = [sum(ap[pid]) / 2 for pid in pids]
                assert line.get_ydata()[place] == pytest.approx(sum(values) / len(values))
                (_, low), (_, high) = whiskers[0].get_segments()[place]
                assert (high - low) / 2 == pytest.approx(statistics.stdev(values))
                # Set off sideways, but not into another bin.
                mean = sum(images[dataset][pid] for pid in pids) / len(pids)
                assert line.get_xdata()[place] == pytest.approx(mean, rel=0.06)
    caption = identity_spread_caption(frame)
    for part in ("disjoint", "number of gallery images", "ResNet50 · Sidewalk-A: 60 identities"):
        assert part in caption


@given(st.lists(st.integers(1, 30), min_size=1, max_size=200))
def test_bins_hold_every_identity_about_equally(counts: list[int]) -> None:
    images = np.array(counts, dtype=float)
    edges = bin_edges(images)
    assert edges[-1] == images.max()
    assert all(a < b for a, b in pairwise(edges))
    bins = np.searchsorted(edges, images)
    wanted = min(6, max(1, len(counts) // 8))
    assert len(edges) <= wanted
    # A bin holds more than its share only through identities with equally many images.
    most_alike = max(counts.count(n) for n in counts)
    assert np.bincount(bins).max() <= len(counts) / wanted + most_alike + 1


def test_identities_of_another_dataset_are_refused(tmp_path: Path) -> None:
    folder = read_run(make_run(tmp_path))
    images = gallery_images(identities=10)
    arguments = (folder.results, folder.per_id, folder.record.names)
    with pytest.raises(
        BenchboxError, match="identity 11 has no image in the gallery of sidewalk-a"
    ):
        identity_rows(*arguments, images)
    # A dataset that is not on this machine is left out, and without any there is no figure.
    frame = identity_rows(*arguments, {"sidewalk-b": gallery_images()["sidewalk-b"]})
    assert set(frame["group"]) == {"ResNet50 · Sidewalk-B"}
    with pytest.raises(BenchboxError, match="no identities"):
        identity_spread(identity_rows(*arguments, {}))


def test_main_defenses_are_references_ddd_and_the_users_own() -> None:
    everything = [*DEFENSES, "mine"]
    assert main_defenses(everything) == ["origin", "adv_train", "ddd", "mine"]
    assert main_defenses(["at_pgd", "metric_at", "metric_at_meta", "ddd"]) == ["metric_at", "ddd"]
    assert main_defenses(["mine", "at_pgd", "bs_ms"]) == ["mine", "at_pgd"]
    assert main_defenses(["bs_ms", "amd"]) == ["bs_ms", "amd"]


# All of them


@pytest.mark.filterwarnings("error:constrained_layout", "error:Attempting to set identical")
@pytest.mark.parametrize(
    ("defenses", "backbones", "seeds", "drop"),
    [
        (("origin",), ("tiny",), (0,), ()),
        (MANY, ("resnet50", "tiny"), (0, 1), (0, 1, 2, 3, 30, 31)),
        # A whole block is missing.
        (MANY[:2], ("resnet50",), (0,), range(14)),
    ],
)
def test_every_figure_takes_any_run(
    tmp_path: Path,
    defenses: tuple[str, ...],
    backbones: tuple[str, ...],
    seeds: tuple[int, ...],
    drop: tuple[int, ...],
) -> None:
    titles = {kind: dict.fromkeys(names, HOSTILE) for kind, names in TITLES.items()}
    run = make_run(
        tmp_path, defenses=defenses, backbones=backbones, seeds=seeds, drop=drop, titles=titles
    )
    folder = read_run(run)
    results, per_id, names = folder.results, folder.per_id, folder.record.names
    figures = {
        "budgets": budget_curves(results, names),
        "trade_off": trade_off(results, names),
        "spread": identity_spread(identity_rows(results, per_id, names, gallery_images())),
        "identities": per_identity(results, per_id, names, defenses=defenses[:1]),
    }
    for figure in figures.values():
        content = BytesIO()
        figure.savefig(content, format="png", dpi=72)
        assert Image.open(content).width > 200
    # Groups of the same title stay apart: a row each, clean and attacked.
    with_results = {(row["backbone"], row["test_dataset"]) for row in rows_of(run)}
    assert len(figures["spread"].axes) == 2 * len(with_results)


def test_curves_of_one_colour_are_numbered_anew() -> None:
    every = [f"d{number}" for number in range(14)]
    assert curve_places(every, ["d3", "d10"]) == {"d3": 3, "d10": 10}
    assert curve_places(every, ["d2", "d10"]) == {"d2": 0, "d10": 1}
    assert curve_places(every, every) == {name: place for place, name in enumerate(every)}


def test_style_tells_fourteen_curves_apart_in_grey() -> None:
    looks = [curve_style(index) for index in range(20)]
    seen = {(look["marker"], look["markerfacecolor"] == "white") for look in looks}
    assert len(seen) == len(looks)
