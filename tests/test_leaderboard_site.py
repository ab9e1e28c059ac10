"""The leaderboard's site: its numbers are the entries', it asks no network, it can be used."""

import csv
import io
import json
import random
import re
import shutil
import sys
import tomllib
from html.parser import HTMLParser
from math import dist
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch

from benchbox.errors import BenchboxError, CheckFailed
from benchbox.files.atomic import cannot_write, write_text
from benchbox.leaderboard.entry.files import read_entry, seal
from benchbox.leaderboard.entry.record import Status
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.site.boards import ranked
from benchbox.leaderboard.site.build import build_site
from benchbox.leaderboard.site.folder import MARKER
from benchbox.leaderboard.site.plots import bars, identity_plot
from benchbox.leaderboard.site.trade_off import Label, Mark, trade_off
from benchbox.leaderboard.site.words import moment
from benchbox.leaderboard.submitting.prepare import prepare
from benchbox.leaderboard.submitting.submit import submit
from benchbox.runs.grid_file import read_grid
from benchbox.runs.registry import load_registry
from benchbox.untrusted.grid_toml import as_toml
from tests.made_boards import CHECKS, PASSED, SAME, TRANSFER, files_below, made_run, options

STEM = "market1501--market1501--small--{}--v1"

FAILED = (
    PASSED[0],
    CheckResult(
        name="bpda",
        outcome="fail",
        says="With the identity for the guard's backward pass 12.5 mAP are left, not 25.0.",
        numbers={"map": 25.0, "map_bpda": 12.5},
    ),
)

PUBLISHED_TOML = """
schema = 1
citation = "Doe et al. 2024"
title = "A <b>paper</b>"
authors = ["Jane Doe"]
arxiv = "2401.00001"
ap_convention = "not stated"
step_size = "not stated"
reported = "the best of three runs"
[tables.1]
title = "Results."
labels = ["Dataset", "Defense"]
values = "mAP/Rank-1 in %"
"""

PUBLISHED_CSV = """\
table,row,column,train_dataset,test_dataset,backbone,defense,attack,eps_255,steps,mAP,rank1
1,Market / Ours,Clean,market1501,market1501,small,ddd,none,0,0,99.00,99.50
1,Market / Ours,FNA 8,market1501,market1501,small,ddd,fna,8,6,98.20,99.10
1,Market / Other,Clean,market1501,market1501,small,das,none,0,0,97.00,98.00
1,Market / Other,FNA 8,market1501,market1501,small,das,fna,8,16,88.88,90.00
"""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def boards(tmp_path_factory) -> Path:
    """A folder with a board of three defenses: one ok, one suspect, one unchecked."""
    root, boards = made_run(), tmp_path_factory.mktemp("boards")
    board = boards / "micro"
    board.mkdir()
    shutil.copy(root / "boards" / "micro" / "protocol.toml", board)
    submit(
        prepare(options(root, board=board, defense="origin", code="https://example.org/c?a=1&b=2")),
        checks=CHECKS,
    )
    submit(prepare(options(root, board=board)), checks={SAME: FAILED, TRANSFER: FAILED})
    unchecked = {SAME: PASSED[:1], TRANSFER: PASSED}
    submit(
        prepare(options(root, board=board, defense="adv_train", paper=None, allow_unchecked=True)),
        checks=unchecked,
    )
    return boards


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    (folder / "doe2024.toml").write_text(PUBLISHED_TOML)
    (folder / "doe2024.csv").write_text(PUBLISHED_CSV)
    return folder


