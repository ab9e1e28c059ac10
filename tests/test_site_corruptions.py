"""The site's page of corruptions: the numbers of measured runs, escaped, where there are any."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from attacks.corruptions.titles import TITLES
from benchbox.errors import BenchboxError
from benchbox.leaderboard.site.build import build_site
from benchbox.leaderboard.site.corruptions import read_corrupted_runs
from tests.test_leaderboard_site import Page

LEADERBOARDS = Path(__file__).resolve().parents[1] / "leaderboards"
RUN = "corruption-sidewalk"
SHIPPED = LEADERBOARDS / "measured" / RUN
DEFENSES = ("origin", "adv_train", "ddd")


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def boards_with(folder: Path, *runs: Path) -> Path:
    """Return a folder of one board without entries, and of measured runs beside it."""
    shutil.copytree(LEADERBOARDS / "sidewalk-any", folder / "sidewalk-any")
    for run in runs:
        shutil.copytree(run, folder / "measured" / run.name)
    return folder


def keep_rows(path: Path, keep: Callable[[dict[str, str]], bool]) -> None:
    rows = table(path)
    write_rows(path, [row for row in rows if keep(row)])


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sites") / "site"
    build_site(boards_with(tmp_path_factory.mktemp("boards"), SHIPPED), out)
    return out


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A folder of a board and of a measured run with two corruptions, which is soon drawn."""
    boards = boards_with(tmp_path / "boards", SHIPPED)
    swept = boards / "measured" / RUN / "corruption.csv"
    keep_rows(swept, lambda row: row["corruption"] in ("fog", "rain"))
    return boards


def cells_of(page: Page, title: str, dataset: str) -> list[str]:
    """Return the cells of the row with a title in the first block of a dataset that has it."""
    block = ""
    for _, attributes, cells in page.rows:
        texts = [text for _, text in cells]
        if attributes.get("class") == "group":
            block = texts[0]
        elif block.endswith(dataset) and texts[0] == title:
            return texts[1:]
    raise AssertionError(f"{title} on {dataset} is not on the page")


def test_each_corruption_has_the_numbers_of_the_run(site: Path) -> None:
    page = Page(site / "corruptions.html")
    rows = table(SHIPPED / "corruption.csv")
    value = {
        (row["test_dataset"], row["corruption"], row["defense"], row["severity"]): row["mAP"]
        for row in rows
    }
    places = sorted({(row["test_dataset"], row["corruption"]) for row in rows})
    assert len(places) == 2 * 20
    for dataset, kind in places:
        expected = []
        for defense in DEFENSES:
            five = [float(value[dataset, kind, defense, str(s)]) for s in range(1, 6)]
            expected += [f"{number:.1f}" for number in (*five, sum(five) / 5)]
        assert cells_of(page, TITLES[kind], dataset.title()) == expected


def test_the_means_are_those_of_the_run(site: Path) -> None:
    page = Page(site / "corruptions.html")
    spread = json.loads((SHIPPED / "run.json").read_text())["cells"]
    titles = {"origin": "Origin", "adv_train": "Adv_train", "ddd": "DDD"}
    for row in table(SHIPPED / "results.csv"):
        place = ("none", "corruption_query", "corruption_gallery", "corruption_both")
        found = cells_of(page, titles[row["defense"]], row["test_dataset"].title())
        by = spread[row["cell"]]["spread"]
        numbers = [
            f"{float(row[name]):.2f}" + (f"±{by[name]:.2f}" if name in by else "")
            for name in ("mAP", "rank1")
        ]
        assert found[place.index(row["attack"])] == "/".join(numbers)


def test_the_page_says_where_its_numbers_come_from(site: Path) -> None:
    record = json.loads((SHIPPED / "run.json").read_text())
    text = Page(site / "corruptions.html").text
    assert record["git"]["commit"] in text
    assert record["device"] in text
    for dataset in record["datasets"].values():
        assert dataset["digest"] in text
    assert f"measured/{RUN}" in text
    assert "Mean over 10 repeats" in text
    assert "trapezoid form" in text


