"""What other people's code may raise when it is run, and how that is said in one line."""

from benchbox.files.printable import printable

FAILURES = (Exception, SystemExit, GeneratorExit)
"""An interrupt aside; leaving Python is a failure, too."""


def in_words(error: BaseException) -> str:
    """Return an error's type and message as one printable line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {printable(text)[:300]}"