@pytest.fixture(scope="module")
def site(boards: Path, published: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("sites") / "site"
    build_site(boards, out, published=published)
    return out


class Page(HTMLParser):
    """A page as its elements: rows by part of the table, links, ids, attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows: list[tuple[str, dict[str, str], list[tuple[dict[str, str], str]]]] = []
        self.links: list[dict[str, str]] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._part = ""
        self._cell = False
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, pairs: Any) -> None:
        attributes = {key: value or "" for key, value in pairs}
        self.elements.append((tag, attributes))
        if tag in ("thead", "tbody"):
            self._part = attributes.get("class", tag)
        elif tag == "tr":
            self.rows.append((self._part, attributes, []))
        elif tag in ("td", "th"):
            self.rows[-1][2].append((attributes, ""))
            self._cell = True
        elif tag == "a":
            self.links.append(attributes)
            if self._cell:
                self.rows[-1][2][-1][0]["link"] = attributes["href"]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            attributes, text = self.rows[-1][2][-1]
            self.rows[-1][2][-1] = (attributes, text + data)

    def part(self, name: str) -> list[tuple[dict[str, str], list[tuple[dict[str, str], str]]]]:
        return [(a, cells) for part, a, cells in self.rows if part == name]


def entries_of(boards: Path) -> dict[str, dict[str, Any]]:
    return {p.stem: json.loads(p.read_text()) for p in (boards / "micro").glob("*.json")}


def changed(boards: Path, tmp_path: Path, stem: str, change: Any) -> Path:
    """Return a copy of the boards with one entry changed and sealed again."""
    copy = tmp_path / "boards"
    shutil.copytree(boards, copy)
    path = copy / "micro" / f"{stem}.json"
    content = json.loads(path.read_text())
    change(content)
    content["digest"] = seal(content)
    path.write_text(json.dumps(content))
    return copy


# ---- what the pages say


def test_the_board_shows_the_numbers_of_the_entries(boards: Path, site: Path) -> None:
    content = entries_of(boards)
    rows = Page(site / "micro" / "index.html").part("measured")
    assert len(rows) == len(content) == 6
    for _, cells in rows:
        entry = content[cells[1][0]["link"].removesuffix(".html")]
        assert cells[1][1].startswith(entry["defense"]["title"])
        clean, *attacked = entry["results"]
        worst = [result["mAP"]["mean"] for result in entry["worst_case"]]
        expected = [*worst, clean["mAP"]["mean"], clean["rank1"]["mean"]]
        expected += [result["mAP"]["mean"] for result in attacked]
        numbers, (trained, *further) = cells[2:-5], cells[-5:-2]
        assert trained[1] == "–"  # the run states no training protocol
        assert [float(a["data-value"]) for a, _ in numbers] == expected
        step = entry["provenance"]["defense"]["training"]["step_cost"]
        assert [float(a["data-value"]) for a, _ in further] == [step, len(entry["weights"])]
        for (_, text), value in zip(numbers, expected, strict=True):
            assert text.startswith(f"{value:.2f}")
        intervals = [*entry["worst_case"], clean, None, *attacked]
        for (attributes, text), result in zip(numbers, intervals, strict=True):
            if result is not None:
                low, high = result["mAP"]["low"], result["mAP"]["high"]
                assert f"{low:.2f}–{high:.2f}" in attributes["title"]
                assert text.endswith(f"{low:.1f}–{high:.1f}")
        assert entry["status"] in cells[-2][1]
        # Status and what is wrong stand once in a row.
        assert sum(text.count(entry["status"]) for _, text in cells) == 1


def test_suspect_entries_are_shown_and_not_ranked(boards: Path, site: Path) -> None:
    content = entries_of(boards)
    rows = Page(site / "micro" / "index.html").part("measured")
    for block in (rows[:3], rows[3:]):
        assert [cells[0][0].get("data-value") for _, cells in block] == ["1", "2", None]
        assert [a["data-status"] for a, _ in block].count("suspect") == 1
        assert block[-1][0]["data-status"] == "suspect"
        assert "failed: bpda" in block[-1][1][-2][1]
        worst = [float(cells[2][0]["data-value"]) for _, cells in block]
        assert worst[0] > worst[1]
        # The trial's guard has the highest number, so that ranking it would put it first.
        assert worst[2] > worst[0]
    assert {e["status"] for e in content.values()} == {"ok", "suspect", "unchecked"}


def test_equal_numbers_share_a_place(boards: Path) -> None:
    first, second, third = (
        read_entry(boards / "micro" / f"{STEM.format(name)}.json")
        for name in ("origin", "adv_train", "bs_ms")
    )
    same = second.model_copy(update={"worst_case": first.worst_case})
    weaker = third.model_copy(
        update={
            "status": "ok",
            "worst_case": (
                first.worst_case[0].model_copy(
                    update={"mAP": first.worst_case[0].mAP.model_copy(update={"mean": 0.0})}
                ),
            ),
        }
    )
    assert [row.rank for row in ranked([weaker, same, first])] == [1, 1, 3]


def test_published_rows_stand_apart(site: Path) -> None:
    page = Page(site / "micro" / "index.html")
    heading, *rows = page.part("published")
    assert heading[1][0][1] == "Published, not measured by this board"
    # Another number of steps is another setting, and a clean number alone is no row.
    assert len(rows) == 1
    cells = rows[0][1]
    assert "Ours" in cells[1][1]
    assert "data-value" not in cells[0][0]
    assert [c[0].get("data-value") for c in cells[2:]] == [
        *(None, None),
        *("99.00", "99.50", "98.20"),
        *[None] * (len(cells) - 7),
    ]
    assert "Doe et al. 2024, Table 1" in cells[-2][1]
    assert cells[-1][0]["link"] == "https://arxiv.org/abs/2401.00001"
    assert not any("Ours" in cells[1][1] for _, cells in page.part("measured"))
    assert "<b>paper</b>" in page.text
    assert "the best of three runs" in page.text
    assert "88.88" not in page.text
    content = json.loads((site / "micro" / "micro.json").read_text())
    (row,) = content["published"]
    assert [r["mAP"] for r in row["results"]] == [99.0, 98.2]
    assert "98.2" not in (site / "micro" / "micro.csv").read_text()


def test_a_board_without_entries_shows_what_papers_printed(tmp_path: Path) -> None:
    boards = Path(__file__).resolve().parents[1] / "leaderboards"
    copy = tmp_path / "boards" / "market-duke"
    copy.mkdir(parents=True)
    shutil.copy(boards / "market-duke" / "protocol.toml", copy)
    build_site(copy.parent, tmp_path / "site", published=boards / "published")
    page = Page(tmp_path / "site" / "market-duke" / "index.html")
    assert page.part("measured") == []
    assert "No entry yet" in page.text
    # The CSV has measured rows alone: a link to none of them would look like a loss.
    for found in (page, Page(tmp_path / "site" / "index.html")):
        names = [Path(link["href"]).name for link in found.links]
        assert "market-duke.json" in names
        assert "market-duke.csv" not in names
    labels = [cells[1][1] for _, cells in page.part("published") if len(cells) > 1]
    assert labels.count("Ours / All modulesddd") == 2  # a dataset each


def test_the_entry_page_shows_numbers_checks_and_provenance(boards: Path, site: Path) -> None:
    stem = STEM.format("bs_ms")
    entry = entries_of(boards)[stem]
    page = Page(site / "micro" / f"{stem}.html")
    measured = [cells for _, a, cells in page.rows if len(cells) == 8 and cells[1][1] != "Seed"]
    means = [float(c[1][0]["data-value"]) for c in measured if "data-value" in c[1][0]]
    expected = [r["mAP"]["mean"] for r in [*entry["results"], *entry["worst_case"]]]
    assert means == expected
    finished = read_entry(boards / "micro" / f"{stem}.json").provenance.finished
    for text in (
        *(entry["train"]["digest"], entry["digest"], entry["weights"][1]["sha256"]),
        *(m["cell"] for r in entry["results"] for m in r["seeds"]),
        FAILED[1].says,
        "Not ranked",
        "Zoë Ångström",
        "mAP in %, of the model of the protocol’s first seed (0) at 8/255",
        f"Run last written{moment(finished)}",
        f"benchbox run {stem}.toml",
        f"leaderboards/micro/{stem}.json --rerun --weights 0=",
    ):
        assert text in page.text
    widths = [float(a["width"]) for tag, a in page.elements if tag == "rect"]
    assert widths == [100.0, 50.0]  # 25.0 and 12.5 mAP


def test_earlier_versions_of_a_protocol_are_blocks_of_their_own(
    boards: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "boards"
    shutil.copytree(boards, copy)
    protocol = (copy / "micro" / "protocol.toml").read_text()
    (copy / "micro" / "protocol-v1.toml").write_text(protocol)
    (copy / "micro" / "protocol.toml").write_text(protocol.replace("version = 1", "version = 2"))
    build_site(copy, tmp_path / "site")
    assert "earlier protocol, version 1" in Page(tmp_path / "site" / "micro" / "index.html").text


# ---- downloads


def test_the_csv_has_every_number_as_a_number(boards: Path, site: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((site / "micro" / "micro.csv").read_text())))
    content = entries_of(boards)
    assert len(rows) == sum(len(e["results"]) + len(e["worst_case"]) for e in content.values())
    for row in rows:
        stem = f"{row['train']}--{row['test']}--{row['backbone']}--{row['defense']}--v1"
        entry = content[stem]
        if row["attack"] == "worst_of_fna_sma":
            (found,) = [w for w in entry["worst_case"] if w["eps_255"] == float(row["eps_255"])]
        else:
            (found,) = [
                r
                for r in entry["results"]
                if (r["attack"], r["eps_255"]) == (row["attack"], float(row["eps_255"]))
            ]
            assert float(row["rank10"]) == found["rank10"]["mean"]
        assert float(row["mAP"]) == found["mAP"]["mean"]
        assert float(row["mAP_low"]) == found["mAP"]["low"]
        assert (row["rank"] == "") == (entry["status"] == "suspect")


def test_json_downloads_are_the_entries(boards: Path, site: Path) -> None:
    content = json.loads((site / "micro" / "micro.json").read_text())
    assert {e["file"]: e["entry"] for e in content["entries"]} == {
        f"{stem}.json": entry for stem, entry in entries_of(boards).items()
    }
    for path in (boards / "micro").glob("*.json"):
        assert (site / "micro" / path.name).read_bytes() == path.read_bytes()


def test_the_grid_can_be_run_again(boards: Path, site: Path) -> None:
    for stem, entry in entries_of(boards).items():
        path = site / "micro" / f"{stem}.toml"
        assert tomllib.loads(path.read_text()) == entry["provenance"]["grid"]
        grid = read_grid(path, load_registry())
        assert json.loads(grid.model_dump_json()) == entry["provenance"]["grid"]


@pytest.mark.parametrize(
    "value",
    [
        'quotes " and \\ and \' and """',
        "line\nend\ttab \x00 \x1f \x7f \u0085 \U0001f600",
        1e-05,
        -1.5e300,
        2**53,
        True,
        [[1, 2], [], [{"a": {}}, {"b c": "d"}]],
        {"an odd key": {"": 1, "dotted.key": {"deep": [{"x": None or 0}]}}, "empty": {}},
    ],
)
def test_toml_reads_back(value: Any) -> None:
    content = {"last": {"inner": value}, "first": value, 'k"e y': 1}
    assert tomllib.loads(as_toml(content, where="grid")) == content


