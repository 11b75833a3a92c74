"""Powers of k of Zernike coefficients, and the part CTF parameters take over, against the CTF of RELION written out."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.physics.aberration_terms import even_terms, odd_terms, with_even_terms
from gemmap.physics.ctf import CtfParameters

EVEN = (0.3, 2.0, -0.7, 4.0, 50.0, -30.0, 20.0, 12.0, -25.0)
POINTS = [(0.1, 0.0), (0.07, 1.2), (0.21, -2.4), (0.3, 0.6)]


def odd_sum(a: Sequence[float], k: float, t: float) -> float:
    r31 = 3 * k**3 - 2 * k
    return (
        k * (a[0] * math.sin(t) + a[1] * math.cos(t))
        + r31 * (a[3] * math.sin(t) + a[4] * math.cos(t))
        + k**3 * (a[2] * math.sin(3 * t) + a[5] * math.cos(3 * t))
    )


def even_sum(a: Sequence[float], k: float, t: float) -> float:
    r42 = 4 * k**4 - 3 * k**2
    return (
        a[0] + a[2] * (2 * k**2 - 1) + a[6] * (6 * k**4 - 6 * k**2 + 1)
        + k**2 * (a[1] * math.sin(2 * t) + a[3] * math.cos(2 * t))
        + r42 * (a[5] * math.sin(2 * t) + a[7] * math.cos(2 * t))
        + k**4 * (a[4] * math.sin(4 * t) + a[8] * math.cos(4 * t))
    )  # fmt: skip


def tetra_sum(tetra: Sequence[float], k: float, t: float) -> float:
    angular = (math.cos(2 * t), math.sin(2 * t), math.cos(4 * t), math.sin(4 * t))
    return k**4 * sum(a * b for a, b in zip(tetra, angular, strict=True))


@pytest.mark.parametrize(("k", "t"), POINTS)
def test_odd_terms(k: float, t: float) -> None:
    a = (0.5, -0.3, 20.0, -150.0, 90.0, -30.0)
    terms = odd_terms(a)
    got = k * (terms.linear[0] * math.cos(t) + terms.linear[1] * math.sin(t))
    got += k**3 * (terms.tilt[0] * math.cos(t) + terms.tilt[1] * math.sin(t))
    got += k**3 * (terms.trefoil[0] * math.cos(3 * t) + terms.trefoil[1] * math.sin(3 * t))
    assert got == pytest.approx(odd_sum(a, k, t), rel=1e-12)


@pytest.mark.parametrize(("k", "t"), POINTS)
def test_even_terms(k: float, t: float) -> None:
    terms = even_terms(EVEN)
    got = terms.constant + terms.quadratic * k**2 + terms.quartic * k**4 + tetra_sum(terms.tetra, k, t)
    got += k**2 * (terms.astigmatism[0] * math.cos(2 * t) + terms.astigmatism[1] * math.sin(2 * t))
    assert got == pytest.approx(even_sum(EVEN, k, t), rel=1e-12)


def ctf_parameters() -> CtfParameters:
    def pair(a: float, b: float) -> np.ndarray:
        return np.array([a, b])

    return CtfParameters(
        defocus_u_a=pair(16000, 9000), defocus_v_a=pair(15000, 9000), defocus_angle_rad=pair(0.4, 0.0),
        voltage_kv=pair(300, 200), cs_mm=pair(2.7, 0.01), amplitude_contrast=pair(0.1, 0.07),
        phase_shift_rad=pair(0.2, 1.5), bfactor_a2=pair(10, 0), scale=pair(1, 0.9),
    )  # fmt: skip


def gamma(ctf: CtfParameters, row: int, k: float, t: float) -> float:
    volts = ctf.voltage_kv[row] * 1e3
    wavelength = 12.2643247 / math.sqrt(volts * (1 + 0.978466e-6 * volts))
    angle = t - ctf.defocus_angle_rad[row]
    defocus = ctf.defocus_u_a[row] * math.cos(angle) ** 2 + ctf.defocus_v_a[row] * math.sin(angle) ** 2
    spherical = 0.5 * math.pi * ctf.cs_mm[row] * 1e7 * wavelength**3 * k**4
    return float(-math.pi * wavelength * defocus * k**2 + spherical - ctf.phase_shift_rad[row])


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize(("k", "t"), POINTS)
def test_gamma_with_the_terms_and_tetra_is_gamma_with_the_zernikes(row: int, k: float, t: float) -> None:
    before, terms = ctf_parameters(), even_terms(EVEN)
    after = with_even_terms(before, terms)
    wanted = gamma(before, row, k, t) + even_sum(EVEN, k, t)
    assert gamma(after, row, k, t) + tetra_sum(terms.tetra, k, t) == pytest.approx(wanted, rel=1e-10)
    # The amplitude contrast stays, and the argument is left alone.
    np.testing.assert_array_equal(after.amplitude_contrast, before.amplitude_contrast)
    np.testing.assert_array_equal(before.defocus_u_a, [16000, 9000])


def test_no_terms_change_nothing() -> None:
    ctf = ctf_parameters()
    assert with_even_terms(ctf, even_terms(())) is ctf
    assert with_even_terms(ctf, even_terms((0, 3, 0, 3, 5, 1, 0, 1, 7))) is ctf


@pytest.mark.parametrize("missing", range(10))
def test_short_lists_are_filled_with_zeros(missing: int) -> None:
    short = EVEN[: len(EVEN) - missing]
    assert even_terms(short) == even_terms((*short, *[0.0] * missing, 0.0, 0.0))


def test_higher_orders() -> None:
    with pytest.raises(InputError, match="antisymmetric aberrations above the third order"):
        odd_terms((*[0.0] * 6, 1.0))
    with pytest.raises(InputError, match="symmetric aberrations above the fourth order"):
        even_terms((*[0.0] * 9, 1.0))
