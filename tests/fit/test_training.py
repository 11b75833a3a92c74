"""Mean losses with their errors, and when one is above another beyond doubt."""

import math

import numpy as np
import pytest
import torch

from gemmap.fit.parameters import Parameters
from gemmap.fit.training import DOUBTLESS_ERRORS, MeanLoss, State


def test_mean_and_scatter():
    values = np.random.default_rng(0).normal(100.0, 3.0, 50)
    loss = MeanLoss.of(torch.from_numpy(values))
    assert loss == MeanLoss(pytest.approx(values.mean()), pytest.approx(values.std(ddof=1)), 50)


def test_one_loss_says_little_of_its_scatter():
    assert MeanLoss.of(torch.tensor([-3.0])) == MeanLoss(-3.0, 3.0, 1)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_above_beyond_doubt(sign):
    """The standard errors of 16 and 9 images of spread 12, 3 and 4, make 5 in quadrature."""
    start = MeanLoss(100.0, 12.0, 16)
    assert MeanLoss(100.0 + DOUBTLESS_ERRORS * 5.0 + sign, 1.0, 9).is_above(start) == (sign > 0)


def test_wild_losses_are_no_excuse():
    assert MeanLoss.of(torch.tensor([100.0, 1e20, 90.0])).is_above(MeanLoss(100.0, 5.0, 10))


def test_what_is_not_a_number():
    assert MeanLoss.of(torch.tensor([1.0, 2.0])).is_finite
    assert not MeanLoss.of(torch.tensor([1.0, math.nan])).is_finite
    assert not MeanLoss.of(torch.tensor([1.0, math.inf])).is_finite


def test_a_state_at_rest():
    parameters = Parameters(torch.ones(3, 3), torch.ones(3, 3), torch.ones(3, 4), torch.ones(3))
    state = State.at_rest(parameters)
    assert (state.number, state.adam.steps, float(state.pull.sum())) == (0, 0, 0.0)
    assert state.parameters is parameters
