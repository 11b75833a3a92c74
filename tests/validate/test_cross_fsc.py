"""The estimated correlation with the truth, on maps whose truth, noise and bias are known."""

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.validate.cross_fsc import CrossFsc, cross_fsc, estimate
from gemmap.validate.fsc import fsc

BOX = 48


def shells(n):
    k = np.fft.fftfreq(n, 1 / n)
    return np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)


def filtered(volume, gain):
    """Every Fourier coefficient times gain(|k| as a fraction of Nyquist)."""
    n = len(volume)
    return np.fft.ifftn(np.fft.fftn(volume) * gain(shells(n) / (n / 2))).real


def soft_sphere(n):
    x = (np.arange(n) - n // 2) / n
    radius = np.sqrt(x[:, None, None] ** 2 + x[:, None] ** 2 + x**2)
    return 0.5 - 0.5 * np.cos(np.pi * np.clip((0.42 - radius) / 0.12, 0, 1))


class Case:
    """Truth T, back-projections T + n_i, and fits of half i that follow n_i and share a bias."""

    def __init__(self, seed, n=BOX, noise=1.5, bias=1.5, follow=0.4):
        rng = np.random.default_rng(seed)
        white = [rng.normal(size=(n,) * 3) for _ in range(4)]
        self.mask = soft_sphere(n)
        self.truth = filtered(white[0], lambda q: np.exp(-3 * q)) * self.mask
        errors = [noise * 0.1 * filtered(w, lambda q: 0.3 + q) for w in white[1:3]]
        shared = bias * filtered(white[3], lambda q: np.exp(-3 * q) * q) * self.mask
        self.projections = [self.truth + e for e in errors]
        # A fit damps what is uncertain, follows the noise of its own half, and is biased as the other fit is.
        self.fits = [filtered(self.truth + shared + follow * e, lambda q: np.exp(-1.5 * q)) for e in errors]

    def estimate(self) -> CrossFsc:
        return cross_fsc(*self.fits, *self.projections, self.mask)

    def true(self):
        """FSC with the truth: mean of both halves, and of the mean of both maps."""
        halves = [fsc(f, self.truth, self.mask) for f in self.fits]
        return np.mean(halves, axis=0), fsc(0.5 * (self.fits[0] + self.fits[1]), self.truth, self.mask)

    def agreement(self):
        return fsc(*self.projections, self.mask)


CASES = [Case(seed) for seed in range(6)]


def test_the_estimate_is_the_correlation_with_the_truth():
    """Mean over six draws: what is left is bias. Shells in which the back-projections agree at all."""
    judged = np.mean([c.agreement() for c in CASES], axis=0) > 0.05
    judged &= np.all([c.estimate().reliable for c in CASES], axis=0)
    judged[:3] = False
    assert judged.sum() > 15
    for kind, index in (("half", 0), ("full", 1)):
        estimated = np.mean([getattr(c.estimate(), kind) for c in CASES], axis=0)
        true = np.mean([c.true()[index] for c in CASES], axis=0)
        assert true[judged].min() < 0.6
        assert true[judged].max() > 0.9
        np.testing.assert_allclose(estimated[judged], true[judged], atol=0.03)


def test_half_maps_that_share_a_bias_claim_more():
    """The number that a half-map FSC F stands for, sqrt(2 F / (1 + F)), is far above the truth; the estimate is not."""
    upper = slice(12, 20)
    between = np.mean([fsc(*c.fits, c.mask) for c in CASES], axis=0)
    claimed = np.sqrt(2 * between / (1 + between))[upper].mean()
    true = np.mean([c.true()[1] for c in CASES], axis=0)[upper].mean()
    estimated = np.mean([c.estimate().full for c in CASES], axis=0)[upper].mean()
    assert claimed > true + 0.1
    assert estimated == pytest.approx(true, abs=0.03)


def test_fits_that_are_nothing_but_their_half_are_judged_as_such():
    """Without bias the half-map FSC is honest, and the estimate must say the same."""
    case = Case(0, bias=0.0, follow=1.0)
    between = fsc(*case.fits, case.mask)
    claimed = np.sqrt(np.clip(2 * between / (1 + between), 0, 1))
    np.testing.assert_allclose(case.estimate().full[3:18], claimed[3:18], atol=0.05)


@pytest.mark.parametrize("n", [24, 25, 33])
def test_without_noise_identical_maps_correlate_fully(n):
    truth = Case(1, n).truth
    found = cross_fsc(truth, truth, truth, truth, soft_sphere(n))
    np.testing.assert_allclose(found.half, 1.0, atol=1e-6)
    np.testing.assert_allclose(found.full, 1.0, atol=1e-6)
    assert found.reliable.all()
    assert found.half.shape == found.full.shape == found.reliable.shape == (n // 2 + 1,)


def test_odd_boxes():
    cases = [Case(seed, 47) for seed in range(4)]
    true = np.mean([c.true()[1] for c in cases], axis=0)
    estimated = np.mean([c.estimate().full for c in cases], axis=0)
    np.testing.assert_allclose(estimated[4:18], true[4:18], atol=0.05)


def test_pure_noise_is_not_resolved():
    above = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        maps = [rng.normal(size=(32,) * 3) for _ in range(4)]
        found = cross_fsc(*maps, soft_sphere(32))
        assert not found.reliable[-1]
        first = int(np.argmin(found.reliable))
        assert not found.reliable[first:].any()
        assert not found.half[first:].any()
        assert not found.full[first:].any()
        above.append((found.full[1:] > 0.5).mean())
    assert np.mean(above) < 0.1


def drawn_totals(agreement, r, follow, points, n_shells, draws, seed=0, plateau=18):
    """Sums over shells of complex normal values with known correlations; (draws, 7, shells).

    Truth T and noise n_i; back-projections T + n_i; fits T + e_i, a part ``follow`` of the power of e_i made of n_i.
    From shell ``plateau`` on the back-projections have FSC ``agreement`` and each fit FSC ``r`` with T; 0.98 before.
    """
    rng = np.random.default_rng(seed)
    outer = (np.arange(n_shells) >= plateau)[:, None]
    noise_power, error_power = np.where(outer, 1 / agreement - 1, 0.02), np.where(outer, 1 / r**2 - 1, 0.02)
    shape = (draws, n_shells, points)

    def normal(power):
        return np.sqrt(power / 2) * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))

    truth, noise = normal(1.0), [normal(noise_power) for _ in range(2)]
    own = np.sqrt(follow * error_power / noise_power)
    g1, g2 = (truth + own * n + normal((1 - follow) * error_power) for n in noise)
    b1, b2 = (truth + n for n in noise)
    pairs = [(g1, g1), (g2, g2), (b1, b1), (b2, b2), (g1, g2), (b1, b2)]
    sums = [(a * b.conj()).real.sum(axis=-1) for a, b in pairs]
    cross = 0.5 * ((g1 * b2.conj()).real + (g2 * b1.conj()).real).sum(axis=-1)
    return np.stack([*sums, cross], axis=1)


