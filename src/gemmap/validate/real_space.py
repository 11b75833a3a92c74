"""Real-space correlation of two maps: in a mask, in the box, and around groups of atoms."""

import itertools
from collections.abc import Callable

import numpy as np
import scipy.fft

from gemmap._types import Bool, Curve, Float, Int, Volume
from gemmap.validate.fsc import fourier_shells, masked_transform
from gemmap.validate.masks import FILTER_EDGE_SHELLS, raised_cosine_edge

#: Pairs of atom and voxel held at once by `group_correlations`.
_PAIRS_AT_ONCE = 4_000_000
#: Shells that a B-factor is fitted to, at least.
_FEWEST_SHELLS = 4


def weighted_correlation(map1: Volume, map2: Volume, weights: Volume | None = None) -> float:
    """Pearson correlation of the voxels of two maps, their means taken out; 0 if a map is constant.

    Parameters
    ----------
    weights
        Of the voxels, such as a soft mask; None for all alike.
    """
    a, b = map1.astype(np.float64), map2.astype(np.float64)
    w = np.ones_like(a) if weights is None else weights.astype(np.float64)
    a -= (w * a).sum() / w.sum()
    b -= (w * b).sum() / w.sum()
    norm = float(np.sqrt((w * a * a).sum()) * np.sqrt((w * b * b).sum()))
    return float((w * a * b).sum()) / norm if norm > 0.0 else 0.0


def low_passed(
    volume: Volume, pixel_size_a: float, resolution_a: float | None, bfactor_a2: float = 0.0, workers: int = 1
) -> Volume:
    """Return a map cut at a resolution (cosine edge of two shells) and multiplied by exp(-B k^2 / 4).

    Parameters
    ----------
    resolution_a
        Å; None for no cut.
    bfactor_a2
        B in Å^2, positive to blur.
    """
    n = len(volume)
    numbers = fourier_shells(n).numbers
    shells = np.arange(int(numbers.max()) + 1)
    gain = np.exp(-0.25 * bfactor_a2 * (shells / (n * pixel_size_a)) ** 2)
    if resolution_a is not None:
        cutoff = n * pixel_size_a / resolution_a
        gain *= raised_cosine_edge(shells - (cutoff - FILTER_EDGE_SHELLS / 2.0), FILTER_EDGE_SHELLS)
    fourier = masked_transform(volume, None, workers)
    fourier *= gain.astype(np.float32)[numbers]
    return np.asarray(scipy.fft.irfftn(fourier, s=volume.shape, axes=(0, 1, 2), workers=workers))


def fitted_bfactor(gain: Curve, used: Bool[np.ndarray, " shells"], points: Curve, box_a: float) -> float | None:
    """B in Å^2 of gain(k) = c exp(-B k^2 / 4), a straight line through the logarithms weighted by points.

    Parameters
    ----------
    gain
        Amplitudes of a map over those of another, by shell.
    used
        Shells of the fit; those with a gain that is not positive are left out.
    points
        Weights, the number of values in each shell.
    box_a
        Side of the box in Å.

    Returns
    -------
    B, or None from fewer than ``_FEWEST_SHELLS`` shells.
    """
    chosen = np.flatnonzero(used & (gain > 0.0))
    if len(chosen) < _FEWEST_SHELLS:
        return None
    k2 = (chosen / box_a) ** 2
    slope = np.polyfit(k2, np.log(gain[chosen]), 1, w=np.sqrt(points[chosen]))[0]
    return float(-4.0 * slope)


def group_correlations(
    map1: Volume,
    map2: Volume,
    positions_px: Float[np.ndarray, "n 3"],
    group_of: Int[np.ndarray, " n"],
    n_groups: int,
    radius_px: float,
    watch: Callable[[int], None] = lambda _done: None,
) -> Float[np.ndarray, " g"]:
    """Pearson correlation of two maps around each group of atoms.

    A group's voxels are those nearer than ``radius_px`` to one of its atoms, each counted once.

    Parameters
    ----------
    positions_px
        (x, y, z) as indices of voxels.
    group_of
        Group of each atom, 0 .. n_groups - 1.
    watch
        Told how many groups were finished since the last call.

    Returns
    -------
    (n_groups,) correlations; NaN where a group has fewer than two voxels in the box or a map is constant there.
    """
    n = len(map1)
    reach = int(np.ceil(radius_px)) + 1
    offsets = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)))
    offsets = offsets[(offsets**2).sum(axis=1) <= (radius_px + np.sqrt(0.75)) ** 2]
    order = np.argsort(group_of, kind="stable")
    first_of = np.searchsorted(group_of[order], np.arange(n_groups + 1))
    result = np.full(n_groups, np.nan)
    flat1, flat2 = map1.ravel(), map2.ravel()
    step = max(1, _PAIRS_AT_ONCE // len(offsets))
    start = 0
    while start < n_groups:
        stop = max(start + 1, int(np.searchsorted(first_of, first_of[start] + step, side="right")) - 1)
        stop = min(stop, n_groups)
        atoms = order[first_of[start] : first_of[stop]]
        keys = _voxels(positions_px[atoms], group_of[atoms] - start, offsets, radius_px, n)
        group, voxel = np.divmod(keys, n**3)
        result[start:stop] = _pearson(flat1[voxel], flat2[voxel], group, stop - start)
        watch(stop - start)
        start = stop
    return result


def _voxels(
    positions_px: Float[np.ndarray, "a 3"],
    group: Int[np.ndarray, " a"],
    offsets: Int[np.ndarray, "o 3"],
    radius_px: float,
    n: int,
) -> Int[np.ndarray, " v"]:
    """Voxels of each group, once each, as group * n^3 + index."""
    step = max(1, _PAIRS_AT_ONCE // len(offsets))
    found = []
    for start in range(0, len(group), step):
        centres = positions_px[start : start + step]
        index = np.rint(centres).astype(np.int64)[:, None] + offsets
        near = ((index - centres[:, None]) ** 2).sum(axis=2) <= radius_px**2
        near &= ((index >= 0) & (index < n)).all(axis=2)
        x, y, z = index[near].T
        owner = np.broadcast_to(group[start : start + step, None], near.shape)[near]
        found.append(np.unique(((owner * n + z) * n + y) * n + x))
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def _pearson(
    a: Float[np.ndarray, " v"], b: Float[np.ndarray, " v"], group: Int[np.ndarray, " v"], n_groups: int
) -> Float[np.ndarray, " g"]:
    count = np.bincount(group, minlength=n_groups)

    def centred(values: Float[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
        values = values.astype(np.float64)
        mean = np.bincount(group, values, n_groups) / np.maximum(count, 1)
        return np.asarray(values - mean[group])

    a, b = centred(a), centred(b)
    cross, power1, power2 = (np.bincount(group, product, n_groups) for product in (a * b, a * a, b * b))
    norm = np.sqrt(power1 * power2)
    return np.asarray(np.divide(cross, norm, out=np.full(n_groups, np.nan), where=(norm > 0.0) & (count > 1)))
