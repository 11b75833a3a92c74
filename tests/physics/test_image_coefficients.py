"""Coefficients of the image model against definitions that share nothing with them."""

import numpy as np
import optics_cases as cases
import pytest
import torch

from gemmap.errors import InputError
from gemmap.geometry.grids import half_plane_frequencies
from gemmap.physics.ctf import CtfParameters, ctf_half_plane
from gemmap.physics.image_model import Mode, image_coefficients, odd_turns, transfer

D, PIXEL_SIZE_A = 20, 2.0


def ctfs(n=3, bfactor_a2=40.0):
    rng, one = np.random.default_rng(1), np.ones(n)
    return CtfParameters(
        rng.uniform(8e3, 2e4, n), rng.uniform(8e3, 2e4, n), rng.uniform(-3, 3, n), 300 * one, 2.7 * one, 0.1 * one,
        0.4 * one, bfactor_a2 * one, 0.9 * one,
    )  # fmt: skip


def grid(d=D):
    ky, kx = np.broadcast_arrays(*half_plane_frequencies(d))
    return np.stack([kx.ravel(), ky.ravel()], 1)


@pytest.mark.parametrize("d", [20, 21])
@pytest.mark.parametrize("magnification", [(1.0, 0.0, 0.0, 1.0), cases.MAGNIFICATION])
@pytest.mark.parametrize("even", [(), cases.EVEN])
def test_transfer_is_the_ctf_with_even_aberrations_at_m_k(d, magnification, even):
    p = ctfs()
    coefficients = image_coefficients(p, 3, d * PIXEL_SIZE_A, even_zernike=even, magnification=magnification)
    found = transfer(torch.from_numpy(coefficients), d).numpy()
    for i in range(3):
        expected = cases.ctf(grid(d), d, PIXEL_SIZE_A, p, i, even=even, magnification=magnification)
        np.testing.assert_allclose(found[i].ravel(), expected, atol=1e-10)


@pytest.mark.parametrize("magnification", [(1.0, 0.0, 0.0, 1.0), cases.MAGNIFICATION])
def test_odd_aberrations_at_m_k(magnification):
    coefficients = image_coefficients(ctfs(), 3, D * PIXEL_SIZE_A, odd_zernike=cases.ODD, magnification=magnification)
    found = 2 * np.pi * odd_turns(torch.from_numpy(coefficients), D).numpy()
    expected = cases.odd_phase(grid(), D, PIXEL_SIZE_A, odd=cases.ODD, magnification=magnification)
    np.testing.assert_allclose(found.reshape(3, -1), np.tile(expected, (3, 1)), atol=1e-10)


def test_modes_and_images_without_a_ctf():
    def of(ctf, mode=Mode.IN_IMAGE):
        return transfer(torch.from_numpy(image_coefficients(ctf, 3, D * PIXEL_SIZE_A, mode=mode)), D).numpy()

    plain = ctf_half_plane(ctfs(), D, PIXEL_SIZE_A).numpy()
    assert plain.min() < -0.5
    np.testing.assert_allclose(of(ctfs()), plain, atol=1e-12)
    np.testing.assert_allclose(of(ctfs(), Mode.FLIPPED), abs(plain), atol=1e-12)
    np.testing.assert_allclose(of(ctfs(), Mode.MULTIPLIED), plain, atol=1e-12)
    np.testing.assert_allclose(of(None), 1, atol=1e-12)


def test_odd_aberrations_remain_without_a_ctf():
    coefficients = image_coefficients(None, 1, D * PIXEL_SIZE_A, odd_zernike=(0.0, 50.0))
    expected = cases.odd_phase(grid(), D, PIXEL_SIZE_A, odd=(0.0, 50.0))
    found = 2 * np.pi * odd_turns(torch.from_numpy(coefficients), D).numpy().ravel()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_single_precision_is_kept():
    coefficients = torch.from_numpy(image_coefficients(ctfs(), 3, D * PIXEL_SIZE_A)).float()
    assert transfer(coefficients, D).dtype == odd_turns(coefficients, D).dtype == torch.float32


def test_orders_that_are_not_modelled_are_named():
    with pytest.raises(InputError, match="even aberrations hold a Zernike polynomial of order 8"):
        image_coefficients(ctfs(), 3, 40.0, even_zernike=(0.0,) * 16 + (1.0,))
    with pytest.raises(InputError, match="odd aberrations hold a Zernike polynomial of order 7"):
        image_coefficients(None, 3, 40.0, odd_zernike=(0.0,) * 12 + (1.0,))
