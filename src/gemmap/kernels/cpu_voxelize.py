"""Gaussians to voxels and back, on the CPU with numba.

The readable definitions are in :mod:`gemmap.kernels.reference`; these agree with them to float32 rounding.

With d = x - centre and P the precision matrix, the exponent is evaluated in nested form (an LDL^T factorisation of P):

    d^T P d = dz^2 / S_zz  +  p_y (dy - b dz)^2  +  p_x (dx - a_y dy - a_z dz)^2

so every z plane and every row of it has its exact interval inside the ellipsoid d^T P d <= cut^2, and only voxels of
the support are visited. Along a row the kernel is a Gaussian on a unit grid, which obeys g(x+1) = g(x) r(x) and
r(x+1) = r(x) exp(-p_x): two multiplications per voxel. In float64 a row may start at its left end: there
g >= exp(-cut^2/2) g_peak and r <= exp(cut^2/2), so neither under- nor overflow can spoil it.

Forward: each thread owns a range of z planes and adds the Gaussians in one global order, so no atomics are needed and
the bits do not depend on the number of threads. Backward: each Gaussian reads its own window and takes the moments of
order 0, 1 and 2 of gradient x kernel, from which all derivatives are closed forms.
"""

import math
from typing import TypeAlias

import numpy as np
from numba import get_num_threads, njit, prange

from gemmap._types import Float, Int
from gemmap.kernels.cpu_geometry import FASTMATH, form, overlap, own_axes, turn

Gradients: TypeAlias = tuple[
    Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"], Float[np.ndarray, "n 4"], Float[np.ndarray, " n"]
]
Table: TypeAlias = Float[np.ndarray, "n columns"]
Planes: TypeAlias = Int[np.ndarray, "n 2"]
Moments: TypeAlias = Float[np.ndarray, "n 10"]

# Columns of the table of constants, one row per Gaussian in the order of the walk.
X, Y, Z, INVERSE_SZZ, B, P_Y, A_Y, A_Z, P_X, HALF_WIDTH, PEAK, STEP, WORK, N_COLUMNS = range(14)

_CHUNKS = 64
_E2, _E3, _E4, _E5, _E6, _E7, _E8 = (1.0 / math.factorial(k) for k in range(2, 9))


def voxelize(
    centres: Float[np.ndarray, "n 3"],
    scales: Float[np.ndarray, "n 3"],
    quaternions: Float[np.ndarray, "n 4"],
    masses: Float[np.ndarray, " n"],
    size: int,
    cut: float,
) -> Float[np.ndarray, "d d d"]:
    """Sum of normalised Gaussians at the voxels of a cube, float32; see :func:`gemmap.kernels.ops.voxelize`."""
    table, planes = _constants(_order(centres, size), centres, scales, quaternions, masses, size, cut)
    volume = np.empty((size, size, size), np.float32)
    _splat(table, planes, _slabs(table, planes, size, get_num_threads()), cut, volume)
    return volume


