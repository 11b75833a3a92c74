"""The compiled part of :mod:`gemmap.kernels.cpu_project`: Gaussians to images and back.

The readable definitions are in :mod:`gemmap.kernels.reference_project`; these agree with them to float32 rounding.

In an image a Gaussian has the centre (x, y) and the covariance C = B B^T, B = A_2x3 R(q) diag(s). With d = u - centre,
the exponent d^T C^-1 d is taken in nested form, as the square of a whitened offset,

    u_y = d_y / sqrt(C_yy),     u_x = (d_x - slope d_y) sqrt(C_yy / det C),     slope = C_xy / C_yy,

so a pixel belongs to the support where |u| <= cut. det C is the squared length of the cross product of B's rows
(Cauchy-Binet): a sum of squares, positive for all scales > 0, and no subtraction of nearly equal numbers for needles
and sheets.

Centres and constants are float64. Inside a row, u and the kernel are float32, taken eight pixels at a time by the
processor's vector unit with a short series for the exponential. Every row of a Gaussian takes the same pixels, those of
the rectangle around the ellipse in whole vectors, and the exponent says which of them count: an exact interval for each
row needs a square root, and a branch that is often mispredicted. At the right edge the rectangle begins further left,
so that no pixel outside the image is touched.

Forward: each thread owns an image, or a band of rows if there are more threads than images, and adds the Gaussians in
their order, so no atomics are needed and the bits do not depend on the number of threads. Backward: each Gaussian reads
its own window in every image and takes the moments of order 0, 1 and 2 of gradient x kernel, from which all derivatives
are closed forms. Threads own runs of Gaussians of a fixed length; what a run adds to the derivatives of the poses is
kept and summed in the order of the runs.

A run is taken in phases: look at all its Gaussians in an image, then go over their pixels, then (backward) take the
derivatives. One Gaussian after the other, the processor waits for the square roots and sums of each.
"""

import math
from typing import TypeAlias

import numpy as np
from numba import njit, prange

from gemmap._types import Float
from gemmap.kernels.cpu_geometry import FASTMATH, Vector, form, overlap, own_axes, turn

Moments: TypeAlias = tuple[float, float, float, float, float, float]

# Columns of the table, one row per Gaussian: centre, R(q) diag(s) row by row, mass.
X, Y, Z, AXES, MASS, N_COLUMNS = 0, 1, 2, 3, 12, 13
# What a Gaussian is in one image: centre as pixel indices, 1 / sqrt(C_yy), slope, sqrt(C_yy / det C), peak for mass 1,
# rows of B; and its pixels: first and last row, first column and their number.
_X, _Y, _PER_Y, _SLOPE, _PER_X, _PEAK, _B_X, _B_Y, _N_SEEN = 0, 1, 2, 3, 4, 5, 6, 9, 12
_TOP, _BOTTOM, _LEFT, _COUNT, _N_WINDOW = 0, 1, 2, 3, 4

LANES = 8
# Gaussians that a thread takes at a time, images in turn: fewer, and the images are read from memory more often.
RUN = 512
# Pixels whose weights are kept until their moments are taken, in whole blocks; a larger window is taken in parts.
_PIXELS, _BLOCK = 4096, 16

