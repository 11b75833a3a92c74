"""The map, the half-maps and the Gaussians in 3-D."""

from typing import Any

import numpy as np
import scipy.ndimage

from gemmap._types import Volume
from gemmap.geometry.grids import centre
from gemmap.io.gaussians import StoredGaussians
from gemmap.physics.fourier import crop_centred
from gemmap.report.html.markup import Html, packed, tag
from gemmap.report.html.section import Section, paragraph
from gemmap.report.html.volumes import LOCAL_RESOLUTION, MAPS, Volumes, colours, for_page, gradient_css, in_bytes

_SHOWN = ("map", "sharpened", "half1", "half2")
_GAUSSIANS = "gaussians.safetensors"
#: Gaussians that the page holds, the heaviest first, and how many of them it shows at first.
LARGEST_COUNT, _FIRST_COUNT = 20_000, 4_000
#: The first surface holds this part of the mask, which is wider than the particle, or of the box without one.
_PART_OF_MASK, _PART_OF_BOX = 0.4, 0.02
#: Lowest and highest level of the slider: parts of the volume that are above it.
_SLIDER = (0.25, 0.0002)
#: Most samples of local resolution along a side: it is smoother than the map.
LARGEST_LOCAL_SIDE = 48


def scene(volumes: Volumes) -> Section:
    """What ``viewer.js`` shows."""
    maps: list[dict[str, Any]] = []
    grid: dict[str, float] = {}
    for name in _SHOWN:
        file, title = MAPS[name]
        found = volumes.run.map(file)
        if found is None or not found[1] > 0:
            continue
        window = volumes.window_px(len(found[0]), found[1])
        small, step = for_page(found[0], window)
        part = _part(volumes, len(found[0]), window)
        maps.append({"name": name, "title": title, **in_bytes(small), **_levels(small, part)})
        grid = {"voxel": found[1] * step}
    if not maps:
        return Section("scene", "Map in 3-D", None, "No map of the run is there.")
    local = _local(volumes)
    stored = volumes.run.gaussians(_GAUSSIANS)
    data = {"maps": maps, "local": local, "gaussians": None if stored is None else _gaussians(stored), **grid}
    missing = []
    if local is None:
        missing.append(f"{LOCAL_RESOLUTION} is missing: the surface has one colour.")
    if stored is None:
        missing.append(f"{_GAUSSIANS} is missing: there are no Gaussians to show.")
    words = (
        "Drag to turn; click the picture, then use the wheel or + and - to zoom and the arrow keys to turn. The volume "
        f"is cut to the particle and sampled at {grid['voxel']:.2f} Å for this page; the files hold all of it."
    )
    body = tag("div", _controls(maps, local, stored), paragraph(" ".join([words, *missing])))
    return Section("scene", "Map in 3-D", body, data={"scene-view": data})


def _part(volumes: Volumes, box_px: int, window_px: int) -> float:
    """Part of the window that the first surface holds."""
    if volumes.mask is None or len(volumes.mask) != box_px or not volumes.mask.any():
        return _PART_OF_BOX
    return min(_PART_OF_MASK * float(volumes.mask.sum()) / window_px**3, 0.5)


def _levels(volume: Volume, part: float) -> dict[str, float]:
    """Level of the first surface, and ends of the slider, in grey values."""
    low, first, high = (float(np.quantile(volume, 1.0 - p)) for p in (max(_SLIDER[0], part), part, _SLIDER[1]))
    return {"first": first, "lowest": low, "highest": max(high, first), "sigma": float(volume.std())}


