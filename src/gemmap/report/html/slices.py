"""Central slices of the maps in the three planes."""

import numpy as np

from gemmap._types import Float, Volume
from gemmap.geometry.grids import centre
from gemmap.physics.fourier import crop_centred
from gemmap.report.html.markup import Html, image_source, tag
from gemmap.report.html.section import Section, paragraph
from gemmap.report.html.volumes import LARGEST_SLICE, MAPS, Volumes, colours, gradient_css

#: Names of the slices, in their order.
PLANES = ("xy", "xz", "yz")
#: Black and white, percentiles of what is shown.
CONTRAST = (1.0, 99.8)
#: Maps drawn with one grey scale.
_ALIKE = ("map", "half1", "half2", "backprojection")
_UNIT_FACTORS = (1, 2, 5)


def slices(volumes: Volumes) -> Section:
    """Slices of every map, with one grey scale where grey values mean the same, and of local resolution."""
    shown: dict[str, list[Float[np.ndarray, "m m"]]] = {}
    side_a = 0.0
    for name, (file, _) in MAPS.items():
        found = volumes.run.map(file)
        if found is None:
            continue
        window = volumes.window_px(len(found[0]), found[1])
        shown[name] = _planes(found[0], window)
        side_a = window * found[1]
    if not shown:
        return Section("slices", "Slices", None, "No map of the run is there.")
    alike = [np.percentile(np.stack(shown[name]), CONTRAST) for name in _ALIKE if name in shown]
    limits = np.median(alike, axis=0) if alike else None
    figures = []
    for name, planes in shown.items():
        of_map = limits if limits is not None and name in _ALIKE else np.percentile(np.stack(planes), CONTRAST)
        images = [image_source(grey_bytes(plane, float(of_map[0]), float(of_map[1]))) for plane in planes]
        figures.append(_figure(MAPS[name][1], images, side_a, "on its own grey scale" if name == "sharpened" else None))
    figures += _local_resolution(volumes)
    words = (
        "Slices through the centre; the second axis named points up, as in a viewer that looks down the third. Final "
        "map, half-maps and back-projection share one grey scale."
    )
    return Section("slices", "Slices", tag("div", paragraph(words), tag("div", *figures, class_="slices")))


def _local_resolution(volumes: Volumes) -> list[Html]:
    if volumes.local is None or volumes.local_range_a is None:
        return []
    (local, pixel_size_a), (low_a, high_a) = volumes.local, volumes.local_range_a
    window = volumes.window_px(len(local), pixel_size_a)
    measured = local > 0
    if volumes.mask is not None and volumes.mask.shape == local.shape:
        measured &= volumes.mask
    # Colour 0 is no colour: nothing was measured, or it is solvent. Fine resolution is bright.
    palette = np.concatenate([np.zeros((1, 4)), np.column_stack([colours(255)[::-1], np.full(255, 255.0)])])
    scaled = np.where(measured, 1.0 + 254.0 * np.clip((local - low_a) / (high_a - low_a), 0.0, 1.0), 0.0)
    images = [image_source(plane[::-1].round().astype(np.uint8), palette) for plane in _planes(scaled, window)]
    legend = tag(
        "span",
        tag("span", f"{low_a:.1f} Å"),
        tag("span", class_="ramp", style=f"background:{gradient_css(palette[1:, :3])}"),
        tag("span", f"{high_a:.1f} Å"),
        class_="legend-ramp",
    )
    return [_figure("Local resolution", images, window * pixel_size_a, legend)]


def _planes(volume: Volume, window_px: int) -> list[Float[np.ndarray, "m m"]]:
    """Slices [y, x], [z, x] and [z, y] through the origin, rows upwards; every k-th pixel of large maps."""
    cube = crop_centred(volume, window_px)
    middle, every = centre(window_px), -(-window_px // LARGEST_SLICE)
    return [plane[::every, ::every] for plane in (cube[middle], cube[:, middle], cube[:, :, middle])]


def grey_bytes(plane: Float[np.ndarray, "m m"], low: float, high: float) -> np.ndarray:
    """Return a slice in bytes, black at ``low`` and white at ``high``, its first row at the bottom."""
    grey = np.clip((plane - low) / ((high - low) or 1.0), 0.0, 1.0)
    return np.asarray((255.0 * grey[::-1]).round(), np.uint8)


def _figure(name: str, images: list[str], side_a: float, remark: object) -> Html:
    bar_a = round_length(0.3 * side_a)
    scale = tag("span", f"{bar_a:g} Å", class_="scale-bar", style=f"width:{100 * bar_a / side_a:.1f}%")
    pictures = [
        tag("span", tag("img", src=source, alt=f"{name}, plane {plane}"), tag("b", plane), None if i else scale)
        for i, (plane, source) in enumerate(zip(PLANES, images, strict=True))
    ]
    return tag("figure", tag("div", *pictures, class_="planes"), tag("figcaption", tag("strong", name), " ", remark))


def round_length(most_a: float) -> float:
    """Return the longest scale bar of a round length."""
    decade = float(10.0 ** np.floor(np.log10(most_a)))
    return decade * max(factor for factor in _UNIT_FACTORS if factor * decade <= most_a)
