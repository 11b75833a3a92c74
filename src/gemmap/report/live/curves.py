"""The curves of the fits of a run, as they grow."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gemmap.fit.moments import Moment
from gemmap.fit.records import StepRecord
from gemmap.report.html.markup import numbers
from gemmap.report.html.section import Series, lines

#: Name, colour and dashes of a curve by its stage, as in the report.
_STAGES = {
    "fit half1": ("Half 1", 0, False),
    "fit half2": ("Half 2", 1, False),
    "fit full": ("All particles", 2, False),
    "trials half1": ("Half 1, trial", 0, True),
    "trials half2": ("Half 2, trial", 1, True),
}
#: By the identity of the plot: what lies on its y axis, and whose curves it has.
_PLOTS = {
    "plot-loss": ("Loss less that of the start (nats)", tuple(_STAGES)),
    "plot-score": ("Held-out score", ("trials half1", "trials half2")),
    "plot-gaussians": ("Gaussians", tuple(_STAGES)),
}
#: What a plot shows, for people and for those who read screens.
CAPTIONS: Mapping[str, str] = {
    "plot-loss": "Loss of the fits: the data term.",
    "plot-score": "Score of the trial fits on particles of their own half that they have not seen.",
    "plot-gaussians": "Number of Gaussians of the map.",
}


class Curves:
    """Loss, held-out score and number of Gaussians over the steps of each fit."""

    def __init__(self) -> None:
        self._points: dict[str, dict[str, list[tuple[float, float]]]] = {
            identity: {stage: [] for stage in stages} for identity, (_, stages) in _PLOTS.items()
        }

    def add(self, moment: Moment) -> None:
        """Take in where a fit of Gaussians is."""
        found = {"plot-loss": moment.loss, "plot-score": moment.score, "plot-gaussians": moment.n_gaussians}
        for identity, value in found.items():
            if value is not None:
                self._points[identity][moment.stage].append((moment.number, value))

    def complete(self, stage: str, steps: Iterable[StepRecord]) -> None:
        """Replace the curves of a fit by those of its record: a process before this one may have made a part."""
        steps = list(steps)
        self._points["plot-loss"][stage] = [(s.step, s.loss) for s in steps]
        self._points["plot-gaussians"][stage] = [(s.step, s.n_gaussians) for s in steps]

    def plain(self) -> dict[str, list[dict[str, list[float | None]]]]:
        """Return the points of every plot for JSON, in the order of the series of :func:`empty_plots`."""
        return {
            identity: [_plain(points, identity == "plot-loss") for points in of_stages.values()]
            for identity, of_stages in self._points.items()
        }


def _plain(points: list[tuple[float, float]], from_start: bool) -> dict[str, list[float | None]]:
    first = points[0][1] if points and from_start else 0.0
    return {"x": numbers([x for x, _ in points]), "y": numbers([y - first for _, y in points])}


def empty_plots() -> dict[str, dict[str, Any]]:
    """Return what ``live.js`` fills, by the identity of the plot."""
    return {
        identity: lines("Step", label, [_series(stage) for stage in stages], points=True)
        for identity, (label, stages) in _PLOTS.items()
    }


def _series(stage: str) -> Series:
    name, colour, dashed = _STAGES[stage]
    return Series(name, np.zeros(0), np.zeros(0), colour, dashed)
