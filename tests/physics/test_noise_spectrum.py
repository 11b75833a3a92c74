"""Noise spectra of images whose noise is known."""

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.physics.noise import RELATIVE_FLOOR, background_window, noise_spectrum


def shells(d):
    k = np.fft.fftfreq(d, 1 / d)
    return np.floor(np.hypot(k[:, None], k[None, :]) + 0.5).astype(int)


def coloured(n, d, power, rng):
    """Noise with |rfft2|^2 = power[shell] on average."""
    white = np.fft.fft2(rng.normal(size=(n, d, d)))
    return np.fft.ifft2(white * np.sqrt(power[shells(d)]) / d).real


@pytest.mark.parametrize("d", [40, 45])
@pytest.mark.parametrize("variance", [1.0, 7.0])
def test_white_noise(d, variance):
    images = np.sqrt(variance) * np.random.default_rng(3).normal(size=(200, d, d)) + 5.0
    spectrum = noise_spectrum(images, 0.3 * d)
    assert spectrum.shape == (d,)
    # A shell of p points (half of them independent) in n images has a relative error of sqrt(2 / (n p)); the window
    # leaves a part of them.
    points = np.bincount(shells(d).ravel())[: d // 2 + 1]
    spread = np.sqrt(2 / (200 * points * background_window(d, 0.3 * d).mean()))
    deviation = spectrum[: d // 2 + 1] / (variance * d**2) - 1
    assert (np.abs(deviation[1:]) < 5 * spread[1:]).all()
    assert abs(deviation[3:].mean()) < 0.01


def test_coloured_noise_under_a_particle():
    d, rng = 64, np.random.default_rng(4)
    power = 1e4 * (0.1 + np.exp(-np.arange(d) / 6.0))
    images = coloured(300, d, power, rng)
    x = np.arange(d) - d // 2
    particle = 80.0 * np.exp(-(x[:, None] ** 2 + x[None, :] ** 2) / (2 * 3.0**2)) * np.cos(x)
    plain, with_particle = noise_spectrum(images, 18.0), noise_spectrum(images + particle, 18.0)
    # Outside the circle the particle is 1e-6 of its peak: what leaks through the soft edge is less than 1 %.
    np.testing.assert_allclose(with_particle[1:33], plain[1:33], rtol=0.01)
    # The window smears a shell over its neighbours, so a slope of 1/6 a shell is met to 10 %.
    np.testing.assert_allclose(plain[3:33], power[3:33], rtol=0.1)
    # cos(x) has its power in shell 64 / (2 pi): with too small a circle the particle counts as noise.
    assert noise_spectrum(images + particle, 2.0)[10] > 2 * plain[10]


def test_the_lowest_shell_has_no_estimate_of_its_own():
    images = np.random.default_rng(5).normal(size=(3, 32, 32))
    spectrum = noise_spectrum(images, 9.0)
    assert spectrum[0] == spectrum[1]
    np.testing.assert_allclose(noise_spectrum(images + 100.0, 9.0), spectrum, rtol=1e-6)


def test_images_without_noise_have_a_floor():
    d = 64
    x = np.arange(d) - d // 2
    images = np.exp(-(x[:, None] ** 2 + x[None, :] ** 2) / 8.0)[None]
    whole = np.abs(np.fft.fft2(images[0])) ** 2
    total = np.bincount(shells(d).ravel(), whole.ravel())[:d] / np.maximum(np.bincount(shells(d).ravel()), 1)[:d]
    spectrum = noise_spectrum(images, 20.0)
    np.testing.assert_allclose(spectrum[1:8], RELATIVE_FLOOR * total[1:8], rtol=1e-3)
    np.testing.assert_allclose(spectrum[20:33], RELATIVE_FLOOR * whole.mean(), rtol=0.05)


def test_noise_scales_with_the_square_of_the_grey_values():
    images = np.random.default_rng(6).normal(size=(5, 33, 33)).astype(np.float32)
    before = images.copy()
    np.testing.assert_allclose(noise_spectrum(1e-4 * images, 10.0), 1e-8 * noise_spectrum(images, 10.0), rtol=1e-5)
    np.testing.assert_array_equal(images, before)


def test_window():
    window = background_window(64, 20.0)
    x = np.arange(64) - 32
    radius = np.hypot(x[:, None], x[None, :])
    assert (window[radius <= 20.0] == 0).all()
    assert (window[radius >= 24.0] == 1).all()
    assert window[32, 32 + 22] == pytest.approx(0.5)


def test_messages():
    with pytest.raises(InputError, match="88 px leaves no background in a box of 64 px: give a smaller --part"):
        noise_spectrum(np.zeros((1, 64, 64)), 44.0)
    with pytest.raises(InputError, match="of 2 images has no variance: the images are constant or not numbers"):
        noise_spectrum(np.ones((2, 32, 32)), 8.0)
    with pytest.raises(InputError, match="constant or not numbers"):
        noise_spectrum(np.full((1, 32, 32), np.nan), 8.0)
