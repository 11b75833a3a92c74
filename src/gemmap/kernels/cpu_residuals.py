"""What is done to the transforms of images, on the CPU with numba: one pass, nothing kept but two numbers per row.

The readable definition is in :mod:`gemmap.kernels.reference_residuals`; this agrees with it to float32 rounding.

Along a row of frequencies the phase of the CTF is a polynomial in kx; its constant term is brought into one turn in
float64, so float32 does for the rest. The envelope is the product of a factor for kx and one for ky. Threads own rows,
and the sums of rows are added up in order: the bits do not depend on the number of threads.
"""

import math
from typing import TypeAlias

import numpy as np
from numba import njit, prange

from gemmap._types import Complex, Float
from gemmap.kernels.cpu_geometry import FASTMATH

Phase: TypeAlias = tuple[np.float32, np.float32, np.float32, np.float32]

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
# sin(x) = x - x^3/3! + x^5/5! ..., to 1e-7 for |x| <= pi/2.
_S3, _S5, _S7, _S9, _S11 = (np.float32((-1) ** (k // 2) / math.factorial(k)) for k in (3, 5, 7, 9, 11))
_TURN = np.float32(2.0 * math.pi)
# Coefficients of a CTF that is 1 everywhere: -sin(-pi/2).
_NO_CTF = (0.0, 0.0, 0.0, 0.0, -0.5 * math.pi, 0.0, 1.0)


def weigh_residuals(
    projected: Complex[np.ndarray, "b d h"],
    observed: Complex[np.ndarray, "b d h"],
    ctf: Float[np.ndarray, "b 7"] | None,
    scales: Float[np.ndarray, " b"],
    inverse_noise: Float[np.ndarray, "b s"],
    pixel_size_a: float,
) -> tuple[Complex[np.ndarray, "b d h"], Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """Derivative T W R (written over ``projected``), losses and derivatives by c, complex64 and float32."""
    b, d, h = projected.shape
    step = 1.0 / (d * pixel_size_a)
    c = np.broadcast_to(np.array(_NO_CTF), (b, 7)) if ctf is None else ctf.astype(np.float64)
    turns = c[:, :5] * np.array([step**2, step**2, step**2, step**4, 1.0]) / (2.0 * math.pi)
    envelopes = np.exp(-0.25 * step**2 * c[:, 5:6] * np.arange(h) ** 2).astype(np.float32)
    amplitudes = -c[:, 6] * scales
    sums = np.empty((b, d, 2))
    _weigh_rows(projected, observed, turns, envelopes, amplitudes, inverse_noise, sums)
    losses, by_scale = 0.5 * sums[:, :, 0].sum(1), sums[:, :, 1].sum(1) / scales
    return projected, losses.astype(np.float32), by_scale.astype(np.float32)


@njit(inline="always", fastmath=FASTMATH)
def _sin_of_turns(turns: np.float32) -> np.float32:
    """sin(2 pi turns) in float32, as a polynomial: libm's sine is not vectorised."""
    t = turns - np.floor(turns + _HALF)
    a = abs(t)
    x = _TURN * min(a, _HALF - a)
    x2 = x * x
    s: np.float32 = x * (_ONE + x2 * (_S3 + x2 * (_S5 + x2 * (_S7 + x2 * (_S9 + x2 * _S11)))))
    return s if t >= _ZERO else -s


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _fill_transfer(
    transfer: Float[np.ndarray, " h"], envelope: Float[np.ndarray, " h"], amplitude: np.float32, phase: Phase
) -> None:
    """Scale times CTF along a row: amplitude x envelope x sine of a polynomial in kx, in turns."""
    constant, slope, square, fourth = phase
    for kx in range(len(transfer)):
        x = np.float32(np.int32(kx))
        x2 = x * x
        sine = _sin_of_turns(constant + slope * x + x2 * (square + fourth * x2))
        transfer[kx] = amplitude * envelope[kx] * sine


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _fill_weight(weight: Float[np.ndarray, " h"], inverse_noise: Float[np.ndarray, " s"], ky: int) -> None:
    """1/sigma^2 along a row, by the shell round(|k|)."""
    ky2 = np.int32(ky * ky)
    for kx in range(len(weight)):
        x = np.int32(kx)
        weight[kx] = inverse_noise[np.uint64(np.int32(np.sqrt(np.float32(x * x + ky2)) + _HALF))]


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


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _weigh_rows(
    projected: np.ndarray,
    observed: np.ndarray,
    turns: np.ndarray,
    envelopes: np.ndarray,
    amplitudes: np.ndarray,
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
        constant = turns[i, 2] * ky**2 + turns[i, 3] * ky**4 + turns[i, 4]
        phase = (
            np.float32(constant - math.floor(constant)),
            np.float32(turns[i, 1] * ky),
            np.float32(turns[i, 0] + 2.0 * turns[i, 3] * ky**2),
            np.float32(turns[i, 3]),
        )
        rows = np.empty((2, inside), np.float32)
        _fill_transfer(rows[0], envelopes[i], np.float32(amplitudes[i] * envelopes[i, abs(ky)]), phase)
        _fill_weight(rows[1], inverse_noise[i], ky)
        p, y = projected[i, iy].view(np.float32), observed[i, iy].view(np.float32)
        # All points with kx > 0 stand for their mates as well.
        single = _weigh(p, y, rows[0], rows[1], 0, min(inside, 1))
        double = _weigh(p, y, rows[0], rows[1], 1, inside)
        sums[i, iy, 0], sums[i, iy, 1] = single[0] + 2.0 * double[0], single[1] + 2.0 * double[1]
        for place in range(2 * inside, 2 * h):
            p[place] = _ZERO
