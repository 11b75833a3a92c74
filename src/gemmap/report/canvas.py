"""Figures without pyplot, so that nothing global changes; their sizes on a screen and in print, and their files."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemmap.io.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 200
MM_PER_INCH, POINTS_PER_INCH = 25.4, 72.0
#: Sans-serif letters of one width: what journals ask for, the free one that takes the same room, and the one that
#: comes with matplotlib. All are TrueType.
_FONTS = ["Arial", "Liberation Sans", "DejaVu Sans"]


@dataclass(frozen=True)
class Style:
    """Sizes of what a figure is made of, in points unless the name says otherwise.

    Attributes
    ----------
    width_in
        Of the whole figure, inches; None leaves it to each figure.
    title_pt, label_pt, text_pt
        Letters of titles, of axes and names of panels, and of everything else.
    curve_pt, second_pt
        Lines of the first curve, and of others.
    thin_pt, axis_pt
        Lines that only help to read, and frames.
    marker_pt
        Marks.
    bold
        Whether a title is bold.
    fonts
        Families, the first that is installed is used; None leaves matplotlib's.
    """

    width_in: float | None = None
    title_pt: float = 11.0
    label_pt: float = 10.0
    text_pt: float = 9.0
    curve_pt: float = 2.2
    second_pt: float = 1.5
    thin_pt: float = 0.8
    axis_pt: float = 0.8
    marker_pt: float = 7.0
    bold: bool = True
    fonts: tuple[str, ...] | None = None

    @property
    def is_print(self) -> bool:
        """Whether the width is given, and everything has to fit it."""
        return self.width_in is not None

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Make matplotlib use these sizes for what it chooses by itself: ticks, frames, and fonts in files."""
        from matplotlib import rc_context

        settings: dict[Any, Any] = {
            "font.size": self.label_pt,
            "axes.labelsize": self.label_pt,
            "axes.titlesize": self.title_pt,
            "xtick.labelsize": self.label_pt,
            "ytick.labelsize": self.label_pt,
            "axes.linewidth": self.axis_pt,
            **{f"{axis}tick.major.width": self.axis_pt for axis in "xy"},
            **{f"{axis}tick.minor.width": max(0.75 * self.axis_pt, 0.25) for axis in "xy"},
            **{f"{axis}tick.major.size": 0.35 * self.label_pt for axis in "xy"},
            **{f"{axis}tick.major.pad": 0.35 * self.label_pt for axis in "xy"},
            "axes.labelpad": 0.4 * self.label_pt,
            # TrueType letters as they are, so that a journal can search and edit the text.
            "pdf.fonttype": 42,
            "svg.fonttype": "none",
            # Names inside an SVG file that do not differ from one time to the next.
            "svg.hashsalt": "gemmap",
        }
        if self.fonts is not None:
            settings |= {"font.family": ["sans-serif"], "font.sans-serif": list(self.fonts)}
        with rc_context(settings):
            yield


#: Of the pictures in a run folder.
SCREEN = Style()


def print_style(width_mm: float) -> Style:
    """Return the sizes of a figure of a journal, at its final width: letters of 6 to 7 points, lines from 0.4."""
    return Style(
        width_in=width_mm / MM_PER_INCH,
        title_pt=7.0,
        label_pt=6.5,
        text_pt=6.0,
        curve_pt=1.2,
        second_pt=0.9,
        thin_pt=0.4,
        axis_pt=0.5,
        marker_pt=4.0,
        bold=False,
        fonts=tuple(_FONTS),
    )


def new_figure(width_in: float, height_in: float) -> "Figure":
    """Return an empty white figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: "Figure", path: Path) -> None:
    """Write a figure for the screen.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    save(figure, path, "png", _DPI, SCREEN)


def save(figure: "Figure", path: Path, kind: str, dpi: int, style: Style) -> None:
    """Write a figure as ``png``, ``pdf`` or ``svg``; of the same figure the same bytes each time.

    Parameters
    ----------
    dpi
        Dots per inch of a PNG, and of what is made of pixels in the others.
    style
        The one it was drawn with.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    dated = {"pdf": "CreationDate", "svg": "Date"}.get(kind)
    with atomic_path(path) as temporary, style.applied():
        figure.savefig(temporary, format=kind, dpi=dpi, metadata={dated: None} if dated else None)
