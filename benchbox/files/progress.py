"""How long work tells whoever waits for it how far it is."""

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the share of the work that is done, in [0, 1], and what comes next, in words."""


def unwatched(_share: float, _text: str) -> None:
    """Take progress and say nothing: what work reports to where nobody watches."""
