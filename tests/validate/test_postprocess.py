"""All that is said of half-maps: what follows from which curve, and the sharpened map against its definition."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage

from gemmap.fit.memory import plan_memory
from gemmap.validate.masks import spherical_mask
from gemmap.validate.pair import sphere_about_particle
from gemmap.validate.postprocess import Maps, PostprocessOptions, postprocess
from gemmap.validate.sharpen import cross_weight

N, PIXEL_A = 40, 1.5
LIGHT = PostprocessOptions(sampling_a=None)


def noisy_maps(n: int = N, seed: int = 1) -> Maps:
    """Points in a sphere, blurred; fits with little noise and back-projections with more of the same noise."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((n**2, 3))
    points *= (0.28 * n * rng.random(len(points)) ** (1 / 3) / np.linalg.norm(points, axis=1))[:, None]
    density = np.zeros((n, n, n))
    np.add.at(density, tuple(np.rint(points + n // 2).astype(int).T), 20.0)
    signal = scipy.ndimage.gaussian_filter(density, 1.0)
    noise = 0.4 * signal.std() * rng.standard_normal((2, n, n, n))
    fits, back = ([(signal + k * own).astype(np.float32) for own in noise] for k in (1.0, 2.0))
    mask = spherical_mask(n, 0.33 * n, 4.0)
    return Maps(*fits, PIXEL_A, mask, "a sphere", (back[0], back[1]), (0.5 * (fits[0] + fits[1])).astype(np.float32))


MAPS = noisy_maps()
ALONE = replace(MAPS, backprojections=None, final=None)


def test_the_sharpened_map_is_the_final_map_times_its_correlation_times_the_bfactor_up_to_the_resolution() -> None:
    """Every Fourier coefficient, with radii, weights and the straight line worked out anew."""
    result = postprocess(MAPS, LIGHT)
    assert result.sharpened is not None
    assert result.assessment is not None
    correlation, resolution_a = result.assessment.cross.full, result.resolution.value_a
    assert result.sharpened.lowpass_a == resolution_a
    k = np.rint(np.fft.fftfreq(N) * N)
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)
    shell = np.floor(radius + 0.5).astype(int)
    weight = np.zeros(shell.max() + 1)
    weight[: N // 2 + 1] = correlation
    weight[0] = 1.0
    end = int(np.argmax(correlation < 1e-4))  # weights end where it does
    assert np.all(correlation[end:] == 0.0)
    assert end > N * PIXEL_A / resolution_a
    before = np.fft.fftn(MAPS.final.astype(np.float64))
    # A straight line through ln(mean |F| weight) from 10 Å to the resolution. RELION counts points with kx = 0 beside
    # their mates and all others alone; the mean over the whole sphere differs by what that changes.
    shells = [s for s in range(1, N // 2 + 1) if N * PIXEL_A / s <= 10.0 and N * PIXEL_A / s >= resolution_a - 1e-9]
    half = np.abs(before[:, :, : N // 2 + 1])
    half_shell = shell[:, :, : N // 2 + 1]
    level = [np.log(half[half_shell == s].mean() / N**3 * weight[s]) for s in shells]
    slope = np.polyfit([(s / (N * PIXEL_A)) ** 2 for s in shells], level, 1)[0]
    assert result.sharpened.bfactor_a2 == pytest.approx(4.0 * slope, rel=1e-5)
    cutoff = N * PIXEL_A / resolution_a
    edge = 0.5 + 0.5 * np.cos(np.pi * np.clip((radius - cutoff + 1.0) / 2.0, 0.0, 1.0))
    gain = weight[shell] * edge * (radius <= N // 2) * np.exp(-slope * (radius / (N * PIXEL_A)) ** 2)
    expected = np.fft.ifftn(before * gain).real
    assert np.linalg.norm(result.sharpened.map - expected) < 1e-5 * np.linalg.norm(expected)


def test_the_resolution_to_state_is_the_cross_fsc_where_it_is_known() -> None:
    known, alone = postprocess(MAPS, LIGHT), postprocess(ALONE, LIGHT)
    assert known.resolution.estimator == "cross-FSC"
    assert alone.resolution is alone.half_maps.resolutions["masked"]
    assert alone.backprojections is None
    assert set(alone.curves()) == {"unmasked", "masked", "phase_randomised", "corrected", "spherical", "half_bit"}
    assert set(alone.curves()) - {"half_bit"} == {
        name.removeprefix("half_maps_") for name in known.curves() if name.startswith("half_maps_")
    }
    # The back-projections have the same signal and twice the noise.
    baseline = known.backprojections
    assert baseline is not None
    assert baseline.fsc.unmasked[5:].mean() < known.half_maps.fsc.unmasked[5:].mean()
    assert baseline.direction.cfar < 1.0


@pytest.mark.parametrize("diameter_a", [None, 20.0, 1000.0])
def test_the_sphere(diameter_a: float | None) -> None:
    """Flat to 0.85 of where its edge ends; at most inscribed in the box (conventions 5.1)."""
    sphere = sphere_about_particle(N, PIXEL_A, diameter_a)
    profile = sphere[N // 2, N // 2, N // 2 :]
    flat_px = 0.85 * N / 2 if diameter_a in (None, 1000.0) else 20.0 / 2 / PIXEL_A
    assert np.all(profile[: int(flat_px)] == 1.0)
    assert np.all(profile[int(np.ceil(flat_px / 0.85)) :] == 0.0)
    assert profile[int(flat_px) + 1 : int(np.ceil(flat_px / 0.85))].max(initial=0.5) < 1.0


def test_the_spherical_curve_and_its_diameter() -> None:
    for diameter_a in (None, 30.0):
        sphere = sphere_about_particle(N, PIXEL_A, diameter_a)
        result = postprocess(ALONE, replace(LIGHT, particle_diameter_a=diameter_a))
        f1, f2 = (np.fft.rfftn(half * sphere) for half in (ALONE.half1, ALONE.half2))
        k = np.rint(np.fft.fftfreq(N) * N)
        shell = np.floor(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + np.arange(N // 2 + 1) ** 2) + 0.5)
        for s in (3, 9, 15):
            a, b = f1[shell == s], f2[shell == s]
            expected = (a * b.conj()).real.sum() / np.sqrt((abs(a) ** 2).sum() * (abs(b) ** 2).sum())
            assert result.half_maps.spherical[s] == pytest.approx(expected, abs=1e-4)


def test_interpolated_crossings_stand_beside_relions() -> None:
    whole, between = (postprocess(ALONE, replace(LIGHT, interpolate=i)) for i in (False, True))
    assert "masked_whole_shell" not in whole.half_maps.resolutions
    resolutions = between.half_maps.resolutions
    assert resolutions["masked_whole_shell"].value_a == whole.resolution.value_a
    for name in ("masked", "masked_0.5", "spherical"):
        relion, ours = whole.half_maps.resolutions[name], resolutions[name]
        assert relion.shell <= ours.shell < relion.shell + 1
    assert any(r.shell % 1 for r in resolutions.values())


def test_local_resolution_of_both_pairs_and_only_the_final_map_is_filtered() -> None:
    result = postprocess(MAPS, PostprocessOptions(sampling_a=9.0))
    own, baseline = result.half_maps.local, result.backprojections.local
    assert baseline.filtered is None
    assert own.filtered is not None
    other = postprocess(replace(MAPS, final=2.0 * MAPS.final), PostprocessOptions(sampling_a=9.0))
    np.testing.assert_allclose(other.half_maps.local.filtered, 2.0 * own.filtered, rtol=1e-4, atol=1e-5)
    inside = [facts.local_inside(MAPS.mask) for facts in (result.half_maps, result.backprojections)]
    assert np.median(inside[0]) < np.median(inside[1])


def test_without_shells_for_a_bfactor_the_map_is_weighted_and_a_warning_says_why() -> None:
    coarse = replace(MAPS, pixel_size_a=6.0)
    result = postprocess(coarse, LIGHT)
    assert result.sharpened.bfactor_a2 == 0.0
    assert result.sharpened.guinier is None
    assert any("A B-factor cannot be fitted: 0 shells lie between 10 Å" in text for text in result.warnings())
    given = postprocess(coarse, replace(LIGHT, bfactor_a2=-30.0))
    assert given.sharpened.bfactor_a2 == -30.0
    assert not any("B-factor" in text for text in given.warnings())


def test_stages_are_told() -> None:
    told: list[str] = []

    class Told:
        def start(self, stage: str, total: int, unit: str) -> None:
            told.append(stage)

        def advance(self, done: int, text: str = "") -> None:
            pass

        def finish(self) -> None:
            told.append("end")

    postprocess(MAPS, PostprocessOptions(sampling_a=9.0), stages=Told())
    assert told[1::2] == ["end"] * 6
    assert told[::2] == [
        "FSC curves", "resolution by direction, half-maps", "local resolution, half-maps",
        "resolution by direction, back-projections", "local resolution, back-projections", "sharpening",
    ]  # fmt: skip


def test_weights_of_the_cross_fsc_end_where_it_does() -> None:
    np.testing.assert_array_equal(cross_weight(np.array([0.3, 1.0, 0.6, 0.0, 0.5])), [1.0, 1.0, 0.6, 0.0, 0.0])


def test_validation_fits_into_the_memory_that_the_fit_had() -> None:
    """What a run needs at its peak is planned from the fit's arrays, which are gone by then."""
    n = 64
    maps, plan = noisy_maps(n), plan_memory(n, 1000).parts
    postprocess(maps, PostprocessOptions(sampling_a=15.0))  # shells of the box are kept from here on
    tracemalloc.start()
    postprocess(maps, PostprocessOptions(sampling_a=15.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < plan["fit"] + plan["aggregates"]
