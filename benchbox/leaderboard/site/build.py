"""``benchbox leaderboard build``: the boards as static pages that open from disk."""

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from benchbox.errors import BenchboxError
from benchbox.leaderboard.entry.files import entry_text
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.site.boards import Block, Board, Row, read_boards
from benchbox.leaderboard.site.downloads import board_csv, board_json, entry_toml
from benchbox.leaderboard.site.folder import require_place, write_site
from benchbox.leaderboard.site.plots import (
    Bar,
    IdentityPlot,
    TradeOff,
    bars,
    has_map,
    identity_plot,
    trade_off,
)
from benchbox.leaderboard.site.words import (
    CHECKS,
    STATUS,
    attack_title,
    condition_title,
    dataset_title,
    duration,
    moment,
    number_words,
    pair_title,
    protocol_words,
)
from benchbox.published.reading import published_folder, read_published
from benchbox.published.record import Published
from benchbox.results.conditions import CLEAN_ATTACK, fraction_of_255


def build_site(boards: Path, out: Path, *, published: Path | None = None) -> list[Path]:
    """Write a static site of all boards: an index, a page a board, a page an entry, downloads.

    The pages ask no network, run only the script they carry, and link to each other relatively,
    so that they work from disk and below any address.

    Args:
        boards: the folder that holds all boards, or that of one board.
        out: a folder that is new, is empty, or holds a site built here before.
        published: folder of published numbers; None for the checkout's, or for none where
            benchbox was installed without it.

    Returns:
        the files written, sorted.

    Raises:
        CheckFailed: an entry does not pass verification; one line each, and nothing is written.
        BenchboxError: there is no board, or ``out`` holds something else or cannot be written.
    """
    require_place(out)
    found = read_boards(boards, _published(published))
    pages = _Pages()
    contents = {"index.html": pages.index(found)}
    for board in found:
        contents[f"{board.name}/index.html"] = pages.board(board)
        contents[f"{board.name}/{board.name}.csv"] = board_csv(board)
        contents[f"{board.name}/{board.name}.json"] = board_json(board)
        for block in board.blocks:
            for row in block.rows:
                stem = f"{board.name}/{row.stem}"
                contents[f"{stem}.html"] = pages.entry(board, block, row)
                contents[f"{stem}.json"] = entry_text(row.entry)
                contents[f"{stem}.toml"] = entry_toml(row)
    return write_site(out, contents)


def _published(folder: Path | None) -> tuple[Published, ...]:
    if folder is None:
        try:
            folder = published_folder()
        except BenchboxError:  # an installed package comes without them
            return ()
    return read_published(folder)


@dataclass(frozen=True)
class FailedCheck:
    """The figure of a check that failed.

    Attributes:
        name: of the check.
        asks: what should have held; None for a check that this version does not know.
        says: what was seen.
        bars: its numbers.
        is_map: whether they are mAP.
    """

    name: str
    asks: str | None
    says: str
    bars: tuple[Bar, ...]
    is_map: bool


class _Pages:
    """Renders pages; style and script stand in each, named in its policy by their digests."""

    def __init__(self) -> None:
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
            "attack_title": attack_title,
            "budget_title": fraction_of_255,
            "condition_title": condition_title,
            "dataset_title": dataset_title,
            "pair_title": pair_title,
            "protocol_words": protocol_words,
            "status_words": STATUS,
            "duration": duration,
            "moment": moment,
        }
        self._environment.filters["pretty"] = _pretty

    def index(self, boards: tuple[Board, ...]) -> str:
        return self._render("index", boards=boards)

    def board(self, board: Board) -> str:
        blocks = [(block, _trade_off(block) if block.rows else None) for block in board.blocks]
        return self._render("board", board=board, blocks=blocks)

    def entry(self, board: Board, block: Block, row: Row) -> str:
        entry = row.entry
        return self._render(
            "entry",
            board=board,
            block=block,
            row=row,
            entry=entry,
            checks=CHECKS,
            failed=[
                FailedCheck(
                    check.name,
                    CHECKS.get(check.name),
                    check.says,
                    bars(check.numbers, number_words(check.numbers)),
                    has_map(check.numbers),
                )
                for check in entry.checks
                if check.outcome == "fail"
            ],
            identities=_identities(entry),
        )

    def _render(self, page: str, **values: Any) -> str:
        return self._environment.get_template(f"{page}.html.j2").render(**values)


def _trade_off(block: Block) -> TradeOff:
    return trade_off(
        [
            (
                row.entry.defense.title,
                row.entry.status,
                row.entry.clean.mAP.mean,
                row.worst,
            )
            for row in block.rows
        ]
    )


def _identities(entry: Entry) -> IdentityPlot | None:
    kept = [spread for spread in entry.identities.spreads if spread.ap is not None]
    clean = next((s.ap for s in kept if s.attack == CLEAN_ATTACK), None)
    attacked = next((s for s in kept if s.attack != CLEAN_ATTACK), None)
    if clean is None or attacked is None or attacked.ap is None or len(clean) != len(attacked.ap):
        return None
    title = f"{attack_title(attacked.attack)} {fraction_of_255(attacked.eps_255)}"
    return identity_plot(clean, attacked.ap, title)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256-{digest}"
