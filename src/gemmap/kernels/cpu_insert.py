"""Numba kernels of the one pass: weigh image transforms, insert them as slices.

The readable definitions are in :mod:`gemmap.kernels.reference_insert`; these agree with them to float32 rounding.

A volume is filled slab by slab along z. Every slab is owned by one thread, which walks over all images of the batch
and, per image row, only over the kx interval that meets its planes. So nothing is locked, the slab stays in cache, and
each voxel receives its terms in the same order whatever the number of threads: results are identical to the bit.
"""

import math

import numpy as np
from numba import njit, prange

from gemmap._types import Complex, Float
from gemmap.kernels.cpu_geometry import FASTMATH
from gemmap.kernels.cpu_phase import N_POWERS, fill_row, fill_sines, fill_transfer, fill_weight, is_multiplied

_SLABS = 32


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def prepare_slices(
    transforms: Complex[np.ndarray, "b d h"],
    coefficients: Float[np.ndarray, "b columns"],
    shifts: Float[np.ndarray, "b 2"],
    scales: Float[np.ndarray, " b"],
    group: np.ndarray,
    inverse_noise: Float[np.ndarray, "g s"],
    out: Float[np.ndarray, "b d h 3"],
) -> None:
    """Fill ``out`` with numerator and weight; see :func:`gemmap.kernels.reference_insert.prepare_slices`.

    ``transforms`` are plain rfft2 of the images (origin at pixel 0): the half-box shift to the origin D//2 is applied
    here as a phase. Points at a radius of D/2 or more are left untouched; :func:`insert_slices` does not read them.
    """
    b, d, h = transforms.shape
    for i in prange(b):
        of_image, spectrum = coefficients[i], inverse_noise[group[i]]
        # Moving the content by +s and the origin to D//2: exp(-2 pi i k.s/D) exp(+2 pi i k.(D//2)/D).
        move_x, move_y = (d // 2) / d - shifts[i, 0], (d // 2) / d - shifts[i, 1]
        # c CTF of the images, and what multiplies them: the same unless they were multiplied by the CTF before.
        multiplied, scale = is_multiplied(of_image), np.float32(scales[i])
        even, phase, ahead = np.empty(N_POWERS), np.empty(N_POWERS), np.empty(N_POWERS)
        rows = np.empty((4, h), np.float32)
        for iy in range(d):
            ky = iy if iy < (d + 1) // 2 else iy - d
            inside = 0
            while inside < h and 4 * (inside * inside + ky * ky) < d * d:
                inside += 1
            fill_row(of_image, ky, even, phase)
            for power in range(N_POWERS):
                phase[power] = -phase[power]
            phase[0] += move_y * ky
            phase[1] += move_x
            ahead[:] = phase
            ahead[0] += 0.25
            transfer, weight = rows[0, :inside], rows[1, :inside]
            sine, cosine = rows[2, :inside], rows[3, :inside]
            fill_transfer(transfer, of_image, even, ky, scales[i])
            fill_weight(weight, spectrum, ky)
            fill_sines(sine, phase)
            fill_sines(cosine, ahead)
            y, place = transforms[i, iy].view(np.float32), out[i, iy].reshape(3 * h)
            for kx in range(inside):
                k = np.uint64(kx)
                re, im = y[np.uint64(2) * k], y[np.uint64(2) * k + np.uint64(1)]
                t, c, s = transfer[k], cosine[k], sine[k]
                w = weight[k] * (scale if multiplied else t)
                at = np.uint64(3) * k
                place[at] = w * (re * c - im * s)
                place[at + np.uint64(1)] = w * (re * s + im * c)
                place[at + np.uint64(2)] = weight[k] * t * t


@njit(inline="always")
def _interval(start: float, step: float, low: float, high: float, first: int, last: int) -> tuple[int, int]:
    """Integers n in first..last for which start + n step may lie in [low, high): conservative by one."""
    if abs(step) < 1e-12:
        if start < low - 1e-9 or start > high + 1e-9:
            return 1, 0
        return first, last
    a = (low - start) / step
    b = (high - start) / step
    if a > b:
        a, b = b, a
    return max(first, math.floor(a)), min(last, math.ceil(b))


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _fill_spans(view: Float[np.ndarray, "3 3"], d: int, m: int, spans: Float[np.ndarray, "rows 2"]) -> None:
    """First and last kx of every row, ky from the lowest, that lie within the image's Nyquist and the map's."""
    # One grid step inside the map's, so that the upper neighbour of a point never wraps around; a point at that radius
    # stays in, however it is rounded.
    kmax2 = (d / 2.0 - d / m) ** 2 * (1.0 + 1e-9)
    # |G^T k|^2 is a quadratic form in kx and ky: along a row, it bounds kx on both sides.
    q_xx = view[0, 0] ** 2 + view[0, 1] ** 2 + view[0, 2] ** 2
    q_xy = view[0, 0] * view[1, 0] + view[0, 1] * view[1, 1] + view[0, 2] * view[1, 2]
    q_yy = view[1, 0] ** 2 + view[1, 1] ** 2 + view[1, 2] ** 2
    for row in range(len(spans)):
        ky = row - len(spans) // 2
        # Half of the plane, and k = 0.
        spans[row, 0], spans[row, 1] = 0 if ky >= 0 else 1, -1
        root2 = q_xx * (kmax2 - q_yy * ky * ky) + (q_xy * ky) ** 2
        if root2 >= 0.0:
            root = math.sqrt(root2)
            spans[row, 0] = max(spans[row, 0], math.ceil((-q_xy * ky - root) / q_xx))
            within_image = math.ceil(math.sqrt(0.25 * d * d - ky * ky)) - 1
            spans[row, 1] = min(within_image, math.floor((-q_xy * ky + root) / q_xx))


@njit(parallel=True, cache=True, nogil=True, fastmath=FASTMATH)
def insert_slices(
    slices: Float[np.ndarray, "b d h 3"], views: Float[np.ndarray, "b 3 3"], volume: Float[np.ndarray, "m m h2 3"]
) -> None:
    """Add the slices to the half-complex volume (z and y in FFT order, x >= 0) with trilinear weights, in place.

    Half of the image plane is inserted: kx > 0, kx = 0 with ky > 0, and k = 0 with half its weight; a point with x < 0
    is inserted at minus its position, conjugated. The caller completes the plane x = 0 (:func:`complete_plane`).
    """
    b, d = slices.shape[:2]
    m = volume.shape[0]
    os = m / d
    ky_max = (d - 1) // 2
    spans = np.empty((b, 2 * ky_max + 1, 2), np.int64)
    for i in prange(b):
        _fill_spans(views[i], d, m, spans[i])
    half = m // 2
    n_slabs = min(_SLABS, m)
    for slab in prange(n_slabs):
        z_first = -half + (slab * m) // n_slabs
        z_end = -half + ((slab + 1) * m) // n_slabs
        for i in range(b):
            v = views[i]
            xx, xy, xz = os * v[0, 0], os * v[0, 1], os * v[0, 2]
            yx, yy, yz = os * v[1, 0], os * v[1, 1], os * v[1, 2]
            for ky in range(-ky_max, ky_max + 1):
                iy = ky if ky >= 0 else ky + d
                first, last = spans[i, ky + ky_max, 0], spans[i, ky + ky_max, 1]
                if first > last:
                    continue
                for sign in (1.0, -1.0):
                    x_start, y_start, z_start = sign * ky * yx, sign * ky * yy, sign * ky * yz
                    x_step, y_step, z_step = sign * xx, sign * xy, sign * xz
                    lo, hi = _interval(z_start, z_step, z_first - 1.0, float(z_end), first, last)
                    if lo > hi:
                        continue
                    lo, hi = _interval(x_start, x_step, 0.0, float(m), lo, hi)
                    for kx in range(lo, hi + 1):
                        x = x_start + kx * x_step
                        if x < 0.0 or (x == 0.0 and sign < 0.0):
                            continue
                        z = z_start + kx * z_step
                        z0 = math.floor(z)
                        if z0 < z_first - 1 or z0 >= z_end:
                            continue
                        y = y_start + kx * y_step
                        y0 = math.floor(y)
                        x0 = math.floor(x)
                        fx = np.float32(x - x0)
                        fy = np.float32(y - y0)
                        fz = np.float32(z - z0)
                        re = slices[i, iy, kx, 0]
                        im = slices[i, iy, kx, 1]
                        w = slices[i, iy, kx, 2]
                        if kx == 0 and ky == 0:
                            re *= np.float32(0.5)
                            im *= np.float32(0.5)
                            w *= np.float32(0.5)
                        if sign < 0.0:
                            im = -im
                        ix = int(x0)
                        iy0 = int(y0) if y0 >= 0 else int(y0) + m
                        iy1 = int(y0) + 1 if y0 + 1 >= 0 else int(y0) + 1 + m
                        one = np.float32(1.0)
                        for dz in range(2):
                            plane = int(z0) + dz
                            if plane < z_first or plane >= z_end:
                                continue
                            iz = plane if plane >= 0 else plane + m
                            wz = fz if dz == 1 else one - fz
                            for dy in range(2):
                                iyy = iy1 if dy == 1 else iy0
                                wzy = wz * (fy if dy == 1 else one - fy)
                                w0 = wzy * (one - fx)
                                w1 = wzy * fx
                                volume[iz, iyy, ix, 0] += w0 * re
                                volume[iz, iyy, ix, 1] += w0 * im
                                volume[iz, iyy, ix, 2] += w0 * w
                                volume[iz, iyy, ix + 1, 0] += w1 * re
                                volume[iz, iyy, ix + 1, 1] += w1 * im
                                volume[iz, iyy, ix + 1, 2] += w1 * w


@njit(cache=True, nogil=True)
def complete_plane(volume: Float[np.ndarray, "m m h2 3"]) -> None:
    """Add the Friedel mates of the plane x = 0, in place, so that it is Hermitian like the rest."""
    m = volume.shape[0]
    for z in range(m):
        mz = (m - z) % m
        for y in range(m):
            my = (m - y) % m
            if z * m + y > mz * m + my:
                continue
            re = volume[z, y, 0, 0] + volume[mz, my, 0, 0]
            im = volume[z, y, 0, 1] - volume[mz, my, 0, 1]
            w = volume[z, y, 0, 2] + volume[mz, my, 0, 2]
            volume[z, y, 0, 0], volume[z, y, 0, 1], volume[z, y, 0, 2] = re, im, w
            volume[mz, my, 0, 0], volume[mz, my, 0, 1], volume[mz, my, 0, 2] = re, -im, w
