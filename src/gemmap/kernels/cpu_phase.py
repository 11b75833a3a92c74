"""What the compiled kernels of image transforms share: phases along a row, sines, exponentials and weights.

Along a row of frequencies every polynomial of :mod:`gemmap.physics.image_model` is one in kx. After a change here
remove numba's caches (``make clean``): those of the callers do not notice it.
"""

import math

import numpy as np
from numba import njit

from gemmap._types import Float
from gemmap.kernels.cpu_geometry import FASTMATH
from gemmap.physics.image_model import ENVELOPE, FACTOR, MODE, Mode

#: Powers of kx along a row, 0 .. 6.
N_POWERS = 7

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
# sin(x) = x - x^3/3! + x^5/5! ..., to 1e-7 for |x| <= pi/2.
_S3, _S5, _S7, _S9, _S11 = (np.float32((-1) ** (k // 2) / math.factorial(k)) for k in (3, 5, 7, 9, 11))
_TURN = np.float32(2.0 * math.pi)
# 2^f = sum_k C_k f^k, to 1e-7 for |f| <= 1/2.
_SERIES = np.polynomial.Chebyshev.interpolate(np.exp2, 5, [-0.5, 0.5]).convert(kind=np.polynomial.Polynomial).coef
_C0, _C1, _C2, _C3, _C4, _C5 = (np.float32(c) for c in _SERIES)
_LARGEST = np.float32(126)
_PER_LN2 = 1.0 / math.log(2.0)


@njit(inline="always", fastmath=FASTMATH)
def _sin_of_turns(turns: float) -> np.float32:
    """sin(2 pi turns) to float32, as a polynomial: libm's sine is not vectorised."""
    t = np.float32(turns - np.floor(turns + _HALF))
    a = abs(t)
    x = _TURN * min(a, _HALF - a)
    x2 = x * x
    s: np.float32 = x * (_ONE + x2 * (_S3 + x2 * (_S5 + x2 * (_S7 + x2 * (_S9 + x2 * _S11)))))
    return s if t >= _ZERO else -s


@njit(inline="always", fastmath=FASTMATH)
def _exp2(v: np.float32) -> np.float32:
    """2^v in float32, v held within -126 .. 126."""
    v = min(max(v, -_LARGEST), _LARGEST)
    n = np.floor(v + _HALF)
    f = v - n
    series = _C0 + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * _C5))))
    power: np.float32 = series * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return power


# Numba takes neither slices nor enums of a module as constants in every place.
_XX, _XY, _YY, _FACTOR, _MODE = ENVELOPE.start, ENVELOPE.start + 1, ENVELOPE.start + 2, FACTOR, MODE
_FLIPPED, _MULTIPLIED = float(Mode.FLIPPED), float(Mode.MULTIPLIED)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def is_multiplied(c: Float[np.ndarray, " columns"]) -> bool:
    """Whether the image was multiplied by its CTF."""
    answer: bool = c[_MODE] == _MULTIPLIED
    return answer


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def fill_row(c: Float[np.ndarray, " columns"], ky: int, even: np.ndarray, odd: np.ndarray) -> None:
    """Coefficients of the powers of kx along a row, in turns: of gamma, and of the odd aberrations."""
    # Homogeneous parts one after the other: kx^(degree - j) ky^j.
    even[:] = 0.0
    odd[:] = 0.0
    start = 0
    for degree in range(0, 7, 2):
        power = 1.0
        for j in range(degree + 1):
            even[degree - j] += c[start + j] * power
            power *= ky
        start += degree + 1
    for degree in range(1, 6, 2):
        power = 1.0
        for j in range(degree + 1):
            odd[degree - j] += c[start + j] * power
            power *= ky
        start += degree + 1


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def fill_sines(row: Float[np.ndarray, " h"], phase: Float[np.ndarray, "7"]) -> None:
    """sin(2 pi p(kx)) for p in turns, evaluated in the type of its coefficients: with a constant within one turn
    float32 is enough for a CTF.
    """
    p0, p1, p2, p3, p4, p5, p6 = phase[0], phase[1], phase[2], phase[3], phase[4], phase[5], phase[6]
    for kx in range(len(row)):
        x = np.float32(np.int32(kx))
        row[kx] = _sin_of_turns(p0 + x * (p1 + x * (p2 + x * (p3 + x * (p4 + x * (p5 + x * p6))))))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _damp(row: Float[np.ndarray, " h"], c: Float[np.ndarray, " columns"], ky: int) -> None:
    """Multiply a row by the envelope."""
    xx, xy, yy = c[_XX] * _PER_LN2, c[_XY] * _PER_LN2, c[_YY] * _PER_LN2
    if xx == 0.0 and xy == 0.0 and yy == 0.0:
        return
    e0, e1, e2 = np.float32(yy * ky * ky), np.float32(xy * ky), np.float32(xx)
    for kx in range(len(row)):
        x = np.float32(np.int32(kx))
        row[kx] *= _exp2(e0 + x * (e1 + x * e2))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def fill_transfer(
    row: Float[np.ndarray, " h"], c: Float[np.ndarray, " columns"], even: np.ndarray, ky: int, scale: float
) -> None:
    """Transfer times scale along a row."""
    fill_sines(row, even)
    factor = np.float32(-c[_FACTOR])
    for kx in range(len(row)):
        row[kx] *= factor
    _damp(row, c, ky)
    if c[_MODE] == _FLIPPED:
        for kx in range(len(row)):
            row[kx] = abs(row[kx])
    factor = np.float32(scale)
    for kx in range(len(row)):
        row[kx] *= factor


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def fill_weight(weight: Float[np.ndarray, " h"], inverse_noise: Float[np.ndarray, " s"], ky: int) -> None:
    """1/sigma^2 along a row, by the shell round(|k|)."""
    ky2 = np.int32(ky * ky)
    for kx in range(len(weight)):
        x = np.int32(kx)
        weight[kx] = inverse_noise[np.uint64(np.int32(np.sqrt(np.float32(x * x + ky2)) + _HALF))]
