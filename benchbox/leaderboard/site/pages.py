"""Renders a site's pages from its boards."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.site.boards import Block, Board, Row
from benchbox.leaderboard.site.corruptions import CorruptedRun
from benchbox.leaderboard.site.finding import finding
from benchbox.leaderboard.site.links import links_of
from benchbox.leaderboard.site.plots import Bar, IdentityPlot, bars, has_map, identity_plot
from benchbox.leaderboard.site.story import fronts, sentence
from benchbox.leaderboard.site.trade_off import Mark, TradeOff, trade_off
from benchbox.leaderboard.site.words import (
    CHECK_TITLES,
    STATUS,
    TRAINING_PROTOCOLS,
    Attacks,
    attack_title,
    condition_title,
    dataset_title,
    duration,
    lowest_groups,
    lowest_title,
    moment,
    number_words,
    opening,
    pair_title,
    protocol_words,
    shared_words,
)
from benchbox.published.record import PublishedSource
from benchbox.results.conditions import CLEAN_ATTACK, fraction_of_255
from benchbox.tables.as_html import table_to_html


@dataclass(frozen=True)
class FailedCheck:
    """The figure of a check that failed.

    Attributes:
        name: the check's.
        asks: what should have held; None for a check that this version does not know.
        says: what was seen.
        bars: what was measured.
        is_map: whether the bars are mAP.
    """

    name: str
    asks: str | None
    says: str
    bars: tuple[Bar, ...]
    is_map: bool


class Pages:
    """Renders pages; style and script stand in each, named in its policy by their digests.

    Args:
        attacks: the registry's, for their titles.
        published: the papers that benchbox's own defenses may follow.
        corrupted: measured runs with corruptions; with any, all pages lead to theirs.
    """

    def __init__(
        self,
        attacks: Attacks,
        published: Sequence[PublishedSource] = (),
        corrupted: Sequence[CorruptedRun] = (),
    ) -> None:
        self._attacks = attacks
        self._corrupted = tuple(corrupted)
        self._attack_title = partial(attack_title, attacks)
        folder = files("benchbox.leaderboard.site") / "templates"
        style = (folder / "site.css").read_text(encoding="utf-8")
        script = (folder / "site.js").read_text(encoding="utf-8")
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("benchbox.leaderboard.site", "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            "style": Markup(style),  # noqa: S704  our own files, not an entry's text
            "script": Markup(script),  # noqa: S704
            # No other script or style runs, so that escaping is not all that guards a reader.
            "policy": "default-src 'none'; img-src data:; "
            f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
            "base-uri 'none'; form-action 'none'",
            "attack_title": self._attack_title,
            "corrupted": self._corrupted,
            "budget_title": fraction_of_255,
            "condition_title": partial(condition_title, attacks),
            "dataset_title": dataset_title,
            "lowest_groups": partial(lowest_groups, attacks),
            "lowest_title": partial(lowest_title, attacks),
            "links_of": partial(links_of, published=published),
            "pair_title": pair_title,
            "protocol_words": partial(protocol_words, attacks),
            "protocol_words_of_training": TRAINING_PROTOCOLS,
            "sentence": sentence,
            "status_words": STATUS,
            "duration": duration,
            "moment": moment,
        }
        self._environment.filters |= {"pretty": _pretty, "opening": opening}
        self._environment.filters["table_to_html"] = table_to_html

    def index(self, boards: tuple[Board, ...]) -> str:
        """Return the page that leads to all boards: who leads each, then boards without entries."""
        filled = [board for board in boards if board.rows]
        return self._render(
            "index",
            boards=boards,
            fronts=[(board, fronts(board)) for board in filled],
            empty=[board for board in boards if not board.rows],
            protocol=shared_words(self._attacks, [board.protocol for board in boards]),
        )

    def board(self, board: Board) -> str:
        """Return a board's page: a table and its plots a block."""
        blocks = [
            (block, _trade_off(block) if block.rows else None, finding(self._attacks, block))
            for block in board.blocks
        ]
        return self._render("board", board=board, blocks=blocks)

    def corruptions(self) -> str:
        """Return the page of measured runs with corruptions: tables, figure, provenance."""
        return self._render("corruptions", runs=self._corrupted)

    def entry(self, board: Board, block: Block, row: Row) -> str:
        """Return an entry's page: its numbers, checks, identities, provenance."""
        entry = row.entry
        return self._render(
            "entry",
            board=board,
            block=block,
            row=row,
            entry=entry,
            checks=CHECK_TITLES,
            failed=[
                FailedCheck(
                    check.name,
                    CHECK_TITLES.get(check.name),
                    check.says,
                    bars(check.numbers, number_words(check.numbers)),
                    has_map(check.numbers),
                )
                for check in entry.checks
                if check.outcome == "fail"
            ],
            identities=self._identities(entry),
        )

    def _identities(self, entry: Entry) -> IdentityPlot | None:
        kept = [spread for spread in entry.identities.spreads if spread.ap is not None]
        clean = next((s.ap for s in kept if s.attack == CLEAN_ATTACK), None)
        attacked = next((s for s in kept if s.attack != CLEAN_ATTACK), None)
        if (
            clean is None
            or attacked is None
            or attacked.ap is None
            or len(clean) != len(attacked.ap)
        ):
            return None
        title = f"{self._attack_title(attacked.attack)} {fraction_of_255(attacked.eps_255)}"
        return identity_plot(clean, attacked.ap, title)

    def _render(self, page: str, **values: Any) -> str:
        return self._environment.get_template(f"{page}.html.j2").render(**values)


def _trade_off(block: Block) -> TradeOff:
    return trade_off(
        [
            Mark(
                sign=row.sign,
                title=row.entry.title,
                status=row.entry.status,
                clean=row.entry.clean.mAP.mean,
                worst=row.worst,
            )
            for row in block.rows
        ]
    )


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256-{digest}"
