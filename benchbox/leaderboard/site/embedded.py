"""A figure of the report, embedded in a page of the site."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchbox.reports.drawings.picture import Drawing, LeftOut, save_drawing


@dataclass(frozen=True)
class Embedded:
    """A figure as a page shows it.

    Attributes:
        title: its heading.
        source: the image as a data URL.
        caption: what was measured, in words.
    """

    title: str
    source: str
    caption: str


def embedded(drawing: Drawing) -> Embedded | None:
    """Return a figure as a page shows it; None where there is nothing to draw."""
    with tempfile.TemporaryDirectory() as folder:
        picture = save_drawing(drawing, Path(folder))
        if isinstance(picture, LeftOut):
            return None
        return Embedded(picture.title, picture.source, picture.caption)
