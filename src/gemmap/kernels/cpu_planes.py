"""What is done to the planes of an aggregate's grid, on the CPU with numba: one pass, nothing of their size is made.

Planes are those of constant x frequency from ``first`` on, axes (x, y, z); numerator and weight have the grid's own
order (z, y, x), and are read for as many z together as make a cache line of a plane. Shells are those of the box, on a
grid that is finer by ``ratio`` = D/M; everything beyond the last one is counted with it. These run on one thread, and
any number of threads may call them.
"""

import math

import numpy as np
from numba import njit

from gemmap._types import Complex, Float

_HALF = np.float32(0.5)
_TOGETHER = 8


@njit(cache=True, nogil=True, error_model="numpy")
def multiply(planes: Complex[np.ndarray, "c m m"], factors: Float[np.ndarray, "c m m"]) -> None:
    """Multiply by real factors: torch would first make complex numbers of them."""
    flat, of_flat = planes.ravel(), factors.ravel()
    for i in range(len(of_flat)):
        flat[i] *= of_flat[i]


@njit(cache=True, nogil=True, error_model="numpy")
def multiply_axes(
    planes: Complex[np.ndarray, "c m m"],
    x: Float[np.ndarray, " c"],
    y: Float[np.ndarray, " m"],
    z: Float[np.ndarray, " m"],
) -> None:
    """Multiply by the product of one real factor for each axis."""
    c, m, _ = planes.shape
    for i in range(c):
        for j in range(m):
            along = x[i] * y[j]
            for k in range(m):
                planes[i, j, k] *= along * z[k]


@njit(cache=True, nogil=True, error_model="numpy")
def divide(
    numerator: Complex[np.ndarray, "m m h"],
    weight: Float[np.ndarray, "m m h"],
    damping: float,
    first: int,
    planes: Complex[np.ndarray, "c m m"],
) -> None:
    """Write N / (W + damping)."""
    c, m, _ = planes.shape
    for z0 in range(0, m, _TOGETHER):
        for y in range(m):
            for z in range(z0, min(z0 + _TOGETHER, m)):
                for i in range(c):
                    planes[i, y, z] = numerator[z, y, first + i] / (weight[z, y, first + i] + np.float32(damping))


@njit(cache=True, nogil=True, error_model="numpy")
def damp_residual(
    planes: Complex[np.ndarray, "c m m"],
    numerator: Complex[np.ndarray, "m m h"],
    weight: Float[np.ndarray, "m m h"],
    variance: Float[np.ndarray, " s"],
    first: int,
    ratio: float,
) -> None:
    """Replace F by (N - W F) tau^2 / (W tau^2 + 1), with the variance tau^2 (float32) of the last shell and beyond."""
    c, m, _ = planes.shape
    for z0 in range(0, m, _TOGETHER):
        for y in range(m):
            for z in range(z0, min(z0 + _TOGETHER, m)):
                for i in range(c):
                    w = weight[z, y, first + i]
                    tau2 = variance[_shell(z, y, first + i, m, ratio, len(variance) - 1)]
                    factor = tau2 / (w * tau2 + np.float32(1.0))
                    planes[i, y, z] = (numerator[z, y, first + i] - w * planes[i, y, z]) * factor


@njit(cache=True, nogil=True, error_model="numpy")
def sum_residuals(
    planes: Complex[np.ndarray, "c m m"],
    numerators: tuple[Complex[np.ndarray, "m m h"], Complex[np.ndarray, "m m h"]],
    weights: tuple[Float[np.ndarray, "m m h"], Float[np.ndarray, "m m h"]],
    first: int,
    ratio: float,
    sums: Float[np.ndarray, "3 s"],
) -> None:
    """Add, shell by shell, Re(R_1 conj(R_2)), |R_1|^2 |R_2|^2 / 2 and W_1 W_2, with R_i = N_i - W_i F."""
    c, m, _ = planes.shape
    for z0 in range(0, m, _TOGETHER):
        for y in range(m):
            for z in range(z0, min(z0 + _TOGETHER, m)):
                for i in range(c):
                    at = z, y, first + i
                    w1, w2 = weights[0][at], weights[1][at]
                    r1 = numerators[0][at] - w1 * planes[i, y, z]
                    r2 = numerators[1][at] - w2 * planes[i, y, z]
                    s = _shell(z, y, first + i, m, ratio, sums.shape[1] - 1)
                    power1 = np.float64(r1.real) ** 2 + np.float64(r1.imag) ** 2
                    power2 = np.float64(r2.real) ** 2 + np.float64(r2.imag) ** 2
                    sums[0, s] += np.float64(r1.real) * r2.real + np.float64(r1.imag) * r2.imag
                    sums[1, s] += 0.5 * power1 * power2
                    sums[2, s] += np.float64(w1) * w2


@njit(cache=True, nogil=True, error_model="numpy")
def sum_agreement(
    planes: Complex[np.ndarray, "c m m"],
    numerator: Complex[np.ndarray, "m m h"],
    weight: Float[np.ndarray, "m m h"],
    first: int,
    ratio: float,
    sums: Float[np.ndarray, "2 s"],
) -> None:
    """Add, shell by shell of the full grid, Re(conj(N) F) and W |F|^2: planes stand for their mates, but x = 0."""
    c, m, _ = planes.shape
    for z0 in range(0, m, _TOGETHER):
        for y in range(m):
            for z in range(z0, min(z0 + _TOGETHER, m)):
                for i in range(c):
                    both = 1.0 if first + i == 0 else 2.0
                    n, f = numerator[z, y, first + i], planes[i, y, z]
                    real, imaginary = np.float64(f.real), np.float64(f.imag)
                    s = _shell(z, y, first + i, m, ratio, sums.shape[1] - 1)
                    sums[0, s] += both * (n.real * real + n.imag * imaginary)
                    sums[1, s] += both * weight[z, y, first + i] * (real * real + imaginary * imaginary)


@njit(cache=True, nogil=True, inline="always")
def _shell(z: int, y: int, x: int, m: int, ratio: float, last: int) -> int:
    """Number of the shell of a grid point, z and y in the order of the transform."""
    kz, ky = z if 2 * z < m else z - m, y if 2 * y < m else y - m
    radius = np.float32(math.sqrt(kz * kz + ky * ky + x * x) * ratio)
    return min(int(radius + _HALF), last)
