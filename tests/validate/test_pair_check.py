"""Two maps that are no half-maps are named as what they are, and noisy half-maps are not."""

import numpy as np
import pytest
import scipy.ndimage

from gemmap.errors import InputError
from gemmap.validate.fsc import fsc
from gemmap.validate.pair_check import check_curve, check_pair

N = 32
RNG = np.random.default_rng(0)
Z, Y, X = np.indices((N, N, N)) - N // 2
SIGNAL = np.abs(scipy.ndimage.gaussian_filter(RNG.standard_normal((N, N, N)), 1.0)) * np.exp(-(X**2 + Y**2 + Z**2) / 50)
SIGNAL = (SIGNAL / SIGNAL.std()).astype(np.float32)
NOISE1, NOISE2 = RNG.standard_normal((2, N, N, N)).astype(np.float32)


@pytest.mark.parametrize("noise", [0.02, 1.0, 5.0])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_half_maps_pass(noise: float, scale: float) -> None:
    half1, half2 = ((SIGNAL + noise * part) * np.float32(scale) for part in (NOISE1, NOISE2))
    check_pair(half1, half2)
    check_pair(half1, np.float32(3.0) * half2)  # two programs may scale differently
    check_curve(fsc(half1, half2))


def test_pure_noise_passes() -> None:
    for seed in range(20):
        half1, half2 = np.random.default_rng(seed).standard_normal((2, N, N, N))
        check_pair(half1, half2)
        check_curve(fsc(half1, half2))


@pytest.mark.parametrize("copy", [2.5 * SIGNAL, -1.0 + SIGNAL, (100 * SIGNAL + 7).astype(np.float32)])
def test_copies_are_the_same_data(copy: np.ndarray) -> None:
    with pytest.raises(InputError, match="scale or offset only, so they are the same data"):
        check_pair(SIGNAL, copy)


def test_a_filtered_copy_is_the_same_data() -> None:
    half = SIGNAL + NOISE1
    k = np.fft.fftfreq(N)
    square = k[:, None, None] ** 2 + k[:, None] ** 2 + np.fft.rfftfreq(N) ** 2
    sharpened = np.fft.rfftn(half) * np.exp(2.0 * square)
    filtered = np.fft.irfftn(sharpened, s=half.shape, axes=(0, 1, 2))
    check_pair(half, filtered)
    with pytest.raises(InputError, match=r"in every shell, so they are the same data, scaled or filtered"):
        check_curve(fsc(half, filtered))


def test_identical_maps() -> None:
    with pytest.raises(InputError, match="identical"):
        check_pair(SIGNAL, SIGNAL.copy())


@pytest.mark.parametrize("value", [0.0, -2.0])
def test_constant_maps(value: float) -> None:
    flat = np.full_like(SIGNAL, value)
    with pytest.raises(InputError, match=f"Half-map 2 is {value:g} everywhere"):
        check_pair(SIGNAL, flat)
    with pytest.raises(InputError, match=f"Half-map 1 is {value:g} everywhere"):
        check_pair(flat, flat)


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0, 2.0])
def test_opposite_contrasts(noise: float) -> None:
    half1, half2 = SIGNAL + noise * NOISE1, -SIGNAL + noise * NOISE2

    def check() -> None:
        check_pair(half1, half2)
        check_curve(fsc(half1, half2))

    with pytest.raises(InputError, match="opposite contrast"):
        check()


def test_tiny_boxes() -> None:
    with pytest.raises(InputError, match="7 px wide; expected 8 or more"):
        check_pair(SIGNAL[:7, :7, :7], NOISE1[:7, :7, :7])
    check_pair(SIGNAL[:8, :8, :8], NOISE1[:8, :8, :8])
