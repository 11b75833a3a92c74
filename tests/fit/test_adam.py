"""Adam: steps of the size of the rates, moments that follow their Gaussians."""

import numpy as np
import pytest
import torch

from gemmap.fit.adam import BETAS, RATES, RELATIVE_EPSILON, Adam
from gemmap.fit.parameters import Parameters


def some(n=12, seed=0):
    rng = np.random.default_rng(seed)
    return Parameters(*(torch.from_numpy(rng.normal(size=shape)) for shape in ((n, 3), (n, 3), (n, 4), (n,))))


def slopes_of(parameters, seed):
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(size=t.shape)) for t in parameters.tensors()]


def test_against_the_formulas_of_the_paper():
    """Algorithm 1 of Kingma & Ba in numpy, with this package's denominator."""
    start = some()
    adam, now = Adam.at_rest(start), start
    values = [t.numpy().copy() for t in start.tensors()]
    m, v = ([np.zeros_like(x) for x in values] for _ in range(2))
    for step in range(1, 5):
        slopes = slopes_of(start, step)
        now = adam.step(now, slopes)
        for i, slope in enumerate(s.numpy() for s in slopes):
            m[i] = BETAS[0] * m[i] + (1 - BETAS[0]) * slope
            v[i] = BETAS[1] * v[i] + (1 - BETAS[1]) * slope**2
            root = np.sqrt(v[i] / (1 - BETAS[1] ** step))
            values[i] -= RATES[i] * m[i] / (1 - BETAS[0] ** step) / (root + RELATIVE_EPSILON * root.mean())
    for found, expected in zip(now.tensors(), values, strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)
    assert adam.steps == 4


def test_rates_are_factors_of_the_step():
    before, slopes = some(), slopes_of(some(), 1)
    full, other = (Adam.at_rest(before).step(before, slopes, rates) for rates in ((1.0,) * 4, (0.5, 2.0, 0.0, 1.0)))
    for start, a, b, factor in zip(
        before.tensors(), full.tensors(), other.tensors(), (0.5, 2.0, 0.0, 1.0), strict=True
    ):
        torch.testing.assert_close(b - start, factor * (a - start))


def test_no_unit_matters():
    """The steps are the same when the loss is multiplied by a number."""
    before, slopes = some(), slopes_of(some(), 2)
    one, many = (Adam.at_rest(before).step(before, [f * s for s in slopes]) for f in (1.0, 1e-4))
    for a, b in zip(one.tensors(), many.tensors(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def test_the_parameters_before_are_left_alone_and_a_copy_is_one():
    before = some()
    kept = [t.clone() for t in before.tensors()]
    adam = Adam.at_rest(before)
    adam.step(before, slopes_of(before, 3))
    copied = adam.copy()
    moments = [t.clone() for t in (*copied.first, *copied.second)]
    adam.step(before, slopes_of(before, 4))
    assert all(torch.equal(a, b) for a, b in zip(before.tensors(), kept, strict=True))
    assert all(torch.equal(a, b) for a, b in zip((*copied.first, *copied.second), moments, strict=True))
    assert (copied.steps, adam.steps) == (1, 2)


def test_a_larger_epsilon_spares_what_is_hardly_pulled():
    before = some()
    slopes = [torch.linspace(0.01, 1.0, t.numel(), dtype=t.dtype).reshape(t.shape) for t in before.tensors()]
    ratios = []
    for epsilon in (0.3, 3.0):
        moved = Adam.at_rest(before, epsilon).step(before, slopes).log_masses - before.log_masses
        ratios.append(float(moved[0] / moved[-1]))
    assert 0.01 < ratios[1] < 0.5 * ratios[0]


@pytest.mark.parametrize("n_new", [0, 3])
def test_moments_follow_their_gaussian(n_new):
    """A Gaussian that survives moves on as if nothing had happened around it; a new one starts from rest."""
    before = some()
    adam = Adam.at_rest(before)
    adam.step(before, slopes_of(before, 1))
    first, second = ([t.clone() for t in moments] for moments in (adam.first, adam.second))
    source = torch.cat([torch.tensor([7, 1, 4]), torch.arange(n_new)])
    is_new = torch.arange(3 + n_new) >= 3
    adam.follow(source, is_new)
    for now, then in zip((*adam.first, *adam.second), (*first, *second), strict=True):
        assert torch.equal(now[:3], then[[7, 1, 4]])
        assert len(now) == 3 + n_new
        assert not now[3:].any()
    assert adam.steps == 1