def test_toml_has_no_null() -> None:
    with pytest.raises(BenchboxError, match=r"entry: training\.lr: null"):
        as_toml({"training": {"lr": None}}, where="entry")


# ---- strangers' text


def hostile(content: dict[str, Any]) -> None:
    content["defense"]["title"] = "<img src=x onerror=alert(1)>"
    content["defense"]["note"] = "'\"--></p></style></script><script>alert(1)</script>{{ 7 * 7 }}"
    content["defense"]["authors"] = "</title><svg onload=alert(1)>"
    content["defense"]["code"] = "https://example.org/'onmouseover='alert(1)//&quot;"
    content["provenance"]["device"] = "</dd><iframe src=https://example.org></iframe>"
    content["provenance"]["versions"]["b"] = "<i>"
    content["provenance"]["grid"]["title"] = "</pre><script>alert(2)</script>"
    content["checks"][1]["says"] = "</td></table><script>alert(3)</script>"
    content["checks"][1]["numbers"] = {"map": -1e308, "x": 1e308, "map_bpda": 0.0}


def test_hostile_text_stays_text(boards: Path, tmp_path: Path, open_page: Any) -> None:
    stem = STEM.format("bs_ms")
    copy = changed(boards, tmp_path, stem, hostile)
    out = tmp_path / "site"
    build_site(copy, out)
    for path in (out / "micro" / "index.html", out / "micro" / f"{stem}.html"):
        elements = Page(path).elements
        tags = [tag for tag, _ in elements]
        assert tags.count("script") == 1
        assert not {"img", "iframe", "b", "i", "object", "embed"} & set(tags)
        assert not any(key.startswith("on") or key == "style" for _, a in elements for key in a)
        page = open_page(path)
        assert page.evaluate("document.querySelectorAll('script').length") == 1
        assert "<img src=x onerror=alert(1)>" in page.inner_text("body")
    assert "{{ 7 * 7 }}" in page.inner_text("body")
    assert page.title().startswith("<img src=x")


