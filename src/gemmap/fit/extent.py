"""How far the particle reaches: as the user says, as it is seen, or as a guess that fades out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gemmap._types import Int
from gemmap.errors import InputError
from gemmap.fit.config import FitConfig
from gemmap.fit.diameter import estimate_diameter_px
from gemmap.fit.progress import Progress
from gemmap.fit.region import EDGE_PX
from gemmap.particles.background import Circles
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable

#: Radius and outer end of a region whose particle is not seen, in boxes. An edge this wide, which both halves share,
#: correlates in the lowest shells only.
UNKNOWN_RADIUS, UNKNOWN_END = 0.3, 0.48
#: A sphere of two shells at the Nyquist frequency: nothing smaller has a shape that its pixels could show.
SMALLEST_DIAMETER_PX = 4.0


@dataclass(frozen=True)
class Extent:
    """Radius in pixels within which the particle lies, and width of the soft edge of its region."""

    radius_px: float
    edge_px: float = EDGE_PX


def diameter_in_pixels(diameter_a: float, pixel_size_a: float) -> float:
    """Return the particle diameter that a user gave, in pixels.

    Raises
    ------
    InputError
        If it is smaller than four pixels: no map of it has any contrast.
    """
    diameter_px = diameter_a / pixel_size_a
    if diameter_px < SMALLEST_DIAMETER_PX:
        raise InputError(
            f"A particle of {diameter_a:g} Å is {diameter_px:.2g} pixels wide; expected at least "
            f"{SMALLEST_DIAMETER_PX:g} pixels, which is {SMALLEST_DIAMETER_PX * pixel_size_a:.3g} Å: correct "
            "--particle-diameter, or leave it out."
        )
    return diameter_px


def find_extent(
    table: ParticleTable,
    stack: ImageStack,
    rows: Int[np.ndarray, " n"],
    half: int,
    dead: DeadImages,
    config: FitConfig,
    progress: Progress,
) -> Extent:
    """Extent of the particle in the images of one half; a note says where it comes from."""
    if config.particle_diameter_a is not None:
        return Extent(min(0.5 * config.particle_diameter_a / table.pixel_size_a, 0.5 * stack.box_px - 1.0))
    diameter = estimate_diameter_px(table, stack, rows, dead, config.group)
    if diameter is None:
        radius, end = UNKNOWN_RADIUS * stack.box_px, UNKNOWN_END * stack.box_px
        progress.note(
            f"half {half}: no particle is seen at low resolution; a sphere of {2 * radius * table.pixel_size_a:.0f} Å "
            f"that fades out to {2 * end * table.pixel_size_a:.0f} Å is fitted: check poses, CTFs and contrast, or "
            "give --particle-diameter"
        )
        return Extent(radius, end - radius)
    progress.note(
        f"half {half}: particle diameter estimated as {diameter * table.pixel_size_a:.0f} Å "
        f"({diameter:.0f} of {stack.box_px} px); give --particle-diameter if you know better"
    )
    return Extent(0.5 * diameter)


def particle_circles(
    table: ParticleTable, rows: Mapping[int, Int[np.ndarray, " n"]], extent: Mapping[int, Extent]
) -> Circles:
    """Return where the particle is in every image, by the extent that its own half found.

    An extent is in pixels of the map, a circle in pixels of the particle's image.
    """
    pixel_sizes_a = np.array([group.pixel_size_a for group in table.optics])[table.optics_group]
    radius_a, edge_a = np.zeros(len(table)), np.zeros(len(table))
    for half, own in rows.items():
        radius_a[own] = extent[half].radius_px * table.pixel_size_a
        edge_a[own] = extent[half].edge_px * table.pixel_size_a
    return Circles(radius_a / pixel_sizes_a, edge_a / pixel_sizes_a, -table.shifts_a / pixel_sizes_a[:, None])
