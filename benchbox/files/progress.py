"""How long work tells of its progress."""

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the share of the work that is done, in [0, 1], and what is being done in words."""


def silent(_share: float, _text: str) -> None:
    """Tell nobody: the default."""