def test_the_policy_lets_no_other_script_run(site: Path, browser: Any) -> None:
    """What escaping might miss one day: an element put into the page runs nothing."""
    page = browser.new_page()
    page.goto((site / "micro" / "index.html").as_uri())
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        "document.body.append(s);"
        "document.body.insertAdjacentHTML('beforeend', '<p id=x onclick=\"window.ran = 1\">x</p>');"
        "document.getElementById('x').click(); }"
    )
    assert page.evaluate("window.ran") is None
    page.close()


# ---- links and requests


def test_every_link_leads_somewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == 2 + 6
    reached = set()
    for path in pages:
        page = Page(path)
        ids = [a["id"] for _, a in page.elements if "id" in a]
        assert len(ids) == len(set(ids))
        for link in page.links:
            parts = urlsplit(link["href"])
            if parts.scheme:
                assert parts.scheme in ("http", "https")
                assert link["rel"] == "noopener noreferrer nofollow"
                continue
            assert not link["href"].startswith("/")
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            assert target.is_relative_to(site.resolve())
            assert target.is_file(), link["href"]
            reached.add(target)
            if parts.fragment:
                assert parts.fragment in ids
        other = [a for tag, a in page.elements if tag not in ("a", "svg", "path")]
        for attributes in other:
            assert attributes.get("src", "data:").startswith("data:")
            assert attributes.get("href", "data:").startswith("data:")
    files = {p.resolve() for p in site.rglob("*") if p.is_file() and p.name != MARKER}
    assert files <= reached


# ---- the folder


def test_the_same_entries_give_the_same_site(
    boards: Path, published: Path, site: Path, tmp_path: Path
) -> None:
    written = build_site(boards / "micro", tmp_path / "one", published=published)
    again = files_below(tmp_path / "one")
    assert again == files_below(site)
    assert sorted(p.relative_to(tmp_path / "one").as_posix() for p in written) == sorted(
        {*again} - {MARKER}
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "one"]


