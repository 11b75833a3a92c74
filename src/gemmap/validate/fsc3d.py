"""The FSC of two half-maps as a volume: at every Fourier voxel the FSC in the cone about its direction.

Source: Tan et al. 2017, Nat. Methods 14, 793, and their program 3DFSC, which also names the sphericity of this volume
at a threshold of 0.5.
"""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from gemmap._types import Float, Int, Volume
from gemmap.errors import InputError
from gemmap.geometry.sphere import half_sphere
from gemmap.validate.anisotropy import sphericity_of
from gemmap.validate.cones import CellSums, cells_of_points
from gemmap.validate.fsc import check_same_box, masked_transform

#: FSC at which the body ends whose sphericity 3DFSC states, and resolution in Å up to which all counts as in it.
SPHERICITY_THRESHOLD, INSIDE_A = 0.5, 150.0
#: Rays on which the surface of that body is looked for, and their step in voxels.
_RAYS, _RAY_STEP = 1024, 0.1
#: Zeros around it, in voxels, because it may reach the edge of its box.
_PAD = 5


@dataclass(frozen=True, eq=False)
class Fsc3d:
    """Directional FSC over Fourier space.

    Attributes
    ----------
    volume
        (N, N, N) float32, (kz, ky, kx) with the origin at voxel N//2: 1 there, 0 beyond the shell N//2.
    sphericity
        Of the body within which the volume stays above 0.5, outward from the origin: 1 for a sphere; 0 if a direction
        ends in the first shell.
    """

    volume: Volume
    sphericity: float


def fsc_3d(half1: Volume, half2: Volume, pixel_size_a: float, mask: Volume | None = None, workers: int = 1) -> Fsc3d:
    """Measure the 3-D FSC of two half-maps.

    Parameters
    ----------
    half1, half2
        (N, N, N) half-maps.
    pixel_size_a
        Å.
    mask
        (N, N, N), multiplies both first.
    workers
        Threads of the Fourier transforms.

    Raises
    ------
    InputError
        If the maps are not finite cubes of one size of 4 voxels or more.
    """
    check_same_box(half1, half2, mask)
    n = len(half1)
    if n < 4:
        raise InputError(f"The maps are {n} px wide; expected 4 or more to tell directions apart.")
    sums = CellSums.of(masked_transform(half1, mask, workers), masked_transform(half2, mask, workers))
    curves = sums.cone_curves(sums.cells)
    last = _last_shells(curves, start=max(int(n * pixel_size_a / INSIDE_A), 1))
    kept = np.arange(curves.shape[1]) <= last[:, None]
    body = _volume(kept.astype(np.float32), sums.cells, n)
    return Fsc3d(_volume(curves, sums.cells, n), _sphericity(body) if last.min() > 0 else 0.0)


def _last_shells(curves: Float[np.ndarray, "c s"], start: int) -> Int[np.ndarray, " c"]:
    """Last shell before the first, from ``start`` on, below the threshold."""
    below = curves[:, start:] < SPHERICITY_THRESHOLD
    return np.asarray(np.where(below.any(1), below.argmax(1) + start - 1, curves.shape[1] - 1))


def _sphericity(body: Volume) -> float:
    """Sphericity of a binary body about voxel N//2, blurred by one voxel as 3DFSC does, from its half level on rays."""
    blurred = scipy.ndimage.gaussian_filter(np.pad(body, _PAD), 1.0, mode="constant")
    origin = len(body) // 2 + _PAD
    axes = half_sphere(_RAYS)
    steps = np.arange(0.0, origin, _RAY_STEP)
    radii = np.empty(len(axes))
    for number, axis in enumerate(axes):
        along = scipy.ndimage.map_coordinates(blurred, origin + steps * axis[::-1, None], order=1, mode="constant")
        radii[number] = steps[int(np.argmax(along < 0.5))]
    return sphericity_of(axes, radii)


def _volume(curves: Float[np.ndarray, "c s"], cells: Float[np.ndarray, "c 3"], n: int) -> Volume:
    half = np.zeros((n, n, n // 2 + 1), np.float32)
    for plane, (inside, cell, shell) in zip(half, cells_of_points(n, cells), strict=True):
        plane[inside] = curves[cell, shell]
    half[0, 0, 0] = 1.0
    # The other half by Friedel's law: f(-k) = f(k).
    minus = (-np.arange(n)) % n
    full = np.empty((n, n, n), np.float32)
    full[:, :, : n // 2 + 1] = half
    full[:, :, n // 2 + 1 :] = half[minus][:, minus][:, :, (n - 1) // 2 : 0 : -1]
    return np.asarray(np.fft.fftshift(full))
