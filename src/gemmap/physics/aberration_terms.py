"""Zernike coefficients as powers of k, and the part of them that CTF parameters and shifts can take over.

The order of the coefficients is RELION's (``physics.zernike``); t is measured from +x towards +y.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gemmap.errors import InputError
from gemmap.physics.ctf import CtfParameters
from gemmap.units import ANGSTROM_PER_MM, electron_wavelength_a

_N_ODD, _N_EVEN = 6, 9


@dataclass(frozen=True)
class OddTerms:
    """Antisymmetric phase: pairs of coefficients of cos and sin, in rad Å^power.

    Attributes
    ----------
    linear
        Of k cos t, k sin t: a shift.
    tilt
        Of k^3 cos t, k^3 sin t.
    trefoil
        Of k^3 cos 3t, k^3 sin 3t.
    """

    linear: tuple[float, float]
    tilt: tuple[float, float]
    trefoil: tuple[float, float]


@dataclass(frozen=True)
class EvenTerms:
    """Symmetric phase: coefficients in rad Å^power; pairs are those of cos and sin.

    Attributes
    ----------
    constant, quadratic, quartic
        Of 1, k^2 and k^4: a phase shift, a defocus, a spherical aberration.
    astigmatism
        Of k^2 cos 2t, k^2 sin 2t.
    tetra
        Of k^4 cos 2t, k^4 sin 2t, k^4 cos 4t, k^4 sin 4t.
    """

    constant: float
    quadratic: float
    quartic: float
    astigmatism: tuple[float, float]
    tetra: tuple[float, float, float, float]


def odd_terms(odd: Sequence[float]) -> OddTerms:
    """Powers of k of odd Zernike coefficients.

    Raises
    ------
    InputError
        If there are coefficients above the third order.
    """
    a = _padded(odd, _N_ODD, "antisymmetric", "third")
    return OddTerms((a[1] - 2 * a[4], a[0] - 2 * a[3]), (3 * a[4], 3 * a[3]), (a[5], a[2]))


def even_terms(even: Sequence[float]) -> EvenTerms:
    """Powers of k of even Zernike coefficients.

    Raises
    ------
    InputError
        If there are coefficients above the fourth order.
    """
    a = _padded(even, _N_EVEN, "symmetric", "fourth")
    return EvenTerms(
        constant=a[0] - a[2] + a[6],
        quadratic=2 * a[2] - 6 * a[6],
        quartic=6 * a[6],
        astigmatism=(a[3] - 3 * a[7], a[1] - 3 * a[5]),
        tetra=(4 * a[7], 4 * a[5], a[8], a[4]),
    )


def _padded(values: Sequence[float], length: int, kind: str, order: str) -> list[float]:
    if any(values[length:]):
        raise InputError(f"There are {kind} aberrations above the {order} order; only those up to it can be rewritten.")
    return [*values[:length], *([0.0] * (length - len(values)))]


def with_even_terms(ctf: CtfParameters, terms: EvenTerms) -> CtfParameters:
    """Return CTF parameters whose gamma has the constant, quadratic, quartic and astigmatic terms added.

    Exact: what remains of the symmetric aberration is ``terms.tetra``. Zero terms change nothing.
    """
    if not any((terms.constant, terms.quadratic, terms.quartic, *terms.astigmatism)):
        return ctf
    kvs, inverse = np.unique(ctf.voltage_kv, return_inverse=True)
    wavelength = np.array([electron_wavelength_a(float(kv)) for kv in kvs])[inverse]
    per_defocus = -math.pi * wavelength  # gamma = per_defocus * defocus * k^2
    half_difference = 0.5 * (ctf.defocus_u_a - ctf.defocus_v_a)
    cos2 = half_difference * np.cos(2 * ctf.defocus_angle_rad) + terms.astigmatism[0] / per_defocus
    sin2 = half_difference * np.sin(2 * ctf.defocus_angle_rad) + terms.astigmatism[1] / per_defocus
    mean = 0.5 * (ctf.defocus_u_a + ctf.defocus_v_a) + terms.quadratic / per_defocus
    spread = np.hypot(cos2, sin2)
    return replace(
        ctf,
        defocus_u_a=mean + spread,
        defocus_v_a=mean - spread,
        defocus_angle_rad=0.5 * np.arctan2(sin2, cos2),
        cs_mm=ctf.cs_mm + terms.quartic / (0.5 * math.pi * wavelength**3 * ANGSTROM_PER_MM),
        phase_shift_rad=ctf.phase_shift_rad - terms.constant,
    )