class Opened:
    """Counts which files are opened to be read while it is watched; Python's own audit events."""

    def __init__(self) -> None:
        self.watched: Path | None = None
        self.paths: list[Path] = []
        sys.addaudithook(self._heard)

    def _heard(self, event: str, given: tuple[Any, ...]) -> None:
        if self.watched is not None and event == "open" and isinstance(given[0], (str, Path)):
            path = Path(given[0])
            if path.is_relative_to(self.watched):
                self.paths.append(path)


def test_every_entry_is_read_once_while_a_site_is_built(boards: Path, tmp_path: Path) -> None:
    opened = Opened()
    opened.watched = boards
    build_site(boards, tmp_path / "site")
    opened.watched = None
    read = [path for path in opened.paths if path.suffix == ".json"]
    assert sorted(read) == sorted((boards / "micro").glob("*.json"))


def test_entries_that_do_not_verify_are_refused(boards: Path, tmp_path: Path) -> None:
    stem = STEM.format("origin")

    def change(content: dict[str, Any]) -> None:
        content["results"][0]["mAP"]["mean"] -= 1

    copy = changed(boards, tmp_path, stem, change)
    with pytest.raises(CheckFailed, match=r"origin--v1.json: results\[0\].mAP(.|\n)*No site") as e:
        build_site(copy, tmp_path / "site")
    assert e.value.exit_code == 1
    assert not (tmp_path / "site").exists()
    # Nor is a site that stands touched.
    build_site(boards, tmp_path / "site")
    before = files_below(tmp_path / "site")
    with pytest.raises(CheckFailed):
        build_site(copy, tmp_path / "site")
    assert files_below(tmp_path / "site") == before


def test_a_rebuilt_site_loses_what_is_gone_and_keeps_what_is_not_ours(
    boards: Path, tmp_path: Path
) -> None:
    out, copy = tmp_path / "site", tmp_path / "boards"
    shutil.copytree(boards, copy)
    shutil.copytree(boards / "micro", copy / "other")
    for path in (copy / "other").glob("*.json"):
        path.unlink()
    text = (copy / "other" / "protocol.toml").read_text()
    (copy / "other" / "protocol.toml").write_text(text.replace('"micro"', '"other"'))
    build_site(copy, out)
    (out / "CNAME").write_text("example.org")
    (copy / "micro" / f"{STEM.format('origin')}.json").unlink()
    shutil.rmtree(copy / "other")
    build_site(copy, out)
    there = set(files_below(out))
    assert "CNAME" in there
    assert not any("--market1501--small--origin" in name for name in there)
    assert not (out / "other").exists()
    assert set(json.loads((out / MARKER).read_text())["files"]) == there - {MARKER, "CNAME"}


@pytest.mark.parametrize(
    "marker",
    [
        None,
        "[]",
        '{"schema": 1, "files": ["../precious"]}',
        '{"schema": 1, "files": ["/etc/precious"]}',
    ],
)
def test_a_folder_of_something_else_is_left_alone(
    boards: Path, tmp_path: Path, marker: str | None
) -> None:
    out = tmp_path / "site"
    out.mkdir()
    (tmp_path / "precious").write_text("x")
    (out / "thesis.txt").write_text("x")
    if marker is not None:
        (out / MARKER).write_text(marker)
    before = files_below(tmp_path)
    with pytest.raises(BenchboxError) as refused:
        build_site(boards, out)
    assert refused.value.exit_code == 2
    assert str(out) in str(refused.value)
    assert files_below(tmp_path) == before


