"""Which curve each resolution is read from, and at which threshold."""

import numpy as np
import pytest
import scipy.fft

from gemmap.geometry.grids import shell_index
from gemmap.validate.assessment import assess
from gemmap.validate.cross_fsc import CrossFsc
from gemmap.validate.fsc import fsc
from gemmap.validate.masks import spherical_mask
from gemmap.validate.phase_randomise import HalfMapFsc
from gemmap.validate.resolution import Interval

N, PIXEL_SIZE_A = 32, 2.0


@pytest.fixture(scope="module")
def maps() -> dict[str, np.ndarray]:
    """A signal that fades with the shell, and noise: back-projections have more of it than the fits."""
    rng = np.random.default_rng(4)
    fade = np.exp(-((shell_index(N, 3) / 7.0) ** 2))
    window = spherical_mask(N, 9, 3)
    signal = window * scipy.fft.irfftn(fade * scipy.fft.rfftn(rng.standard_normal((N, N, N))), s=(N,) * 3)
    noise = 0.15 * signal.std() * rng.standard_normal((2, N, N, N))
    return {
        "fit1": signal + noise[0], "fit2": signal + noise[1],
        "bp1": signal + 3 * noise[0], "bp2": signal + 3 * noise[1], "mask": window,
    }  # fmt: skip


def test_resolutions_belong_to_their_curves(maps: dict[str, np.ndarray]) -> None:
    halves, backprojections = (maps["fit1"], maps["fit2"]), (maps["bp1"], maps["bp2"])
    a = assess(halves, backprojections, maps["mask"], PIXEL_SIZE_A, "a sphere", seed=3)
    curves = a.curves()
    # RELION's sums and those of the full transform, which differ by a fraction of their error.
    np.testing.assert_allclose(curves["half_maps_unmasked"], fsc(*halves), atol=0.02)
    np.testing.assert_allclose(curves["backprojection_masked"], fsc(*backprojections, maps["mask"]), atol=0.02)
    np.testing.assert_array_equal(curves["cross_fsc_map"], a.cross.full)
    np.testing.assert_array_equal(curves["cross_fsc_half_map"], a.cross.half)
    expected = {
        "map": ("cross_fsc_map", 0.5, "cross-FSC", "a sphere"),
        "half_maps_masked": ("half_maps_corrected", 0.143, "half-map FSC", "a sphere"),
        "half_maps_unmasked": ("half_maps_unmasked", 0.143, "half-map FSC", "no mask"),
        "backprojection_masked": ("backprojection_corrected", 0.143, "half-map FSC", "a sphere"),
        "backprojection_unmasked": ("backprojection_unmasked", 0.143, "half-map FSC", "no mask"),
    }
    assert set(a.resolutions) == set(expected)
    for name, (curve, threshold, estimator, mask) in expected.items():
        r = a.resolutions[name]
        assert (r.threshold, r.estimator, r.mask) == (threshold, estimator, mask)
        below = [s for s in range(1, N // 2 + 1) if curves[curve][s] < threshold]
        # The cross-FSC is read between shells, the half-map curves at RELION's last whole shell.
        last = below[0] - 1 if below else N // 2
        assert (int(r.shell) if name == "map" else r.shell) == last, name
    assert a.resolution is a.resolutions["map"]
    assert a.resolution.interval is a.interval
    assert a.interval.better_a <= a.resolution.value_a <= a.interval.worse_a
    assert all(r.interval is None for name, r in a.resolutions.items() if name != "map")
    assert a.resolutions["backprojection_unmasked"].value_a > a.resolutions["half_maps_unmasked"].value_a
    assert a.maps.seed == 3


def test_every_curve_has_its_own_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves that fall below any threshold after a shell of their own."""

    def ends_after(shell: int) -> np.ndarray:
        return (np.arange(N // 2 + 1) <= shell).astype(float)

    def of_half_maps(half1: np.ndarray, *_: object) -> HalfMapFsc:
        first = 3 if half1[0, 0, 0] == 1.0 else 7
        return HalfMapFsc(*(ends_after(first + i) for i in range(4)), None, 0)

    curves = CrossFsc(ends_after(11), ends_after(12), np.ones(N // 2 + 1, bool), ends_after(13))
    monkeypatch.setattr("gemmap.validate.assessment.estimate", lambda *_: curves)
    monkeypatch.setattr("gemmap.validate.assessment.cross_interval", lambda *_: Interval(2.0, 8.0))
    monkeypatch.setattr("gemmap.validate.assessment.half_map_fsc", of_half_maps)
    ours, baseline = (np.full((N, N, N), value) for value in (1.0, 2.0))
    a = assess((ours, ours), (baseline, baseline), ours, PIXEL_SIZE_A, "a mask")
    assert {name: r.shell for name, r in a.resolutions.items()} == {
        "map": 12.5, "half_maps_unmasked": 3, "half_maps_masked": 6,
        "backprojection_unmasked": 7, "backprojection_masked": 10,
    }  # fmt: skip
