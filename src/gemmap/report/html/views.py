"""Parts of the page about the particles: from where they are seen, their defocus and scale."""

from typing import Any

import numpy as np
import scipy.spatial

from gemmap._types import Curve, Float
from gemmap.errors import InputError
from gemmap.geometry.sphere import half_sphere
from gemmap.geometry.symmetry import point_group
from gemmap.report.html.files import RunFiles
from gemmap.report.html.markup import Html, image_source, table, tag
from gemmap.report.html.section import Section, bars, figure, paragraph
from gemmap.report.html.volumes import colours, gradient_css

#: Directions at which the density of views is measured, and the radius of the cap in which they are counted.
_N_DIRECTIONS, _CAP_DEG = 3000, 7.0
#: Views of a symmetric particle are counted for at most so many particles.
_MOST_VIEWS = 2_000_000
_DISC_PX = 220
#: Fewer views than this part of an even coverage is a gap.
_GAP = 0.1
_BINS = 40
_ANGSTROM_PER_UM = 1e4
_RINGS_DEG = (30, 60)


def directions(run: RunFiles) -> Section:
    """Density of views over the half-sphere, and the resolution along each direction."""
    title = "Viewing directions"
    figures, missing = [], []
    particles = run.particles
    if particles is not None and len(particles):
        symmetry = str(run.part("config").get("sym") or "C1")
        figures.append(_views_figure(particles.rotations, symmetry))
    else:
        missing.append("particles.star is missing: the views cannot be shown.")
    along = run.table("direction.csv")
    if along is not None and all(name in along for name in ("x", "y", "z", "resolution_a")) and len(along["x"]) > 0:
        axes = np.stack([along["x"], along["y"], along["z"]], axis=-1)
        figures.append(_resolution_figure(axes, along["resolution_a"]))
    else:
        missing.append("direction.csv is missing: the resolution by direction was not measured.")
    if not figures:
        return Section("views", title, None, " ".join(missing))
    words = (
        "The half-sphere of directions, seen along z, in an equal-area projection: the centre is a view along z, the "
        "rim views across it. Opposite directions show the same image mirrored and are counted together. Dashed rings "
        "are 30° and 60° from z."
    )
    body = tag("div", paragraph(words), tag("div", *figures, class_="discs"), paragraph(*missing) if missing else None)
    return Section("views", title, body)


def optics(run: RunFiles) -> Section:
    """Histograms of defocus and scale."""
    title = "Defocus and scale"
    particles = run.particles
    if particles is None or len(particles) == 0:
        return Section("optics", title, None, "particles.star is missing.")
    parts: list[Html] = []
    words: list[Html] = []
    data: dict[str, Any] = {}
    ctf = particles.ctf
    scale = particles.scale if ctf is None else particles.scale * ctf.scale
    if ctf is None:
        words.append(paragraph("The images carry no CTF: there is no defocus."))
    else:
        defocus_um = 0.5 * (ctf.defocus_u_a + ctf.defocus_v_a) / _ANGSTROM_PER_UM
        data["plot-defocus"] = _histogram(defocus_um, "Defocus (µm, mean of U and V)")
        parts.append(figure("plot-defocus", _spread(defocus_um, "µm"), "Histogram of defocus"))
    if np.ptp(scale) > 1e-6:
        data["plot-scale"] = _histogram(scale, "Scale")
        parts.append(figure("plot-scale", _spread(scale, ""), "Histogram of the particles' scales"))
    else:
        words.append(paragraph(f"All particles have the scale {scale[0]:g}."))
    counts = np.bincount(particles.optics_group, minlength=len(particles.optics))
    rows = [(g.name, f"{n:,}", f"{g.pixel_size_a:g} Å") for g, n in zip(particles.optics, counts, strict=True)]
    parts.append(tag("div", *words, table(rows, ("Optics group", "Particles", "Pixel size"))))
    return Section("optics", title, tag("div", *parts, class_="pair"), data=data)


def _histogram(values: Curve, label: str) -> dict[str, Any]:
    counts, edges = np.histogram(values, _BINS)
    return bars(label, "Particles", edges, counts)


def _spread(values: Curve, unit: str) -> str:
    low, middle, high = np.percentile(values, (5, 50, 95))
    return f"Median {middle:.3g} {unit}; 90 % of particles lie between {low:.3g} and {high:.3g} {unit}.".replace(
        " .", "."
    )


