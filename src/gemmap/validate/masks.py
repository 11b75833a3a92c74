"""Masks with soft edges: values 0 (solvent) to 1 (particle), float32, in the box of the map."""

import math

import numpy as np
import scipy.fft
import scipy.ndimage

from gemmap._types import Bool, Float, Volume
from gemmap.errors import InputError
from gemmap.geometry.grids import radius_px as distance_from_origin_px
from gemmap.validate.fsc import fourier_shells

#: Width in Fourier voxels of the cosine edge of low-pass filters, as in relion_postprocess.
FILTER_EDGE_SHELLS = 2.0
#: Threshold in robust standard deviations of the noise outside the particle's sphere, at least.
_NOISE_SIGMAS = 3.0
#: Components smaller than this fraction of the largest one are dropped as noise.
_COMPONENT_FRACTION = 0.1
#: Masks written by other programs overshoot 0 and 1 by rounding.
_RANGE_TOLERANCE = 1e-4


def raised_cosine_edge(distance_px: Float[np.ndarray, "..."], edge_px: float) -> Float[np.ndarray, "..."]:
    """Return 1 for distances <= 0, 0 from ``edge_px`` on, and (1 + cos(pi d / edge)) / 2 between; float32."""
    if edge_px <= 0:
        return (distance_px <= 0).astype(np.float32)
    return (0.5 + 0.5 * np.cos(np.pi * np.clip(distance_px / edge_px, 0.0, 1.0))).astype(np.float32)


def spherical_mask(box_px: int, radius_px: float, edge_px: float) -> Volume:
    """Sphere about voxel N//2: 1 up to ``radius_px``, raised cosine over the next ``edge_px`` pixels, 0 beyond."""
    return raised_cosine_edge(distance_from_origin_px(box_px, 3) - np.float32(radius_px), edge_px)


def soft_mask_from_map(
    volume: Volume,
    pixel_size_a: float,
    particle_diameter_a: float | None = None,
    lowpass_a: float = 15.0,
    extend_px: float = 3.0,
    edge_px: float = 6.0,
    workers: int = 1,
) -> Volume:
    """Soft mask around the particle, in relion_mask_create's steps but with a threshold found from the map.

    Low-pass, threshold, keep every connected component larger than a tenth of the largest, extend, raised-cosine edge
    (Euclidean distances). The same map gives the same mask.

    The threshold is the higher of two. *Otsu's*, over the particle's sphere, separates protein from solvent wherever
    both stand out. *Noise*, the median plus three robust standard deviations of the voxels outside the sphere, takes
    over where Otsu would split the noise itself. Tried on three protein structures in 96-pixel boxes (2.0 and 2.6 Å)
    with white noise, in vacuum and in solvent half as dense: Otsu alone covers half of the box or all of it once noise
    dominates the low-passed map (4 to 10 times the signal's standard deviation per voxel); noise alone makes the mask
    of a clean map two to five times too large, because it follows the filter's ripples. The higher one, extended by
    3 pixels, holds 97 % of the atoms or more except at the strongest noise with solvent, where no threshold works.

    Parameters
    ----------
    volume
        (N, N, N), particle positive; best the mean of the two half-maps.
    pixel_size_a
        Å.
    particle_diameter_a
        Diameter in Å of the sphere about voxel N//2 that holds the particle; None takes the one inscribed in the box.
    lowpass_a
        Resolution in Å kept for finding the particle; no filter if finer than Nyquist.
    extend_px, edge_px
        Growth of the binary mask and width of the soft edge beyond it, pixels.
    workers
        Threads of the Fourier transforms.

    Raises
    ------
    InputError
        If the map is not a finite cube, or has no contrast to find a particle by.
    """
    n = len(volume)
    if volume.shape != (n, n, n) or not np.isfinite(volume).all():
        raise InputError(f"A mask needs a cubic map of finite values; got shape {volume.shape}: check the map.")
    filtered = _low_pass(volume, pixel_size_a, lowpass_a, workers)
    sphere_px = n // 2 if particle_diameter_a is None else min(particle_diameter_a / (2.0 * pixel_size_a), n // 2)
    inside = distance_from_origin_px(n, 3) <= sphere_px
    particle = filtered > max(_otsu(filtered[inside]), _noise_threshold(filtered[~inside]))
    return _soften(_large_components(particle), extend_px, edge_px)


