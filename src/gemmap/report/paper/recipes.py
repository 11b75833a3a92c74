"""Each figure of a paper: from the files of a folder to a drawing, or why there is none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gemmap._types import Volume
from gemmap.errors import InputError
from gemmap.report.canvas import Style
from gemmap.report.directions_figure import draw_directions
from gemmap.report.figures import as_bright, draw_fsc, draw_slices
from gemmap.report.fit_curves import draw_fits
from gemmap.report.fsc_curves import curves_to_draw
from gemmap.report.guinier import draw_guinier, read_guinier
from gemmap.report.html.files import RunFiles
from gemmap.report.local_figure import draw_local
from gemmap.report.paper.source import ValidationFiles, read_directions, stated_resolution

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Maps of a run and of a validation, in the order of columns; the last, sharpened, is brought to the grey scale of the
#: first.
_RUN_SLICES = {
    "half-map 1": "run_half1_class001_unfil.mrc",
    "half-map 2": "run_half2_class001_unfil.mrc",
    "map": "run_class001.mrc",
    "sharpened map": "run_class001_sharpened.mrc",
}
_VALIDATION_SLICES = {"locally filtered": "locres_filtered.mrc", "sharpened map": "sharpened.mrc"}
_SHARPENED = "sharpened map"


@dataclass(frozen=True)
class Missing:
    """Why a figure cannot be drawn, a sentence without its end."""

    reason: str


Recipe = Callable[[RunFiles, Style], "Figure | Missing"]


def fsc(files: RunFiles, style: Style) -> "Figure | Missing":
    """Curves with thresholds, the stated resolution, its mask and its interval."""
    table = files.table("fsc.csv")
    if table is None:
        return Missing("fsc.csv is not there")
    curves = curves_to_draw(table.curves)
    lengths_a = table.columns.get("resolution_a")
    # Shell 1 lies at the box's side, the last one at half the box.
    if not curves or lengths_a is None or len(lengths_a) < 2 or not 0 < lengths_a[1] < np.inf:
        return Missing("fsc.csv holds no curves of this program")
    box_px = files.number("results", "box_px") or files.number("box_px") or 2 * (len(lengths_a) - 1)
    return draw_fsc(curves, int(box_px), float(lengths_a[1]) / box_px, stated_resolution(files), style)


def slices(files: RunFiles, style: Style) -> "Figure | Missing":
    """Central slices of half-maps, map and sharpened map."""
    names = _VALIDATION_SLICES if isinstance(files, ValidationFiles) else _RUN_SLICES
    found = {name: read for name, file in names.items() if (read := files.map(file)) is not None}
    if not found:
        return Missing("no map is there")
    maps = {name: volume for name, (volume, _) in found.items()}
    first, pixel_size_a = next(iter(found.values()))
    if _SHARPENED in maps:
        maps[_SHARPENED] = as_bright(maps[_SHARPENED], maps.get("map", first))
    if len({volume.shape for volume in maps.values()}) > 1:
        return Missing("the maps have different boxes")
    return draw_slices(maps, pixel_size_a, files.number("results", "particle_diameter_a"), style)


def local_resolution(files: RunFiles, style: Style) -> "Figure | Missing":
    """Slices coloured by local resolution, and its histogram."""
    own, mask = files.map("locres.mrc"), files.map("mask.mrc")
    if own is None or mask is None:
        return Missing(f"{'locres.mrc' if own is None else 'mask.mrc'} is not there")
    shown: dict[str, Volume] = {"half-maps": own[0]}
    baseline = files.map("locres_backprojection.mrc")
    if baseline is not None:
        shown["back-projections"] = baseline[0]
    names = ("run_class001_sharpened.mrc", "sharpened.mrc", "run_class001.mrc", "locres_filtered.mrc")
    volume = next((found for name in names if (found := files.map(name)) is not None), None)
    if volume is None:
        return Missing("no map to colour is there")
    if len({one.shape for one in (*shown.values(), volume[0], mask[0])}) > 1:
        return Missing("the maps have different boxes")
    if not any(((local > 0) & (mask[0] > 0.5)).any() for local in shown.values()):
        return Missing("nothing in the mask has a local resolution")
    return draw_local(shown, volume[0], mask[0], style)


def directions(files: RunFiles, style: Style) -> "Figure | Missing":
    """Density of views, and resolution along each direction."""
    of, views = read_directions(files)
    if not of and views is None:
        return Missing("neither direction.csv nor views.csv is there")
    return draw_directions(of, views, style)


def guinier(files: RunFiles, style: Style) -> "Figure | Missing":
    """Fall-off of the amplitudes and the line fitted to it."""
    plot = read_guinier(files.star("fsc.star"))
    if plot is None or not np.any(plot.seen(plot.original)):
        return Missing("fsc.star with a Guinier plot is not there")
    return draw_guinier(plot, style)


def fits(files: RunFiles, style: Style) -> "Figure | Missing":
    """Loss, held-out score, number of Gaussians and time of the fits."""
    figure = draw_fits(files.part("results"), style)
    return Missing("the record holds no steps of fits") if figure is None else figure


#: Figures by name, in the order in which they are drawn.
RECIPES: Mapping[str, Recipe] = {
    "fsc": fsc,
    "slices": slices,
    "locres": local_resolution,
    "directions": directions,
    "guinier": guinier,
    "fits": fits,
}


def draw(name: str, files: RunFiles, style: Style) -> "Figure | Missing":
    """Draw one figure; a file that is there and cannot be read is a reason why there is none."""
    n_before = len(files.problems)
    try:
        drawn = RECIPES[name](files, style)
    except InputError as error:
        return Missing(str(error).rstrip("."))
    new = files.problems[n_before:]
    return Missing(new[0].rstrip(".")) if new and isinstance(drawn, Missing) else drawn
