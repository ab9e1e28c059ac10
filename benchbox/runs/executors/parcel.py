"""A stage as it travels to another machine, and what is done with it there."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from benchbox.runs.stages import Stage
from benchbox.runs.worker import Ended, attempt, make_ready
from benchbox.runs.workplace import Site, Workplace

MOST_DEATHS = 3
"""How many workers a stage may cost before it is given up: one node lost is no fault of its own."""


def packed(what: Stage | Site) -> bytes:
    """Return a stage or a site as bytes.

    A cluster's own pickling would open them before the plugins are loaded that define them.
    """
    return pickle.dumps(what)


def do_packed(
    site: bytes, stage: bytes, report: Callable[[float, str], None] = lambda _share, _text: None
) -> Ended:
    """Do a stage on whatever machine this is; the body of a cluster's task.

    Args:
        site: from `packed`; its paths must lead to the same folders on every machine.
        stage: from `packed`.
        report: told how far the stage is.
    """
    place = _workplace(site)
    notices: list[str] = []
    place.report, place.notice = report, notices.append
    # Made by the run itself and handed over by the cluster, never read from what a user downloads.
    ended = attempt(pickle.loads(stage), place)  # noqa: S301
    return replace(ended, notices=tuple(notices))


@lru_cache(maxsize=1)
def _workplace(site: bytes) -> Workplace:
    """A process does many stages of one run, and keeps the decoded images between them."""
    opened: Site = pickle.loads(site)  # noqa: S301 - as above
    make_ready(opened)
    return Workplace(opened)