def check_mask(mask: Volume, box_px: int) -> None:
    """Raise InputError unless the mask has the map's box, values from 0 to 1, and something in it."""
    if mask.shape != (box_px,) * 3:
        raise InputError(
            f"The mask has shape {mask.shape}; expected ({box_px}, {box_px}, {box_px}): make it from a map of this box."
        )
    low, high = float(mask.min()), float(mask.max())
    if not (low >= -_RANGE_TOLERANCE and high <= 1.0 + _RANGE_TOLERANCE):
        raise InputError(
            f"The mask has values from {low:g} to {high:g}; expected 0 (solvent) to 1 (particle): is it a density map?"
        )
    if high <= _RANGE_TOLERANCE:
        raise InputError("The mask is zero everywhere; expected 1 at the particle: lower its threshold.")


def resample_mask(mask: Volume, pixel_size_a: float, box_px: int, new_pixel_size_a: float) -> Volume:
    """Return a mask on another grid with the same origin, index N//2: values in between are linear, so stay in 0..1."""
    step = new_pixel_size_a / pixel_size_a
    start = len(mask) // 2 - step * (box_px // 2)
    return np.asarray(
        scipy.ndimage.affine_transform(
            mask, np.full(3, step), np.full(3, start), (box_px,) * 3, np.float32, order=1, mode="nearest"
        )
    )


def _low_pass(volume: Volume, pixel_size_a: float, resolution_a: float, workers: int) -> Volume:
    n = len(volume)
    cutoff = n * pixel_size_a / resolution_a
    if cutoff >= n // 2:
        return volume
    numbers = fourier_shells(n).numbers
    shells = np.arange(int(numbers.max()) + 1)
    gain = raised_cosine_edge(shells - (cutoff - FILTER_EDGE_SHELLS / 2.0), FILTER_EDGE_SHELLS)
    fourier = scipy.fft.rfftn(volume, workers=workers)
    fourier *= gain[numbers]
    return np.asarray(scipy.fft.irfftn(fourier, s=volume.shape, axes=(0, 1, 2), workers=workers))


def _otsu(values: Float[np.ndarray, " n"]) -> float:
    """Grey value that splits the histogram into the two classes of largest between-class variance (Otsu 1979)."""
    low, high = float(values.min()), float(values.max())
    if not high - low > 1e-6 * max(abs(low), abs(high)):
        raise InputError(
            "No mask can be made from a map without contrast (all its values are alike); give a mask or a particle map."
        )
    counts, edges = np.histogram(values, bins=256, range=(low, high))
    bin_values = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts)[:-1] / len(values)
    mean_below = np.cumsum(counts * bin_values)[:-1] / len(values)
    mean = float(np.sum(counts * bin_values)) / len(values)
    between = (mean * below - mean_below) ** 2 / (below * (1.0 - below))
    return float(edges[1:-1][np.argmax(between)])


def _noise_threshold(values: Float[np.ndarray, " n"]) -> float:
    """Median plus three robust standard deviations (1.4826 times the median absolute deviation) of the surroundings."""
    if values.size == 0:
        return -math.inf
    median = float(np.median(values))
    return median + _NOISE_SIGMAS * 1.4826 * float(np.median(np.abs(values - median)))


def _large_components(binary: Bool[np.ndarray, "n n n"]) -> Bool[np.ndarray, "n n n"]:
    """Keep the connected components (by faces) that are larger than a tenth of the largest one."""
    labels, _ = scipy.ndimage.label(binary)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0  # label 0 is the background
    return np.asarray((sizes > _COMPONENT_FRACTION * sizes.max())[labels])


def _soften(binary: Bool[np.ndarray, "n n n"], extend_px: float, edge_px: float) -> Volume:
    mask = np.zeros(binary.shape, np.float32)
    margin = math.ceil(extend_px + edge_px)
    found = scipy.ndimage.find_objects(binary.astype(np.int8))[0]
    # Distances only where they can matter: the exact transform of a whole 512-voxel box takes minutes.
    near = tuple(slice(max(s.start - margin, 0), s.stop + margin) for s in found)
    distance = scipy.ndimage.distance_transform_edt(~binary[near])
    mask[near] = raised_cosine_edge(distance - extend_px, edge_px)
    return mask
