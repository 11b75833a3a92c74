"""Local resolution: the half-map FSC in windows over the box, corrected for the windows by random phases.

The recipe is that of relion_postprocess --locres: a soft window on a grid of points, the masked FSC corrected by the
FSC of phase-randomised halves in the same window, the first crossing of 0.143, and the harmonic mean of the windows
that a voxel lies in. Here each window is cut out of the box before it is transformed, which leaves the same numbers at
coarser shells; they are read at the shells of the box.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.fft

from gemmap._types import Complex, Curve, Float, Int, Volume
from gemmap.errors import InputError
from gemmap.geometry.grids import radius_px
from gemmap.validate.fsc import check_same_box, fsc, masked_transform
from gemmap.validate.masks import FILTER_EDGE_SHELLS, raised_cosine_edge
from gemmap.validate.phase_randomise import corrected_fsc, randomise_phases
from gemmap.validate.resolution import HALF_MAP_THRESHOLD

#: Distance of the windows, and coarsest resolution whose phases are random, Å (relion_postprocess's defaults).
SAMPLING_A = 25.0
RANDOMISE_FROM_A = 25.0
#: Resolutions are cut off here: a window of this size cannot tell more.
COARSEST_A = 50.0


@dataclass(frozen=True)
class Windows:
    """Soft spherical windows on a cubic grid.

    Attributes
    ----------
    step_px
        Distance of their centres.
    radius_px, edge_px
        Flat part and raised-cosine edge.
    """

    step_px: int
    radius_px: int
    edge_px: int

    @classmethod
    def of(cls, pixel_size_a: float, sampling_a: float = SAMPLING_A) -> "Windows":
        """Return RELION's windows: flat for half the sampling distance, an edge as wide as the distance."""
        # Halves are rounded up, as in RELION.
        step, radius = (int(size_a / pixel_size_a + 0.5) for size_a in (sampling_a, 0.5 * sampling_a))
        if step < 1:
            raise InputError(
                f"Local resolution every {sampling_a:g} Å at {pixel_size_a:g} Å per pixel: expected a distance of a "
                "pixel or more."
            )
        return cls(step, radius, step)

    @property
    def reach_px(self) -> int:
        """Distance from its centre at which a window ends."""
        return self.radius_px + self.edge_px

    def centres(self, box_px: int) -> Int[np.ndarray, "n 3"]:
        """Centres (z, y, x) from the origin, their flat parts inside the sphere inscribed in the box."""
        axis = np.arange(-(box_px // 2), (box_px + 1) // 2, self.step_px)
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
        inside: Int[np.ndarray, "n 3"] = grid[(grid**2).sum(1) < max(box_px // 2 - self.radius_px, 0) ** 2]
        return inside

    def box_px(self, map_box_px: int) -> int:
        """Side of the box that holds a window, of a size good for transforms."""
        side = int(scipy.fft.next_fast_len(2 * self.reach_px + 2, real=True))
        return min(side + side % 2, map_box_px)

    def weights(self, box_px: int) -> Volume:
        """The window about voxel N//2 of its own box."""
        weights: Volume = raised_cosine_edge(radius_px(box_px, 3) - np.float32(self.radius_px), self.edge_px)
        return weights


@dataclass(frozen=True, eq=False)
class LocalResolution:
    """Resolution at every voxel.

    Attributes
    ----------
    map
        (N, N, N), Å; 0 where no window reaches.
    filtered
        (N, N, N), the mean of the halves low-passed at each voxel's resolution; 0 where no window reaches.
    centres, resolutions_a
        Windows (n, 3), (z, y, x) in pixels from the origin, and what each of them says.
    """

    map: Volume
    filtered: Volume
    centres: Int[np.ndarray, "n 3"]
    resolutions_a: Float[np.ndarray, " n"]


def local_resolution(
    half1: Volume,
    half2: Volume,
    pixel_size_a: float,
    sampling_a: float = SAMPLING_A,
    threshold: float | Curve = HALF_MAP_THRESHOLD,
    seed: int = 0,
    workers: int = 1,
    watch: Callable[[int, int], None] = lambda _done, _of: None,
) -> LocalResolution:
    """Measure the resolution around every voxel.

    Parameters
    ----------
    half1, half2
        (N, N, N) raw half-maps.
    pixel_size_a
        Å.
    sampling_a
        Distance of the windows; they are flat for half of it and fall off over all of it.
    threshold
        FSC at which the resolution is read; for shells 0 .. N//2 if it differs, as it does for fits that share a prior
        (:attr:`gemmap.validate.cross_fsc.CrossFsc.half_map_threshold`).
    seed
        Of the random phases.
    workers
        Threads.
    watch
        Sees how many windows of how many are done.

    Raises
    ------
    InputError
        If the maps are not finite cubes of one size, no window fits into the box, or there are not as many thresholds
        as shells.
    """
    check_same_box(half1, half2)
    n = len(half1)
    if np.shape(threshold) not in ((), (n // 2 + 1,)):
        raise InputError(
            f"Thresholds of shape {np.shape(threshold)} for a box of {n} px: expected one, or one for each of the "
            f"shells 0 to {n // 2}."
        )
    windows = Windows.of(pixel_size_a, sampling_a)
    centres = windows.centres(n)
    if len(centres) == 0:
        raise InputError(
            f"No window of {windows.radius_px} px fits into a box of {n} px: use a smaller sampling distance than "
            f"{sampling_a:g} Å."
        )
    randomised_from = int(n * pixel_size_a / RANDOMISE_FROM_A)
    stream1, stream2 = np.random.default_rng(seed).spawn(2)
    transform1, transform2 = (masked_transform(half, None, workers) for half in (half1, half2))
    random1 = randomise_phases(transform1, randomised_from, stream1, workers)
    random2 = randomise_phases(transform2, randomised_from, stream2, workers)
    pairs = (half1, half2), (random1, random2)
    shells = np.empty(len(centres), np.int64)
    for number, curve in enumerate(_curves(*pairs, windows, centres, randomised_from, workers)):
        below = np.flatnonzero(curve < threshold)
        shells[number] = (below[0] if len(below) else len(curve)) - 1
        watch(number + 1, len(centres))
    with np.errstate(divide="ignore"):
        resolutions = np.minimum(n * pixel_size_a / np.maximum(shells, 0), COARSEST_A)
    resolution_map, filtered = _spread(
        (transform1 + transform2) / 2.0, windows, centres, resolutions, pixel_size_a, workers
    )
    return LocalResolution(resolution_map, filtered, centres, resolutions)


def _curves(
    halves: tuple[Volume, Volume],
    random_halves: tuple[Volume, Volume],
    windows: Windows,
    centres: Int[np.ndarray, "n 3"],
    randomised_from: int,
    workers: int,
) -> Iterator[Curve]:
    """Corrected FSC of each window, at the shells of the whole box."""
    n, w = len(halves[0]), windows.box_px(len(halves[0]))
    weights = windows.weights(w)
    # Read at the shells of the box: the window's are coarser by w / n.
    here = np.arange(n // 2 + 1) * (w / n)

    def corrected(centre: Int[np.ndarray, " 3"]) -> Curve:
        masked, phase_randomised = (
            np.interp(here, np.arange(w // 2 + 1), fsc(_cut(map1, centre, w), _cut(map2, centre, w), weights))
            for map1, map2 in (halves, random_halves)
        )
        return corrected_fsc(masked, phase_randomised, randomised_from)

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(corrected, centres)


def _places(centre: Int[np.ndarray, " 3"], n: int, w: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a window's box lies in the map, and which part of the window's box that is."""
    first = centre + n // 2 - w // 2
    low, high = np.maximum(first, 0), np.minimum(first + w, n)
    in_map = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    in_window = tuple(slice(a, b) for a, b in zip(low - first, high - first, strict=True))
    return in_map, in_window


def _cut(volume: Volume, centre: Int[np.ndarray, " 3"], w: int) -> Volume:
    """Return the box of side w about a centre, zeros beyond the map."""
    cut = np.zeros((w, w, w), np.float32)
    in_map, in_window = _places(centre, len(volume), w)
    cut[in_window] = volume[in_map]
    return cut


def _spread(
    transform: Complex[np.ndarray, "n n h"],
    windows: Windows,
    centres: Int[np.ndarray, "n 3"],
    resolutions_a: Float[np.ndarray, " n"],
    pixel_size_a: float,
    workers: int,
) -> tuple[Volume, Volume]:
    """Resolution map and locally filtered map: harmonic and plain means over the windows that reach a voxel."""
    n, w = len(transform), windows.box_px(len(transform))
    weights = windows.weights(w)
    total, inverse, filtered = (np.zeros((n, n, n), np.float32) for _ in range(3))
    distance = np.sqrt(_squared_radius(n))
    # Windows of one resolution share a filtered map.
    for resolution_a in np.unique(resolutions_a):
        share = np.zeros((n, n, n), np.float32)
        for centre in centres[resolutions_a == resolution_a]:
            in_map, in_window = _places(centre, n, w)
            share[in_map] += weights[in_window]
        total += share
        inverse += share / np.float32(resolution_a)
        cutoff = n * pixel_size_a / resolution_a
        gain = raised_cosine_edge(distance - (cutoff - FILTER_EDGE_SHELLS / 2.0), FILTER_EDGE_SHELLS)
        filtered += share * scipy.fft.irfftn(transform * gain, s=(n, n, n), axes=(0, 1, 2), workers=workers)
    reached = total > 0
    resolution_map = np.divide(total, inverse, out=np.zeros_like(total), where=reached)
    return resolution_map, np.divide(filtered, total, out=np.zeros_like(total), where=reached)


def _squared_radius(n: int) -> Float[np.ndarray, "n n h"]:
    k = np.fft.fftfreq(n, 1.0 / n).astype(np.float32)
    return k[:, None, None] ** 2 + k[:, None] ** 2 + np.arange(n // 2 + 1, dtype=np.float32) ** 2
