"""Picture of directions: where views are, and the resolution along each direction, over the half-sphere."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gemmap._types import Float
from gemmap.report.canvas import new_figure, save_png
from gemmap.validate.anisotropy import DirectionalFsc
from gemmap.validate.views import Views

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyQuadMesh, TriMesh

_DISC_IN = 3.0


def write_directions_figure(path: Path, of: Mapping[str, DirectionalFsc], views: Views | None) -> None:
    """Draw discs in the equal-area projection of Lambert, +z in the middle, +x to the right, as PNG.

    Parameters
    ----------
    path
        File to write.
    of
        Name of maps to their FSC in cones.
    views
        Density of views, if known.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    n_discs = len(of) + (views is not None)
    figure = new_figure(_DISC_IN * n_discs + 0.4, _DISC_IN + 0.4)
    discs = iter(figure.subplots(1, n_discs, squeeze=False)[0])
    frequencies = {name: 1.0 / direction.resolutions_a for name, direction in of.items()}
    together = np.concatenate(list(frequencies.values()))
    if views is not None:
        axes = next(discs)
        drawn = _disc(axes, views.directions, views.relative, (0.0, max(2.0, float(views.relative.max()))), "cividis")
        axes.set_title("views", fontsize=10)
        figure.colorbar(drawn, ax=axes, orientation="horizontal", shrink=0.8, label="density, 1 if even")
    for name, direction in of.items():
        axes = next(discs)
        # At least a tenth apart: differences of a shell are none to look at.
        highest = max(float(together.max()), 1e-6)
        limits = min(float(together.min()), 0.9 * highest), highest
        drawn = _disc(axes, direction.axes, frequencies[name], limits, "viridis")
        axes.set_title(f"{name}, cFAR {direction.cfar:.2f}", fontsize=10)
        bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", shrink=0.8, label="resolution (Å)")
        ticks = np.linspace(*limits, 4)
        bar.set_ticks(ticks.tolist(), labels=[f"{1.0 / tick:.3g}" if tick > 0 else "∞" for tick in ticks])
    save_png(figure, path)


def _disc(
    axes: "Axes",
    directions: Float[np.ndarray, "n 3"],
    values: Float[np.ndarray, " n"],
    limits: tuple[float, float],
    colours: str,
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
    rim = Circle((0.0, 0.0), 1.0, fill=False, edgecolor="black", linewidth=0.8)
    axes.add_patch(rim)
    drawn.set_clip_path(rim)
    for tilt_deg in (30, 60):
        radius = np.sqrt(2.0) * np.sin(np.radians(tilt_deg) / 2.0)
        axes.add_patch(Circle((0.0, 0.0), radius, fill=False, edgecolor="white", linewidth=0.6, linestyle=":"))
    axes.text(1.04, 0.0, "x", va="center", size=9)
    axes.text(0.0, 1.04, "y", ha="center", size=9)
    axes.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return drawn
