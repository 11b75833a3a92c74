r"""Zernike polynomials of aberrations, in RELION's order, and as polynomials in kx and ky.

.. math::

    Z_{nm}(\rho, \varphi) = R_n^{|m|}(\rho) \cos m\varphi \;(m \ge 0), \quad
    R_n^{|m|}(\rho) \sin |m|\varphi \;(m < 0)

with rho = |k| in 1/Å, *not* normalised to a radius, phi from +x (columns) towards +y (rows), and R_n^m(1) = 1. Within
one parity of n the order is n ascending, then m = -n, -n + 2, .., n: odd (1, -1), (1, 1), (3, -3), ..; even (0, 0),
(2, -2), (2, 0), (2, 2), .. Source: RELION ``src/jaz/math/Zernike.cpp``; numbers are checked against RELION's programs.

A homogeneous polynomial of degree d is a vector of d + 1 numbers, the coefficients of kx^(d-j) ky^j for j = 0 .. d; an
even polynomial is those of degree 0, 2, 4, 6 one after the other (16 numbers), an odd one those of 1, 3, 5 (12).
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from gemmap._types import Float
from gemmap.errors import InputError
from gemmap.units import ANGSTROM_PER_MM, electron_wavelength_a

Parity: TypeAlias = Literal["odd", "even"]

#: Degrees of the polynomials of one parity; the last is the highest Zernike order that is modelled.
DEGREES: Mapping[Parity, tuple[int, ...]] = {"even": (0, 2, 4, 6), "odd": (1, 3, 5)}


def zernike_orders(parity: Parity, count: int) -> list[tuple[int, int]]:
    """The first ``count`` pairs (n, m) in the order of the coefficients."""
    orders: list[tuple[int, int]] = []
    n = DEGREES[parity][0]
    while len(orders) < count:
        orders += [(n, m) for m in range(-n, n + 1, 2)]
        n += 2
    return orders[:count]


def radial_coefficients(n: int, m: int) -> dict[int, int]:
    """Powers of rho in R_n^|m|, and their coefficients."""
    m, f = abs(m), math.factorial
    return {
        n - 2 * j: (-1) ** j * f(n - j) // (f(j) * f((n + m) // 2 - j) * f((n - m) // 2 - j))
        for j in range((n - m) // 2 + 1)
    }


def aberration(coefficients: Sequence[float], parity: Parity, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
    """Sum of the polynomials in radians, as they are defined; kx and ky in 1/Å, of shapes that broadcast."""
    rho, phi = np.hypot(kx, ky), np.arctan2(ky, kx)
    total = np.zeros(np.broadcast_shapes(np.shape(kx), np.shape(ky)))
    for value, (n, m) in zip(coefficients, zernike_orders(parity, len(coefficients)), strict=True):
        radial = sum(c * rho**power for power, c in radial_coefficients(n, m).items())
        total += value * radial * (np.cos(m * phi) if m >= 0 else np.sin(-m * phi))
    return total


@functools.lru_cache(maxsize=256)
def aberration_polynomial(coefficients: tuple[float, ...], parity: Parity) -> Float[np.ndarray, " p"]:
    """The same sum as coefficients of the powers of kx and ky: 16 numbers if even, 12 if odd.

    Raises
    ------
    InputError
        If a coefficient of an order above the highest is not 0.
    """
    degrees = DEGREES[parity]
    parts = {d: np.zeros(d + 1) for d in degrees}
    for value, (n, m) in zip(coefficients, zernike_orders(parity, len(coefficients)), strict=True):
        if value == 0.0:
            continue
        if n > degrees[-1]:
            raise InputError(
                f"The {parity} aberrations hold a Zernike polynomial of order {n} (n = {n}, m = {m}); expected orders "
                f"up to {degrees[-1]}: fit the aberrations with fewer orders."
            )
        for power, c in radial_coefficients(n, m).items():
            parts[power] += value * c * _angular(power, m)
    polynomial = np.concatenate([parts[d] for d in degrees])
    polynomial.flags.writeable = False
    return polynomial


def _angular(degree: int, m: int) -> Float[np.ndarray, " p"]:
    """rho^degree times cos(m phi), or sin(|m| phi) for m < 0, as a homogeneous polynomial."""
    # (kx + i ky)^|m| = rho^|m| exp(i |m| phi); each rho^2 = kx^2 + ky^2.
    power = np.array([1.0 + 0.0j])
    for _ in range(abs(m)):
        power = np.convolve(power, [1.0, 1.0j])
    for _ in range((degree - abs(m)) // 2):
        power = np.convolve(power, [1.0, 0.0, 1.0])
    return np.asarray(power.real if m >= 0 else power.imag)


def zernike_from_monomials(parity: Parity, monomials: Mapping[tuple[int, int], float]) -> tuple[float, ...]:
    """Coefficients of the polynomials for a sum of c rho^n cos(m phi), or c rho^n sin(|m| phi) for m < 0.

    Parameters
    ----------
    parity
        Of all n.
    monomials
        c in rad Å^n for every (n, m), |m| <= n of the same parity.
    """
    orders = zernike_orders(parity, sum(n + 1 for n in DEGREES[parity]))
    rest, found = dict(monomials), dict.fromkeys(orders, 0.0)
    for n, m in reversed(orders):
        radial = radial_coefficients(n, m)
        found[n, m] = rest.get((n, m), 0.0) / radial[n]
        for power, c in radial.items():
            rest[power, m] = rest.get((power, m), 0.0) - found[n, m] * c
    highest = max((n for n, m in orders if found[n, m] != 0.0), default=-1)
    return tuple(found[n, m] for n, m in orders if n <= highest)


def odd_from_beam_tilt(tilt_x_mrad: float, tilt_y_mrad: float, cs_mm: float, voltage_kv: float) -> tuple[float, ...]:
    """Odd coefficients of a beam tilt, in rad: the phase is -2 pi Cs lambda^2 k^2 (tilt . k), Cs in Å, tilt in rad."""
    factor = -2e-3 * math.pi * cs_mm * ANGSTROM_PER_MM * electron_wavelength_a(voltage_kv) ** 2
    return odd_from_cubic(factor * tilt_x_mrad, factor * tilt_y_mrad, 0.0, 0.0)


def odd_from_cubic(tilt_x: float, tilt_y: float, trefoil_x: float, trefoil_y: float) -> tuple[float, ...]:
    """Odd coefficients from those of k^3 cos phi, k^3 sin phi, k^3 cos 3 phi, k^3 sin 3 phi in rad Å^3."""
    return zernike_from_monomials("odd", {(3, 1): tilt_x, (3, -1): tilt_y, (3, 3): trefoil_x, (3, -3): trefoil_y})


def even_from_quartic(tetra: Sequence[float]) -> tuple[float, ...]:
    """Even coefficients from those of k^4 cos 2 phi, k^4 sin 2 phi, k^4 cos 4 phi, k^4 sin 4 phi in rad Å^4."""
    cos2, sin2, cos4, sin4 = tetra
    return zernike_from_monomials("even", {(4, 2): cos2, (4, -2): sin2, (4, 4): cos4, (4, -4): sin4})


def add_coefficients(*lists: Sequence[float]) -> tuple[float, ...]:
    """Sum of lists of coefficients of one parity, of any lengths."""
    total = np.zeros(max((len(c) for c in lists), default=0))
    for coefficients in lists:
        total[: len(coefficients)] += coefficients
    return tuple(float(c) for c in total)


def compose(polynomial: Float[np.ndarray, "... p"], parity: Parity, matrix: Float[np.ndarray, "2 2"]) -> np.ndarray:
    """The polynomials of k -> p(matrix k)."""
    out, start = np.empty(np.shape(polynomial)), 0
    for degree in DEGREES[parity]:
        part = slice(start, start + degree + 1)
        out[..., part] = polynomial[..., part] @ powers_of(matrix, degree)
        start = part.stop
    return out


def powers_of(matrix: Float[np.ndarray, "2 2"], degree: int) -> Float[np.ndarray, "p p"]:
    """Row j: the homogeneous polynomial (m00 kx + m01 ky)^(degree - j) (m10 kx + m11 ky)^j."""
    rows = []
    for j in range(degree + 1):
        row = np.ones(1)
        for which in [0] * (degree - j) + [1] * j:
            row = np.convolve(row, matrix[which])
        rows.append(row)
    return np.array(rows)