@pytest.mark.parametrize("follow", [0.0, 0.5])
@pytest.mark.parametrize("agreement", [0.02, 0.04, 0.08, 0.2])
def test_where_the_back_projections_hardly_agree_the_estimate_is_not_too_high(agreement, follow):
    """With 40 points in each of 9 shells the agreement's standard error is 0.037: half of one, to 5 of them."""
    points, shell = 40, 28
    totals = drawn_totals(agreement, 0.5, follow, points, 36, 800)
    found = estimate(totals, np.full(36, float(points)))
    known = found.reliable[:, shell]
    assert found.half.shape == (800, 36)
    assert not found.half[~known, shell].any()
    assert known.mean() < 0.15 if agreement < 0.03 else known.mean() > 0.9 or agreement < 0.15
    error = found.half[known, shell].std() / np.sqrt(known.sum())
    assert found.half[known, shell].mean() < 0.5 * 1.04 + 2 * error
    if agreement > 0.15:
        assert found.half[known, shell].mean() == pytest.approx(0.5, rel=0.03)


def test_agreement_must_be_significant():
    """The same agreement of 0.05 is noise among few points and a signal among many."""
    few, many = (estimate(drawn_totals(0.05, 0.5, 0.5, n, 36, 50), np.full(36, float(n))) for n in (8, 1000))
    assert few.reliable[:, 30].mean() < 0.2
    assert many.reliable[:, 30].all()


