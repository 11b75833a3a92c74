"""A part of the page: what is shown and what its plots draw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gemmap._types import Curve
from gemmap.report.html.markup import Html, numbers, tag


@dataclass(frozen=True, eq=False)
class Section:
    """One part, or what the run folder lacks for it.

    Attributes
    ----------
    identity
        Of the element, for links.
    title
        Heading.
    body
        Content; None if it is left out.
    missing
        Why it is left out, a sentence.
    data
        For the scripts, by the identity of the element they fill.
    """

    identity: str
    title: str
    body: Html | None
    missing: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Series:
    """A curve of a plot; ``colour`` counts in the page's palette, ``shown`` is whether it is drawn at first."""

    name: str
    x: Curve
    y: Curve
    colour: int
    dashed: bool = False
    shown: bool = True

    def plain(self) -> dict[str, Any]:
        """Return the curve for JSON."""
        return {
            "name": self.name,
            "x": numbers(self.x),
            "y": numbers(self.y),
            "colour": self.colour,
            "dashed": self.dashed,
            "shown": self.shown,
        }


def lines(x_label: str, y_label: str, series: Sequence[Series], **more: Any) -> dict[str, Any]:
    """Return what ``plots.js`` draws as curves; see there for what else it knows."""
    return {"kind": "lines", "xLabel": x_label, "yLabel": y_label, "series": [s.plain() for s in series], **more}


def bars(x_label: str, y_label: str, edges: Curve, counts: Curve) -> dict[str, Any]:
    """Return what ``plots.js`` draws as a histogram."""
    return {"kind": "bars", "xLabel": x_label, "yLabel": y_label, "edges": numbers(edges), "counts": numbers(counts, 9)}


def figure(identity: str, caption: object, label: str) -> Html:
    """Return the element that a plot fills."""
    return tag("figure", tag("div", class_="plot", id=identity, data_label=label), tag("figcaption", caption))


def paragraph(*children: object) -> Html:
    """Return a paragraph of text."""
    return tag("p", *children)


def details(summary: str, *children: object) -> Html:
    """Return something that is folded until it is asked for."""
    return tag("details", tag("summary", summary), *children)
