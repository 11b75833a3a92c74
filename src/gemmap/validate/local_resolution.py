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
from gemmap.validate.fsc import check_same_box, correlation, fourier_shells, masked_transform
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
        (N, N, N), a map low-passed at each voxel's resolution; 0 where no window reaches. None if it was not asked for.
    centres, resolutions_a
        Windows (n, 3), (z, y, x) in pixels from the origin, and what each of them says.
    """

    map: Volume
    filtered: Volume | None
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
    volume: Volume | None = None,
    filtered: bool = True,
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
    volume
        (N, N, N), the map to filter; None takes the mean of the halves.
    filtered
        Whether to filter a map at all: half of the time in large boxes.

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
    windows, centres = place_windows(n, pixel_size_a, sampling_a)
    randomised_from = int(n * pixel_size_a / RANDOMISE_FROM_A)
    streams = np.random.default_rng(seed).spawn(2)
    random1, random2 = (
        randomise_phases(masked_transform(half, None, workers), randomised_from, stream, workers)
        for half, stream in zip((half1, half2), streams, strict=True)
    )
    maps = (half1, half2, random1, random2)
    shells = np.empty(len(centres), np.int64)
    for number, curve in enumerate(_curves(maps, windows, centres, randomised_from, workers)):
        below = np.flatnonzero(curve < threshold)
        shells[number] = (below[0] if len(below) else len(curve)) - 1
        watch(number + 1, len(centres))
    del maps, random1, random2
    with np.errstate(divide="ignore"):
        resolutions = np.minimum(n * pixel_size_a / np.maximum(shells, 0), COARSEST_A)
    spread = _Spread(n, pixel_size_a, windows, centres, resolutions)
    if not filtered:
        return LocalResolution(spread.harmonic_mean(), None, centres, resolutions)
    transform = masked_transform((half1 + half2) / 2.0 if volume is None else volume, None, workers)
    return LocalResolution(spread.harmonic_mean(), spread.filter(transform, workers), centres, resolutions)


def place_windows(box_px: int, pixel_size_a: float, sampling_a: float) -> tuple[Windows, Int[np.ndarray, "n 3"]]:
    """Return the windows of a box and their centres.

    Raises
    ------
    InputError
        If none fits, or they would be closer than a pixel.
    """
    windows = Windows.of(pixel_size_a, sampling_a)
    centres = windows.centres(box_px)
    if len(centres) == 0:
        raise InputError(
            f"No window of {windows.radius_px} px fits into a box of {box_px} px: use a smaller sampling distance than "
            f"{sampling_a:g} Å (--local-sampling), or leave local resolution out (--no-local-resolution)."
        )
    return windows, centres


def _curves(
    maps: tuple[Volume, Volume, Volume, Volume],
    windows: Windows,
    centres: Int[np.ndarray, "n 3"],
    randomised_from: int,
    workers: int,
) -> Iterator[Curve]:
    """Corrected FSC of each window, at the shells of the whole box, from two halves and the same with random phases."""
    n, w = len(maps[0]), windows.box_px(len(maps[0]))
    pairs = _WindowFsc(windows.weights(w))
    # Read at the shells of the box: the window's are coarser by w / n.
    here, there = np.arange(n // 2 + 1) * (w / n), np.arange(w // 2 + 1)

    def corrected(centre: Int[np.ndarray, " 3"]) -> Curve:
        masked, phase_randomised = (np.interp(here, there, curve) for curve in pairs.of(maps, centre))
        return corrected_fsc(masked, phase_randomised, randomised_from)

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(corrected, centres)


class _WindowFsc:
    """FSC of pairs of maps in a window anywhere: what all windows share is worked out once."""

    def __init__(self, weights: Volume) -> None:
        self._weights = weights
        shells = fourier_shells(len(weights))
        self._numbers = shells.numbers.ravel().astype(np.intp)
        # Columns that hold both points of a conjugate pair count once, as in `FourierShells.total`.
        self._twice = np.full(shells.numbers.shape, 2.0)
        self._twice[:, :, 0] = 1.0
        if len(weights) % 2 == 0:
            self._twice[:, :, -1] = 1.0

    def of(self, maps: tuple[Volume, Volume, Volume, Volume], centre: Int[np.ndarray, " 3"]) -> list[Curve]:
        """Return the FSC of the first two and of the last two maps."""
        w = len(self._weights)
        cut = np.zeros((len(maps), w, w, w), np.float32)
        in_map, in_window = _places(centre, len(maps[0]), w)
        for own, volume in zip(cut, maps, strict=True):
            own[in_window] = volume[in_map] * self._weights[in_window]
        # Products in float64, as in `gemmap.validate.fsc`.
        transforms = scipy.fft.rfftn(cut, axes=(1, 2, 3)).astype(np.complex128)
        return [self._fsc(*transforms[:2]), self._fsc(*transforms[2:])]

    def _fsc(self, a: Complex[np.ndarray, "w w h"], b: Complex[np.ndarray, "w w h"]) -> Curve:
        sums = [
            np.bincount(self._numbers, (self._twice * (p.real * q.real + p.imag * q.imag)).ravel())
            for p, q in ((a, b), (a, a), (b, b))
        ]
        return correlation(*(total[: len(self._weights) // 2 + 1] for total in sums))


def _places(centre: Int[np.ndarray, " 3"], n: int, w: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a window's box lies in the map, and which part of the window's box that is."""
    first = centre + n // 2 - w // 2
    low, high = np.maximum(first, 0), np.minimum(first + w, n)
    in_map = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    in_window = tuple(slice(a, b) for a, b in zip(low - first, high - first, strict=True))
    return in_map, in_window


