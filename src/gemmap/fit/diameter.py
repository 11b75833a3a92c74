"""Diameter of the particle, from where two independent low-resolution maps agree."""

import numpy as np
import scipy.ndimage

from gemmap._types import Curve, Int, Volume
from gemmap.fit.aggregate import Accumulator, Aggregate
from gemmap.fit.backprojection import back_projection
from gemmap.fit.noise_power import inverse_noise, noise_power
from gemmap.geometry.grids import radius_px
from gemmap.geometry.symmetry import NO_SYMMETRY, PointGroup
from gemmap.particles.batches import read_living
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.halves import by_appearance
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable
from gemmap.physics.resampling import resample_images

#: Side of the small maps and the largest number of particles used.
SMALL_BOX_PX, PARTICLES, CHUNK = 48, 2000, 250
#: The sphere holds this share of the density that both maps see, and then this much more radius.
HELD_SHARE, MARGIN = 0.99, 1.08
#: Bounds of the diameter as fractions of the box.
SMALLEST, LARGEST = 0.2, 0.94
#: Below this correlation the two maps show no common object, and there is nothing to measure: without symmetry, and
#: at most.
LEAST_CORRELATION, LARGEST_LEAST = 0.15, 0.5


def estimate_diameter_px(
    table: ParticleTable,
    stack: ImageStack,
    rows: Int[np.ndarray, " n"],
    dead: DeadImages,
    symmetry: PointGroup = NO_SYMMETRY,
) -> float | None:
    """Diameter in pixels of the sphere that holds the particle, from up to 2,000 of ``rows``; None if unknown.

    Two maps of 48 px are back-projected from odd and even images; their local covariance, averaged over spheres
    around the centre, is noise-free in expectation, and falls to zero where the particle ends.
    """
    box = stack.box_px
    first, second = (small_aggregates(table, stack, part, dead, symmetry)[0] for part in two_sets(table, rows))
    if not (first.n_particles and second.n_particles):
        return None
    small = first.box_px
    # Noise of n views of one particle is n times the same: of fewer independent values more agree by chance.
    least = min(LEAST_CORRELATION * len(symmetry) ** 0.5, LARGEST_LEAST)
    radius = _agreement_radius(back_projection(first), back_projection(second), least)
    if radius is None:
        return None
    return float(np.clip(2.0 * MARGIN * radius * box / small, SMALLEST * box, LARGEST * box))


def two_sets(table: ParticleTable, rows: Int[np.ndarray, " n"]) -> list[Int[np.ndarray, " m"]]:
    """Up to 2,000 of ``rows``, dealt by turns: sets that share no image."""
    rows = rows[:PARTICLES]
    side = by_appearance(table.original_image[rows]) % 2
    return [rows[side == which] for which in (0, 1)]


def small_aggregates(
    table: ParticleTable, stack: ImageStack, rows: Int[np.ndarray, " n"], dead: DeadImages, *groups: PointGroup
) -> list[Aggregate]:
    """Aggregates of particles under some groups; images are cut to 48 px, noise is measured on the first of them.

    Dead images are left out: if all are, nothing is inserted.
    """
    side_a = stack.box_px * table.pixel_size_a
    small = min(SMALL_BOX_PX, stack.box_px)
    accumulators = [Accumulator(small, side_a / small, group) for group in groups]
    for alike in _treated_alike(table, rows):
        weights = None
        for start in range(0, len(alike), CHUNK):
            part, whole = read_living(stack, alike[start : start + CHUNK], dead)
            if len(part) == 0:
                continue
            images, chosen = resample_images(whole, small), table.select(part)
            if weights is None:
                group = table.optics[table.optics_group[part[0]]]
                weights = inverse_noise([group], noise_power(images, chosen, side_a, 0.5 * LARGEST * small)[None])
            for accumulator in accumulators:
                accumulator.add(images, chosen, weights, np.zeros(len(part), np.int64))
    return [accumulator.finish() for accumulator in accumulators]


def _treated_alike(table: ParticleTable, rows: Int[np.ndarray, " n"]) -> list[Int[np.ndarray, " m"]]:
    """The rows in parts, of the optics groups whose noise is alike."""
    kinds = [(g.ctf_applied, g.pixel_size_a, g.first_empty_shell) for g in table.optics]
    kind = np.array([kinds.index(k) for k in kinds])[table.optics_group[rows]]
    return [rows[kind == k] for k in np.unique(kind)]


def _agreement_radius(map1: Volume, map2: Volume, least_correlation: float) -> float | None:
    """Radius in pixels that holds ``HELD_SHARE`` of the covariance of low-passed maps; None if they do not agree."""
    n = len(map1)
    radius = radius_px(n, 3)
    low = [scipy.ndimage.gaussian_filter(m - m[radius > 0.47 * n].mean(), 1.0) for m in (map1, map2)]
    shell = np.floor(radius + 0.5).astype(np.int64).ravel()
    total: Curve = np.bincount(shell, (low[0] * low[1]).ravel())[: n // 2]
    # Beyond the particle the sums scatter around zero: take their running maximum as the whole.
    running = np.cumsum(total)
    whole = running.max()
    inside = radius < 0.47 * n
    spread = float(np.sqrt((low[0][inside] ** 2).sum() * (low[1][inside] ** 2).sum()))
    if not whole > least_correlation * spread:
        return None
    return float(np.flatnonzero(running >= HELD_SHARE * whole)[0]) + 1.0
