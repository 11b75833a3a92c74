"""Descent on all parameters: it goes downhill, along the true gradient, and stops when told."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fit_cases import aggregate_of, correlation, particles, phantom

from gemmap.errors import NumericsError
from gemmap.fit.gaussian_fit import fit_gaussians
from gemmap.fit.init import from_voxels
from gemmap.fit.normal import NormalEquations
from gemmap.fit.parameters import Parameters, clone
from gemmap.fit.voxels import VoxelSettings, fit_voxels, noise_of_blob
from gemmap.validate.masks import spherical_mask

CPU = torch.device("cpu")
BOX, SIZE, NOISE = 24, 18, 3.0
DENSITY = phantom(4, 20)


@pytest.fixture(scope="module")
def equations():
    return NormalEquations.build(aggregate_of(*particles(DENSITY, 150, BOX, noise=NOISE), NOISE), SIZE, CPU)


@pytest.fixture(scope="module")
def start(equations):
    region = torch.from_numpy(spherical_mask(SIZE, 5.0, 1.0))
    return from_voxels(fit_voxels(equations, region, VoxelSettings(0.7, 1.0, 10)), 0.7, 200, seed=0)


def always(_step):
    return True


def loss_of(equations, parameters, penalty):
    data_term = equations.gradient(parameters.voxelize(SIZE))[1]
    return data_term + penalty * float(parameters.log_masses.exp().sum())


def test_the_loss_falls_and_the_map_improves(equations, start):
    penalty = noise_of_blob(equations, 0.7)
    losses = []

    def record(step):
        losses.append(loss_of(equations, step.parameters, penalty))
        return True

    last = fit_gaussians(equations, start, penalty, 15, record)
    assert (last.number, len(losses)) == (15, 16)
    assert losses[-1] < losses[5] < losses[0]
    assert np.diff(losses).max() < 0.01 * (losses[0] - losses[-1])
    truth = DENSITY.volume(SIZE)
    assert correlation(last.volume.numpy(), truth) > correlation(start.voxelize(SIZE).numpy(), truth)


def test_the_state_belongs_together(equations, start):
    """Every state is a value of its own: later steps do not change what was seen, and kept, before."""
    seen = []
    last = fit_gaussians(equations, start, 0.5, 3, lambda step: seen.append(step) is None)
    assert seen[-1] is last
    for state in seen:
        assert torch.equal(state.volume, state.parameters.voxelize(SIZE))
        assert state.loss == pytest.approx(equations.gradient(state.volume)[1], rel=1e-6)
    none = fit_gaussians(equations, start, 0.5, 0, always)
    assert torch.equal(none.parameters.centres, start.centres)
    assert none.parameters.centres.data_ptr() != start.centres.data_ptr()


def test_the_first_step_goes_against_the_gradient(equations):
    """In double precision: every parameter moves against the central difference of the penalised loss, none by more
    than another of its kind with a larger slope.
    """
    exact = replace(equations, kernel=equations.kernel.double(), data=equations.data.double())
    rng = np.random.default_rng(5)
    begin = Parameters(
        *(
            torch.from_numpy(values)
            for values in (
                rng.uniform(-4, 4, (6, 3)),
                np.log(rng.uniform(0.9, 1.5, (6, 3))),
                np.eye(4)[:1] + 0.3 * rng.normal(size=(6, 4)),
                np.log(rng.uniform(5.0, 20.0, 6)),
            )
        )
    )
    begin.quaternions.div_(begin.quaternions.norm(dim=1, keepdim=True))
    penalty, h = 3.0, 1e-5
    after = fit_gaussians(exact, begin, penalty, 1, always).parameters
    for index, (old, new) in enumerate(zip(begin.tensors(), after.tensors(), strict=True)):
        slope = np.zeros(old.numel())
        for place in range(old.numel()):
            ends = []
            for sign in (1.0, -1.0):
                moved = clone(begin)
                moved.tensors()[index].view(-1)[place] += sign * h
                ends.append(loss_of(exact, moved, penalty))
            slope[place] = (ends[0] - ends[1]) / (2 * h)
        step = (new - old).ravel().numpy()
        if index == 2:  # the length of a quaternion is set to 1 after the step: compare within the tangent plane
            radial = begin.quaternions.numpy()
            along = (step.reshape(-1, 4) * radial).sum(axis=1, keepdims=True)
            step = (step.reshape(-1, 4) - along * radial).ravel()
            assert correlation(step, slope) < -0.6
            assert np.dot(step, slope) < 0
            continue
        order = np.argsort(slope)
        assert (np.sign(step) == -np.sign(slope)).all()
        assert (np.diff(step[order]) <= 1e-9).all()


@pytest.mark.parametrize("stop", [0, 1, 4])
def test_it_stops_when_told(equations, start, stop):
    seen = []

    def watch(step):
        seen.append(step.number)
        return step.number < stop

    last = fit_gaussians(equations, start, 0.5, 10, watch)
    assert last.number == stop
    assert seen == list(range(stop + 1))
    straight = fit_gaussians(equations, start, 0.5, stop, always)
    assert torch.equal(straight.volume, last.volume)


def test_the_start_is_left_alone_and_the_result_repeatable(equations, start):
    before = clone(start)
    first, second = (fit_gaussians(equations, start, 0.5, 4, always) for _ in range(2))
    for a, b in zip(first.parameters.tensors(), second.parameters.tensors(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(start.tensors(), before.tensors(), strict=True):
        assert torch.equal(a, b)


def test_a_higher_price_of_mass_leaves_less_mass(equations, start):
    masses = [
        float(fit_gaussians(equations, start, price, 10, always).parameters.log_masses.exp().sum())
        for price in (0.0, 3.0, 30.0)
    ]
    assert masses == sorted(masses, reverse=True)
    assert masses[2] < 0.98 * masses[0]


def test_gaussians_stay_wide_enough_for_the_grid(equations, start):
    """Noise alone, a narrow or wide start, many steps: no width leaves the range in which voxels sample a Gaussian."""
    noise = replace(equations, data=3.0 * torch.randn((SIZE,) * 3, generator=torch.Generator().manual_seed(0)))
    for width in (0.4, 3.9):
        begin = replace(start, log_scales=torch.full_like(start.log_scales, float(np.log(width))))
        last = fit_gaussians(noise, begin, 0.0, 30, always).parameters
        scales = last.log_scales.exp()
        assert float(scales.min()) > 0.3
        assert float(scales.max()) < 5.0
    torch.testing.assert_close(last.quaternions.norm(dim=1), torch.ones(len(last)))


def test_not_a_number_is_an_error(equations, start):
    data = equations.data.clone()
    data[SIZE // 2, SIZE // 2, SIZE // 2] = float("nan")
    with pytest.raises(NumericsError, match="diverged at step 0: the loss is not a number; the data may hold NaN"):
        fit_gaussians(replace(equations, data=data), start, 0.5, 3, always)