def test_links_out_of_the_site_are_not_followed(boards: Path, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    build_site(boards, out)
    shutil.move(out / "micro", elsewhere)
    (out / "micro").symlink_to(elsewhere, target_is_directory=True)
    before = files_below(elsewhere)
    with pytest.raises(BenchboxError, match="is a link"):
        build_site(boards, out)
    assert files_below(elsewhere) == before


def test_a_full_disk_leaves_the_old_site(boards: Path, tmp_path: Path, monkeypatch: Any) -> None:
    out = tmp_path / "site"
    build_site(boards, out)
    before = files_below(out)
    written: list[Path] = []

    def write_until_full(path: Path, text: str) -> None:
        if len(written) == 5:
            raise cannot_write(path, OSError(28, "No space left on device"))
        written.append(path)
        write_text(path, "of the new site")

    monkeypatch.setattr("benchbox.leaderboard.site.folder.write_text", write_until_full)
    with pytest.raises(BenchboxError, match="No space left"):
        build_site(boards, out)
    assert files_below(out) == before
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("place", ["file", "nothing"])
def test_boards_have_to_be_a_folder_of_boards(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("{}")
    with pytest.raises(BenchboxError, match=r"no such file or folder|is a file"):
        build_site(tmp_path / place, tmp_path / "site")
    assert not (tmp_path / "site").exists()


# ---- figures


def marks_of(rows: list[tuple[str, Status, float, float]]) -> list[Mark]:
    return [
        Mark(sign=str(place), title=title, status=status, clean=clean, worst=worst)
        for place, (title, status, clean, worst) in enumerate(rows, start=1)
    ]


def test_points_stand_where_their_numbers_are() -> None:
    marks = marks_of([(f"Defense {i}", "ok", 40 + 3.7 * i, (7.3 * i) % 31) for i in range(12)])
    plot = trade_off(marks)
    left, right = plot.x.ticks[0], plot.x.ticks[-1]
    bottom, top = plot.y.ticks[0], plot.y.ticks[-1]
    for mark, point in zip(marks, plot.points, strict=True):
        share = (point.x - left.at) / (right.at - left.at)
        assert float(left.text) + share * (float(right.text) - float(left.text)) == pytest.approx(
            mark.clean, abs=0.1
        )
        share = (point.y - bottom.at) / (top.at - bottom.at)
        assert share * float(top.text) == pytest.approx(mark.worst, abs=0.1)
        assert point.says.startswith(
            f"{mark.sign}: {mark.title}: clean {mark.clean:.2f}, attacked "
        )


CROWDS: dict[str, list[tuple[str, Status, float, float]]] = {
    "on a line": [("Defense", "ok", 60 + i / 4, 10 + i / 8) for i in range(8)],
    "in one place": [("Defense", "ok", 60, 10) for _ in range(8)],
    # Undefended models lie side by side on the axis, with no room below, and the variants of one
    # method in each other's markers.
    "sidewalk-small A": [
        ("AT_PGD", "ok", 66.90, 17.26),
        ("Adv_train", "ok", 68.63, 16.30),
        ("+Diffusion model", "ok", 72.07, 16.11),
        ("DDD", "ok", 71.63, 16.03),
        ("+Self-meta learning", "ok", 72.39, 15.25),
        ("+Adversarial learning", "ok", 73.10, 14.73),
        ("Metric AT", "ok", 73.25, 14.61),
        ("+FNES", "ok", 73.31, 14.43),
        ("DAS (our reading)", "ok", 73.15, 13.35),
        ("AMD", "ok", 80.74, 0.87),
        ("BitSqueezing", "ok", 78.35, 0.38),
        ("Origin (equal epochs)", "ok", 79.81, 0.38),
        ("Origin", "ok", 78.23, 0.38),
        ("BS+MS", "suspect", 76.76, 4.09),
        ("MedianSmoothing2D", "suspect", 76.83, 1.56),
    ],
    "sidewalk-small B": [
        ("AT_PGD", "ok", 58.07, 11.52),
        ("Adv_train", "ok", 60.91, 11.24),
        ("DDD", "ok", 63.31, 10.71),
        ("+Diffusion model", "ok", 63.74, 10.66),
        ("+Self-meta learning", "ok", 65.66, 9.81),
        ("Metric AT", "ok", 66.61, 9.55),
        ("+Adversarial learning", "ok", 66.82, 9.52),
        ("+FNES", "ok", 66.72, 9.31),
        ("DAS (our reading)", "ok", 66.83, 8.93),
        ("MedianSmoothing2D", "ok", 72.03, 0.72),
        ("AMD", "ok", 74.93, 0.55),
        ("BitSqueezing", "ok", 72.25, 0.32),
        ("Origin", "ok", 72.64, 0.31),
        ("Origin (equal epochs)", "ok", 73.83, 0.31),
        ("BS+MS", "suspect", 71.74, 1.86),
    ],
}

Box = tuple[float, float, float, float]


def label_box(label: Label) -> Box:
    """The box of a label in a usual font of 11 units: digits are 6 wide and 8 high."""
    width = 6 * len(label.text)
    left = label.x - {"start": 0, "end": width, "middle": width / 2}[label.anchor]
    return (left, label.y - 8, left + width, label.y)


def gap(x: float, y: float, box: Box) -> float:
    """Distance of a spot from a box; 0 inside."""
    return dist((x, y), (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])))


def signs_of(label: Label) -> list[str]:
    """The signs of a label, ``4–6`` spelt out."""
    found = []
    for part in label.text.split(", "):
        first, _, last = part.partition("–")
        found += [str(n) for n in range(int(first), int(last) + 1)] if last else [first]
    return found


def random_crowd(seed: int) -> list[tuple[str, Status, float, float]]:
    draw = random.Random(seed)
    rows = [(draw.gauss(70, 4), abs(draw.gauss(8, 6))) for _ in range(draw.randint(1, 40))]
    return [("Defense", "ok", clean, worst) for clean, worst in sorted(rows, key=lambda r: -r[1])]


