"""What is done to the transforms of images, on the CPU with numba: one pass, nothing kept but two numbers per row.

The readable definition is in :mod:`gemmap.kernels.reference_residuals`; this agrees with it to float32 rounding.

Along a row of frequencies the phase of the CTF is a polynomial in kx; its constant term is brought into one turn in
float64, so float32 does for the rest. Threads own rows, and the sums of rows are added up in order: the bits do not
depend on the number of threads.
"""

import math

import numpy as np
from numba import njit, prange

from gemmap._types import Complex, Float
from gemmap.kernels.cpu_geometry import FASTMATH
from gemmap.kernels.cpu_phase import N_POWERS, fill_row, fill_sines, fill_transfer, fill_weight, is_multiplied
from gemmap.physics.image_model import ODD

_ZERO, _TWO = np.float32(0), np.float32(2)


def weigh_residuals(
    projected: Complex[np.ndarray, "b d h"],
    observed: Complex[np.ndarray, "b d h"],
    coefficients: Float[np.ndarray, "b columns"],
    scales: Float[np.ndarray, " b"],
    inverse_noise: Float[np.ndarray, "b s"],
) -> tuple[Complex[np.ndarray, "b d h"], Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """Derivative T W R (written over ``projected``), losses and derivatives by c, complex64 and float32."""
    b, d, _ = projected.shape
    sums = np.empty((b, d, 2))
    of_images = coefficients.astype(np.float64)
    has_odd = np.asarray(of_images[:, ODD].any(axis=1))
    _weigh_rows(projected, observed, of_images, has_odd, scales.astype(np.float64), inverse_noise, sums)
    losses, by_scale = 0.5 * sums[:, :, 0].sum(1), sums[:, :, 1].sum(1) / scales
    return projected, losses.astype(np.float32), by_scale.astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _within_a_turn(phase: Float[np.ndarray, "7"], in_single: Float[np.ndarray, "7"]) -> None:
    """The polynomial in float32, its constant brought into one turn before."""
    phase[0] -= math.floor(phase[0])
    in_single[:] = phase


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _straighten(
    y: Float[np.ndarray, " 2h"],
    phase: Float[np.ndarray, "7"],
    in_single: Float[np.ndarray, "7"],
    rows: Float[np.ndarray, "2 n"],
    out: Float[np.ndarray, " 2n"],
) -> None:
    """Take the odd aberrations off a row: y exp(-2 pi i p(kx))."""
    sine, cosine = rows[0], rows[1]
    _within_a_turn(phase, in_single)
    fill_sines(sine, in_single)
    phase[0] += 0.25
    _within_a_turn(phase, in_single)
    fill_sines(cosine, in_single)
    for kx in range(len(sine)):
        k, re, im = np.uint64(kx), np.uint64(2 * kx), np.uint64(2 * kx + 1)
        out[re] = y[re] * cosine[k] + y[im] * sine[k]
        out[im] = y[im] * cosine[k] - y[re] * sine[k]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _weigh(
    p: Float[np.ndarray, " 2h"],
    y: Float[np.ndarray, " 2h"],
    transfer: Float[np.ndarray, " h"],
    weight: Float[np.ndarray, " h"],
    first: int,
    end: int,
) -> tuple[float, float]:
    """Turn (Re, Im) of P into T W R from kx = first up to the end; return the sums of R W R and of T P W R."""
    loss, by_scale = _ZERO, _ZERO
    for kx in range(first, end):
        # Unsigned, as a signed index may count from the end and is not vectorised.
        k, re, im = np.uint64(kx), np.uint64(2 * kx), np.uint64(2 * kx + 1)
        t, w = transfer[k], weight[k]
        m_re, m_im = t * p[re], t * p[im]
        r_re, r_im = m_re - y[re], m_im - y[im]
        w_re, w_im = w * r_re, w * r_im
        loss += r_re * w_re + r_im * w_im
        by_scale += m_re * w_re + m_im * w_im
        p[re] = t * w_re
        p[im] = t * w_im
    return np.float64(loss), np.float64(by_scale)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _weigh_multiplied(
    p: Float[np.ndarray, " 2h"],
    y: Float[np.ndarray, " 2h"],
    transfer: Float[np.ndarray, " h"],
    weight: Float[np.ndarray, " h"],
    scale: np.float32,
    first: int,
    end: int,
) -> tuple[float, float]:
    """The same for images that hold the CTF twice: T W R is W (T^2 P - c Y), and 2 P W c Y is taken from the loss."""
    loss, by_scale = _ZERO, _ZERO
    for kx in range(first, end):
        k, re, im = np.uint64(kx), np.uint64(2 * kx), np.uint64(2 * kx + 1)
        t2, w = transfer[k] * transfer[k], weight[k]
        p_re, p_im, y_re, y_im = p[re], p[im], scale * y[re], scale * y[im]
        g_re, g_im = w * (t2 * p_re - y_re), w * (t2 * p_im - y_im)
        by_scale += p_re * g_re + p_im * g_im
        loss += w * (t2 * (p_re * p_re + p_im * p_im) - _TWO * (p_re * y_re + p_im * y_im))
        p[re] = g_re
        p[im] = g_im
    return np.float64(loss), np.float64(by_scale)


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _weigh_rows(
    projected: np.ndarray,
    observed: np.ndarray,
    coefficients: np.ndarray,
    has_odd: np.ndarray,
    scales: np.ndarray,
    inverse_noise: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Turn P into T W R in place, 0 from the radius D/2 on; write the two sums of every row, over the full plane."""
    b, d, h = projected.shape
    for task in prange(b * d):
        i, iy = task // d, task % d
        ky = iy if iy < (d + 1) // 2 else iy - d
        inside = 0
        while inside < h and 4 * (inside * inside + ky * ky) < d * d:
            inside += 1
        of_image, scale = coefficients[i], np.float32(scales[i])
        even, odd, in_single = np.empty(N_POWERS), np.empty(N_POWERS), np.empty(N_POWERS, np.float32)
        rows = np.empty((2, inside), np.float32)
        fill_row(of_image, ky, even, odd)
        _within_a_turn(even, in_single)
        fill_transfer(rows[0], of_image, in_single, ky, scales[i])
        fill_weight(rows[1], inverse_noise[i], ky)
        p, y = projected[i, iy].view(np.float32), observed[i, iy].view(np.float32)
        if has_odd[i]:
            straight = np.empty(2 * inside, np.float32)
            _straighten(y, odd, in_single, np.empty((2, inside), np.float32), straight)
            y = straight
        # All points with kx > 0 stand for their mates as well.
        one = min(inside, 1)
        if is_multiplied(of_image):
            single = _weigh_multiplied(p, y, rows[0], rows[1], scale, 0, one)
            double = _weigh_multiplied(p, y, rows[0], rows[1], scale, 1, inside)
        else:
            single = _weigh(p, y, rows[0], rows[1], 0, one)
            double = _weigh(p, y, rows[0], rows[1], 1, inside)
        sums[i, iy, 0], sums[i, iy, 1] = single[0] + 2.0 * double[0], single[1] + 2.0 * double[1]
        for place in range(2 * inside, 2 * h):
            p[place] = _ZERO
