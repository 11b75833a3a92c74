"""Aberrations of the third and fourth order as RELION's Zernike coefficients (rad, with rho = k in 1/Å).

Odd coefficients stand for (n, m) = (1,-1), (1,1), (3,-3), (3,-1), (3,1), (3,3); even ones for (0,0), (2,-2), (2,0),
(2,2), (4,-4), (4,-2), (4,0), (4,2), (4,4); negative m is R(rho) sin(|m| t), t from +x towards +y.
"""

import math
from collections.abc import Sequence

from gemmap.units import ANGSTROM_PER_MM, electron_wavelength_a


def odd_from_beam_tilt(tilt_x_mrad: float, tilt_y_mrad: float, cs_mm: float, voltage_kv: float) -> tuple[float, ...]:
    """Coefficients of the phase -2 pi Cs lambda^2 k^2 (tilt . k) of a beam tilt, which RELION's files give in mrad."""
    factor = -2.0 * math.pi * cs_mm * ANGSTROM_PER_MM * electron_wavelength_a(voltage_kv) ** 2 * 1e-3
    return odd_from_cubic(factor * tilt_x_mrad, factor * tilt_y_mrad, 0.0, 0.0)


def odd_from_cubic(tilt_x: float, tilt_y: float, trefoil_x: float, trefoil_y: float) -> tuple[float, ...]:
    """Coefficients of tilt_x k^3 cos t + tilt_y k^3 sin t + trefoil_x k^3 cos 3t + trefoil_y k^3 sin 3t (rad Å^3)."""
    return (2.0 * tilt_y / 3.0, 2.0 * tilt_x / 3.0, trefoil_y, tilt_y / 3.0, tilt_x / 3.0, trefoil_x)


def even_from_quartic(tetra: Sequence[float]) -> tuple[float, ...]:
    """Coefficients of k^4 times (cos 2t, sin 2t, cos 4t, sin 4t), each in rad Å^4."""
    cos2, sin2, cos4, sin4 = tetra
    return (0.0, 0.75 * sin2, 0.0, 0.75 * cos2, sin4, 0.25 * sin2, 0.0, 0.25 * cos2, cos4)
