"""Maps at the size of a page, and the density of views."""

import numpy as np
import pytest

from gemmap.report.html.views import view_density
from gemmap.report.html.volumes import LARGEST_SIDE, colours, downsample, for_page, gradient_css
from gemmap.validate.anisotropy import half_sphere


def wave(n: int, pixel: float) -> np.ndarray:
    """A band-limited function with a period of 30 along x and 40 along z, sampled about voxel n//2."""
    x = (np.arange(n) - n // 2) * pixel
    return (2.0 + np.cos(2 * np.pi * x / 30.0) + 0.5 * np.sin(2 * np.pi * x / 40.0)[:, None, None]).astype(
        np.float32
    ) * np.ones((n, n, n), np.float32)


@pytest.mark.parametrize(("n", "box"), [(120, 48), (120, 47), (60, 24)])
def test_downsampling_keeps_the_function_and_its_origin(n: int, box: int) -> None:
    np.testing.assert_allclose(downsample(wave(n, 120 / n), box), wave(box, 120 / box), atol=1e-4)


def test_small_windows_are_cut_and_not_resampled() -> None:
    volume = np.random.default_rng(0).standard_normal((40, 40, 40)).astype(np.float32)
    cube, step = for_page(volume, 20)
    np.testing.assert_array_equal(cube, volume[10:30, 10:30, 10:30])
    assert step == 1.0
    large, step = for_page(np.ones((130,) * 3, np.float32), 120)
    assert (large.shape, step) == ((LARGEST_SIDE,) * 3, 120 / LARGEST_SIDE)
    np.testing.assert_allclose(large, 1.0, rtol=1e-5)


def test_colours_brighten_evenly() -> None:
    palette = colours(32)
    lightness = palette @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
    assert gradient_css(palette).count("rgb(") == 9


def test_even_views_have_density_one() -> None:
    views = half_sphere(20_000)
    density = view_density(views * np.where(np.arange(20_000) % 2, 1, -1)[:, None], half_sphere(200))
    assert np.abs(density - 1.0).max() < 0.1


def test_one_view_is_seen_from_both_sides() -> None:
    axes = np.array([[0, 0, 1.0], [0, 0, -1.0], [1.0, 0, 0]])
    density = view_density(np.array([[0, 0, 1.0]]), axes)
    assert density == pytest.approx([1 / (1 - np.cos(np.radians(7)))] * 2 + [0])
