"""Pictures of a run: the FSC curves and central slices of the maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gemmap._types import Curve, Float, Volume
from gemmap.geometry.grids import centre
from gemmap.report.canvas import new_figure, save_png
from gemmap.validate.resolution import HALF_MAP_THRESHOLD, TRUTH_THRESHOLD, Resolution

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours that stay apart for colour-blind readers (Okabe & Ito 2008), the strongest first; yellow is left out.
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_GREY = "#707070"
#: Å on the upper axis, as far as they lie apart.
_RESOLUTION_TICKS_A = (
    *(200, 100, 50, 30, 20, 15, 10, 8, 6, 5, 4.5, 4, 3.5, 3.2, 3, 2.8, 2.6, 2.4, 2.2, 2),
    *(1.9, 1.8, 1.7, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1),
)
_TICK_DISTANCE = 0.055
#: More curves than this leave no room for their names between them.
_LEGEND_INSIDE = 3


@dataclass(frozen=True, eq=False)
class FscCurve:
    """A curve over shells 0 .. N//2 with its name in the legend; dashed for masked maps and for the baseline."""

    label: str
    values: Curve
    dashed: bool = False


def write_fsc_figure(
    path: Path,
    curves: Sequence[FscCurve],
    box_px: int,
    pixel_size_a: float,
    resolution: Resolution | None = None,
) -> None:
    """Draw curves over spatial frequency (1/Å; Å above) with the thresholds 0.143 and 0.5, as PNG.

    Parameters
    ----------
    curves
        Up to seven, the most important first.
    resolution
        Marked at its shell and threshold, and printed above the plot.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    figure = new_figure(7.2, 4.8)
    axes = figure.add_subplot()
    nyquist = (box_px // 2) / (box_px * pixel_size_a)
    lowest = min([0.0, *(float(np.min(curve.values[1:])) for curve in curves)])
    axes.set(xlim=(0.0, nyquist), ylim=(max(min(-0.08, lowest - 0.04), -1.0), 1.04))
    axes.set_xlabel("Spatial frequency (1/Å)")
    axes.set_ylabel("Fourier shell correlation")
    axes.axhline(0.0, color=_GREY, linewidth=0.6, zorder=1)
    for threshold in (HALF_MAP_THRESHOLD, TRUTH_THRESHOLD):
        axes.axhline(threshold, color=_GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        axes.text(
            1.008, threshold, f"{threshold:g}", transform=axes.get_yaxis_transform(), va="center", color=_GREY, size=8.5
        )
    for i, curve in enumerate(curves):
        frequency = np.arange(len(curve.values)) / (box_px * pixel_size_a)
        axes.plot(
            frequency,
            curve.values,
            label=curve.label,
            color=_PALETTE[i % len(_PALETTE)],
            linewidth=2.2 if i == 0 else 1.5,
            linestyle=(0, (5, 2)) if curve.dashed else "-",
            zorder=3 + len(curves) - i,
        )
    _add_resolution_axis(axes, nyquist)
    if resolution is not None:
        _mark_resolution(axes, resolution, box_px * pixel_size_a)
    axes.spines["right"].set_visible(False)
    if len(curves) <= _LEGEND_INSIDE:
        axes.legend(loc="best", frameon=True, framealpha=0.92, edgecolor="none", fontsize=9, handlelength=2.6)
    else:
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9, handlelength=2.6)
    save_png(figure, path)


def write_slices_figure(
    path: Path, maps: Mapping[str, Volume], pixel_size_a: float, particle_diameter_a: float | None = None
) -> None:
    """Draw the three central slices of each map, a column a map, with one grey scale and a scale bar, as PNG.

    The second axis named points up, as in ChimeraX's view down the third. Black and white are the medians over the maps
    of their 1st and 99.8th percentiles, so that one noisy map does not set the contrast of the others.

    Parameters
    ----------
    maps
        Name to (N, N, N) map, all of one box.
    particle_diameter_a
        Shows 1.3 times this width about voxel N//2; None shows the whole box.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    shown = {name: _central_slices(volume, pixel_size_a, particle_diameter_a) for name, volume in maps.items()}
    limits = np.median([np.percentile(np.stack(slices), (1.0, 99.8)) for slices in shown.values()], axis=0)
    figure = new_figure(0.3 + 2.2 * len(maps), 0.3 + 3 * 2.2)
    grid = figure.subplots(3, len(maps), squeeze=False)
    for column, (name, slices) in enumerate(shown.items()):
        grid[0, column].set_title(name, fontsize=11, pad=6)
        for axes, image in zip(grid[:, column], slices, strict=True):
            axes.imshow(image, cmap="gray", vmin=limits[0], vmax=limits[1], origin="lower", interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    for axes, plane in zip(grid[:, 0], ("xy", "xz", "yz"), strict=True):
        axes.set_ylabel(plane, fontsize=11, rotation=0, ha="right", va="center", labelpad=8)
    _add_scale_bar(grid[-1, 0], slices[0].shape[0], pixel_size_a)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    save_png(figure, path)


def _add_resolution_axis(axes: "Axes", nyquist: float) -> None:
    top = axes.twiny()
    top.set_xlim(axes.get_xlim())
    ticks_a: list[float] = []
    for value_a in _RESOLUTION_TICKS_A:
        last = 1.0 / ticks_a[-1] if ticks_a else 0.0
        if 1.0 / value_a <= nyquist and 1.0 / value_a - last >= _TICK_DISTANCE * nyquist:
            ticks_a.append(value_a)
    top.set_xticks([1.0 / value_a for value_a in ticks_a], [f"{value_a:g}" for value_a in ticks_a])
    top.set_xlabel("Resolution (Å)")
    top.spines["right"].set_visible(False)


def _mark_resolution(axes: "Axes", resolution: Resolution, box_a: float) -> None:
    axes.set_title(str(resolution), loc="left", fontsize=11, fontweight="bold", pad=8)
    if not resolution.is_resolved:
        return
    frequency = resolution.shell / box_a
    floor = axes.get_ylim()[0]
    axes.plot([frequency] * 2, [floor, resolution.threshold], color="black", linewidth=1.0, zorder=2)
    axes.plot(frequency, floor, marker="^", color="black", markersize=7, clip_on=False, zorder=20)


def _central_slices(
    volume: Volume, pixel_size_a: float, particle_diameter_a: float | None
) -> list[Float[np.ndarray, "m m"]]:
    """Slices [y, x], [z, x] and [z, y] through voxel N//2."""
    n = len(volume)
    middle = centre(n)
    if particle_diameter_a is None:
        window = slice(None)
    else:
        half_width = int(np.ceil(0.65 * particle_diameter_a / pixel_size_a))
        window = slice(max(middle - half_width, 0), middle + half_width + 1)
    planes = (volume[middle], volume[:, middle], volume[:, :, middle])
    return [plane[window, window] for plane in planes]


def _add_scale_bar(axes: "Axes", width_px: int, pixel_size_a: float) -> None:
    """Draw a white bar, a round length of at most 0.3 of the image, in the lower left corner."""
    from matplotlib.patheffects import withStroke

    longest_a = 0.3 * width_px * pixel_size_a
    decade = 10.0 ** np.floor(np.log10(longest_a))
    length_a = decade * max(factor for factor in (1, 2, 5) if factor * decade <= longest_a)
    x, y = 0.06 * width_px, 0.06 * width_px
    effects = [withStroke(linewidth=4.5, foreground="black")]
    axes.plot(
        [x, x + length_a / pixel_size_a],
        [y, y],
        color="white",
        linewidth=3,
        solid_capstyle="butt",
        path_effects=effects,
    )
    axes.text(
        x + length_a / pixel_size_a / 2,
        y + 0.03 * width_px,
        f"{length_a:g} Å",
        color="white",
        ha="center",
        va="bottom",
        fontsize=9.5,
        path_effects=[withStroke(linewidth=2, foreground="black")],
    )
