"""Widths and resolutions that journals take, from words."""

import math
import re
from collections.abc import Mapping, Sequence

from gemmap.errors import InputError
from gemmap.report.canvas import MM_PER_INCH

#: Columns of most journals, mm; the narrowest of each kind, which fits the others too.
WIDTHS_MM: Mapping[str, float] = {"single": 85.0, "one-and-a-half": 114.0, "double": 174.0}
#: Narrower figures have no room for their letters, and no page is wider.
NARROWEST_MM, WIDEST_MM = 80.0, 210.0
FORMATS = ("pdf", "svg", "png")
#: Below, lines are steps on paper; above, files grow and nothing is seen of it.
LEAST_DPI, MOST_DPI = 150, 1200
_MM = {"mm": 1.0, "cm": 10.0, "in": MM_PER_INCH}


def width_mm(text: str) -> float:
    """Return a width: a name of :data:`WIDTHS_MM`, or a length such as ``85mm``, ``8.5cm`` or ``3.5in``.

    Raises
    ------
    InputError
        If it is neither, or figures of that width cannot be read or printed.
    """
    if text in WIDTHS_MM:
        return WIDTHS_MM[text]
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(mm|cm|in)", text.strip())
    expected = f"expected {', '.join(WIDTHS_MM)}, or a length such as 85mm, 8.5cm or 3.35in"
    if match is None:
        raise InputError(f"The width is {text!r}; {expected}.")
    value = float(match[1]) * _MM[match[2]]
    if not NARROWEST_MM <= value <= WIDEST_MM or not math.isfinite(value):
        raise InputError(f"The width is {value:g} mm; {expected}, from {NARROWEST_MM:g} to {WIDEST_MM:g} mm.")
    return value


def listed(text: str, known: Sequence[str], what: str) -> tuple[str, ...]:
    """Return the words of a list such as ``pdf,png``, each once, in the order of ``known``.

    Raises
    ------
    InputError
        If it is empty, or one of them is not known.
    """
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        got = repr(unknown[0]) if unknown else "empty"
        raise InputError(f"The {what} is {got}; expected some of {', '.join(known)}, separated by commas.")
    return tuple(word for word in known if word in words)


def require_dpi(dpi: int) -> None:
    """Refuse resolutions that no journal takes.

    Raises
    ------
    InputError
        If it is out of range.
    """
    if not LEAST_DPI <= dpi <= MOST_DPI:
        raise InputError(
            f"The resolution is {dpi} dots per inch; expected {LEAST_DPI} to {MOST_DPI}, such as 300 for photographs "
            "and 600 for line art."
        )
