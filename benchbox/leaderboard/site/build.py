"""``benchbox leaderboard build``: the boards as static pages that open from disk."""

from collections.abc import Sequence
from pathlib import Path

from benchbox.errors import BenchboxError
from benchbox.leaderboard.entry.files import entry_text
from benchbox.leaderboard.site.boards import read_boards
from benchbox.leaderboard.site.corruptions import read_corrupted_runs
from benchbox.leaderboard.site.downloads import board_csv, board_json, entry_toml
from benchbox.leaderboard.site.folder import require_place, write_site
from benchbox.leaderboard.site.links import links_of, source_text
from benchbox.leaderboard.site.pages import Pages
from benchbox.published.reading import published_folder, read_published
from benchbox.published.record import PublishedSource
from benchbox.runs.registry import load_registry


def build_site(
    boards: Path, out: Path, *, published: Path | None = None, plugins: Sequence[Path] = ()
) -> list[Path]:
    """Write a static site of all boards: an index, a page a board, a page an entry, downloads.

    With them come the files of benchbox's own defenses, to which their rows link, and a page of the
    runs in the folder ``measured`` beside the boards that measured corruptions. The pages ask no
    network, run only the script they carry, and link to each other relatively, so that they work
    from disk and below any address.

    Args:
        boards: the folder that holds all boards, or that of one board.
        out: a folder that is new, is empty, or holds a site built here before.
        published: folder of published numbers; None for the checkout's, or for none where
            benchbox was installed without it.
        plugins: files that define attacks, for their titles.

    Returns:
        the files written, sorted.

    Raises:
        CheckFailed: an entry does not pass verification; one line each, and nothing is written.
        BenchboxError: there is no board, a plugin or a measured run is faulty, or ``out`` holds
            something else or cannot be written.
    """
    require_place(out)
    sources = _published(published)
    found = read_boards(boards, sources)
    corrupted = read_corrupted_runs(boards)
    pages = Pages(load_registry(plugins).attacks, sources, corrupted)
    contents = {"index.html": pages.index(found)}
    if corrupted:
        contents["corruptions.html"] = pages.corruptions()
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
                if (path := links_of(row.entry, sources).own_code) is not None:
                    contents[path] = source_text(row.entry.defense.name)
    return write_site(out, contents)


def _published(folder: Path | None) -> tuple[PublishedSource, ...]:
    if folder is None:
        try:
            folder = published_folder()
        except BenchboxError:  # an installed package comes without them
            return ()
    return read_published(folder)
