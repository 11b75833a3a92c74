import numpy as np
import pytest

from gemmap.simulate.noise import draw_noise, noise_power

PIXEL = 2.0


@pytest.mark.parametrize("kind", ["white", "coloured"])
@pytest.mark.parametrize("n", [16, 17])
def test_variance_of_a_pixel_is_one(kind: str, n: int) -> None:
    images = draw_noise(np.arange(3000), noise_power(kind, n, PIXEL), (1, 6))
    assert images.dtype == np.float32
    assert images.var() == pytest.approx(1.0, rel=0.02)
    assert images.mean() == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("n", [16, 17])
def test_spectrum_is_the_documented_one(n: int) -> None:
    images = draw_noise(np.arange(4000), noise_power("coloured", n, PIXEL), (2, 6)).astype(np.float64)
    power = (np.abs(np.fft.fft2(images)) ** 2).mean(axis=0)
    f = np.fft.fftfreq(n, PIXEL)
    expected = 1.0 + 9.0 / (1.0 + (50.0 * np.hypot(f[:, None], f)) ** 2)
    expected *= n**2 / expected.mean()
    # A coefficient's power has a relative spread of 1 to sqrt(2) over the root of the number of images.
    np.testing.assert_allclose(power, expected, rtol=6 * np.sqrt(2) / np.sqrt(4000))
    assert power[0, 0] > 3 * power[n // 2, n // 2]


def test_white_noise_is_flat() -> None:
    images = draw_noise(np.arange(2000), noise_power("white", 16, PIXEL), (2, 6))
    power = (np.abs(np.fft.fft2(images)) ** 2).mean(axis=0) / 16**2
    np.testing.assert_allclose(power, 1.0, rtol=0.2)


def test_image_depends_on_its_number_and_seed_only() -> None:
    power = noise_power("coloured", 16, PIXEL)
    many = draw_noise(np.arange(5), power, (1, 6))
    np.testing.assert_array_equal(draw_noise(np.array([4, 2]), power, (1, 6)), many[[4, 2]])
    assert not np.allclose(draw_noise(np.array([4]), power, (2, 6))[0], many[4])
    assert abs(np.corrcoef(many[0].ravel(), many[1].ravel())[0, 1]) < 0.3
    assert draw_noise(np.arange(0), power, (1, 6)).shape == (0, 16, 16)
