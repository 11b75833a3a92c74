"""Pictures of a run: the FSC curves and central slices of the maps."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gemmap._types import Curve, Float, Volume
from gemmap.geometry.grids import centre
from gemmap.report.canvas import POINTS_PER_INCH, SCREEN, Style, new_figure, save_png
from gemmap.validate.resolution import HALF_MAP_THRESHOLD, TRUTH_THRESHOLD, Resolution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that stay apart for colour-blind readers (Okabe & Ito 2008), the strongest first; yellow is left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#707070"
#: Å on the upper axis, as far as they lie apart.
_RESOLUTION_TICKS_A = (
    *(200, 100, 50, 30, 20, 15, 10, 8, 6, 5, 4.5, 4, 3.5, 3.2, 3, 2.8, 2.6, 2.4, 2.2, 2),
    *(1.9, 1.8, 1.7, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1),
)
_TICK_DISTANCE_EM = 2.5
#: More curves than this leave no room for their names between them.
_LEGEND_INSIDE = 3
#: Width and height of the curves' figure on a screen, inches; in print it is lower than wide by this factor, and no
#: higher than this.
_SCREEN_IN = (7.2, 4.8)
_PRINT_RATIO, _PRINT_HIGHEST_IN = 0.82, 3.9
#: Room for the names of planes and of maps about slices, inches on a screen.
_NAMES_IN, _SLICE_IN = 0.3, 2.2
#: Mean width of a letter over its size.
_LETTER_EM = 0.56


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
    """Write the figure of :func:`draw_fsc` for the screen, as PNG.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    save_png(draw_fsc(curves, box_px, pixel_size_a, resolution), path)