def view_density(views: Float[np.ndarray, "n 3"], axes: Float[np.ndarray, "k 3"]) -> Curve:
    """Number of views within 7 degrees of each axis or its opposite, over the number in even coverage.

    Parameters
    ----------
    views, axes
        Unit vectors, of which opposite ones are the same.
    """
    tree = scipy.spatial.cKDTree(np.concatenate([views, -views]))
    chord = 2.0 * np.sin(np.radians(_CAP_DEG) / 2.0)
    counts = np.asarray(tree.query_ball_point(axes, chord, return_length=True), np.float64)
    even = len(views) * (1.0 - np.cos(np.radians(_CAP_DEG)))
    return np.asarray(counts / even)


def _views_figure(rotations: Float[np.ndarray, "n 3 3"], symmetry: str) -> Html:
    try:
        group = point_group(symmetry).rotations
    except InputError:
        group = np.eye(3)[None]
    # An image is a sum along its z: the third row of A in map coordinates, and of A R for the mates R.
    views = rotations[: max(1, _MOST_VIEWS // len(group)), 2]
    mates = np.concatenate([views @ mate for mate in group])
    axes = half_sphere(_N_DIRECTIONS)
    density = view_density(mates, axes)
    top = max(2.0, float(np.percentile(density, 99)))
    caption: list[object] = [
        tag("strong", "Particles. "),
        "Density of views over that of an even coverage. ",
        f"{100 * float((density < _GAP).mean()):.0f} % of directions have fewer than a tenth of it; ",
        f"the densest has {density.max():.1f} times.",
        f" The mates under {symmetry} are counted." if len(group) > 1 else None,
    ]
    return _disc("Density of viewing directions", axes, density / top, ("0", f"{top:.1f}"), colours(254), caption)


def _resolution_figure(axes: Float[np.ndarray, "n 3"], resolutions_a: Curve) -> Html:
    caption: list[object] = [tag("strong", "Resolution. "), "Half-map FSC in cones of 20° about each direction"]
    known = np.isfinite(resolutions_a)
    if not known.any():
        return _disc("Resolution by direction", axes, np.full(len(axes), np.nan), ("", ""), colours(254), caption)
    low, high = float(resolutions_a[known].min()), float(resolutions_a[known].max())
    ends = (f"{low:.1f} Å", f"{high:.1f} Å")
    scaled = np.where(known, (resolutions_a - low) / max(high - low, 1e-6), 1.0)
    caption.append(f": {low:.2f} Å at best, {high:.2f} Å at worst.")
    if not known.all():
        caption.append(f" {int((~known).sum())} directions are not resolved and drawn as the worst.")
    return _disc("Resolution by direction", axes, scaled, ends, colours(254)[::-1], caption)


def _disc(
    label: str,
    axes: Float[np.ndarray, "n 3"],
    values: Curve,
    ends: tuple[str, str],
    palette: Float[np.ndarray, "n 3"],
    caption: list[object],
) -> Html:
    """Draw values of 0 to 1 at directions as a disc, each pixel with that of the nearest direction."""
    step = (np.arange(_DISC_PX) + 0.5) / _DISC_PX * 2.0 - 1.0
    x, y = np.meshgrid(step, -step)
    r2 = x**2 + y**2
    inside = r2 <= 1.0
    # Lambert: a radius of sqrt(1 - cos) keeps areas.
    out = np.sqrt(np.clip(2.0 - r2, 0.0, None))
    points = np.stack([x * out, y * out, 1.0 - r2], axis=-1)[inside]
    tree = scipy.spatial.cKDTree(np.concatenate([axes, -axes]))
    nearest = tree.query(points)[1] % len(axes)
    pixels = np.zeros((_DISC_PX, _DISC_PX), np.uint8)
    seen = np.nan_to_num(values[nearest])
    pixels[inside] = 1 + np.rint(np.clip(seen, 0.0, 1.0) * (len(palette) - 1)).astype(np.uint8)
    with_nothing = np.concatenate([np.zeros((1, 4)), np.column_stack([palette, np.full(len(palette), 255.0)])])
    rings = [
        tag("span", class_="ring", style=f"width:{100 * np.sqrt(1 - np.cos(np.radians(d))):.1f}%") for d in _RINGS_DEG
    ]
    picture = tag("img", src=image_source(pixels, with_nothing), alt=label)
    legend = tag(
        "div",
        tag("span", ends[0]),
        tag("span", class_="ramp", style=f"background:{gradient_css(palette)}"),
        tag("span", ends[1]),
        class_="legend-ramp",
    )
    marks = [tag("b", "x", class_="right"), tag("b", "y", class_="top")]
    return tag("figure", tag("div", picture, *rings, *marks, class_="disc"), legend, tag("figcaption", *caption))
