"""The last lines on the screen: what was reached, by which measure, and how to look at it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gemmap.units import memory_text
from gemmap.validate.resolution import Resolution

_LABEL_WIDTH = 17


@dataclass(frozen=True)
class RunSummary:
    """Numbers of a finished run.

    Attributes
    ----------
    resolution
        The one the run is known by.
    half_map_unmasked, half_map_masked
        Half-map FSC of the fitted maps, beside it.
    backprojection_unmasked, backprojection_masked
        Of the Wiener back-projection of the same halves: the baseline.
    n_particles, n_excluded
        Particles used, and particles of the file left out.
    n_dead
        Those of the latter left out because their images show nothing.
    particles_per_second
        Rate of the pass over the particles; None without one.
    wall_seconds, peak_memory_bytes
        Of the whole run.
    map_path
        Final map as the user would type it.
    report_path
        Page of the run, or None if there is none.
    details
        Labels and texts of local resolution and direction.
    """

    resolution: Resolution
    half_map_unmasked: Resolution
    half_map_masked: Resolution
    backprojection_unmasked: Resolution
    backprojection_masked: Resolution
    n_particles: int
    n_excluded: int
    n_dead: int
    particles_per_second: float | None
    wall_seconds: float
    peak_memory_bytes: int
    map_path: Path
    report_path: Path | None = None
    details: Sequence[tuple[str, str]] = ()


def summary_lines(summary: RunSummary) -> list[str]:
    """Return the text, line by line, without a line break at the end of any."""
    rows = [
        ("Resolution", str(summary.resolution)),
        ("  half-maps", f"{summary.half_map_masked}; {summary.half_map_unmasked}"),
        ("  back-projection", f"{summary.backprojection_masked}; {summary.backprojection_unmasked}"),
        *summary.details,
        ("Particles", f"{summary.n_particles:,} used, {summary.n_excluded:,} excluded{_dead(summary.n_dead)}"),
        (
            "Cost",
            f"{_rate(summary.particles_per_second)}{duration_text(summary.wall_seconds)} wall time, "
            f"{memory_text(summary.peak_memory_bytes)} peak memory",
        ),
        ("Open the map", f"chimerax {shlex.quote(str(summary.map_path))}"),
    ]
    if summary.report_path is not None:
        rows.append(("Report", str(summary.report_path)))
    return label_lines(rows)


def label_lines(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Return a line for each label and its text, the texts below one another."""
    return [f"{label:<{_LABEL_WIDTH}}  {text}" for label, text in rows]


def duration_text(seconds: float) -> str:
    """Return a duration in words: ``3.2 s``, ``4 min 05 s`` or ``2 h 03 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    hours, rest_min = divmod(minutes, 60)
    return f"{hours} h {rest_min:02d} min" if hours else f"{minutes} min {rest_s:02d} s"


def _dead(n: int) -> str:
    return f" ({n:,} dead image{'s' if n > 1 else ''})" if n else ""


def _rate(per_second: float | None) -> str:
    if per_second is None:
        return ""
    return f"{per_second:,.0f} particles/s, " if per_second >= 10 else f"{per_second:.1f} particles/s, "
