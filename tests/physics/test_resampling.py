"""Resampling against analytic images, and against a plain sum over frequencies."""

import itertools

import numpy as np
import pytest

from gemmap.physics.resampling import resample_images


def waves(box: int, highest: int, seed: int = 3) -> np.ndarray:
    """The same sum of waves for every box: whole periods over the field of view, counted from index box//2."""
    rng = np.random.default_rng(seed)
    y, x = (np.indices((box, box)) - box // 2) / box
    image = np.full((box, box), 0.7)
    for ky, kx in itertools.product(range(-highest, highest + 1), repeat=2):
        image += rng.normal() * np.cos(2 * np.pi * (kx * x + ky * y) + rng.uniform(0, 6))
    return image.astype(np.float32)


SIZES = [(24, 16), (24, 22), (25, 16), (25, 18), (24, 15), (25, 15), (17, 16), (23, 22), (32, 30)]


@pytest.mark.parametrize(("large", "small"), SIZES)
def test_the_same_analytic_image_at_both_samplings(large: int, small: int) -> None:
    highest = (small - 1) // 2
    fine, coarse = waves(large, highest), waves(small, highest)
    scale = np.abs(fine).max()
    np.testing.assert_allclose(resample_images(fine[None], small)[0], coarse, atol=2e-6 * scale)
    np.testing.assert_allclose(resample_images(coarse[None], large)[0], fine, atol=2e-6 * scale)


@pytest.mark.parametrize(("large", "small"), [(24, 16), (25, 16), (32, 18)])
def test_a_wave_at_the_nyquist_frequency_stays_that_wave(large: int, small: int) -> None:
    def wave(box: int) -> np.ndarray:
        y, x = (np.indices((box, box)) - box // 2) / box
        k = 2 * np.pi * (small // 2)
        return np.stack([np.cos(k * x), np.cos(k * y), np.cos(k * x) * np.cos(k * y)]).astype(np.float32)

    np.testing.assert_allclose(resample_images(wave(large), small), wave(small), atol=1e-6)
    np.testing.assert_allclose(resample_images(wave(small), large), wave(large), atol=1e-6)


@pytest.mark.parametrize(("large", "small"), SIZES)
def test_a_crop_undoes_padding_of_any_image(large: int, small: int) -> None:
    noise = np.random.default_rng(0).normal(size=(3, small, small)).astype(np.float32)
    np.testing.assert_allclose(resample_images(resample_images(noise, large), small), noise, atol=2e-6)


@pytest.mark.parametrize(("box", "new"), [(20, 16), (21, 16), (16, 22), (15, 20)])
def test_noise_keeps_its_frequencies_and_loses_the_others(box: int, new: int) -> None:
    """Transforms by explicit sums about the origin."""

    def coefficient(image: np.ndarray, ky: int, kx: int) -> complex:
        n = len(image)
        y, x = (np.indices((n, n)) - n // 2) / n
        return complex((image * np.exp(-2j * np.pi * (ky * y + kx * x))).sum() / n**2)

    image = np.random.default_rng(1).normal(size=(box, box)).astype(np.float32)
    got = resample_images(image[None], new)[0]
    inside = (min(box, new) - 1) // 2
    for ky, kx in ((0, 0), (inside, -inside), (-3, 5), (0, inside), (-inside, 1)):
        assert coefficient(got, ky, kx) == pytest.approx(coefficient(image, ky, kx), abs=1e-6)
    if new > box:
        outside = box // 2 + 1
        assert abs(coefficient(got, outside, 0)) < 1e-7
        assert abs(coefficient(got, 2, -outside)) < 1e-7


def test_the_same_box_is_the_same_image() -> None:
    image = np.random.default_rng(1).normal(size=(2, 16, 16)).astype(np.float32)
    np.testing.assert_array_equal(resample_images(image, 16), image)


@pytest.mark.parametrize("value", [0.0, 113.7, -3e4])
def test_constant_images_stay_constant_to_the_bit(value: float) -> None:
    got = resample_images(np.full((2, 30, 30), value, np.float32), 18)
    assert (got == np.float32(value)).all()


def test_a_raw_offset_costs_no_precision() -> None:
    image = waves(24, 5)
    np.testing.assert_allclose(resample_images(image[None] + 3e4, 16)[0] - 3e4, waves(16, 5), atol=5e-3)


def test_input_is_left_alone() -> None:
    image = np.random.default_rng(1).normal(size=(2, 20, 20)).astype(np.float32)
    before = image.copy()
    first = resample_images(image, 16)
    np.testing.assert_array_equal(resample_images(image, 16), first)
    np.testing.assert_array_equal(image, before)
    assert first.dtype == np.float32


def test_no_image() -> None:
    assert resample_images(np.zeros((0, 20, 20), np.float32), 16).shape == (0, 16, 16)
