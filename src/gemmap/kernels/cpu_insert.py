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

_SLABS = 32


@njit(inline="always", fastmath=FASTMATH)
def _sin_of_turns(turns: float) -> float:
    """sin(2 pi turns) to 1e-7: a polynomial that vectorises, where libm's sine does not."""
    t = turns - math.floor(turns + 0.5)
    a = abs(t)
    x = 6.283185307179586 * min(a, 0.5 - a)
    x2 = x * x
    s = -2.5052108385441720e-8 * x2 + 2.7557319223985893e-6
    s = s * x2 - 1.9841269841269841e-4
    s = s * x2 + 8.3333333333333333e-3
    s = s * x2 - 1.6666666666666666e-1
    s = (s * x2 + 1.0) * x
    return s if t >= 0.0 else -s


@njit(parallel=True, cache=True, nogil=True, fastmath=FASTMATH)
def prepare_slices(
    transforms: Complex[np.ndarray, "b d h"],
    phase_coefficients: Float[np.ndarray, "b 7"],
    has_ctf: bool,
    shifts_px: Float[np.ndarray, "b 2"],
    scales: Float[np.ndarray, " b"],
    group: np.ndarray,
    inverse_noise: Float[np.ndarray, "g s"],
    pixel_size_a: float,
    out: Float[np.ndarray, "b d h 3"],
) -> None:
    """Fill ``out`` with (Re, Im, weight) of c CTF y exp(-2 pi i k.s/D) / sigma^2 and c^2 CTF^2 / sigma^2.

    ``transforms`` are plain rfft2 of the images (origin at pixel 0): the half-box shift to the origin D//2 is applied
    here as a phase. Points at a radius of D/2 or more are left untouched; :func:`insert_slices` does not read them.
    """
    b, d, h = transforms.shape
    limit2 = 0.25 * d * d
    step = 1.0 / (d * pixel_size_a)
    inv_2pi = 1.0 / (2.0 * math.pi)
    for i in prange(b):
        cxx = phase_coefficients[i, 0] * step * step * inv_2pi
        cxy = phase_coefficients[i, 1] * step * step * inv_2pi
        cyy = phase_coefficients[i, 2] * step * step * inv_2pi
        c4 = phase_coefficients[i, 3] * step**4 * inv_2pi
        c0 = phase_coefficients[i, 4] * inv_2pi
        bfactor = -0.25 * phase_coefficients[i, 5] * step * step
        amplitude = -phase_coefficients[i, 6] * scales[i]
        # Moving the content by +s and the origin to D//2: exp(-2 pi i k.s/D) exp(+2 pi i k.(D//2)/D).
        tx = (-shifts_px[i, 0] + d // 2) / d
        ty = (-shifts_px[i, 1] + d // 2) / d
        g = group[i]
        for iy in range(d):
            ky = iy if iy < (d + 1) // 2 else iy - d
            rest = limit2 - ky * ky
            if rest <= 0.0:
                continue
            for ix in range(h):
                k2 = float(ix * ix + ky * ky)
                if k2 >= limit2:
                    break
                if has_ctf:
                    t = (cxx * ix + cxy * ky) * ix + cyy * ky * ky + (c4 * k2) * k2 + c0
                    ctf = amplitude * _sin_of_turns(t)
                    if bfactor != 0.0:
                        ctf *= math.exp(bfactor * k2)
                else:
                    ctf = scales[i]
                phase = tx * ix + ty * ky
                s = _sin_of_turns(phase)
                c = _sin_of_turns(phase + 0.25)
                w = ctf * inverse_noise[g, int(math.sqrt(k2) + 0.5)]
                value = transforms[i, iy, ix]
                out[i, iy, ix, 0] = w * (value.real * c - value.imag * s)
                out[i, iy, ix, 1] = w * (value.real * s + value.imag * c)
                out[i, iy, ix, 2] = w * ctf


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


@njit(parallel=True, cache=True, nogil=True, fastmath=FASTMATH)
def insert_slices(
    slices: Float[np.ndarray, "b d h 3"], rotations: Float[np.ndarray, "b 3 3"], volume: Float[np.ndarray, "m m h2 3"]
) -> None:
    """Add the slices to the half-complex volume (z and y in FFT order, x >= 0) with trilinear weights, in place.

    Half of the image plane is inserted: kx > 0, kx = 0 with ky > 0, and k = 0 with half its weight; a point with x < 0
    is inserted at minus its position, conjugated. The caller completes the plane x = 0 (:func:`complete_plane`).
    """
    b, d = slices.shape[:2]
    m = volume.shape[0]
    os = m / d
    # One grid step inside Nyquist, so that the upper neighbour of a point never wraps around.
    kmax = d / 2.0 - 1.0 / os
    kmax2 = kmax * kmax
    ky_max = math.floor(kmax)
    half = m // 2
    n_slabs = min(_SLABS, m)
    for slab in prange(n_slabs):
        z_first = -half + (slab * m) // n_slabs
        z_end = -half + ((slab + 1) * m) // n_slabs
        for i in range(b):
            xx = os * rotations[i, 0, 0]
            xy = os * rotations[i, 0, 1]
            xz = os * rotations[i, 0, 2]
            yx = os * rotations[i, 1, 0]
            yy = os * rotations[i, 1, 1]
            yz = os * rotations[i, 1, 2]
            for ky in range(-ky_max, ky_max + 1):
                iy = ky if ky >= 0 else ky + d
                first = 0 if ky >= 0 else 1
                last = math.floor(math.sqrt(kmax2 - ky * ky))
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