_HALF, _NOTHING, _LOWEST = np.float32(0.5), np.float32(0), np.float32(-126)
# 2^f = sum_k C_k f^k, to 1e-7 for |f| <= 1/2.
_SERIES = np.polynomial.Chebyshev.interpolate(np.exp2, 5, [-0.5, 0.5]).convert(kind=np.polynomial.Polynomial).coef
_C0, _C1, _C2, _C3, _C4, _C5 = (np.float32(c) for c in _SERIES)
# exp(-u^2 / 2) = 2^(_LOG2 u^2).
_LOG2 = -0.5 / math.log(2)
_LOG2_F = np.float32(_LOG2)


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def build_table(
    centres: np.ndarray, scales: np.ndarray, quaternions: np.ndarray, masses: np.ndarray
) -> Float[np.ndarray, "n columns"]:
    """Constants of every Gaussian that do not depend on the view."""
    table = np.empty((len(masses), N_COLUMNS))
    for j in prange(len(masses)):
        axes = own_axes(quaternions[j])
        p = table[j]
        p[X], p[Y], p[Z] = centres[j, 0], centres[j, 1], centres[j, 2]
        for row in range(3):
            p[AXES + 3 * row] = axes[0][row] * scales[j, 0]
            p[AXES + 3 * row + 1] = axes[1][row] * scales[j, 1]
            p[AXES + 3 * row + 2] = axes[2][row] * scales[j, 2]
        p[MASS] = masses[j]
    return table


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _seen(table: np.ndarray, j: int, a0: float, a1: float, a2: float) -> Vector:
    """One row of B: R(q) diag(s) seen along one axis of the image, (a0, a1, a2) in the map."""
    return (
        a0 * table[j, AXES] + a1 * table[j, AXES + 3] + a2 * table[j, AXES + 6],
        a0 * table[j, AXES + 1] + a1 * table[j, AXES + 4] + a2 * table[j, AXES + 7],
        a0 * table[j, AXES + 2] + a1 * table[j, AXES + 5] + a2 * table[j, AXES + 8],
    )


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _see(
    table: np.ndarray,
    first: int,
    end: int,
    rotation: np.ndarray,
    shift: np.ndarray,
    cut: float,
    size: int,
    seen: np.ndarray,
    windows: np.ndarray,
) -> None:
    """Look at a run of Gaussians: fill ``seen`` and ``windows``, a row for each."""
    r = rotation
    for j in range(first, end):
        p = j - first
        c_x, c_y, c_z = table[j, X], table[j, Y], table[j, Z]
        x = r[0, 0] * c_x + r[0, 1] * c_y + r[0, 2] * c_z - shift[0] + size // 2
        y = r[1, 0] * c_x + r[1, 1] * c_y + r[1, 2] * c_z - shift[1] + size // 2
        b, c = _seen(table, j, r[0, 0], r[0, 1], r[0, 2]), _seen(table, j, r[1, 0], r[1, 1], r[1, 2])
        c_xx, c_yy = b[0] * b[0] + b[1] * b[1] + b[2] * b[2], c[0] * c[0] + c[1] * c[1] + c[2] * c[2]
        n0, n1, n2 = b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]
        root_det, width_y = math.sqrt(n0 * n0 + n1 * n1 + n2 * n2), math.sqrt(c_yy)
        seen[p, _X], seen[p, _Y] = x, y
        seen[p, _PER_Y], seen[p, _PER_X] = 1.0 / width_y, width_y / root_det
        seen[p, _SLOPE] = (b[0] * c[0] + b[1] * c[1] + b[2] * c[2]) / c_yy
        seen[p, _PEAK] = 1.0 / (2.0 * math.pi * root_det)
        for axis in range(3):
            seen[p, _B_X + axis], seen[p, _B_Y + axis] = b[axis], c[axis]
        windows[p, _TOP], windows[p, _BOTTOM] = overlap(y, cut * width_y, size)
        left, right = overlap(x, cut * math.sqrt(c_xx), size)
        # Whole vectors, moved to the left where they would leave the image.
        count = min(max(right - left + LANES, 0) // LANES * LANES, size)
        windows[p, _LEFT], windows[p, _COUNT] = min(left, size - count), count


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _exp2(v: np.float32) -> np.float32:
    """2^v in float32, for v <= 0; 1e-38 below."""
    v = v if v > _LOWEST else _LOWEST
    n = np.int32(v - _HALF)
    f = v - np.float32(n)
    series = _C0 + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * _C5))))
    power: np.float32 = series * np.int32((n + np.int32(127)) << np.int32(23)).view(np.float32)
    return power


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def splat(
    table: np.ndarray, rotations: np.ndarray, shifts: np.ndarray, cut: float, bands: int, images: np.ndarray
) -> None:
    """Write the images; one thread per band of rows of an image."""
    size = images.shape[1]
    lowest = np.float32(_LOG2 * cut * cut)
    for task in prange(len(images) * bands):
        i, band = task // bands, task % bands
        top, bottom = band * size // bands, (band + 1) * size // bands
        rotation, shift = rotations[i], shifts[i]
        pixels = images[i].reshape(size * size)
        pixels[top * size : bottom * size] = _NOTHING
        seen, windows = np.empty((RUN, _N_SEEN)), np.empty((RUN, _N_WINDOW), np.int64)
        for first in range(0, len(table), RUN):
            end = min(first + RUN, len(table))
            _see(table, first, end, rotation, shift, cut, size, seen, windows)
            for p in range(end - first):
                x, y, slope = seen[p, _X], seen[p, _Y], seen[p, _SLOPE]
                per_x, per_y, left, count = seen[p, _PER_X], seen[p, _PER_Y], windows[p, _LEFT], windows[p, _COUNT]
                step, height = np.float32(per_x), np.float32(table[first + p, MASS] * seen[p, _PEAK])
                for row in range(max(windows[p, _TOP], top), min(windows[p, _BOTTOM], bottom - 1) + 1):
                    u_y = (row - y) * per_y
                    start, log2 = np.float32((left - x - slope * (row - y)) * per_x), np.float32(_LOG2 * u_y * u_y)
                    # Unsigned, as a signed index may count from the end and is not vectorised; 32 bits as float32 has.
                    begin = np.uint64(row * size + left)
                    for lane in range(count):
                        u = start + np.float32(np.int32(lane)) * step
                        exponent = log2 + _LOG2_F * u * u
                        value = height * _exp2(exponent)
                        pixels[begin + np.uint64(lane)] += value if exponent >= lowest else _NOTHING


