"""The site's first page and its groups of ranks: made from the numbers, whole on a phone."""

import itertools
import random
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from attacks import ALL_ATTACKS
from benchbox.leaderboard.board_protocol import read_protocol
from benchbox.leaderboard.entry.files import read_entry
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.site.boards import Board, ranked, read_boards
from benchbox.leaderboard.site.build import build_site
from benchbox.leaderboard.site.links import Links, links_of
from benchbox.leaderboard.site.rank_groups import Ends, rank_groups
from benchbox.leaderboard.site.story import fronts, sentence
from benchbox.leaderboard.site.words import lowest_groups, shared_words
from benchbox.published.reading import read_published

BOARDS = Path(__file__).resolve().parents[1] / "leaderboards"
SMALL = BOARDS / "sidewalk-small"


LATER = shutil.ignore_patterns("*--v2*.json")
"""Entries that are measured anew; those of version 1 stay as they are."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: Any) -> Board:
    """The board of size small with its entries by its protocol's version 1."""
    folder = tmp_path_factory.mktemp("small") / SMALL.name
    shutil.copytree(SMALL, folder, ignore=LATER)
    (board,) = read_boards(folder, ())
    return board


@pytest.fixture(scope="module")
def site(tmp_path_factory: Any) -> Path:
    """A site of a board with entries, all by its protocol's version 1, and two without."""
    boards = tmp_path_factory.mktemp("boards")
    for name in ("market-duke", "sidewalk-any", "sidewalk-tiny"):
        shutil.copytree(BOARDS / name, boards / name, ignore=LATER)
    out = tmp_path_factory.mktemp("sites") / "site"
    build_site(boards, out)
    return out


# ---- groups of ranks


@pytest.mark.parametrize(
    ("intervals", "titles"),
    [
        ([], []),
        ([(3.0, 5.0)], ["1"]),
        ([(3.0, 5.0), (2.0, 3.0)], ["1–2", "1–2"]),  # they touch
        ([(3.0, 5.0), (2.0, 2.9)], ["1", "2"]),
        # Each overlaps its neighbour, and the last not the first.
        ([(6.0, 9.0), (4.0, 7.0), (2.0, 5.0), (0.0, 3.0)], ["1–2", "1–2", "3–4", "3–4"]),
        # A wide interval below one that parted begins no group of its own, and joins none above.
        ([(6.0, 9.0), (4.0, 5.0), (1.0, 8.0)], ["1", "2–3", "2–3"]),
    ],
)
def test_groups_by_hand(intervals: list[Ends], titles: list[str]) -> None:
    assert [group.title for group in rank_groups(intervals)] == titles


def overlap(one: Ends, other: Ends) -> bool:
    return max(one[0], other[0]) <= min(one[1], other[1])


@pytest.mark.parametrize("seed", range(20))
def test_a_group_is_all_that_overlap_its_first_up_to_the_first_that_does_not(seed: int) -> None:
    draw = random.Random(seed)
    middles = sorted((draw.uniform(0, 30) for _ in range(draw.randint(1, 12))), reverse=True)
    intervals = [(m - draw.uniform(0, 4), m + draw.uniform(0, 4)) for m in middles]
    groups = rank_groups(intervals)
    rest, place = list(intervals), 1
    while rest:
        own = [*itertools.takewhile(partial(overlap, rest[0]), rest)]
        for group in groups[place - 1 : place - 1 + len(own)]:
            assert (group.first, group.last) == (place, place + len(own) - 1)
        rest, place = rest[len(own) :], place + len(own)


def test_the_first_nine_of_sidewalk_small_are_one_group(small: Board) -> None:
    for block in small.blocks[:2]:
        titles = [row.group.title for row in block.rows if row.group]
        assert titles[:9] == ["1–9"] * 9
        assert not titles[9].startswith("1–")
        assert all(row.group is None for row in block.rows if row.rank is None)


# ---- the sentence


