"""Diameter of the particle, from where two independent low-resolution maps agree."""

import numpy as np
import scipy.fft
import scipy.ndimage
import torch

from gemmap._types import Curve, Float, Int, Volume
from gemmap.fit.aggregate import Accumulator
from gemmap.fit.backprojection import back_projection
from gemmap.fit.noise_power import inverse_noise, noise_power
from gemmap.geometry.grids import radius_px
from gemmap.particles.batches import read_finite
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable

#: Side of the small maps and the largest number of particles used.
SMALL_BOX_PX, PARTICLES, CHUNK = 48, 2000, 250
#: The sphere holds this share of the density that both maps see, and then this much more radius.
HELD_SHARE, MARGIN = 0.99, 1.08
#: Bounds of the diameter as fractions of the box.
SMALLEST, LARGEST = 0.2, 0.94
#: Below this correlation the two maps show no common object, and there is nothing to measure.
LEAST_CORRELATION = 0.15


def estimate_diameter_px(table: ParticleTable, stack: ImageStack, rows: Int[np.ndarray, " n"]) -> float | None:
    """Diameter in pixels of the sphere that holds the particle, from up to 2,000 of ``rows``; None if unknown.

    Two maps of 48 px are back-projected from odd and even particles; their local covariance, averaged over spheres
    around the centre, is noise-free in expectation, and falls to zero where the particle ends.
    """
    box = stack.box_px
    small = min(SMALL_BOX_PX, box)
    rows = rows[:PARTICLES]
    maps = [_small_map(table, stack, rows[start::2], small) for start in (0, 1)]
    radius = _agreement_radius(maps[0], maps[1])
    if radius is None:
        return None
    return float(np.clip(2.0 * MARGIN * radius * box / small, SMALLEST * box, LARGEST * box))


def _small_map(table: ParticleTable, stack: ImageStack, rows: Int[np.ndarray, " n"], small: int) -> Volume:
    side_a = stack.box_px * table.pixel_size_a
    accumulator = Accumulator(small, side_a / small)
    for alike in _treated_alike(table, rows):
        for start in range(0, len(alike), CHUNK):
            part = alike[start : start + CHUNK]
            images, chosen = _fourier_crop(read_finite(stack, part), small), table.select(part)
            if start == 0:
                group = table.optics[table.optics_group[part[0]]]
                weights = inverse_noise([group], noise_power(images, chosen, side_a, 0.5 * LARGEST * small)[None])
            accumulator.add(images, chosen, weights, np.zeros(len(part), np.int64))
    return back_projection(accumulator.finish())


def _treated_alike(table: ParticleTable, rows: Int[np.ndarray, " n"]) -> list[Int[np.ndarray, " m"]]:
    """The rows in parts, of the optics groups whose noise is alike."""
    kinds = [(g.ctf_applied, g.pixel_size_a, g.first_empty_shell) for g in table.optics]
    kind = np.array([kinds.index(k) for k in kinds])[table.optics_group[rows]]
    return [rows[kind == k] for k in np.unique(kind)]


def _fourier_crop(images: Float[np.ndarray, "n d d"], small: int) -> Float[np.ndarray, "n s s"]:
    """Images of side ``small`` with the same low frequencies; origin stays at index N//2."""
    box = images.shape[-1]
    if small == box:
        return images
    transform = np.fft.fftshift(
        scipy.fft.fft2(np.fft.ifftshift(images, axes=(1, 2)), workers=torch.get_num_threads()), axes=(1, 2)
    )
    start = box // 2 - small // 2
    cut = transform[:, start : start + small, start : start + small]
    real = scipy.fft.ifft2(np.fft.ifftshift(cut, axes=(1, 2)), workers=torch.get_num_threads()).real
    return np.fft.fftshift(real, axes=(1, 2)).astype(np.float32) * np.float32((small / box) ** 2)


def _agreement_radius(map1: Volume, map2: Volume) -> float | None:
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
    if not whole > LEAST_CORRELATION * spread:
        return None
    return float(np.flatnonzero(running >= HELD_SHARE * whole)[0]) + 1.0
