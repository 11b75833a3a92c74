"""Non-negative voxels: the optimality conditions of the convex problem, and what the penalty means."""

import numpy as np
import pytest
import torch
from fit_cases import aggregate_of, correlation, particles, phantom

from gemmap.fit.normal import NormalEquations
from gemmap.fit.voxels import VoxelSettings, blur, fit_voxels, noise_of_blob
from gemmap.validate.masks import spherical_mask

CPU = torch.device("cpu")
BOX, SIZE, NOISE, BLOB_PX = 24, 18, 3.0, 0.7
DENSITY = phantom(4, 20)
TABLE, IMAGES = particles(DENSITY, 150, BOX, noise=NOISE)
REGION = torch.from_numpy(spherical_mask(SIZE, 5.0, 0.0))


@pytest.fixture(scope="module")
def equations():
    return NormalEquations.build(aggregate_of(TABLE, IMAGES, NOISE), SIZE, CPU)


def fit(equations, penalty=1.0, iterations=40, watch=None):
    return fit_voxels(equations, REGION, VoxelSettings(BLOB_PX, penalty, iterations), watch)


def objective(equations, u, penalty):
    price = penalty * noise_of_blob(equations, BLOB_PX)
    return equations.gradient(blur(u, BLOB_PX, equations.grid))[1] + price * float(u.sum())


def test_never_negative_and_zero_outside_the_region(equations):
    u = fit(equations)
    assert u.shape == (SIZE,) * 3
    assert float(u.min()) >= 0
    assert float(u[REGION > 0].max()) > 0
    assert not u[REGION == 0].any()


def test_conditions_of_optimality_hold_at_convergence(equations):
    """Where u > 0 the slope of the objective is zero, where u = 0 it must not be negative (Karush, Kuhn and Tucker)."""
    u = fit(equations, iterations=400)
    price = noise_of_blob(equations, BLOB_PX)
    slope = blur(equations.gradient(blur(u, BLOB_PX, equations.grid))[0], BLOB_PX, equations.grid) + price
    inside = REGION > 0
    assert 50 < int((u > 0).sum()) < int(inside.sum())
    assert float(slope[inside & (u > 0)].abs().max()) < 0.15 * price
    assert float(slope[inside & (u == 0)].min()) > -0.15 * price
    # No small change of the solution within the constraints is better.
    rng = torch.Generator().manual_seed(0)
    best = objective(equations, u, 1.0)
    for _ in range(5):
        step = 0.05 * float(u.max()) * torch.randn(u.shape, generator=rng) * inside
        assert objective(equations, (u + step).clamp_min(0.0), 1.0) > best


def test_the_objective_falls(equations):
    values = [0.0]
    fit(equations, iterations=60, watch=lambda _i, u: values.append(objective(equations, u, 1.0)))
    fall = -np.diff(values)
    assert len(values) == 61
    assert values[-1] == min(values)
    # Momentum may overshoot once before it restarts; never by much.
    assert fall.min() > -1e-3 * (values[0] - values[-1])
    assert fall[-20:].sum() < 0.1 * (values[0] - values[-1])


def test_watch_sees_every_iteration(equations):
    seen = []
    u = fit(equations, iterations=3, watch=lambda i, now: seen.append((i, now.clone())))
    assert [i for i, _ in seen] == [1, 2, 3]
    assert torch.equal(seen[-1][1], u)


def test_a_higher_penalty_leaves_fewer_voxels(equations):
    counts = [int((fit(equations, penalty) > 0).sum()) for penalty in (0.0, 1.0, 3.0, 100.0)]
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == 4
    assert counts[-1] == 0


def test_density_costs_no_less_at_the_edge_of_the_region(equations):
    """In a region whose window is low, as in its soft edge, no more voxels are taken than in its core."""
    half = fit_voxels(equations, 0.5 * REGION, VoxelSettings(BLOB_PX, 1.0, 40))
    assert float(half.sum()) <= float(fit(equations).sum())
    assert not half[REGION == 0].any()


@pytest.mark.parametrize("blob_px", [0.5, 1.0])
def test_the_penalty_is_counted_in_standard_deviations_of_noise(equations, blob_px):
    spread = []
    for seed in range(4):
        noise = NOISE * np.random.default_rng(seed).normal(size=IMAGES.shape).astype(np.float32)
        pure = NormalEquations.build(aggregate_of(TABLE, noise, NOISE), SIZE, CPU)
        spread.append(float(blur(pure.data, blob_px, pure.grid)[4:-4, 4:-4, 4:-4].std()))
    assert noise_of_blob(equations, blob_px) == pytest.approx(np.mean(spread), rel=0.15)


@pytest.mark.parametrize("size", [15, 16])
@pytest.mark.parametrize("sigma", [1.0, 1.3])
def test_blur_is_a_convolution_with_a_normalised_gaussian(size, sigma):
    u = torch.zeros((size,) * 3)
    u[size // 2, size // 2 - 1, size // 2 + 2] = 2.0
    z, y, x = np.meshgrid(*[np.arange(size) - size // 2] * 3, indexing="ij")
    square = z**2 + (y + 1) ** 2 + (x - 2) ** 2
    expected = 2.0 * np.exp(-0.5 * square / sigma**2) / (2 * np.pi * sigma**2) ** 1.5
    # At Nyquist 0.7 % of the transform of a Gaussian of one voxel is left, by which sampling it changes it.
    np.testing.assert_allclose(blur(u, sigma, 2 * size).numpy(), expected, atol=0.02 * expected.max())


def test_better_than_nothing_and_repeatable(equations):
    truth = DENSITY.volume(SIZE)
    found = blur(fit(equations), BLOB_PX, equations.grid).numpy()
    assert correlation(found, truth) > 0.8
    assert torch.equal(fit(equations), fit(equations))