def test_all_pages_lead_to_it_and_it_leads_back(site: Path) -> None:
    to = site / "corruptions.html"
    for path in (site / "index.html", site / "sidewalk-any" / "index.html", to):
        page = Page(path)
        ids = [a["id"] for _, a in page.elements if "id" in a]
        assert len(ids) == len(set(ids))
        local = [link["href"] for link in page.links if not urlsplit(link["href"]).scheme]
        found = {
            (path.parent / unquote(urlsplit(href).path)).resolve()
            for href in local
            if not href.startswith("#")
        }
        assert all(target.is_file() for target in found)
        assert (site / "index.html" if path == to else to).resolve() in found


def test_without_corruptions_there_is_no_page_and_no_link(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build_site(few, out)
    assert (out / "corruptions.html").is_file()
    (few / "measured" / RUN / "corruption.csv").unlink()
    build_site(few, out)
    pages = list(out.rglob("*.html"))
    assert len(pages) == 2
    assert not (out / "corruptions.html").exists()
    assert not any("corruptions.html" in path.read_text() for path in pages)
    assert read_corrupted_runs(few / "sidewalk-any") == ()


def test_several_runs_stand_in_the_order_of_their_folders(few: Path) -> None:
    shutil.copytree(few / "measured" / RUN, few / "measured" / "another")
    assert [run.folder for run in read_corrupted_runs(few)] == ["another", RUN]


def test_hostile_names_stay_text(few: Path, tmp_path: Path) -> None:
    run = few / "measured" / RUN
    evil = "</td></table><script>alert(1)</script><img src=x onerror=alert(2)>"
    record = json.loads((run / "run.json").read_text())
    record["title"] = record["device"] = evil
    record["titles"]["defenses"]["ddd"] = evil
    record["titles"]["datasets"]["sidewalk-a"] = "$\\frac{1}{<b>}"
    record["git"]["commit"] = "</code><iframe src=https://example.org></iframe>"
    record["versions"]["<i>"] = '"><svg onload=alert(3)>'
    record["grid"]["title"] = "</pre><script>alert(4)</script>"
    (run / "run.json").write_text(json.dumps(record))
    out = tmp_path / "site"
    build_site(few, out)
    page = Page(out / "corruptions.html")
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 1
    assert tags.count("img") == 1
    assert not {"iframe", "svg", "i"} & set(tags)
    assert not any(key.startswith("on") or key == "style" for _, a in page.elements for key in a)
    assert page.text.count("<script>alert(1)</script>") >= 3


def linked_file(run: Path) -> None:
    shutil.move(run / "corruption.csv", run / "elsewhere.csv")
    (run / "corruption.csv").symlink_to(run / "elsewhere.csv")


def linked_folder(run: Path) -> None:
    shutil.move(run, run.parents[1] / "elsewhere")
    run.symlink_to(run.parents[1] / "elsewhere", target_is_directory=True)


def no_percentage(run: Path) -> None:
    rows = table(run / "corruption.csv")
    rows[3]["mAP"] = "101"
    write_rows(run / "corruption.csv", rows)


def many(column: str, count: int) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        (row, *_) = table(run / "corruption.csv")
        rows = [row | {column: f"b{number}"} for number in range(count)]
        write_rows(run / "corruption.csv", rows)

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (linked_file, "is a link"),
        (linked_folder, "is a link"),
        (no_percentage, "a percentage from 0 to 100"),
        (many("backbone", 13), r"has 15 groups .* at most 12"),
        (many("defense", 33), "has 36 defenses, .* at most 32"),
    ],
)
def test_a_faulty_run_is_one_line_and_nothing_is_written(
    few: Path, tmp_path: Path, change: Callable[[Path], None], says: str
) -> None:
    change(few / "measured" / RUN)
    with pytest.raises(BenchboxError, match=says) as raised:
        build_site(few, tmp_path / "site")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "site").exists()


def test_too_many_runs_are_refused(tmp_path: Path) -> None:
    for number in range(51):
        folder = tmp_path / "measured" / f"run-{number}"
        folder.mkdir(parents=True)
        (folder / "corruption.csv").touch()
    with pytest.raises(BenchboxError, match=r"51 runs .* at most 50"):
        read_corrupted_runs(tmp_path)


@pytest.mark.parametrize("width", [390, 1280])
def test_tables_scroll_and_the_figure_is_seen(site: Path, open_page: Any, width: int) -> None:
    page = open_page(site / "corruptions.html", viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('.picture img').naturalWidth") > 1000
    # Only a board's tables are sorted: these have no button that would fail.
    assert page.locator("th button").count() == 0
