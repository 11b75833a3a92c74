"""Fourier shell correlation of two maps.

Shells are RELION's: shell = round(|k|) in Fourier voxels, 0 .. N//2; corners beyond N//2 are left out. The curves are
those of the full transform, unless they are asked for as RELION sums them: over the half-complex array as it lies in
memory, where points with kx = 0 appear beside their conjugate mates and all others alone. The two differ by a fraction
of their statistical error: at most 0.01 to 0.03, at the inner shells of 64-pixel boxes with little signal.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft

from gemmap._types import Complex, Curve, Float, Int, Volume
from gemmap.errors import InputError
from gemmap.geometry.grids import frequencies


@dataclass(frozen=True, eq=False)
class FourierShells:
    """Shell numbers of a box's half-complex transform; make it with :func:`fourier_shells`.

    Attributes
    ----------
    box_px
        Side N of the real-space box.
    numbers
        (N, N, N//2 + 1), shell of each point in FFT order; int16, because it is kept for as long as the program runs.
    """

    box_px: int
    numbers: Int[np.ndarray, "n n h"]

    def total(self, planes: Iterable[Float[np.ndarray, "n h"]]) -> Curve:
        """Sum real values over the shells of the full transform.

        Parameters
        ----------
        planes
            Values at (kz; ky, kx), one array (N, N//2 + 1) per kz in FFT order: a volume, or a generator of its planes.

        Returns
        -------
        (N//2 + 1,) float64 sums. The columns kx = 0 and, at even N, kx = N/2 hold both points of a conjugate pair and
        count once; every other column stands for its mate too and counts twice.
        """
        length = int(self.numbers.max()) + 1
        n_single = 1 if self.box_px % 2 else 2
        single = [0, self.box_px // 2][:n_single]
        sums = np.zeros(length)
        for numbers, values in zip(self.numbers, planes, strict=True):
            sums += 2.0 * np.bincount(numbers.ravel(), values.ravel(), length)
            sums -= np.bincount(numbers[:, single].ravel(), values[:, single].ravel(), length)
        return sums[: self.box_px // 2 + 1]

    def total_as_stored(self, planes: Iterable[Float[np.ndarray, "n h"]]) -> Curve:
        """Sum real values over the shells of the half-complex transform, every stored point once, as RELION does."""
        length = int(self.numbers.max()) + 1
        sums = np.zeros(length)
        for numbers, values in zip(self.numbers, planes, strict=True):
            sums += np.bincount(numbers.ravel(), values.ravel(), length)
        return sums[: self.box_px // 2 + 1]

    def counts(self) -> Curve:
        """Return the number of points of the full transform in each shell; half of them are independent."""
        one = np.ones(self.numbers.shape[1:])
        return self.total(one for _ in range(self.box_px))


@lru_cache(maxsize=2)
def fourier_shells(box_px: int) -> FourierShells:
    """Return the shells of a box of side ``box_px``; those of the last two sizes asked for are kept."""
    k = frequencies(box_px)
    plane = (k**2)[:, None] + np.arange(box_px // 2 + 1) ** 2
    numbers = np.empty((box_px, *plane.shape), np.int16)
    for z, kz in enumerate(k):  # by planes: the square roots of a whole 512-voxel box would take gigabytes
        numbers[z] = np.floor(np.sqrt(kz**2 + plane) + 0.5)
    numbers.setflags(write=False)
    return FourierShells(box_px, numbers)


def shell_cross(f1: Complex[np.ndarray, "n n h"], f2: Complex[np.ndarray, "n n h"]) -> Curve:
    """Sum Re(f1 conj(f2)) over shells 0 .. N//2 of two half-complex transforms; float64 whatever the input."""
    planes = (_real_product(a, b) for a, b in zip(f1, f2, strict=True))
    return fourier_shells(len(f1)).total(planes)


def shell_power(f: Complex[np.ndarray, "n n h"]) -> Curve:
    """Sum |f|^2 over shells 0 .. N//2 of a half-complex transform; float64 whatever the input."""
    return shell_cross(f, f)


def correlation(cross: Curve, power1: Curve, power2: Curve) -> Curve:
    """Return cross / sqrt(power1 power2) shell by shell, and 0 where a map has no power."""
    norm = np.sqrt(power1) * np.sqrt(power2)
    curve: Curve = np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0.0)
    return curve


def fsc(map1: Volume, map2: Volume, mask: Volume | None = None, workers: int = 1) -> Curve:
    """Fourier shell correlation of two maps.

    Parameters
    ----------
    map1, map2
        (N, N, N) cubic maps of the same box, any N.
    mask
        (N, N, N), multiplies both maps first; None for none.
    workers
        Threads of the Fourier transforms.

    Returns
    -------
    (N//2 + 1,) correlations; shell s is at N * pixel size / s. A shell without power has 0.

    Raises
    ------
    InputError
        If a map is not cubic, the shapes differ, or a value is not finite.
    """
    check_same_box(map1, map2, mask)
    return fsc_of_transforms(masked_transform(map1, mask, workers), masked_transform(map2, mask, workers))


def fsc_of_transforms(f1: Complex[np.ndarray, "n n h"], f2: Complex[np.ndarray, "n n h"]) -> Curve:
    """Fourier shell correlation of two half-complex transforms, for callers that need the transforms more than once."""
    return correlation(shell_cross(f1, f2), shell_power(f1), shell_power(f2))


def relion_fsc_of_transforms(f1: Complex[np.ndarray, "n n h"], f2: Complex[np.ndarray, "n n h"]) -> Curve:
    """Return the same as `fsc_of_transforms`, with every point of the half-complex arrays once (RELION's getFSC)."""
    shells = fourier_shells(len(f1))
    cross, power1, power2 = (
        shells.total_as_stored(_real_product(a, b) for a, b in zip(first, second, strict=True))
        for first, second in ((f1, f2), (f1, f1), (f2, f2))
    )
    return correlation(cross, power1, power2)


def masked_transform(volume: Volume, mask: Volume | None = None, workers: int = 1) -> Complex[np.ndarray, "n n h"]:
    """Half-complex transform of a map, times a mask if there is one; origin at voxel 0, which no FSC depends on."""
    return np.asarray(scipy.fft.rfftn(volume if mask is None else volume * mask, workers=workers))


def check_same_box(map1: Volume, map2: Volume, mask: Volume | None = None) -> None:
    """Raise InputError unless the maps (and the mask) are finite cubes of one size."""
    n = map1.shape[0]
    for name, volume in (("Map 1", map1), ("Map 2", map2), ("The mask", mask)):
        if volume is None:
            continue
        if volume.shape != (n, n, n):
            raise InputError(f"{name} has shape {volume.shape}; expected ({n}, {n}, {n}), a cube as large as map 1.")
        if not np.isfinite(volume).all():
            raise InputError(f"{name} holds values that are not numbers (NaN or infinite): check the file or the run.")


def _real_product(a: Complex[np.ndarray, "..."], b: Complex[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    # Products in float64: in float32 the square of a map in very small units underflows to a shell without power.
    a, b = a.astype(np.complex128), b.astype(np.complex128)
    return np.asarray(a.real * b.real + a.imag * b.imag)
