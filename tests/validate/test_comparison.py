import numpy as np
import pytest

from blobs import blob_points, blobs
from gemmap.errors import InputError
from gemmap.validate.comparison import ComparisonOptions, compare
from gemmap.validate.masks import spherical_mask

OPTIONS = ComparisonOptions("map-model FSC", "the model", fit_bfactor=True)
PIXEL_A = 2.0


def case(n: int) -> tuple[np.ndarray, np.ndarray]:
    return blobs(n, blob_points(200, 0.25 * n, seed=1)), spherical_mask(n, 0.36 * n, 4.0)


@pytest.mark.parametrize("n", [40, 41])
def test_fsc_is_what_the_noise_makes_it(n: int) -> None:
    """White noise of variance v and a reference of power S in a shell: the FSC expected is sqrt(S / (S + v N^3))."""
    reference, mask = case(n)
    sigma = 0.05
    noise = np.random.default_rng(0).standard_normal(reference.shape) * sigma
    result = compare((reference + noise).astype(np.float32), reference, np.ones_like(mask), PIXEL_A, "ones", OPTIONS)
    power = np.abs(np.fft.fftn(reference.astype(np.float64))) ** 2
    k = np.fft.fftfreq(n, 1 / n)
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)).astype(int)
    mean = np.array([power[shell == s].mean() for s in range(n // 2 + 1)])
    expected = np.sqrt(mean / (mean + sigma**2 * n**3))
    np.testing.assert_allclose(result.masked[3:], expected[3:], atol=0.08)
    np.testing.assert_allclose(result.masked, result.unmasked, atol=1e-9)
    crossing = np.flatnonzero(expected[1:] < 0.5)[0]
    assert result.resolution.shell == pytest.approx(crossing, abs=1)
    assert (
        result.intervals["masked_0.5"].better_a <= result.resolution.value_a <= result.intervals["masked_0.5"].worse_a
    )
    assert result.warnings == ()


def test_a_mask_takes_noise_away_and_its_own_fsc_is_nothing() -> None:
    reference, mask = case(40)
    noise = np.random.default_rng(0).standard_normal(reference.shape).astype(np.float32) * 0.5
    result = compare(reference + noise, reference, mask, PIXEL_A, "sphere", OPTIONS)
    assert result.masked[4:12].mean() > result.unmasked[4:12].mean() + 0.05
    start = result.randomised_from
    assert start is not None
    assert abs(result.phase_randomised[start + 3 :].mean()) < 0.05
    first, second = (values.astype(np.float64).ravel() for values in result.filtered)
    moments = np.cov(first, second, aweights=mask.ravel())
    assert result.cc_mask == pytest.approx(moments[0, 1] / np.sqrt(moments[0, 0] * moments[1, 1]), abs=1e-6)
    assert result.cc_box == pytest.approx(np.corrcoef(first, second)[0, 1], abs=1e-6)
    assert result.cc_mask > result.cc_box + 0.02


def test_the_fall_off_of_the_map_is_matched() -> None:
    points = blob_points(200, 11.0, seed=1)
    wide = np.sqrt(1.2**2 + 100.0 / (8.0 * np.pi**2) / PIXEL_A**2)  # a B-factor of 100 Å^2 more
    result = compare(blobs(44, points, wide), blobs(44, points), case(44)[1], PIXEL_A, "sphere", OPTIONS)
    assert result.bfactor_a2 == pytest.approx(100.0, abs=6.0)
    assert result.cc_mask > 0.999
    plain = ComparisonOptions("map-map FSC", "b.mrc", fit_bfactor=False, lowpass_a=8.0)
    unmatched = compare(blobs(44, points, wide), blobs(44, points), case(44)[1], PIXEL_A, "sphere", plain)
    assert unmatched.bfactor_a2 is None
    assert unmatched.lowpass_a == 8.0
    assert unmatched.cc_mask < result.cc_mask


def test_equal_maps_never_fall() -> None:
    reference, mask = case(32)
    result = compare(reference, reference, mask, PIXEL_A, "sphere", OPTIONS)
    assert result.resolution.at_nyquist
    assert result.randomised_from is None
    np.testing.assert_array_equal(result.phase_randomised, result.masked)


def test_bad_input() -> None:
    reference, mask = case(24)
    nan = reference.copy()
    nan[3, 4, 5] = np.nan
    for volume, other, of, words in (
        (nan, reference, mask, "not numbers"),
        (reference, reference[:-1, :-1, :-1], mask, "shape"),
        (reference, reference, mask[:-1], "The mask has shape"),
        (reference, reference, 3 * mask, "values from 0 to 3"),
        (np.full_like(reference, 2.0), reference, mask, "The map is 2 everywhere"),
        (reference, np.zeros_like(reference), mask, "The reference is 0 everywhere"),
    ):
        with pytest.raises(InputError, match=words):
            compare(volume, other, of, PIXEL_A, "sphere", OPTIONS)