def voxelize_gather(
    grad_volume: Float[np.ndarray, "d d d"],
    centres: Float[np.ndarray, "n 3"],
    scales: Float[np.ndarray, "n 3"],
    quaternions: Float[np.ndarray, "n 4"],
    masses: Float[np.ndarray, " n"],
    cut: float,
) -> Gradients:
    """Derivatives of <grad_volume, volume>, float32; see :func:`gemmap.kernels.ops.voxelize_gather`."""
    size = len(grad_volume)
    order = _order(centres, size)
    table, planes = _constants(order, centres, scales, quaternions, masses, size, cut)
    moments = np.empty((len(masses), 10))
    _gather(table, planes, cut, grad_volume, moments)
    gradients = tuple(np.empty(a.shape, np.float32) for a in (centres, scales, quaternions, masses))
    _differentiate(order, moments, scales, quaternions, masses, *gradients)
    return gradients[0], gradients[1], gradients[2], gradients[3]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _order(centres: np.ndarray, size: int) -> np.ndarray:
    """Rows sorted by the (z, y) cell of the centre, so that neighbours in the walk are neighbours in memory."""
    n = len(centres)
    cells = np.empty(n, np.int64)
    begins = np.zeros(size * size + 1, np.int64)
    for j in range(n):
        z = int(min(max(centres[j, 2] + size // 2, 0.0), size - 1.0))
        y = int(min(max(centres[j, 1] + size // 2, 0.0), size - 1.0))
        cells[j] = z * size + y
        begins[cells[j] + 1] += 1
    begins = np.cumsum(begins)
    order = np.empty(n, np.int64)
    for j in range(n):
        order[begins[cells[j]]] = j
        begins[cells[j]] += 1
    return order


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _exp(v: float) -> float:
    """exp(v) to 3e-10 for -700 <= v <= 700: a power of two times a series, a third of the cost of a library call."""
    v = max(v, -700.0)
    n = np.floor(v * (1.0 / math.log(2.0)) + 0.5)
    f = v - n * math.log(2.0)
    series = 1.0 + f * (1.0 + f * (_E2 + f * (_E3 + f * (_E4 + f * (_E5 + f * (_E6 + f * (_E7 + f * _E8)))))))
    exponential: float = series * np.int64((np.int64(n) + 1023) << 52).view(np.float64)
    return exponential


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _constants(
    order: np.ndarray,
    centres: np.ndarray,
    scales: np.ndarray,
    quaternions: np.ndarray,
    masses: np.ndarray,
    size: int,
    cut: float,
) -> tuple[Table, Planes]:
    """Table of constants, and first and last plane touched, of every Gaussian in the given order."""
    table = np.empty((len(order), N_COLUMNS))
    planes = np.empty((len(order), 2), np.int64)
    for k in prange(len(order)):
        j = order[k]
        a, b, c = own_axes(quaternions[j])
        d0, d1, d2 = np.float64(scales[j, 0]) ** 2, np.float64(scales[j, 1]) ** 2, np.float64(scales[j, 2]) ** 2
        s_xx = a[0] * a[0] * d0 + b[0] * b[0] * d1 + c[0] * c[0] * d2
        s_yy = a[1] * a[1] * d0 + b[1] * b[1] * d1 + c[1] * c[1] * d2
        s_zz = a[2] * a[2] * d0 + b[2] * b[2] * d1 + c[2] * c[2] * d2
        s_yz = a[1] * a[2] * d0 + b[1] * b[2] * d1 + c[1] * c[2] * d2
        p_xx = a[0] * a[0] / d0 + b[0] * b[0] / d1 + c[0] * c[0] / d2
        p_xy = a[0] * a[1] / d0 + b[0] * b[1] / d1 + c[0] * c[1] / d2
        p_xz = a[0] * a[2] / d0 + b[0] * b[2] / d1 + c[0] * c[2] / d2
        determinant = d0 * d1 * d2
        x, y, z = centres[j, 0] + size // 2, centres[j, 1] + size // 2, centres[j, 2] + size // 2
        x0, x1 = overlap(x, cut * math.sqrt(s_xx), size)
        y0, y1 = overlap(y, cut * math.sqrt(s_yy), size)
        z0, z1 = overlap(z, cut * math.sqrt(s_zz), size)
        p = table[k]
        p[X], p[Y], p[Z] = x, y, z
        p[INVERSE_SZZ] = 1.0 / s_zz
        p[B] = s_yz / s_zz
        # det of the (y, z) block of S is det(S) p_xx: no subtraction of nearly equal numbers for flat Gaussians.
        p[P_Y] = s_zz / (determinant * p_xx)
        p[A_Y], p[A_Z] = -p_xy / p_xx, -p_xz / p_xx
        p[P_X] = p_xx
        p[HALF_WIDTH] = 1.0 / math.sqrt(p_xx)
        p[PEAK] = masses[j] / math.sqrt((2.0 * math.pi) ** 3 * determinant)
        p[STEP] = math.exp(-p_xx)
        # A row costs about as much as eight voxels.
        p[WORK] = (y1 - y0 + 1) * (x1 - x0 + 8.0)
        planes[k, 0] = z0
        planes[k, 1] = z1 if x0 <= x1 and y0 <= y1 else z0 - 1
    return table, planes


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _slabs(table: Table, planes: Planes, size: int, n: int) -> np.ndarray:
    """Boundaries of n ranges of planes that hold about equal work."""
    change = np.zeros(size + 1)
    for k in range(len(table)):
        if planes[k, 0] <= planes[k, 1]:
            change[planes[k, 0]] += table[k, WORK]
            change[planes[k, 1] + 1] -= table[k, WORK]
    # Every plane also has its zeroing, so that an empty volume is shared out as well.
    done = np.cumsum(np.cumsum(change)[:size] + size)
    bounds = np.zeros(n + 1, np.int64)
    bounds[1:] = 1 + np.searchsorted(done, done[-1] * np.arange(1, n + 1) / n)
    bounds[n] = size
    return np.minimum(bounds, size)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _rows(
    p: np.ndarray, z: int, cut: float, firsts: np.ndarray, counts: np.ndarray, starts: np.ndarray, ratios: np.ndarray
) -> tuple[int, int]:
    """First row and number of rows of a plane; per row: first voxel, their number, kernel / peak, ratio to the next.

    All rows come before the first voxel is touched: no branch depends on the data, so rows overlap in the processor.
    """
    size = len(firsts)
    dz = z - p[Z]
    along = dz * dz * p[INVERSE_SZZ]
    left = max(cut * cut - along, 0.0)
    y0, y1 = overlap(p[Y] + p[B] * dz, math.sqrt(left / p[P_Y]), size)
    for i in range(y1 - y0 + 1):
        dy = y0 + i - p[Y]
        u = dy - p[B] * dz
        across = p[P_Y] * u * u
        middle = p[X] + p[A_Y] * dy + p[A_Z] * dz
        first, last = overlap(middle, math.sqrt(max(left - across, 0.0)) * p[HALF_WIDTH], size)
        t = first - middle
        firsts[i] = first
        counts[i] = max(last - first + 1, 0)
        starts[i] = _exp(-0.5 * (along + across + p[P_X] * t * t))
        ratios[i] = _exp(-p[P_X] * (t + 0.5))
    return y0, y1 - y0 + 1


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _splat(table: Table, planes: Planes, bounds: np.ndarray, cut: float, volume: np.ndarray) -> None:
    """Write the volume; one thread per range of planes."""
    size = len(volume)
    for slab in prange(len(bounds) - 1):
        begin, end = bounds[slab], bounds[slab + 1]
        volume[begin:end] = 0.0
        firsts, counts = np.empty(size, np.int64), np.empty(size, np.int64)
        starts, ratios = np.empty(size), np.empty(size)
        for k in range(len(table)):
            p = table[k]
            peak, step = p[PEAK], p[STEP]
            for z in range(max(planes[k, 0], begin), min(planes[k, 1], end - 1) + 1):
                y0, n_rows = _rows(p, z, cut, firsts, counts, starts, ratios)
                for i in range(n_rows):
                    line = volume[z, y0 + i, firsts[i] : firsts[i] + counts[i]]
                    g, r = peak * starts[i], ratios[i]
                    for x in range(len(line)):
                        line[x] += g
                        g *= r
                        r *= step


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _gather(table: Table, planes: Planes, cut: float, grad: np.ndarray, out: np.ndarray) -> None:
    """Write sums of gradient x kernel x (1, dx, dy, dz, dx2, dxdy, dxdz, dy2, dydz, dz2); the kernel's peak is 1."""
    n, size = len(table), len(grad)
    for chunk in prange(_CHUNKS):
        firsts, counts = np.empty(size, np.int64), np.empty(size, np.int64)
        starts, ratios = np.empty(size), np.empty(size)
        for k in range(chunk * n // _CHUNKS, (chunk + 1) * n // _CHUNKS):
            p = table[k]
            step = p[STEP]
            m, mx, my, mz, mxx, mxy, mxz, myy, myz, mzz = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for z in range(planes[k, 0], planes[k, 1] + 1):
                y0, n_rows = _rows(p, z, cut, firsts, counts, starts, ratios)
                # Sums over the plane: n with the powers of dx and dy.
                n0, nx, ny, nxx, nxy, nyy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
                for i in range(n_rows):
                    line = grad[z, y0 + i, firsts[i] : firsts[i] + counts[i]]
                    dx, dy = firsts[i] - p[X], y0 + i - p[Y]
                    g, r = starts[i], ratios[i]
                    w0, w1, w2 = 0.0, 0.0, 0.0
                    for x in range(len(line)):
                        w = g * line[x]
                        w0 += w
                        w1 += w * dx
                        w2 += w * dx * dx
                        dx += 1.0
                        g *= r
                        r *= step
                    n0, nx, ny = n0 + w0, nx + w1, ny + w0 * dy
                    nxx, nxy, nyy = nxx + w2, nxy + w1 * dy, nyy + w0 * dy * dy
                dz = z - p[Z]
                m, mx, my, mz = m + n0, mx + nx, my + ny, mz + n0 * dz
                mxx, mxy, myy = mxx + nxx, mxy + nxy, myy + nyy
                mxz, myz, mzz = mxz + nx * dz, myz + ny * dz, mzz + n0 * dz * dz
            o = out[k]
            o[0], o[1], o[2], o[3] = m, mx, my, mz
            o[4], o[5], o[6], o[7], o[8], o[9] = mxx, mxy, mxz, myy, myz, mzz


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _differentiate(
    order: np.ndarray,
    moments: Moments,
    scales: np.ndarray,
    quaternions: np.ndarray,
    masses: np.ndarray,
    g_centres: np.ndarray,
    g_scales: np.ndarray,
    g_quaternions: np.ndarray,
    g_masses: np.ndarray,
) -> None:
    """Write the derivatives from the moments M0, M1, M2; h is the peak of the normalised kernel.

    dL/dmass = h M0, dL/dcentre = mass h P M1, dL/dS = mass h / 2 (P M2 P - P M0); on the own axes
    P is diagonal.
    """
    for k in prange(len(order)):
        j = order[k]
        o = moments[k]
        a, b, c = own_axes(quaternions[j])
        s0, s1, s2 = np.float64(scales[j, 0]), np.float64(scales[j, 1]), np.float64(scales[j, 2])
        p0, p1, p2 = 1.0 / (s0 * s0), 1.0 / (s1 * s1), 1.0 / (s2 * s2)
        h = 1.0 / ((2.0 * math.pi) ** 1.5 * s0 * s1 * s2)
        mh = masses[j] * h
        g_masses[j] = h * o[0]
        u0 = mh * p0 * (a[0] * o[1] + a[1] * o[2] + a[2] * o[3])
        u1 = mh * p1 * (b[0] * o[1] + b[1] * o[2] + b[2] * o[3])
        u2 = mh * p2 * (c[0] * o[1] + c[1] * o[2] + c[2] * o[3])
        for axis in range(3):
            g_centres[j, axis] = a[axis] * u0 + b[axis] * u1 + c[axis] * u2
        # dS = 2 s ds on the diagonal.
        g_scales[j, 0] = s0 * mh * p0 * (p0 * form(o, a, a) - o[0])
        g_scales[j, 1] = s1 * mh * p1 * (p1 * form(o, b, b) - o[0])
        g_scales[j, 2] = s2 * mh * p2 * (p2 * form(o, c, c) - o[0])
        # Torque about the own axes.
        t0 = mh * p1 * p2 * form(o, b, c) * (s1 * s1 - s2 * s2)
        t1 = mh * p2 * p0 * form(o, c, a) * (s2 * s2 - s0 * s0)
        t2 = mh * p0 * p1 * form(o, a, b) * (s0 * s0 - s1 * s1)
        turn(quaternions[j], t0, t1, t2, g_quaternions[j])
