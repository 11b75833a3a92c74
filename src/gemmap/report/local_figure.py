"""Picture of the local resolution: slices of the map coloured by it, and its histogram."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gemmap._types import Float, Volume
from gemmap.geometry.grids import centre
from gemmap.report.canvas import SCREEN, Style, new_figure, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

#: Good resolution is bright.
_COLOURS = "viridis_r"
_HISTOGRAM_COLOURS = ("#0072B2", "#D55E00")
#: Share of the colour that the darkest density keeps.
_DARKEST = 0.4
#: Box shown about the mask, voxels beyond it.
_MARGIN_PX = 3
#: Width of the figure on a screen, height of a row of slices, and of the histogram with what is around it, inches.
_WIDTH_IN, _ROW_IN, _HISTOGRAM_IN = 7.2, 2.05, 2.2
#: In print: height of a row over the width, and of the histogram over it, which is no higher than this, inches.
_PRINT_ROW, _PRINT_HISTOGRAM, _PRINT_HIGHEST_IN = 0.285, 0.42, 1.7


def write_local_figure(path: Path, resolutions: Mapping[str, Volume], volume: Volume, mask: Volume) -> None:
    """Write the figure of :func:`draw_local` for the screen, as PNG.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    save_png(draw_local(resolutions, volume, mask), path)


def draw_local(resolutions: Mapping[str, Volume], volume: Volume, mask: Volume, style: Style = SCREEN) -> "Figure":
    """Draw three central slices for each local resolution, and the histograms of all within the mask.

    Parameters
    ----------
    resolutions
        Name to (N, N, N) Å, 0 where nothing is known; at most two, one of them inside the mask somewhere.
    volume
        (N, N, N), the map whose slices are coloured, particle positive.
    mask
        (N, N, N), 0 to 1; outside it slices are grey.
    style
        Sizes.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    inside = {name: local[(mask > 0.5) & (local > 0)] for name, local in resolutions.items()}
    low, high = np.percentile(np.concatenate(list(inside.values())), (1, 99))
    norm = Normalize(low, max(high, low + 0.1))
    width_in, row_in, histogram_in = _WIDTH_IN, _ROW_IN, _HISTOGRAM_IN
    if style.width_in is not None:
        width_in = style.width_in
        row_in, histogram_in = _PRINT_ROW * width_in, min(_PRINT_HISTOGRAM * width_in, _PRINT_HIGHEST_IN)
    with style.applied():
        figure = new_figure(width_in, row_in * len(resolutions) + histogram_in)
        heights = [*([row_in] * len(resolutions)), 0.95 * histogram_in]
        grid = figure.add_gridspec(len(resolutions) + 1, 3, height_ratios=heights)
        shown = []
        for row, (name, local) in enumerate(resolutions.items()):
            for column, (plane, image) in enumerate(_coloured_slices(local, volume, mask, norm)):
                axes = figure.add_subplot(grid[row, column])
                axes.imshow(image, origin="lower", interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                shown.append(axes)
                if row == 0:
                    axes.set_title(plane, fontsize=style.label_pt)
                if column == 0:
                    axes.set_ylabel(name, fontsize=style.label_pt)
        figure.colorbar(ScalarMappable(norm, _COLOURS), ax=shown, label="local resolution (Å)", shrink=0.8)
        _draw_histogram(figure.add_subplot(grid[-1, :]), inside, norm, style)
    return figure


def _draw_histogram(
    axes: "Axes", inside: Mapping[str, Float[np.ndarray, " n"]], norm: "Normalize", style: Style
) -> None:
    edges = np.linspace(norm.vmin or 0.0, norm.vmax or 1.0, 41)
    for (name, values), colour in zip(inside.items(), _HISTOGRAM_COLOURS, strict=False):
        weights = np.full(len(values), 100.0 / max(len(values), 1))
        # Beyond the ends of the scale values are counted in its first and last bin.
        clipped = np.clip(values, edges[0], edges[-1])
        axes.hist(
            clipped, edges.tolist(), weights=weights, color=colour, alpha=0.55, label=f"{name}, {_median_text(values)}"
        )
        if len(values):
            axes.axvline(float(np.median(values)), color=colour, linewidth=0.6 * style.curve_pt)
    axes.set_xlabel("local resolution in the mask (Å)")
    axes.set_ylabel("voxels (%)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=style.text_pt)


def _median_text(values: Float[np.ndarray, " n"]) -> str:
    return f"median {np.median(values):.2f} Å" if len(values) else "nothing in the mask"


def _coloured_slices(
    local: Volume, volume: Volume, mask: Volume, norm: "Normalize"
) -> list[tuple[str, Float[np.ndarray, "m m c"]]]:
    """Slices through voxel N//2, [y, x], [z, x], [z, y], cut to the mask: hue by resolution, brightness by density."""
    from matplotlib import colormaps

    middle = centre(len(volume))
    reached = np.flatnonzero((mask > 0.0).any((1, 2)) | (mask > 0.0).any((0, 2)) | (mask > 0.0).any((0, 1)))
    first, last = (reached[0], reached[-1]) if len(reached) else (0, len(mask) - 1)
    window = slice(max(int(first) - _MARGIN_PX, 0), int(last) + _MARGIN_PX + 1)
    inside = volume[mask > 0.5]
    low, high = np.percentile(inside if len(inside) else volume, (25.0, 98.0))
    slices = []
    for plane, cut in (
        ("xy", (middle, window, window)),
        ("xz", (window, middle, window)),
        ("yz", (window, window, middle)),
    ):
        density = np.clip((volume[cut] - low) / max(high - low, 1e-30), 0.0, 1.0)[..., None]
        colour = colormaps[_COLOURS](norm(local[cut]))[..., :3]
        known = ((mask[cut] > 0.5) & (local[cut] > 0))[..., None]
        slices.append((plane, np.where(known, colour * (_DARKEST + (1.0 - _DARKEST) * density), 0.6 * density)))
    return slices
