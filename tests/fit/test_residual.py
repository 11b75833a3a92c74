"""The damped residual: a perfect map is left alone, an empty one becomes a Wiener map, and errors are measured."""

from dataclasses import replace

import numpy as np
import pytest
from fit_cases import aggregate_of, correlation, particles, phantom, shell_mean_weight

from gemmap.fit.aggregate import Accumulator, Aggregate
from gemmap.fit.backprojection import back_projection
from gemmap.fit.residual import add_residual, error_variance
from gemmap.geometry.symmetry import point_group
from gemmap.validate.masks import spherical_mask

BOX, N = 32, 800
DENSITY = phantom(8, 60)
TRUTH = DENSITY.volume(BOX).astype(np.float32)
REGION = spherical_mask(BOX, 11.0, 3.0)
K = np.fft.fftfreq(BOX, 1 / BOX)
SHELL = np.rint(np.sqrt(K[:, None, None] ** 2 + K[:, None] ** 2 + K**2)).astype(int)


def power(volume):
    """Mean power per Fourier coefficient in shells 0 .. N//2."""
    total = np.bincount(SHELL.ravel(), (np.abs(np.fft.fftn(volume)) ** 2).ravel())
    return (total / np.bincount(SHELL.ravel()))[: BOX // 2 + 1]


def two_sets(noise, seed=0, n=N, said=None):
    """Aggregates of two sets of particles, whitened by a noise level that may be wrong."""
    table, images = particles(DENSITY, n, BOX, noise=noise, seed=seed)
    second = np.arange(n) % 4 == 3
    said = said or max(noise, 0.1)
    return tuple(aggregate_of(table.select(rows), images[rows], said) for rows in (~second, second))


@pytest.fixture(scope="module", params=[0.5, 4.0])
def sets(request):
    return two_sets(request.param)


def test_the_truth_has_no_error_and_is_left_as_it_is(sets):
    variance = error_variance(TRUTH, *sets)
    assert variance.shape == (BOX // 2 + 1,)
    assert (variance >= 0).all()
    noise = 1.0 / shell_mean_weight(sets[1])
    # In lower shells the power is so steep that a small error of interpolation is a large part of a neighbour's.
    assert (variance < 0.05 * power(TRUTH) + 0.05 * noise)[7:13].all()
    kept = add_residual(TRUTH, sets[0] + sets[1], variance, REGION)
    assert np.linalg.norm(kept - TRUTH) < 0.05 * np.linalg.norm(TRUTH)


def test_an_empty_trial_becomes_a_wiener_map(sets):
    empty = np.zeros_like(TRUTH)
    variance = error_variance(empty, *sets)
    both = sets[0] + sets[1]
    found = add_residual(empty, both, variance, REGION)
    projected = back_projection(both) * REGION
    assert correlation(found, projected) > 0.85
    assert correlation(found, TRUTH) > correlation(projected, TRUTH) - 0.005
    assert np.vdot(found, TRUTH) / np.vdot(TRUTH, TRUTH) == pytest.approx(1.0, abs=0.25)


def band_limited(lowest, highest):
    """A strong error in these shells only, and its power after the trilinear kernel's transform on a grid of 48."""
    band = np.fft.fftn(np.random.default_rng(0).normal(size=TRUTH.shape) * REGION)
    band[~np.isin(SHELL, np.arange(lowest, highest + 1))] = 0.0
    error = 3.0 * np.fft.ifftn(band).real
    axis = np.sinc((np.arange(BOX) - BOX // 2) / 48) ** 2
    return error, power(error * axis[:, None, None] * axis[:, None] * axis)


def test_a_known_error_is_measured_and_repaired():
    error, expected = band_limited(4, 13)
    sets = two_sets(noise=1.0)
    variance = error_variance(TRUTH + error, *sets)
    np.testing.assert_allclose(variance[8:10], expected[8:10], rtol=0.2)
    repaired = add_residual((TRUTH + error).astype(np.float32), sets[0] + sets[1], variance, REGION)
    inside = REGION > 0.99
    assert np.linalg.norm((repaired - TRUTH)[inside]) < 0.3 * np.linalg.norm(error[inside])


@pytest.mark.parametrize(("lowest", "highest", "elsewhere"), [(3, 5, slice(11, 17)), (12, 14, slice(0, 6))])
def test_an_error_is_not_measured_far_from_its_shells(lowest, highest, elsewhere):
    error, expected = band_limited(lowest, highest)
    variance = error_variance(TRUTH + error, *two_sets(noise=1.0))
    assert variance[lowest : highest + 1].min() > 0.2 * expected.max()
    assert (variance[elsewhere] < 0.05 * expected.max()).all()


@pytest.mark.parametrize(("n", "said"), [(800, 8.0), (800, 16.0), (800, 5.0), (40, 8.0)])
def test_noise_is_not_taken_for_an_error(n, said):
    """Whatever level of noise is believed, and where views are sparse: some per cent of the noise in a coefficient."""
    found, noise = [], []
    for seed in range(6):
        first, second = two_sets(noise=8.0, seed=seed, n=n, said=said)
        found.append(error_variance(TRUTH, first, second)[5:14].mean())
        noise.append((8.0 / said) ** 2 / second.weight[second.weight > 0].mean())
    assert np.mean(found) < 0.05 * np.mean(noise)


def test_nothing_is_added_without_an_error_or_outside_the_region(sets):
    both = sets[0] + sets[1]
    volume = 0.5 * TRUTH
    none = add_residual(volume, both, np.zeros(BOX // 2 + 1), REGION)
    np.testing.assert_array_equal(none, volume)
    some = add_residual(volume, both, error_variance(volume, *sets), REGION)
    np.testing.assert_array_equal(some[REGION == 0], volume[REGION == 0])
    assert np.linalg.norm(some - TRUTH) < 0.6 * np.linalg.norm(volume - TRUTH)
    assert some.dtype == np.float32


def test_the_unit_of_the_images_does_not_matter():
    first, second = two_sets(noise=2.0)
    trial = 0.7 * TRUTH

    def scaled(a, g):
        """The aggregate of the same images times g, whitened by their own noise."""
        return Aggregate(a.numerator / g, a.weight / g**2, a.box_px, a.pixel_size_a, a.n_particles)

    plain = error_variance(trial, first, second)
    for grey in (np.float32(1e-4), np.float32(1e4)):
        moved = scaled(first, grey), scaled(second, grey)
        variance = error_variance(grey * trial, *moved)
        np.testing.assert_allclose(variance, grey**2 * plain, rtol=1e-3)
        map_ = add_residual(grey * trial, moved[0] + moved[1], variance, REGION)
        expected = add_residual(trial, first + second, plain, REGION)
        np.testing.assert_allclose(map_ / grey, expected, atol=1e-3 * np.abs(expected).max())


def test_odd_boxes():
    box = 25
    density = phantom(5, 20)
    truth = density.volume(box).astype(np.float32)
    table, images = particles(density, 300, box, noise=1.0)
    first, second = (aggregate_of(table.select(np.arange(s, 300, 2)), images[s::2]) for s in (0, 1))
    variance = error_variance(0 * truth, first, second)
    assert variance.shape == (13,)
    region = spherical_mask(box, 8.0, 2.0)
    assert correlation(add_residual(0 * truth, first + second, variance, region), truth) > 0.9


def test_noise_of_symmetric_sums_is_not_taken_for_error():
    """What is left of right maps: without counting that coefficients repeat, noise passes for error in many shells."""
    found = []
    for seed in range(4):
        table, _ = particles(DENSITY, 120, BOX, noise=1.0, seed=seed)
        images = np.random.default_rng(seed).normal(size=(120, BOX, BOX)).astype(np.float32)
        accumulators = [Accumulator(BOX, table.pixel_size_a, point_group("O")) for _ in range(2)]
        for which, accumulator in enumerate(accumulators):
            rows = np.arange(which, 120, 2)
            accumulator.add(images[rows], table.select(rows), np.full((1, BOX), BOX**-2.0), table.optics_group[rows])
        sets = [accumulator.finish() for accumulator in accumulators]
        wrong = [replace(a, symmetry="C1") for a in sets]
        nothing = np.zeros_like(TRUTH)
        found.append([np.mean(error_variance(nothing, *pair)[1:] > 0) for pair in (sets, wrong)])
    right, careless = np.mean(found, axis=0)
    assert right < 0.35
    assert careless > right + 0.1