# Inlined, this and the next: as calls they take a sixth longer.
@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH, inline="always")
def _sums(kept: np.ndarray, filled: int) -> Moments:
    """Sums of gradient x kernel x (1, u_x, u_y, u_x^2, u_x u_y, u_y^2) over the pixels kept."""
    plane = np.uint64(len(kept) // 3)
    # Whole blocks, as the loop is unrolled over two vectors; a fixed number of zeros, as it is not a call of memset.
    full = (filled + _BLOCK - 1) // _BLOCK * _BLOCK
    for i in range(_BLOCK):
        kept[np.uint64(filled) + np.uint64(i)] = _NOTHING
    m, m_x, m_y = _NOTHING, _NOTHING, _NOTHING
    m_xx, m_xy, m_yy = _NOTHING, _NOTHING, _NOTHING
    for i in range(full):
        q = np.uint64(i)
        w, x, y = kept[q], kept[plane + q], kept[plane + plane + q]
        wx, wy = w * x, w * y
        m, m_x, m_y = m + w, m_x + wx, m_y + wy
        m_xx, m_xy, m_yy = m_xx + wx * x, m_xy + wx * y, m_yy + wy * y
    return np.float64(m), np.float64(m_x), np.float64(m_y), np.float64(m_xx), np.float64(m_xy), np.float64(m_yy)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH, inline="always")
