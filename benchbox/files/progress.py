"""How long work tells of its progress, and of what a person should know meanwhile."""

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the share of the work that is done, in [0, 1], and what is being done in words."""

Notice = Callable[[str], None]
"""Called with a sentence that a person should read while the work goes on."""


def silent(_share: float, _text: str) -> None:
    """Tell nobody: the default."""


def unheard(_sentence: str) -> None:
    """Tell nobody: the default."""
