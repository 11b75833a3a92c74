"""Picture of directions: where views are, and the resolution along each direction, over the half-sphere."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gemmap._types import Curve, Float
from gemmap.report.canvas import POINTS_PER_INCH, SCREEN, Style, new_figure, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyQuadMesh, TriMesh
    from matplotlib.figure import Figure

_DISC_IN = 3.0
#: In print a single disc is no wider, inches, and titles and colour bars take so many heights of letters.
_WIDEST_DISC_IN, _AROUND_EM = 2.6, 9.0


class Direction(Protocol):
    """Resolution along axes, as `DirectionalFsc` or a table has it: unit vectors (x, y, z), Å, and cFAR."""

    @property
    def axes(self) -> Float[np.ndarray, "n 3"]: ...  # noqa: D102
    @property
    def resolutions_a(self) -> Curve: ...  # noqa: D102
    @property
    def cfar(self) -> float: ...  # noqa: D102


class Density(Protocol):
    """Density of views at directions, 1 if even, as `Views` or a table has it."""

    @property
    def directions(self) -> Float[np.ndarray, "n 3"]: ...  # noqa: D102
    @property
    def relative(self) -> Curve: ...  # noqa: D102


def write_directions_figure(path: Path, of: Mapping[str, Direction], views: Density | None) -> None:
    """Write the figure of :func:`draw_directions` for the screen, as PNG.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    save_png(draw_directions(of, views), path)


def draw_directions(of: Mapping[str, Direction], views: Density | None, style: Style = SCREEN) -> "Figure":
    """Draw discs in the equal-area projection of Lambert, +z in the middle, +x to the right.

    Parameters
    ----------
    of
        Name of maps to their FSC in cones.
    views
        Density of views, if known.
    style
        Sizes.
    """
    n_discs = len(of) + (views is not None)
    width_in, height_in = _DISC_IN * n_discs + 0.4, _DISC_IN + 0.4
    if style.width_in is not None:
        width_in = style.width_in
        height_in = min(width_in / n_discs, _WIDEST_DISC_IN) + _AROUND_EM * style.label_pt / POINTS_PER_INCH
    frequencies = {name: 1.0 / direction.resolutions_a for name, direction in of.items()}
    together = np.concatenate([*frequencies.values(), np.zeros(0)])
    # Between a title and the disc stands the name of an axis.
    pad = 1.3 * style.text_pt if style.is_print else None
    with style.applied():
        figure = new_figure(width_in, height_in)
        discs = iter(figure.subplots(1, n_discs, squeeze=False)[0])
        if views is not None:
            axes = next(discs)
            limits = 0.0, max(2.0, float(views.relative.max()))
            drawn = _disc(axes, views.directions, views.relative, limits, "cividis", style)
            axes.set_title("views", fontsize=style.label_pt, pad=pad)
            figure.colorbar(drawn, ax=axes, orientation="horizontal", shrink=0.8, label="density, 1 if even")
        for name, direction in of.items():
            axes = next(discs)
            # At least a tenth apart: differences of a shell are none to look at.
            highest = max(float(together.max()), 1e-6)
            limits = min(float(together.min()), 0.9 * highest), highest
            drawn = _disc(axes, direction.axes, frequencies[name], limits, "viridis", style)
            between = "\n" if style.is_print else ", "
            axes.set_title(f"{name}{between}cFAR {direction.cfar:.2f}", fontsize=style.label_pt, pad=pad)
            bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", shrink=0.8, label="resolution (Å)")
            ticks = np.linspace(*limits, 3 if style.is_print else 4)
            bar.set_ticks(ticks.tolist(), labels=[f"{1.0 / tick:.3g}" if tick > 0 else "∞" for tick in ticks])
    return figure


def _disc(
    axes: "Axes",
    directions: Float[np.ndarray, "n 3"],
    values: Float[np.ndarray, " n"],
    limits: tuple[float, float],
    colours: str,
    style: Style,
) -> "TriMesh | PolyQuadMesh":
    """Values over the half-sphere; those at the rim are repeated on its other side, where the same axes end."""
    from matplotlib.patches import Circle

    both, twice = np.concatenate([directions, -directions]), np.concatenate([values, values])
    near = both[:, 2] > -0.3
    x, y, z = both[near].T
    # Lambert: areas are true; the rim of the half-sphere lies at radius 1.
    scale = 1.0 / np.sqrt(np.maximum(1.0 + z, 1e-9))
    drawn = axes.tripcolor(
        x * scale, y * scale, twice[near], shading="gouraud", cmap=colours, vmin=limits[0], vmax=limits[1]
    )
    rim = Circle((0.0, 0.0), 1.0, fill=False, edgecolor="black", linewidth=style.axis_pt)
    axes.add_patch(rim)
    drawn.set_clip_path(rim)
    # Thousands of triangles with colours that run into each other are no vectors to a journal's programs.
    drawn.set_rasterized(True)
    for tilt_deg in (30, 60):
        radius = np.sqrt(2.0) * np.sin(np.radians(tilt_deg) / 2.0)
        axes.add_patch(
            Circle((0.0, 0.0), radius, fill=False, edgecolor="white", linewidth=0.75 * style.thin_pt, linestyle=":")
        )
    axes.text(1.04, 0.0, "x", va="center", size=style.text_pt)
    axes.text(0.0, 1.04, "y", ha="center", size=style.text_pt)
    axes.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return drawn
