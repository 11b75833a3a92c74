"""How the fits of a run went over their steps: read from its record, and drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gemmap._types import Curve
from gemmap.report.canvas import SCREEN, Style, new_figure
from gemmap.report.figures import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Fits of a record and their names; the place is that of their colour.
FITS: Mapping[str, str] = {"half1": "Half 1", "half2": "Half 2", "full": "All particles"}
#: Kinds of curves, their axes, and what they are.
KINDS: Mapping[str, tuple[str, str]] = {
    "loss": ("Loss less that of the start (nats)", "Loss of the fits: the data term."),
    "score": (
        "Held-out score",
        "Score of the trial fits on particles of their own half that they have not seen; it decides how long the fits "
        "go on.",
    ),
    "n_gaussians": ("Gaussians", "Number of Gaussians of the map."),
    "seconds": ("Time (s)", "Time since the first step."),
}
_WIDTH_IN, _PANEL_RATIO = 7.2, 0.72
_MARKERS = ("o", "s", "^")


@dataclass(frozen=True, eq=False)
class FitCurve:
    """One value of one fit over its steps; ``colour`` counts in the palette."""

    label: str
    steps: Curve
    values: Curve
    colour: int


def fit_curves(results: Mapping[str, Any], kind: str) -> list[FitCurve]:
    """Return the curves of a kind in the results of a record; none if an older version made it."""
    found = []
    for colour, (name, label) in enumerate(FITS.items()):
        pairs = _scores(results, name) if kind == "score" else _steps(results, name, kind)
        if pairs:
            xy = np.array(pairs, np.float64)
            values = xy[:, 1] - xy[0, 1] if kind == "loss" else xy[:, 1]
            found.append(FitCurve(label, xy[:, 0], values, colour))
    return found


def _steps(results: Mapping[str, Any], name: str, column: str) -> list[tuple[float, float]]:
    fit = _mapping(_mapping(results.get("fits")).get(name))
    steps = [step for step in _sequence(fit.get("steps")) if isinstance(step, Mapping)]
    points = [(step.get("step"), step.get(column)) for step in steps]
    return [(x, y) for x, y in points if isinstance(x, int | float) and isinstance(y, int | float)]


def _scores(results: Mapping[str, Any], name: str) -> list[tuple[float, float]]:
    pairs = _sequence(_mapping(results.get("trial_scores")).get(name))
    return [(p[0], p[1]) for p in pairs if isinstance(p, list) and len(p) == 2 and None not in p]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def draw_fits(results: Mapping[str, Any], style: Style = SCREEN) -> "Figure | None":
    """Draw a panel for each kind of curve that the results of a record hold, two in a row; None if there is none."""
    shown = {kind: curves for kind in KINDS if (curves := fit_curves(results, kind))}
    if not shown:
        return None
    width_in = style.width_in or _WIDTH_IN
    rows = -(-len(shown) // 2)
    with style.applied():
        figure = new_figure(width_in, rows * 0.5 * width_in * _PANEL_RATIO + 0.2)
        for place, (kind, curves) in enumerate(shown.items()):
            _draw_panel(figure.add_subplot(rows, 2, place + 1), kind, curves, style)
        first = figure.axes[0]
        handles, labels = first.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper center", ncols=len(FITS), frameon=False, fontsize=style.text_pt
        )
    return figure


def _draw_panel(axes: "Axes", kind: str, curves: Sequence[FitCurve], style: Style) -> None:
    from matplotlib.ticker import MaxNLocator

    for curve in curves:
        axes.plot(
            curve.steps,
            curve.values,
            label=curve.label.lower(),
            color=PALETTE[curve.colour],
            linewidth=style.second_pt,
            marker=_MARKERS[curve.colour],
            markersize=0.6 * style.marker_pt,
        )
    axes.set_xlabel("step")
    axes.set_ylabel(KINDS[kind][0].replace(" less that of the start", ""))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.spines[["top", "right"]].set_visible(False)