def with_worst(entry: Entry, mean: float, low: float, high: float, *, status: str = "ok") -> Entry:
    first = entry.worst_case[0]
    worst = first.mAP.model_copy(update={"mean": mean, "low": low, "high": high})
    return entry.model_copy(
        update={"status": status, "worst_case": (first.model_copy(update={"mAP": worst}),)}
    )


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        (
            [(12.2, 10.0, 14.0), (11.0, 9.0, 13.0), (0.8, 0.5, 1.0)],
            "ranks 1–2 are one group, whose 95% intervals overlap the leader’s (10.0–14.0); "
            "the next, DDD, keeps 0.8.",
        ),
        (
            [(12.2, 10.0, 14.0), (5.0, 4.0, 6.0)],
            "more than the next, AMD, with 5.0: their 95% intervals (10.0–14.0 and 4.0–6.0) do not",
        ),
        (
            [(12.2, 10.0, 14.0), (11.0, 9.0, 13.0)],
            "all 2 ranked entries are one group: their 95% intervals overlap the leader’s, 10.0",
        ),
        ([(12.2, 10.0, 14.0)], "(95% interval 10.0–14.0), and no other entry is ranked."),
    ],
)
def test_the_sentence_says_who_leads_and_whether_that_is_chance(
    small: Board, numbers: list[Ends], says: str
) -> None:
    block = small.blocks[0]
    by_name = {row.entry.defense.name: row.entry for row in block.rows}
    entries = [
        with_worst(by_name[name], *ends)
        for name, ends in zip(("adv_train", "amd", "ddd"), numbers, strict=False)
    ]
    suspect = with_worst(by_name["origin"], 90.0, 80.0, 95.0, status="suspect")
    made = replace(block, rows=ranked([*entries, suspect]))
    assert sentence(made).startswith("Adv_train keeps 12.2 of 68.6 mAP under the worst attack at 8")
    assert says in sentence(made)
    assert "Origin" not in sentence(made)


def test_a_block_of_suspects_alone_has_no_leader(small: Board) -> None:

    block = small.blocks[0]
    entry = with_worst(block.rows[0].entry, 9.0, 8.0, 10.0, status="suspect")
    made = replace(block, rows=ranked([entry]))
    assert sentence(made) == "No entry is ranked: each failed a sanity check."
    (front,) = fronts(replace(small, blocks=(made,)))
    assert front.rows == ()


def test_the_first_page_shows_three_and_the_first_outside_the_group(small: Board) -> None:
    front = fronts(small)[0]
    assert [row.rank for row, _ in front.rows] == [1, 2, 3, 10]
    for row, bar in front.rows:
        worst = row.entry.worst_case[0].mAP
        assert bar.at == pytest.approx(100 * worst.mean / front.end, abs=0.06)
        assert bar.low == pytest.approx(100 * worst.low / front.end, abs=0.06)


def test_of_each_group_the_newest_version_with_entries_is_shown(small: Board) -> None:
    """Blocks stand in falling order of their version; here of three groups on two versions."""
    current = small.protocol
    a, b = small.blocks[:2]
    assert current.version == 2
    assert a.protocol.version == b.protocol.version == 1
    new_a, new_c = (replace(a, protocol=current, rows=a.rows[:1]) for _ in range(2))
    new_c = replace(new_c, group=a.group._replace(backbone="reid_strided"), rows=())
    made = replace(small, blocks=(new_a, new_c, a, b))
    shown = [(front.block.group, front.block.protocol.version) for front in fronts(made)]
    assert shown == [(a.group, 2), (b.group, 1)]


# ---- the page