def _moments(
    seen: np.ndarray, windows: np.ndarray, p: int, cut: float, grad: np.ndarray, size: int, kept: np.ndarray
) -> Moments:
    """Moments of gradient x kernel over the support, in the whitened offset u; the kernel's peak is 1."""
    m, m_x, m_y, m_xx, m_xy, m_yy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    x, y, slope, per_x, per_y = seen[p, _X], seen[p, _Y], seen[p, _SLOPE], seen[p, _PER_X], seen[p, _PER_Y]
    bottom, left, count = windows[p, _BOTTOM], windows[p, _LEFT], windows[p, _COUNT]
    step, lowest = np.float32(per_x), np.float32(_LOG2 * cut * cut)
    plane, filled = np.uint64(len(kept) // 3), 0
    for row in range(windows[p, _TOP], bottom + 1):
        u_y = (row - y) * per_y
        start, log2 = np.float32((left - x - slope * (row - y)) * per_x), np.float32(_LOG2 * u_y * u_y)
        across, begin = np.float32(u_y), np.uint64(row * size + left)
        for lane in range(count):
            u = start + np.float32(np.int32(lane)) * step
            exponent = log2 + _LOG2_F * u * u
            weight = _exp2(exponent) * grad[begin + np.uint64(lane)]
            q = np.uint64(filled) + np.uint64(lane)
            kept[q] = weight if exponent >= lowest else _NOTHING
            kept[plane + q] = u
            kept[plane + plane + q] = across
        filled += count
        if row == bottom or filled + size + _BLOCK > len(kept) // 3:
            part = _sums(kept, filled)
            m, m_x, m_y = m + part[0], m_x + part[1], m_y + part[2]
            m_xx, m_xy, m_yy = m_xx + part[3], m_xy + part[4], m_yy + part[5]
            filled = 0
    return m, m_x, m_y, m_xx, m_xy, m_yy


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def gather(
    table: np.ndarray,
    rotations: np.ndarray,
    shifts: np.ndarray,
    cut: float,
    grad: np.ndarray,
    in_space: np.ndarray,
    of_runs: np.ndarray,
) -> None:
    """Add up dL/dmass, dL/dcentre and 2 dL/dS of each Gaussian, and of each run dL/dA_2x3 and dL/dshift of every image.

    With the whitening u = W d, K = M2 - M0 and the height h: for the centre c in the image dL/dc = h W^T M1, and
    2 dL/dC = h W^T K W. From there, with H = A_2x3, dL/dcentre = H^T dL/dc, dL/dS = H^T dL/dC H, dL/dshift = -dL/dc,
    and dL/dH = dL/dc centre^T + 2 dL/dC B (R diag s)^T.
    """
    b, size, _ = grad.shape
    for run in prange(len(of_runs)):
        kept = np.zeros(3 * (max(_PIXELS, size) + _BLOCK), np.float32)
        first, end = run * RUN, min((run + 1) * RUN, len(table))
        seen, windows, moments = np.empty((RUN, _N_SEEN)), np.empty((RUN, _N_WINDOW), np.int64), np.empty((RUN, 6))
        for i in range(b):
            pixels = grad[i].reshape(size * size)
            a, g = rotations[i], of_runs[run, i]
            _see(table, first, end, a, shifts[i], cut, size, seen, windows)
            for p in range(end - first):
                m, m_x, m_y, m_xx, m_xy, m_yy = _moments(seen, windows, p, cut, pixels, size, kept)
                moments[p, 0], moments[p, 1], moments[p, 2] = m, m_x, m_y
                moments[p, 3], moments[p, 4], moments[p, 5] = m_xx, m_xy, m_yy
            for j in range(first, end):
                p = j - first
                m, m_x, m_y = moments[p, 0], moments[p, 1], moments[p, 2]
                m_xx, m_xy, m_yy = moments[p, 3], moments[p, 4], moments[p, 5]
                slope, per_x, per_y, peak = seen[p, _SLOPE], seen[p, _PER_X], seen[p, _PER_Y], seen[p, _PEAK]
                b_x = (seen[p, _B_X], seen[p, _B_X + 1], seen[p, _B_X + 2])
                b_y = (seen[p, _B_Y], seen[p, _B_Y + 1], seen[p, _B_Y + 2])
                h = table[j, MASS] * peak
                g_x = h * m_x * per_x
                g_y = h * m_y * per_y - slope * g_x
                k_xx = h * (m_xx - m) * per_x * per_x
                k_xy = h * m_xy * per_x * per_y
                c_xx, c_xy = k_xx, k_xy - slope * k_xx
                c_yy = h * (m_yy - m) * per_y * per_y - slope * (k_xy + c_xy)
                in_space[j, 0] += peak * m
                for axis in range(3):
                    in_space[j, 1 + axis] += a[0, axis] * g_x + a[1, axis] * g_y
                column = 4
                for axis in range(3):
                    t_x, t_y = c_xx * a[0, axis] + c_xy * a[1, axis], c_xy * a[0, axis] + c_yy * a[1, axis]
                    for other in range(axis, 3):
                        in_space[j, column] += t_x * a[0, other] + t_y * a[1, other]
                        column += 1
                for axis in range(3):
                    at = AXES + 3 * axis
                    along_x = b_x[0] * table[j, at] + b_x[1] * table[j, at + 1] + b_x[2] * table[j, at + 2]
                    along_y = b_y[0] * table[j, at] + b_y[1] * table[j, at + 1] + b_y[2] * table[j, at + 2]
                    g[axis] += g_x * table[j, axis] + c_xx * along_x + c_xy * along_y
                    g[3 + axis] += g_y * table[j, axis] + c_xy * along_x + c_yy * along_y
                g[6] -= g_x
                g[7] -= g_y


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def differentiate(
    in_space: np.ndarray,
    scales: np.ndarray,
    quaternions: np.ndarray,
    g_centres: np.ndarray,
    g_scales: np.ndarray,
    g_quaternions: np.ndarray,
    g_masses: np.ndarray,
) -> None:
    """Write the derivatives of the 11 parameters, from those with respect to mass, centre and S."""
    for j in prange(len(in_space)):
        o = in_space[j]
        a, b, c = own_axes(quaternions[j])
        s0, s1, s2 = np.float64(scales[j, 0]), np.float64(scales[j, 1]), np.float64(scales[j, 2])
        g_masses[j] = o[0]
        for axis in range(3):
            g_centres[j, axis] = o[1 + axis]
        # dS = 2 s ds on the own axes; columns 4 to 9 hold 2 dL/dS.
        g_scales[j, 0] = s0 * form(o, a, a)
        g_scales[j, 1] = s1 * form(o, b, b)
        g_scales[j, 2] = s2 * form(o, c, c)
        # Torque about the own axes.
        t0 = form(o, b, c) * (s1 * s1 - s2 * s2)
        t1 = form(o, c, a) * (s2 * s2 - s0 * s0)
        t2 = form(o, a, b) * (s0 * s0 - s1 * s1)
        turn(quaternions[j], t0, t1, t2, g_quaternions[j])