def _local(volumes: Volumes) -> dict[str, Any] | None:
    """Local resolution on a coarse grid of the same cube, in bytes between the ends of the colours."""
    if volumes.local is None or volumes.local_range_a is None:
        return None
    (local, pixel_size_a), (low_a, high_a) = volumes.local, volumes.local_range_a
    window = volumes.window_px(len(local), pixel_size_a)
    every = -(-window // LARGEST_LOCAL_SIDE)
    cube = crop_centred(local, window)[::every, ::every, ::every]
    if not (cube > 0).any():
        return None
    # Where no window reaches, the nearest measured value stands: surfaces of dust have a colour too.
    nearest = scipy.ndimage.distance_transform_edt(cube <= 0, return_distances=False, return_indices=True)
    scaled = np.clip((cube[tuple(nearest)] - low_a) / (high_a - low_a), 0.0, 1.0)
    return {
        **packed((255.0 * scaled).round().astype(np.uint8)),
        "voxel": pixel_size_a * every,
        # Position of sample 0 relative to the origin.
        "first": -centre(window) * pixel_size_a,
        "lowA": low_a,
        "highA": high_a,
        "palette": colours(64)[::-1].astype(int).ravel().tolist(),
    }


def _gaussians(stored: StoredGaussians) -> dict[str, Any]:
    """The heaviest Gaussians in 20 bytes each: centre, scales, quaternion as whole numbers of a step."""
    g = stored.gaussians
    order = g.masses.abs().argsort(descending=True)[:LARGEST_COUNT]
    values = [g.centres_a[order], g.scales_a[order], g.quaternions[order]]
    steps = [float(v.abs().max()) / 32767.0 or 1.0 if len(v) else 1.0 for v in values]
    whole = [(v / step).round().numpy().astype(np.int16) for v, step in zip(values, steps, strict=True)]
    return {
        **packed(np.concatenate(whole, axis=1)),
        "steps": steps,
        "total": len(g),
        "shown": min(_FIRST_COUNT, len(order)),
    }


def _controls(maps: list[dict[str, Any]], local: dict[str, Any] | None, stored: StoredGaussians | None) -> Html:
    radios = [
        tag("label", tag("input", type="radio", name="scene-map", value=m["name"], checked=i == 0), m["title"])
        for i, m in enumerate(maps)
    ]
    level = tag(
        "label",
        tag("span", "Level"),
        tag("input", type="range", id="scene-level", min=0, max=1000, value=500),
        tag("output", id="scene-level-text", for_="scene-level"),
        class_="slider",
    )
    boxes = [_box("scene-dust", "Hide dust", True)]
    legend = None
    if local is not None:
        boxes.append(_box("scene-local", "Colour by local resolution", True))
        palette = np.reshape(local["palette"], (-1, 3))
        legend = tag(
            "div",
            tag("span", "Local resolution"),
            tag("span", f"{local['lowA']:.1f} Å"),
            tag("span", class_="ramp", style=f"background:{gradient_css(palette)}"),
            tag("span", f"{local['highA']:.1f} Å"),
            class_="legend-ramp",
            id="scene-legend",
        )
    number = None
    if stored is not None and len(stored.gaussians):
        boxes.append(_box("scene-gaussians", "Gaussians of the final map", False))
        most = min(LARGEST_COUNT, len(stored.gaussians))
        number = tag(
            "label",
            tag("span", "Gaussians"),
            tag("input", type="range", id="scene-count", min=1, max=most, value=min(_FIRST_COUNT, most), disabled=True),
            tag("output", id="scene-count-text", for_="scene-count"),
            class_="slider",
        )
    return tag(
        "div",
        tag(
            "div",
            tag("p", "The picture needs JavaScript and WebGL.", class_="waiting"),
            id="scene-view",
            class_="scene",
        ),
        tag(
            "div",
            tag("fieldset", tag("legend", "Map"), *radios),
            level,
            tag("fieldset", tag("legend", "Show"), *boxes),
            number,
            legend,
            tag("button", "Reset the view", type="button", id="scene-reset"),
            tag("p", id="scene-status", class_="status", role="status"),
            class_="controls",
        ),
        class_="scene-frame",
    )


def _box(identity: str, text: str, checked: bool) -> Html:
    return tag("label", tag("input", type="checkbox", id=identity, checked=checked), text)
