"""The Guinier plot of a run: read from its fsc.star, and drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gemmap._types import Bool, Curve
from gemmap.io.star import StarTable
from gemmap.report.canvas import SCREEN, Style, new_figure
from gemmap.report.figures import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = ("rlnResolutionSquared", "rlnLogAmplitudesOriginal", "rlnLogAmplitudesWeighted")
#: What stands for the logarithm of nothing.
_NO_LOG = -99.0
#: Where the fitted line begins, 1/Å²: below it lies the shape of the particle (Rosenthal & Henderson 2003).
_FIT_FROM = 0.01
_WIDTH_IN, _RATIO = 4.8, 0.75


@dataclass(frozen=True, eq=False)
class GuinierPlot:
    """Logarithms of the mean amplitude of shells.

    Attributes
    ----------
    inverse_d2
        (n,) 1/Å².
    original, weighted
        (n,) of the map, and of the map weighted by FSC; -99 where there is nothing.
    slope, intercept
        Of the line fitted to the weighted ones, if there is one.
    bfactor_a2
        Å², used to sharpen.
    """

    inverse_d2: Curve
    original: Curve
    weighted: Curve
    slope: float | None
    intercept: float | None
    bfactor_a2: float | None

    def seen(self, values: Curve) -> Bool[np.ndarray, " n"]:
        """Where there is something to draw."""
        return np.asarray((values > _NO_LOG) & (self.inverse_d2 > 0))

    def line(self) -> tuple[Curve, Curve] | None:
        """Ends of the fitted line, 1/Å² and logarithms."""
        if self.slope is None or self.intercept is None:
            return None
        x = self.inverse_d2[self.seen(self.weighted)]
        end = float((x if len(x) else self.inverse_d2)[-1])
        along = np.array([_FIT_FROM if end > _FIT_FROM else 0.0, end])
        return along, self.intercept + self.slope * along


def read_guinier(tables: Mapping[str, StarTable] | None) -> GuinierPlot | None:
    """Return the plot in the tables of a fsc.star, None if it is not in them.

    Raises
    ------
    FormatError
        If a column holds something that is no number.
    """
    fitted = (tables or {}).get("guinier")
    if fitted is None or not all(label in fitted for label in _COLUMNS):
        return None
    x, original, weighted = (fitted.floats(label) for label in _COLUMNS)
    general = (tables or {}).get("general")

    def number(label: str) -> float | None:
        return float(general.floats(label)[0]) if general is not None and label in general else None

    return GuinierPlot(
        x,
        original,
        weighted,
        number("rlnFittedSlopeGuinierPlot"),
        number("rlnFittedInterceptGuinierPlot"),
        number("rlnBfactorUsedForSharpening"),
    )


def draw_guinier(plot: GuinierPlot, style: Style = SCREEN) -> "Figure":
    """Draw both logarithms over 1/d², the fitted line, and the B-factor above them."""
    width_in = style.width_in or _WIDTH_IN
    with style.applied():
        figure = new_figure(width_in, min(_RATIO * width_in, _RATIO * _WIDTH_IN))
        axes = figure.add_subplot()
        drawn = (("map", plot.original, 2), ("map, weighted by FSC", plot.weighted, 0))
        for name, values, colour in drawn:
            seen = plot.seen(values)
            axes.plot(plot.inverse_d2[seen], values[seen], label=name, color=PALETTE[colour], linewidth=style.second_pt)
        line = plot.line()
        if line is not None:
            axes.plot(*line, label="fitted line", color=PALETTE[1], linewidth=style.second_pt, linestyle=(0, (5, 2)))
        axes.set_xlabel("1/d² (1/Å²)")
        axes.set_ylabel("ln mean amplitude")
        if plot.bfactor_a2 is not None:
            stated = f"sharpened with B = {plot.bfactor_a2:.0f} Å²".replace("= -", "= −")
            axes.set_title(stated, loc="left", fontsize=style.title_pt, pad=0.6 * style.title_pt)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=style.text_pt)
    return figure