def draw_fsc(
    curves: Sequence[FscCurve],
    box_px: int,
    pixel_size_a: float,
    resolution: Resolution | None = None,
    style: Style = SCREEN,
) -> "Figure":
    """Draw curves over spatial frequency (1/Å; Å above) with the thresholds 0.143 and 0.5.

    Parameters
    ----------
    curves
        Up to seven, the most important first.
    resolution
        Marked where its curve crosses its threshold, with its 95 % interval as a grey band, and stated above the plot
        with threshold and mask.
    style
        Sizes.
    """
    width_in, height_in = _SCREEN_IN
    if style.width_in is not None:
        width_in, height_in = style.width_in, min(_PRINT_RATIO * style.width_in, _PRINT_HIGHEST_IN)
    with style.applied():
        figure = new_figure(width_in, height_in)
        axes = figure.add_subplot()
        nyquist = (box_px // 2) / (box_px * pixel_size_a)
        lowest = min([0.0, *(float(np.min(curve.values[1:])) for curve in curves)])
        axes.set(xlim=(0.0, nyquist), ylim=(max(min(-0.08, lowest - 0.04), -1.0), 1.04))
        axes.set_xlabel("Spatial frequency (1/Å)")
        axes.set_ylabel("Fourier shell correlation")
        axes.axhline(0.0, color=GREY, linewidth=0.75 * style.thin_pt, zorder=1)
        for threshold in (HALF_MAP_THRESHOLD, TRUTH_THRESHOLD):
            axes.axhline(threshold, color=GREY, linewidth=style.thin_pt, linestyle=(0, (1, 2)), zorder=1)
            right = axes.get_yaxis_transform()
            axes.text(1.008, threshold, f"{threshold:g}", transform=right, va="center", color=GREY, size=style.text_pt)
        for i, curve in enumerate(curves):
            frequency = np.arange(len(curve.values)) / (box_px * pixel_size_a)
            axes.plot(
                frequency,
                curve.values,
                label=curve.label,
                color=PALETTE[i % len(PALETTE)],
                linewidth=style.curve_pt if i == 0 else style.second_pt,
                linestyle=(0, (5, 2)) if curve.dashed else "-",
                zorder=3 + len(curves) - i,
            )
        _add_resolution_axis(axes, nyquist, style, width_in)
        if resolution is not None:
            _mark_resolution(axes, resolution, box_px * pixel_size_a, style, width_in)
        axes.spines["right"].set_visible(False)
        if len(curves) <= _LEGEND_INSIDE:
            axes.legend(
                loc="best", frameon=True, framealpha=0.92, edgecolor="none", fontsize=style.text_pt, handlelength=2.6
            )
        else:
            _add_legend_below(figure, style)
    return figure


def _add_legend_below(figure: "Figure", style: Style) -> None:
    """Name the curves below the plot in two columns, or where they are too wide in one, for which the figure grows."""
    for n_columns in (2, 1):
        legend = figure.legend(
            loc="outside lower center",
            ncols=n_columns,
            frameon=False,
            fontsize=style.text_pt,
            handlelength=2.6,
            columnspacing=1.4,
        )
        if n_columns == 1 or legend.get_window_extent().width < figure.bbox.width:
            return
        height_in = legend.get_window_extent().height / figure.dpi
        legend.remove()
        figure.set_figheight(figure.get_figheight() + height_in)


def write_slices_figure(
    path: Path, maps: Mapping[str, Volume], pixel_size_a: float, particle_diameter_a: float | None = None
) -> None:
    """Write the figure of :func:`draw_slices` for the screen, as PNG.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    save_png(draw_slices(maps, pixel_size_a, particle_diameter_a), path)


def draw_slices(
    maps: Mapping[str, Volume], pixel_size_a: float, particle_diameter_a: float | None = None, style: Style = SCREEN
) -> "Figure":
    """Draw the three central slices of each map, a column a map, with one grey scale and a scale bar.

    The second axis named points up, as in ChimeraX's view down the third. Black and white are the medians over the maps
    of their 1st and 99.8th percentiles, so that one noisy map does not set the contrast of the others.

    Parameters
    ----------
    maps
        Name to (N, N, N) map, all of one box.
    particle_diameter_a
        Shows 1.3 times this width about voxel N//2; None shows the whole box.
    style
        Sizes.
    """
    shown = {name: _central_slices(volume, pixel_size_a, particle_diameter_a) for name, volume in maps.items()}
    limits = np.median([np.percentile(np.stack(slices), (1.0, 99.8)) for slices in shown.values()], axis=0)
    names_in = _NAMES_IN * style.label_pt / SCREEN.label_pt
    around_in = (1.25 if style.is_print else 1.0) * names_in
    slice_in = _SLICE_IN if style.width_in is None else (style.width_in - names_in) / max(len(maps), 2)
    width_in = style.width_in or names_in + slice_in * len(maps)
    with style.applied():
        figure = new_figure(width_in, around_in + 3 * slice_in)
        grid = figure.subplots(3, len(maps), squeeze=False)
        for column, (name, slices) in enumerate(shown.items()):
            grid[0, column].set_title(name, pad=0.6 * style.label_pt, fontsize=style.label_pt)
            for axes, image in zip(grid[:, column], slices, strict=True):
                axes.imshow(image, cmap="gray", vmin=limits[0], vmax=limits[1], origin="lower", interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
        for axes, plane in zip(grid[:, 0], ("xy", "xz", "yz"), strict=True):
            axes.set_ylabel(plane, rotation=0, ha="right", va="center", labelpad=0.8 * style.label_pt)
        _add_scale_bar(grid[-1, 0], slices[0].shape[0], pixel_size_a, style)
        figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    return figure


def as_bright(volume: Volume, reference: Volume) -> Volume:
    """Scale a map to the standard deviation of another, so that one grey scale shows both."""
    own, other = (float(one.std(dtype=np.float64)) for one in (volume, reference))
    return volume * np.float32(other / own) if own > 0 else volume


def _add_resolution_axis(axes: "Axes", nyquist: float, style: Style, width_in: float) -> None:
    top = axes.twiny()
    top.set_xlim(axes.get_xlim())
    # Labels lie apart by so many of their own heights.
    apart = _TICK_DISTANCE_EM * style.label_pt / (POINTS_PER_INCH * 0.87 * width_in) * nyquist
    ticks_a: list[float] = []
    for value_a in _RESOLUTION_TICKS_A:
        last = 1.0 / ticks_a[-1] if ticks_a else 0.0
        if 1.0 / value_a <= nyquist and 1.0 / value_a - last >= apart:
            ticks_a.append(value_a)
    top.set_xticks([1.0 / value_a for value_a in ticks_a], [f"{value_a:g}" for value_a in ticks_a])
    top.set_xlabel("Resolution (Å)")
    top.spines["right"].set_visible(False)


def _mark_resolution(axes: "Axes", resolution: Resolution, box_a: float, style: Style, width_in: float) -> None:
    letters = int(POINTS_PER_INCH * width_in / (_LETTER_EM * style.title_pt))
    stated = str(resolution)
    if len(stated) > letters:
        stated = "\n".join(
            line for part in stated.replace("; ", ";\n").split("\n") for line in textwrap.wrap(part, letters)
        )
    weight = "bold" if style.bold else "normal"
    axes.set_title(stated, loc="left", fontsize=style.title_pt, fontweight=weight, pad=0.7 * style.title_pt)
    if not resolution.is_resolved:
        return
    frequency = resolution.shell / box_a
    floor, end = axes.get_ylim()[0], axes.get_xlim()[1]
    if resolution.interval is not None and np.isfinite(resolution.interval.better_a):
        low, high = 1.0 / resolution.interval.worse_a, min(1.0 / resolution.interval.better_a, end)
        axes.axvspan(low, high, color="#BBBBBB", alpha=0.45, linewidth=0, zorder=0, label="_interval")
    axes.plot([frequency] * 2, [floor, resolution.threshold], color="black", linewidth=style.thin_pt, zorder=2)
    axes.plot(frequency, floor, marker="^", color="black", markersize=style.marker_pt, clip_on=False, zorder=20)
    axes.plot(
        frequency, resolution.threshold, marker="o", color="white", markeredgecolor="black",
        markeredgewidth=style.axis_pt, markersize=0.8 * style.marker_pt, clip_on=False, zorder=21,
    )  # fmt: skip
    # Beyond the crossing the curve is lower, unless there is no room beyond it.
    before = frequency > 0.85 * end
    axes.annotate(
        f"{resolution.value_a:.2f} Å",
        (frequency, resolution.threshold),
        xytext=((-1.0 if before else 1.0) * style.marker_pt, (-1.5 if before else 0.8) * style.marker_pt),
        textcoords="offset points",
        ha="right" if before else "left",
        va="top" if before else "bottom",
        fontsize=style.text_pt,
        fontweight="bold",
        zorder=21,
    )


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


def _add_scale_bar(axes: "Axes", width_px: int, pixel_size_a: float, style: Style) -> None:
    """Draw a bar, a round length of at most 0.3 of the image: white in its lower left corner, in print black below."""
    from matplotlib.patheffects import withStroke

    longest_a = 0.3 * width_px * pixel_size_a
    decade = 10.0 ** np.floor(np.log10(longest_a))
    length_a = decade * max(factor for factor in (1, 2, 5) if factor * decade <= longest_a)
    length_px = length_a / pixel_size_a
    if style.is_print:
        # An outline would turn the letters into shapes.
        y = -0.08 * width_px
        axes.plot([-0.5, length_px - 0.5], [y, y], color="black", linewidth=1.5, solid_capstyle="butt", clip_on=False)
        axes.text(length_px + 0.04 * width_px, y, f"{length_a:g} Å", va="center_baseline", fontsize=style.text_pt)
        axes.set(xlim=(-0.5, width_px - 0.5), ylim=(-0.5, width_px - 0.5))
        return
    x, y = 0.06 * width_px, 0.06 * width_px
    effects = [withStroke(linewidth=4.5, foreground="black")]
    axes.plot([x, x + length_px], [y, y], color="white", linewidth=3, solid_capstyle="butt", path_effects=effects)
    axes.text(
        x + length_px / 2,
        y + 0.03 * width_px,
        f"{length_a:g} Å",
        color="white",
        ha="center",
        va="bottom",
        fontsize=9.5,
        path_effects=[withStroke(linewidth=2, foreground="black")],
    )