ALL_CROWDS = [*CROWDS.values(), *(random_crowd(seed) for seed in range(30))]


@pytest.mark.parametrize("rows", ALL_CROWDS)
def test_every_point_has_its_sign_in_one_label_that_covers_nothing(rows: Any) -> None:
    marks = marks_of(rows)
    plot = trade_off(marks)
    assert plot == trade_off(marks)
    assert sorted(s for label in plot.labels for s in signs_of(label)) == sorted(
        mark.sign for mark in marks
    )
    spots = {mark.sign: (p.x, p.y) for mark, p in zip(marks, plot.points, strict=True)}
    for label in plot.labels:
        own = label_box(label)
        assert own[0] >= 40
        assert own[2] <= 640
        for sign, (x, y) in spots.items():
            assert gap(x, y, own) > 4, (label, sign)
        # It stands beside one of its points at least, and that of a lone point beside it.
        assert min(gap(*spots[sign], own) for sign in signs_of(label)) < 40, label
        if len(signs_of(label)) == 1:
            assert gap(*spots[label.text], own) < 10
        for other in plot.labels:
            box = label_box(other)
            apart = own[2] <= box[0] or box[2] <= own[0] or own[3] <= box[1] or box[3] <= own[1]
            assert apart or other == label, (label, other)


def test_points_apart_have_labels_of_their_own() -> None:
    marks = marks_of([("Defense", "ok", 60 + 5 * i, 30 - 6 * i) for i in range(5)])
    assert [label.text for label in trade_off(marks).labels] == ["1", "2", "3", "4", "5"]


def test_a_board_of_hundreds_has_all_points_and_labels_that_fit() -> None:
    rows: list[tuple[str, Status, float, float]] = [
        ("Defense", "ok", 50 + i % 41, i % 29) for i in range(400)
    ]
    plot = trade_off(marks_of(rows))
    assert len(plot.points) == 400
    assert all(len(label.text) <= 60 for label in plot.labels)
    assert all(label_box(label)[0] >= 0 and label_box(label)[2] <= 640 for label in plot.labels)


def test_the_plot_has_the_signs_of_the_table(site: Path) -> None:
    """Ranks and the letters of suspect entries are what leads from a point to its name."""
    text = (site / "micro" / "index.html").read_text()
    rows = Page(site / "micro" / "index.html").part("measured")
    blocks, plots = (rows[:3], rows[3:]), re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) == 2
    for block, plot in zip(blocks, plots, strict=True):
        said = re.findall(r"<g><title>(\w+): (.*?): clean", plot)
        table = [
            (cells[0][1].removeprefix("– ").partition("in ")[0], cells[1][0]["data-text"])
            for _, cells in block
        ]
        assert sorted(said) == sorted(table)
        assert [sign for sign, _ in table] == ["1", "2", "a"]
        labels = re.findall(r'<text x="[^"]*" y="[^"]*" text-anchor="\w+">([^<]*)</text>', plot)
        written = ", ".join(label for label in labels if "mAP" not in label)
        assert set(re.findall(r"\w+", written)) == {"1", "2", "a"}


def test_bars_leave_out_what_is_not_on_their_axis() -> None:
    found = bars({"map": 20.0, "map_longer": 5.0, "steps_longer": 64.0, "chance": -3.0}, {})
    assert [(bar.label, bar.length, bar.kind) for bar in found] == [
        *(("map", 100.0, "own"), ("map_longer", 25.0, "found"), ("chance", 0.0, "level")),
    ]
    assert [bar.length for bar in bars({"zero": 0.0}, {})] == [0.0]
    assert [bar.length for bar in bars({"map": 1.7e308, "map_x": -1.7e308}, {})] == [100.0, 0.0]
    assert bars({}, {}) == ()


def test_identities_fall_by_their_clean_ap() -> None:
    plot = identity_plot([0.25, 1.0, 0.5], [0.2, 0.0, 0.1], "FNA 8/255")
    line = [tuple(map(float, text.split())) for text in plot.clean[1:].split(" L")]
    dots = [tuple(map(float, text.split())) for text in plot.attacked[1:-2].split("h0M")]
    assert [x for x, _ in line] == [x for x, _ in dots] == [52, 336, 620]

    def ap(y: float) -> float:
        return (plot.y.start - y) / (plot.y.start - plot.y.end)

    assert [ap(y) for _, y in line] == pytest.approx([1.0, 0.5, 0.25], abs=1e-3)
    assert [ap(y) for _, y in dots] == pytest.approx([0.0, 0.1, 0.2], abs=1e-3)


# ---- in a browser


ROWS = ".block >> nth=0 >> tbody.measured tr:visible"