def test_only_the_attack_of_that_name_is_called_the_worst_case(site: Path) -> None:
    """Version 1 has FNA, SMA and IFGSM alone, and says so; version 2 has it at 8/255."""
    front = (site / "index.html").read_text()
    assert front.count('<th scope="col">Worst of FNA, SMA, IFGSM</th>') == 2
    assert '<th scope="col">Worst case</th>' not in front
    board = (site / "sidewalk-tiny" / "index.html").read_text()
    heading = '<th scope="colgroup" colspan="2">Worst of FNA, SMA, IFGSM, mAP</th>'
    assert board.count(heading) == 2
    current = read_protocol(BOARDS / "sidewalk-tiny")
    assert lowest_groups(ALL_ATTACKS, current) == [
        ("worst case", 1),
        ("worst of FNA, SMA, IFGSM", 1),
    ]


def test_entries_of_an_earlier_protocol_are_shown_and_marked(site: Path) -> None:
    text = (site / "index.html").read_text()
    card = text[text.index('id="sidewalk-tiny"') : text.index('id="empty"')]
    assert card.count('<table class="front"') == card.count("(earlier protocol, version 1)") == 2


def test_boards_with_entries_come_first_and_the_protocol_once_and_folded(site: Path) -> None:
    text = (site / "index.html").read_text()
    places = [text.index(f'id="{name}"') for name in ("sidewalk-tiny", "market-duke")]
    assert places == sorted(places)
    assert text.count("bootstrap over identities") == 1 + 1  # a word for one model, one for three
    body, _, folded = text.partition('<details id="protocol">')
    assert "L∞ ball" not in body
    assert folded.count("inside an L∞ ball") == 1


def test_what_boards_share_is_said_once(small: Board) -> None:
    (tiny,) = read_boards(BOARDS / "sidewalk-tiny", ())
    words = dict(shared_words(ALL_ATTACKS, [small.protocol, tiny.protocol]))
    ((_, titles),) = words["Attacks"]
    assert titles == []
    assert [titles for _, titles in words["Numbers"]] == [["Sidewalk (small)"], ["Sidewalk (tiny)"]]


def test_rows_of_our_own_lead_to_paper_and_code(site: Path, small: Board) -> None:
    published = read_published(BOARDS / "published")
    for row in small.rows:
        links = links_of(row.entry, published)
        assert links.own_code is not None
        assert links.cites
    links = links_of(read_entry(next(SMALL.glob("*--ddd--v1.json"))), published)
    assert links.paper == "https://arxiv.org/abs/2511.09933"
    source = site / str(links.own_code)
    assert source.read_text() == (BOARDS.parent / "defenses/ddd/recipe.py").read_text()
    guard = links_of(read_entry(next(SMALL.glob("*--bit_squeezing--v1.json"))), published)
    assert str(guard.own_code).endswith("defenses.bit_squeezing.py.txt")


def test_a_strangers_row_leads_where_its_author_says(small: Board) -> None:
    entry = small.rows[0].entry
    theirs = {"name": "ours", "code": "https://example.org/c", "paper": None}
    stranger = entry.model_copy(update={"defense": entry.defense.model_copy(update=theirs)})
    assert links_of(stranger, ()) == Links(None, "https://example.org/c", None, None)
    own = {"code": "https://example.org/c"}
    given = entry.model_copy(update={"defense": entry.defense.model_copy(update=own)})
    assert links_of(given, ()).own_code is None


@pytest.mark.parametrize("width", [390, 1280])
def test_the_column_that_ranks_is_on_the_screen(site: Path, open_page: Any, width: int) -> None:
    screen = {"width": width, "height": 800}
    page = open_page(site / "sidewalk-tiny" / "index.html", viewport=screen)
    head = page.locator("th[data-says='worst of FNA, SMA, IFGSM at 8/255']").first.bounding_box()
    assert head["x"] + head["width"] <= width
    page = open_page(site / "index.html", viewport=screen)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # The leader, the number that ranks it and its interval stand on the first screen.
    cell = page.locator("table.front tbody td:nth-child(3)").first.bounding_box()
    assert cell["x"] + cell["width"] <= width
    assert cell["y"] + cell["height"] <= 800
