"""Maps made of a common part and independent noise, whose FSC is known in every shell, through the whole judgement."""

import numpy as np
import pytest

from gemmap.validate.anisotropy import directional_fsc
from gemmap.validate.fsc import fsc
from gemmap.validate.fsc3d import fsc_3d
from gemmap.validate.masks import spherical_mask
from gemmap.validate.postprocess import Maps, Postprocess, PostprocessOptions, postprocess

PIXEL_A = 2.0


def judged(half1: np.ndarray, half2: np.ndarray, mask: np.ndarray) -> Postprocess:
    return postprocess(Maps(half1, half2, PIXEL_A, mask, "a sphere"), PostprocessOptions(sampling_a=None))


def radii(n: int, stretch: float = 1.0) -> np.ndarray:
    """Radius of every point of the half-complex transform, with kz longer by a factor."""
    k = np.fft.fftfreq(n, 1 / n)
    return np.sqrt((stretch * k[:, None, None]) ** 2 + k[:, None] ** 2 + np.arange(n // 2 + 1) ** 2)


def halves(n: int, correlation: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    """White maps of variance 1 whose transforms correlate as said at every point."""
    rng = np.random.default_rng(seed)
    common, *noise = (np.fft.rfftn(rng.standard_normal((n, n, n))) for _ in range(3))
    weight = np.sqrt(correlation)
    return [
        np.fft.irfftn(weight * common + np.sqrt(1 - correlation) * own, s=(n, n, n), axes=(0, 1, 2)) for own in noise
    ]


def falling(radius: np.ndarray, half: float) -> np.ndarray:
    """1 at the origin, one half at ``half``."""
    return 1.0 / (1.0 + (radius / half) ** 4)


@pytest.mark.parametrize("n", [37, 48, 49])
def test_the_curve_is_the_one_that_was_put_in(n: int) -> None:
    found = fsc(*halves(n, falling(radii(n), 0.25 * n)))
    shells = np.arange(n // 2 + 1)
    # Points of a shell differ in radius by half a voxel; the error of a shell of p independent points is 1/sqrt(2 p).
    error = 1.0 / np.sqrt(np.maximum(4 * np.pi * shells**2, 1))
    assert (np.abs(found - falling(shells, 0.25 * n))[3:] < 4 * error[3:] + 0.03).all()


@pytest.mark.parametrize("n", [48, 49])
def test_the_resolution_is_where_the_curve_crosses(n: int) -> None:
    half_at = 0.2 * n
    shell = half_at * (1 / 0.143 - 1) ** 0.25
    half1, half2 = halves(n, falling(radii(n), half_at))
    result = judged(half1, half2, spherical_mask(n, 0.3 * n, 6))
    for name in ("masked", "unmasked"):
        assert result.half_maps.resolutions[name].shell == pytest.approx(shell, abs=1.5)
    assert result.half_maps.resolutions["masked_0.5"].shell == pytest.approx(half_at, abs=1.5)
    assert result.half_maps.interval.better_a <= n * PIXEL_A / shell * 1.06
    assert result.half_maps.interval.worse_a >= n * PIXEL_A / shell / 1.06


def test_independent_noise_has_no_resolution() -> None:
    resolved = []
    for seed in range(10):
        half1, half2 = np.random.default_rng(seed).standard_normal((2, 40, 40, 40))
        result = judged(half1, half2, spherical_mask(40, 12, 6))
        resolved.append(result.half_maps.resolutions["masked"].shell)
        # Either nothing, or no more than the first shells of a handful of points.
        assert result.half_maps.resolutions["masked"].shell <= 6
        if result.resolution.is_resolved:
            assert any("may have nothing in common" in sentence for sentence in result.warnings())
    assert np.median(resolved) <= 2


def test_anisotropic_noise_is_seen_by_every_figure_of_direction() -> None:
    """The common part reaches s times less far along z: every direction's crossing is known."""
    n, half_at = 48, 12.0
    shell = half_at * (1 / 0.143 - 1) ** 0.25
    cfar, sphericity, of_volume = [], [], []
    for stretch in (1.0, 1.5, 2.5):
        half1, half2 = halves(n, falling(radii(n, stretch), half_at))
        found = directional_fsc(half1, half2, PIXEL_A)
        z = np.abs(found.axes[:, 2])
        # A cone is 20 degrees wide, and curves are read after averaging over five shells.
        assert found.shells[z < 0.2].mean() == pytest.approx(shell, abs=2.5)
        cosine = np.cos(np.radians(10.0))
        along = shell / np.sqrt(stretch**2 * cosine**2 + 1 - cosine**2)
        assert found.shells[z > 0.97].mean() == pytest.approx(along, abs=2.5)
        cfar.append(found.cfar)
        sphericity.append(found.sphericity)
        of_volume.append(fsc_3d(half1, half2, PIXEL_A).sphericity)
    for figures in (cfar, sphericity, of_volume):
        assert figures == sorted(figures, reverse=True)
    assert cfar[0] > 0.85 > 0.6 > cfar[-1]
    assert of_volume[0] > 0.95 > 0.92 > of_volume[-1]
