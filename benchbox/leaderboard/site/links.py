"""Where a row's links lead: the author's own, else to what benchbox has of its own defenses."""

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchbox.leaderboard.entry.record import Entry
from benchbox.published.record import PublishedSource
from defenses import DEFENSES

SOURCES = "source"
"""The site's folder with the files of benchbox's own defenses."""


@dataclass(frozen=True)
class Links:
    """The links of a row.

    Attributes:
        paper: web address of the defense's description; None where none is known.
        code: web address of its code, as its author gave it.
        own_code: path of its code on this site, from the site's folder; None for a defense that
            is not benchbox's own, or whose author gave an address.
        cites: whom benchbox's own defense follows; None for any other.
    """

    paper: str | None
    code: str | None
    own_code: str | None
    cites: str | None


def links_of(entry: Entry, published: Sequence[PublishedSource]) -> Links:
    """Return an entry's links.

    Its own stand first. For a defense of benchbox the paper is that of the published numbers which
    the defense names as its source, and the code is the file that makes it, on this site.
    """
    about = entry.defense
    own = DEFENSES.get(about.name) if entry.given is None else None
    if own is None:
        return Links(about.paper, about.code, None, None)
    cited = (source.about for source in published if source.about.citation in own.source)
    papers = (paper.web_address for paper in cited)
    return Links(
        paper=about.paper or next(filter(None, papers), None),
        code=about.code,
        own_code=None if about.code else source_path(about.name),
        cites=own.source,
    )


def source_path(name: str) -> str:
    """Return the site's path of the file that makes one of benchbox's own defenses."""
    return f"{SOURCES}/{_module(name)}.py.txt"


def source_text(name: str) -> str:
    """Return that file: of the guard where there is one, since the recipe is then another's."""
    return inspect.getsource(sys.modules[_module(name)])


def _module(name: str) -> str:
    defense = DEFENSES[name]
    return type(defense.guard or defense.recipe).__module__