def names(page: Any) -> list[str]:
    return [text.split("\n")[0] for text in page.locator(f"{ROWS} >> th").all_inner_texts()]


def test_tables_sort_both_ways_by_mouse_and_keyboard(site: Path, open_page: Any) -> None:
    page = open_page(site / "micro" / "index.html")
    head = page.locator(".block >> nth=0 >> th[data-says='worst of FNA, SMA at 8/255']")

    def values() -> list[float]:
        cells = page.locator(f"{ROWS} >> td >> nth=1")
        rows = page.locator(ROWS)
        assert cells.count() == 1
        return [
            float(rows.nth(i).locator("td").nth(1).get_attribute("data-value"))
            for i in range(rows.count())
        ]

    by_rank = names(page)
    assert by_rank[-1] == "BS+MS"
    first = values()
    assert first != sorted(first, reverse=True)  # the suspect one has the highest
    head.locator("button").click()
    assert values() == sorted(first, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert values() == sorted(first)
    assert page.locator(".block >> nth=0 >> th[aria-sort]").count() == 1
    assert head.get_attribute("aria-sort") == "ascending"
    rank = page.locator(".block >> nth=0 >> th[data-says='rank']")
    for order in ("ascending", "descending"):
        rank.locator("button").focus()
        page.keyboard.press("Space")
        assert rank.get_attribute("aria-sort") == order
        # What has no rank stays last either way.
        best_first = by_rank if order == "ascending" else [*by_rank[1::-1], "BS+MS"]
        assert names(page) == best_first
    # Published rows keep to their own part.
    assert page.locator("tbody.published tr").count() == 2


def test_rows_can_be_filtered_and_suspect_ones_hidden(site: Path, open_page: Any) -> None:
    page = open_page(site / "micro" / "index.html")
    assert page.locator("#shown").inner_text() == "7 of 7 rows shown"
    assert not page.locator("#hide-suspect").is_checked()
    page.locator("#hide-suspect").focus()
    page.keyboard.press("Space")
    assert "BS+MS" not in names(page)
    assert page.locator("#shown").inner_text() == "5 of 7 rows shown"
    page.keyboard.press("Space")
    page.fill("#filter", "DUKE adv_")
    assert page.locator("#shown").inner_text() == "1 of 7 rows shown"
    assert page.locator(".block:visible").count() == 1
    assert page.locator("tbody.published tr:visible").count() == 0
    page.fill("#filter", "nobody's")
    assert page.locator("#shown").inner_text() == "0 of 7 rows shown"
    page.fill("#filter", "")
    assert page.locator(".block:visible").count() == 2


def test_the_keyboard_reaches_everything(site: Path, open_page: Any) -> None:
    page = open_page(site / "micro" / "index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.textContent.trim()"))
        style = "(e => e === document.body ? 'end' : getComputedStyle(e).outlineStyle)"
        assert page.evaluate(f"{style}(document.activeElement)") != "none"
    assert {"Rank", "mAP", "10/255", "Origin", "paper"} <= seen


@pytest.mark.parametrize("width", [360, 390])
def test_a_phone_scrolls_tables_and_not_the_page(site: Path, open_page: Any, width: int) -> None:
    for path in sorted(site.rglob("*.html")):
        page = open_page(path, viewport={"width": width, "height": 740})
        page.eval_on_selector_all("details", "all => all.forEach(d => { d.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path.name
        sizes = page.eval_on_selector_all(
            "td, p, dd, small", "all => all.map(e => parseFloat(getComputedStyle(e).fontSize))"
        )
        assert min(sizes, default=12) >= 10.5
        page.close()


CONTRAST = """() => {
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255)
    + .0722 * linear(b / 255) + .05;
  const colours = text => text.match(/[\\d.]+/g).map(Number);
  const texts = "h1, h2, p, a, th, td, small, dt, dd, .badge, button, summary, figcaption";
  return Array.from(document.querySelectorAll(texts), element => {
    let ground = [255, 255, 255];
    for (let behind = element; behind; behind = behind.parentElement) {
      const found = colours(getComputedStyle(behind).backgroundColor);
      if (found[3] !== 0) { ground = found; break; }
    }
    const pair = [light(ground), light(colours(getComputedStyle(element).color))];
    return [Math.max(...pair) / Math.min(...pair), element.outerHTML.slice(0, 80)];
  });
}"""
"""WCAG's contrast of every text with the first ground behind it that is not transparent."""


def test_text_is_readable_on_its_ground(site: Path, open_page: Any) -> None:
    for path in (site / "micro" / "index.html", site / "micro" / f"{STEM.format('bs_ms')}.html"):
        found = open_page(path).evaluate(CONTRAST)
        assert len(found) > 50
        assert [pair for pair in found if pair[0] < 4.5] == []