def test_a_choice_made_before_is_kept():
    totals = drawn_totals(0.3, 0.5, 0.5, 100, 24, 3, plateau=3)
    reliable = np.arange(24) < 10
    found = estimate(totals, np.full(24, 100.0), reliable)
    assert not found.full[:, 10:].any()
    assert (found.full[:, 5:10] > 0.3).all()


def test_the_threshold_for_half_maps_is_where_the_truth_correlates_half():
    """Of fits that share a bias, the half-map FSC is far above 0.143 where the map correlates 0.5 with the truth."""
    between = np.mean([fsc(*c.fits, c.mask) for c in CASES], axis=0)
    true = np.mean([c.true()[1] for c in CASES], axis=0)
    threshold = np.mean([c.estimate().half_map_threshold for c in CASES], axis=0)
    shell = int(np.flatnonzero(true[2:] < 0.5)[0]) + 2
    assert between[shell] > 0.25
    assert threshold[shell] == pytest.approx(between[shell], abs=0.05)


def test_honest_half_maps_keep_their_threshold():
    honest = estimate(drawn_totals(0.3, 0.5, 1.0, 400, 24, 1)[0], np.full(24, 400.0))
    np.testing.assert_allclose(honest.half_map_threshold, 0.143, atol=0.03)
    unknown = CrossFsc(
        np.array([1, 0.4, 0]), np.array([1, 0.4, 0]), np.array([True, True, False]), np.array([1, 0.8, 0.7])
    )
    np.testing.assert_allclose(unknown.half_map_threshold, [0.143, 1.0, 1.0])
    half = CrossFsc(*[np.array([1.0, 0.6])] * 2, np.ones(2, bool), np.array([1.0, 0.8]))
    # Claimed 0.8 stands for a half-map FSC of 0.64 / 1.36; with f = 0.75 the map correlates 0.5 at 1 / 3.5.
    np.testing.assert_allclose(half.half_map_threshold, [0.143, 1 / 3.5])


def test_the_scale_and_sign_of_maps():
    """Fits and back-projections may have units of their own; fits of inverted contrast correlate negatively."""
    case = Case(2)
    plain = case.estimate()
    scaled = cross_fsc(*(1e4 * f for f in case.fits), *(1e-4 * p for p in case.projections), case.mask)
    np.testing.assert_allclose(scaled.half, plain.half, atol=1e-6)
    np.testing.assert_allclose(scaled.full, plain.full, atol=1e-6)
    inverted = cross_fsc(*(-f for f in case.fits), *case.projections, case.mask)
    np.testing.assert_allclose(inverted.half, -plain.half, atol=1e-6)


def test_halves_are_exchangeable_and_inputs_left_alone():
    case = Case(3)
    volumes = [*case.fits, *case.projections, case.mask]
    copies = [v.copy() for v in volumes]
    first = case.estimate()
    exchanged = cross_fsc(*case.fits[::-1], *case.projections[::-1], case.mask)
    np.testing.assert_allclose(exchanged.half, first.half, atol=1e-12)
    np.testing.assert_allclose(exchanged.full, first.full, atol=1e-12)
    for volume, copy in zip(volumes, copies, strict=True):
        np.testing.assert_array_equal(volume, copy)


def test_a_curve_is_a_correlation():
    for case in CASES:
        found = case.estimate()
        for curve in (found.half, found.full):
            assert np.isfinite(curve).all()
            assert (np.abs(curve) <= 1).all()
        assert (np.abs(found.full) >= np.abs(found.half) - 1e-12).all()


def test_maps_that_do_not_fit_together_are_refused():
    good, small = np.ones((8,) * 3), np.ones((6,) * 3)
    with pytest.raises(InputError, match=r"Map 2 has shape \(6, 6, 6\)"):
        cross_fsc(good, small, good, good, good)
    with pytest.raises(InputError, match="shape"):
        cross_fsc(good, good, small, small, good)
