"""Figures without pyplot, so that nothing global changes, and PNG files of them."""

from pathlib import Path
from typing import TYPE_CHECKING

from gemmap.io.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 200


def new_figure(width_in: float, height_in: float) -> "Figure":
    """Return an empty white figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: "Figure", path: Path) -> None:
    """Write a figure.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI)
