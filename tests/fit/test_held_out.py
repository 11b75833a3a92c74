"""The score of a map against held-out particles, on maps made of independent noise and a known truth."""

import numpy as np
import pytest
import torch
from fit_cases import phantom

from gemmap.fit.held_out import HeldOutScore
from gemmap.validate.masks import spherical_mask

SIZE = 32
TRUTH = phantom(7, 40, sigma=0.8).volume(SIZE)
WINDOW = torch.from_numpy(spherical_mask(SIZE, 11.0, 3.0))


def noisy(amount, seed, truth=TRUTH):
    noise = np.random.default_rng(seed).normal(size=truth.shape) * truth.std()
    return torch.from_numpy((truth + amount * noise).astype(np.float32))


def score_of(amount=0.5, truth=TRUTH):
    return HeldOutScore(noisy(amount, 1, truth), noisy(amount, 2, truth), WINDOW)


def per_shell(volume, gain):
    """The volume with every Fourier shell multiplied by gain(shell)."""
    n = len(volume)
    k = np.fft.fftfreq(n, 1 / n)
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2))
    return torch.from_numpy(np.fft.ifftn(np.fft.fftn(volume) * gain(shell)).real.astype(np.float32))


def test_a_better_map_scores_higher():
    score = score_of()
    values = [score(noisy(amount, 3)) for amount in (0.0, 0.3, 1.0, 3.0, 10.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 1.1 * values[2]


def test_sharp_detail_counts_where_the_data_show_it():
    low_passed = per_shell(TRUTH, lambda shell: shell < 6)
    assert score_of()(noisy(0.0, 0)) > 1.2 * score_of()(low_passed)


@pytest.mark.parametrize("gain", [lambda s: 0 * s + 1e-5, lambda s: 0 * s + 1e5, lambda s: 1 + s % 3])
def test_the_scale_of_a_shell_does_not_matter(gain):
    """The window ties neighbouring shells together, so a gain that varies from shell to shell may cost a little."""
    score = HeldOutScore(noisy(0.5, 1), noisy(0.5, 2), torch.ones((SIZE,) * 3))
    volume = noisy(0.3, 3)
    assert score(per_shell(volume.numpy(), gain)) == pytest.approx(score(volume), abs=1e-4)


def test_noise_and_an_empty_map_score_nothing():
    score = score_of()
    good = score(noisy(0.0, 0))
    noise = [np.random.default_rng(seed).normal(size=TRUTH.shape).astype(np.float32) for seed in range(12)]
    values = [score(torch.from_numpy(n)) for n in noise]
    assert abs(np.mean(values)) < 0.1 * good
    assert np.max(np.abs(values)) < 0.4 * good
    assert score(torch.zeros((SIZE,) * 3)) == 0.0


def test_the_opposite_map_scores_the_opposite():
    score = score_of()
    volume = noisy(0.3, 3)
    assert score(-volume) == pytest.approx(-score(volume), rel=1e-6)


def test_shells_without_agreement_count_little():
    """Particles of nothing: whatever a trial does, it gains almost nothing."""
    nothing = np.zeros_like(TRUTH)
    of_noise = HeldOutScore(
        torch.from_numpy(np.random.default_rng(1).normal(size=nothing.shape).astype(np.float32)),
        torch.from_numpy(np.random.default_rng(2).normal(size=nothing.shape).astype(np.float32)),
        WINDOW,
    )
    assert abs(of_noise(noisy(0.0, 0))) < 0.1 * score_of()(noisy(0.0, 0))
    assert bool((of_noise.weights >= 0).all())


def test_only_the_window_counts():
    score = score_of()
    outside = torch.where(WINDOW > 0, 0.0, 1e3)
    volume = noisy(0.3, 3)
    assert score(volume + outside) == score(volume)


@pytest.mark.parametrize("size", [31, 32])
def test_called_twice(size):
    volumes = [v[:size, :size, :size].contiguous() for v in (noisy(0.5, 1), noisy(0.5, 2), WINDOW, noisy(0.3, 3))]
    copies = [v.clone() for v in volumes]
    first, second = (HeldOutScore(*volumes[:3])(volumes[3]) for _ in range(2))
    assert first == second
    assert all(torch.equal(a, b) for a, b in zip(volumes, copies, strict=True))


def test_the_error_of_a_difference_is_what_noise_does_to_it():
    """Against many held-out sets of nothing but noise, the scores of two maps differ with this standard deviation."""
    a, b = noisy(0.3, 3), noisy(0.3, 4)
    seen, weights = noisy(0.5, 1), score_of().weights
    differences, said = [], []
    for seed in range(60):
        noise = np.random.default_rng(100 + seed).normal(size=TRUTH.shape).astype(np.float32)
        score = HeldOutScore(seen, torch.from_numpy(noise), WINDOW)
        score.weights = weights
        first, second = score.measure(a), score.measure(b)
        differences.append(first.value - second.value)
        said.append(score.error(first, second))
    assert np.std(differences) == pytest.approx(np.mean(said), rel=0.35)


def test_the_error_knows_what_two_maps_share():
    score = score_of()
    a, near, far = (score.measure(v) for v in (noisy(0.3, 3), noisy(0.3, 3) + 0.1 * noisy(0.3, 4), noisy(0.3, 5)))
    assert score.error(a, a) == pytest.approx(0.0, abs=1e-6)
    assert 0 < score.error(a, near) < 0.5 * score.error(a, far)
    assert score.error(a, far) == pytest.approx(score.error(far, a))


def test_better_means_better_than_noise():
    score = score_of()
    good, same, bad = (score.measure(noisy(*case)) for case in ((0.0, 0), (0.02, 1), (3.0, 3)))
    assert score.better(good, bad)
    assert not score.better(bad, good)
    assert not (score.better(good, same) and score.better(same, good))
    assert not score.better(good, good)


@pytest.mark.parametrize(("order", "half_turns"), [(1, []), (4, [(1, 2), (0, 1), (0, 2)])])
def test_noise_that_is_symmetric_does_more_to_a_difference(order, half_turns):
    """Maps of an odd cube, the sum over half turns about the axes: under D2 four coefficients carry the same noise."""
    n = 33
    window = torch.from_numpy(spherical_mask(n, 11.0, 3.0))
    rng = np.random.default_rng(0)

    def symmetric(scale=1.0):
        volume = scale * rng.normal(size=(n, n, n))
        volume = volume + sum(np.flip(volume, axes) for axes in half_turns)
        return torch.from_numpy(volume.astype(np.float32))

    first, second = symmetric(), symmetric()
    seen, said, differences = symmetric(), [], []
    for _ in range(100):
        score = HeldOutScore(seen, symmetric(), window, order)
        score.weights = torch.ones_like(score.weights)
        score.weights[0] = 0.0
        differences.append(score(first) - score(second))
        said.append(score.error(score.measure(first), score.measure(second)))
    assert 0.85 < np.mean(said) / np.std(differences) < 1.5