@dataclass(frozen=True, eq=False)
class _Spread:
    """What windows say, carried to the voxels that they reach.

    Attributes
    ----------
    box_px, pixel_size_a
        Of the map.
    windows, centres, resolutions_a
        The windows, their centres (n, 3) and what each of them says.
    """

    box_px: int
    pixel_size_a: float
    windows: Windows
    centres: Int[np.ndarray, "n 3"]
    resolutions_a: Float[np.ndarray, " n"]

    def harmonic_mean(self) -> Volume:
        """Resolution at each voxel: harmonic mean of the windows that reach it; 0 where none does."""
        total, inverse = self._sums(np.stack([np.ones(len(self.centres)), 1.0 / self.resolutions_a]))
        return np.asarray(np.divide(total, inverse, out=np.zeros_like(total), where=total > 0))

    def filter(self, transform: Complex[np.ndarray, "n n h"], workers: int) -> Volume:
        """Mean over the windows that reach a voxel of the map low-passed at the resolution of each."""
        n = self.box_px
        total, filtered = np.zeros((2, n, n, n), np.float32)
        distance = np.sqrt(_squared_radius(n))
        # Windows of one resolution share a filtered map.
        for resolution_a in np.unique(self.resolutions_a):
            mine = self.resolutions_a == resolution_a
            (share,) = self._sums(mine[None, :].astype(np.float64))
            total += share
            cutoff = n * self.pixel_size_a / resolution_a
            low_passed = scipy.fft.irfftn(_low_pass(transform, distance, cutoff), s=(n, n, n), workers=workers)
            share *= low_passed
            filtered += share
        return np.divide(filtered, total, out=filtered, where=total > 0)

    def _sums(self, values: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "k n n n"]:
        """Sum over windows of weight times value at every voxel, for each row of values; a value of 0 costs nothing."""
        n, w = self.box_px, self.windows.box_px(self.box_px)
        weights = self.windows.weights(w)
        sums = np.zeros((len(values), n, n, n), np.float32)
        for number in np.flatnonzero(values.any(0)):
            in_map, in_window = _places(self.centres[number], n, w)
            for total, value in zip(sums, values[:, number], strict=True):
                total[in_map] += weights[in_window] * np.float32(value)
        return sums


def _low_pass(
    transform: Complex[np.ndarray, "n n h"], distance: Float[np.ndarray, "n n h"], cutoff: float
) -> Complex[np.ndarray, "n n h"]:
    """A transform with a cosine edge about a radius; the cosine is worked out on the edge alone."""
    start = np.float32(cutoff - FILTER_EDGE_SHELLS / 2.0)
    kept = transform * (distance <= start)
    edge = (distance > start) & (distance < start + FILTER_EDGE_SHELLS)
    kept[edge] = transform[edge] * raised_cosine_edge(distance[edge] - start, FILTER_EDGE_SHELLS)
    return np.asarray(kept)


def _squared_radius(n: int) -> Float[np.ndarray, "n n h"]:
    k = np.fft.fftfreq(n, 1.0 / n).astype(np.float32)
    return k[:, None, None] ** 2 + k[:, None] ** 2 + np.arange(n // 2 + 1, dtype=np.float32) ** 2
