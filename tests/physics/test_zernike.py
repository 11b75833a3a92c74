"""Zernike polynomials: closed forms written out by hand, and the conversions that files need."""

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.physics.zernike import (
    DEGREES,
    aberration,
    aberration_polynomial,
    add_coefficients,
    compose,
    even_from_quartic,
    odd_from_beam_tilt,
    odd_from_cubic,
    zernike_from_monomials,
    zernike_orders,
)

RNG = np.random.default_rng(3)
KX, KY = RNG.uniform(-0.3, 0.3, (2, 50))
RHO, PHI = np.hypot(KX, KY), np.arctan2(KY, KX)

#: Textbook polynomials, in RELION's order.
BY_HAND = {
    "odd": [
        RHO * np.sin(PHI),
        RHO * np.cos(PHI),
        RHO**3 * np.sin(3 * PHI),
        (3 * RHO**3 - 2 * RHO) * np.sin(PHI),
        (3 * RHO**3 - 2 * RHO) * np.cos(PHI),
        RHO**3 * np.cos(3 * PHI),
        RHO**5 * np.sin(5 * PHI),
        (5 * RHO**5 - 4 * RHO**3) * np.sin(3 * PHI),
        (10 * RHO**5 - 12 * RHO**3 + 3 * RHO) * np.sin(PHI),
    ],
    "even": [
        np.ones(50),
        RHO**2 * np.sin(2 * PHI),
        2 * RHO**2 - 1,
        RHO**2 * np.cos(2 * PHI),
        RHO**4 * np.sin(4 * PHI),
        (4 * RHO**4 - 3 * RHO**2) * np.sin(2 * PHI),
        6 * RHO**4 - 6 * RHO**2 + 1,
    ],
}


def evaluate(polynomial, parity, kx, ky):
    terms = [kx ** (d - j) * ky**j for d in DEGREES[parity] for j in range(d + 1)]
    return np.einsum("p,pn->n", polynomial, np.array(terms))


@pytest.mark.parametrize("parity", ["odd", "even"])
def test_polynomials_in_relions_order(parity):
    for place, wanted in enumerate(BY_HAND[parity]):
        coefficients = (0.0,) * place + (2.0,)
        np.testing.assert_allclose(aberration(coefficients, parity, KX, KY), 2 * wanted, atol=1e-12)
        found = evaluate(aberration_polynomial(coefficients, parity), parity, KX, KY)
        np.testing.assert_allclose(found, 2 * wanted, atol=1e-12)


@pytest.mark.parametrize(("parity", "count"), [("odd", 12), ("even", 16)])
def test_all_orders_as_powers_are_as_defined(parity, count):
    coefficients = tuple(RNG.normal(size=count))
    found = evaluate(aberration_polynomial(coefficients, parity), parity, KX, KY)
    np.testing.assert_allclose(found, aberration(coefficients, parity, KX, KY), atol=1e-12)


@pytest.mark.parametrize(("parity", "last", "first_refused"), [("odd", 5, (7, -7)), ("even", 6, (8, -8))])
def test_the_highest_order_is_named(parity, last, first_refused):
    count = sum(n + 1 for n in DEGREES[parity])
    assert zernike_orders(parity, count + 1)[-1] == first_refused
    assert len(aberration_polynomial((0.1,) * count + (0.0,) * 3, parity)) == count
    with pytest.raises(InputError, match=f"polynomial of order {first_refused[0]}.*expected orders up to {last}"):
        aberration_polynomial((0.0,) * count + (0.1,), parity)


def test_beam_tilt_is_coma():
    wavelength = 12.2643247 / np.sqrt(300e3 * (1 + 0.978466e-6 * 300e3))
    found = aberration(odd_from_beam_tilt(0.7, -0.3, 2.7, 300.0), "odd", KX, KY)
    wanted = -2 * np.pi * 2.7e7 * wavelength**2 * RHO**2 * (0.7e-3 * KX - 0.3e-3 * KY)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_cubic_and_quartic_monomials():
    found = aberration(odd_from_cubic(1, 2, 3, 4), "odd", KX, KY)
    wanted = RHO**3 * (np.cos(PHI) + 2 * np.sin(PHI) + 3 * np.cos(3 * PHI) + 4 * np.sin(3 * PHI))
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    found = aberration(even_from_quartic((1, 2, 3, 4)), "even", KX, KY)
    wanted = RHO**4 * (np.cos(2 * PHI) + 2 * np.sin(2 * PHI) + 3 * np.cos(4 * PHI) + 4 * np.sin(4 * PHI))
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_nothing_is_no_coefficients():
    assert odd_from_beam_tilt(0.0, 0.0, 2.7, 300.0) == ()
    assert even_from_quartic((0.0,) * 4) == ()
    assert zernike_from_monomials("even", {}) == ()
    assert not aberration_polynomial((), "odd").any()
    assert aberration((), "even", KX, KY).shape == (50,)


def test_lists_of_any_lengths_add_up():
    assert add_coefficients((1.0, 2.0), (), (1.0, 1.0, 1.0)) == (2.0, 3.0, 1.0)
    assert add_coefficients() == ()


@pytest.mark.parametrize("parity", ["odd", "even"])
def test_composition_with_a_matrix(parity):
    polynomials = RNG.normal(size=(3, sum(d + 1 for d in DEGREES[parity])))
    matrix = RNG.normal(size=(2, 2))
    moved = matrix @ np.array([KX, KY])
    for before, after in zip(polynomials, compose(polynomials, parity, matrix), strict=True):
        np.testing.assert_allclose(evaluate(after, parity, KX, KY), evaluate(before, parity, *moved), atol=1e-10)
