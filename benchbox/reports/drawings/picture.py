"""A figure as the report embeds it, or why it is not there."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from benchbox.errors import BenchboxError
from benchbox.reports.figures.drawing import DOTS_PER_INCH, TWO_COLUMNS, save_figure

_LARGE = 300_000
"""Bytes of a PNG above which the page takes a smaller copy; ``figures/`` keeps the PNG."""


@dataclass(frozen=True)
class Picture:
    """A figure as the report embeds it.

    Attributes:
        path: the PNG file.
        title: the heading above the figure.
        caption: the text below the figure: what was measured, on what, how.
        is_sheet: whether the figure is made of photographs; such a figure is shown at its own
            size, not at the text's width.
    """

    path: Path
    title: str
    caption: str
    is_sheet: bool = False

    @property
    def source(self) -> str:
        """The image itself, as a data URL; a large one as WebP, so that the page can be mailed.

        Raises:
            BenchboxError: the file cannot be read.
        """
        try:
            content = self.path.read_bytes()
            kind = "png"
            if len(content) > _LARGE:
                content, kind = _as_webp(content), "webp"
        except OSError as error:
            raise self._unreadable(error) from error
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

    @property
    def is_narrow(self) -> bool:
        """Whether it fills half a page, so that at full width its letters would be twice as large.

        Raises:
            BenchboxError: the file cannot be read.
        """
        try:
            with Image.open(self.path) as image:
                return image.width < 0.6 * TWO_COLUMNS * DOTS_PER_INCH
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> BenchboxError:
        return BenchboxError(f"{self.path}: cannot be read ({error}). Write the report again.")


def _as_webp(png: bytes) -> bytes:
    """Return an image a tenth of the size, which looks the same on a screen."""
    stream = BytesIO()
    with Image.open(BytesIO(png)) as image:
        image.convert("RGB").save(stream, format="WEBP", quality=88, method=4)
    return stream.getvalue()


@dataclass(frozen=True)
class LeftOut:
    """A figure that could not be drawn.

    Attributes:
        title: the heading the figure would have.
        reason: why it is missing and what to do, in one sentence.
    """

    title: str
    reason: str


@dataclass(frozen=True)
class Drawing:
    """A figure that the report tries to draw.

    Attributes:
        file: name of the written files, without ending.
        title: the heading above the figure.
        draw: returns the figure and its caption, or a PNG's path and its caption; raises a
            `BenchboxError` where the run does not have what it takes.
    """

    file: str
    title: str
    draw: Callable[[], tuple[Figure | Path, str]]


def file_name(name: str) -> str:
    """Return a registry name, such as ``path:/some/folder``, as part of a figure's file name."""
    return name.replace("/", "_").replace(":", "_")


def save_drawing(drawing: Drawing, folder: Path) -> Picture | LeftOut:
    """Draw one figure and write it as PNG and SVG into ``folder``.

    Raises:
        BenchboxError: the folder cannot be written to.
    """
    try:
        drawn, caption = drawing.draw()
    except BenchboxError as error:
        return LeftOut(drawing.title, str(error))
    if isinstance(drawn, Path):
        return Picture(drawn, drawing.title, caption, is_sheet=True)
    path, _ = save_figure(drawn, folder / f"{drawing.file}.png")
    return Picture(path, drawing.title, caption)
