"""The start: Gaussians on the voxels that carry mass, or at random."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fit_cases import aggregate_of, particles, phantom

from gemmap.errors import NumericsError
from gemmap.fit.init import at_random, default_count, from_voxels
from gemmap.fit.normal import NormalEquations
from gemmap.fit.parameters import Parameters
from gemmap.fit.voxels import blur

SIZE = 20


@pytest.fixture(scope="module")
def smooth():
    return torch.from_numpy(phantom(4, 12).volume(SIZE).astype(np.float32))


@pytest.fixture(scope="module")
def sparse():
    """Every seventh voxel or so, inside a margin."""
    rng = np.random.default_rng(0)
    u = np.where(rng.random((SIZE,) * 3) < 0.15, rng.exponential(size=(SIZE,) * 3), 0.0)
    u[[0, 1, 2, -3, -2, -1]] = 0.0
    return torch.from_numpy(u.astype(np.float32))


@pytest.mark.parametrize(("blob_px", "tolerance"), [(0.7, 0.01), (1.0, 0.01), (0.5, 0.1)])
def test_the_start_is_the_voxel_map(smooth, blob_px, tolerance):
    """A Gaussian of half a voxel is not band-limited: sampled at the voxels its sum is 4 % too large."""
    start = from_voxels(smooth, blob_px, SIZE**3, seed=0).voxelize(SIZE)
    map_of_voxels = blur(smooth, blob_px, 2 * SIZE)
    assert float((start - map_of_voxels).norm() / map_of_voxels.norm()) < tolerance


def test_one_gaussian_for_each_voxel_that_matters(sparse):
    start = from_voxels(sparse, 0.7, SIZE**3, seed=0)
    rows = torch.round(start.centres + SIZE // 2).long()
    assert (start.centres + SIZE // 2 - rows).abs().max() < 0.1
    assert len(torch.unique(rows, dim=0)) == len(start)
    values = sparse[rows[:, 2], rows[:, 1], rows[:, 0]]
    assert bool((values > 0).all())
    torch.testing.assert_close(start.log_masses.exp(), values, rtol=0.01, atol=0.0)
    left_out = sparse.clone()
    left_out[rows[:, 2], rows[:, 1], rows[:, 0]] = 0.0
    assert float(left_out.max()) <= float(values.min())
    assert float(left_out.sum()) < 0.01 * float(sparse.sum())
    torch.testing.assert_close(start.log_scales.exp(), torch.full((len(start), 3), 0.7))
    torch.testing.assert_close(start.quaternions, torch.tensor([[1.0, 0, 0, 0]]).expand(len(start), 4))


@pytest.mark.parametrize("count", [1, 17, 500])
def test_the_cap_keeps_the_heaviest_and_the_total(sparse, count):
    start = from_voxels(sparse, 0.7, count, seed=0)
    assert len(start) == count
    assert float(start.log_masses.exp().sum()) == pytest.approx(float(sparse.sum()), rel=1e-5)
    heaviest = torch.sort(sparse.ravel(), descending=True).values[:count]
    share = torch.sort(start.log_masses.exp(), descending=True).values
    torch.testing.assert_close(share / share.sum(), heaviest / heaviest.sum())


def test_the_seed_decides(sparse):
    first, again, other = (from_voxels(sparse, 0.7, 100, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.tensors(), again.tensors(), strict=True))
    assert not torch.equal(first.centres, other.centres)
    assert torch.equal(first.log_masses, other.log_masses)


def test_rounding_changes_the_start_by_rounding(sparse):
    """Masses that all but tie change places in the order, which must move nothing."""
    masses = torch.where(sparse > 0, 1.0 + 1e-6 * torch.randperm(sparse.numel()).reshape(sparse.shape), 0.0)
    rounded = torch.where(sparse > 0, 1.0 + 1e-6 * torch.randperm(sparse.numel()).reshape(sparse.shape), 0.0)
    maps = [from_voxels(u, 0.7, SIZE**3, seed=0).voxelize(SIZE) for u in (masses, rounded)]
    assert float((maps[0] - maps[1]).norm() / maps[0].norm()) < 1e-2
    exact = [from_voxels(u, 0.7, SIZE**3, seed=0) for u in (masses, rounded)]
    places = [{tuple(centre) for centre in start.centres.tolist()} for start in exact]
    assert places[0] == places[1]


def test_nothing_to_start_from_is_said():
    with pytest.raises(NumericsError, match="No Gaussian is left: no voxel of the fitted region carries mass; check"):
        from_voxels(torch.zeros((8, 8, 8)), 0.7, 100, seed=0)


def test_random_gaussians_lie_where_the_window_is(bright):
    """In proportion to its values, off the lattice."""
    window = torch.zeros((20, 20, 20))
    window[12, 5, 8], window[3, 16, 10] = 1.0, 0.25
    centres = at_random(bright, window, 4000, seed=0).centres
    first = (centres - torch.tensor([-2.0, -5.0, 2.0])).abs().max(dim=1).values <= 0.5
    second = (centres - torch.tensor([0.0, 6.0, -7.0])).abs().max(dim=1).values <= 0.5
    assert bool((first ^ second).all())
    assert float(first.double().mean()) == pytest.approx(0.8, abs=0.03)
    assert float(centres.frac().abs().min()) < 0.1 < float(centres.frac().abs().max())


def test_the_default_count_follows_the_volume():
    assert default_count(1.0) == default_count(2.0) >= 1
    assert default_count(80.0) / default_count(40.0) == pytest.approx(8.0, rel=0.01)


@pytest.fixture(scope="module")
def bright():
    density = phantom(4, 20)
    return NormalEquations.build(aggregate_of(*particles(density, 150, 24, noise=1.0)), 20, torch.device("cpu"))


@pytest.fixture(scope="module")
def sphere():
    return torch.from_numpy((sum(x**2 for x in np.mgrid[-10:10, -10:10, -10:10]) < 49).astype(np.float32))


def test_random_gaussians_fill_the_sphere_evenly(bright, sphere):
    start = at_random(bright, sphere, 4000, seed=0)
    radius = start.centres.norm(dim=1).numpy()
    assert 6.5 < radius.max() <= 7.0 + 0.75**0.5
    assert (radius < 7.0 * 0.5 ** (1 / 3)).mean() == pytest.approx(0.5, abs=0.03)
    assert np.abs(start.centres.mean(dim=0).numpy()).max() < 0.2
    assert len(start.log_masses.unique()) == 1
    torch.testing.assert_close(start.quaternions[:, 0], torch.ones(4000))


def test_their_mass_is_the_best_one(bright, sphere):
    """The data term is lowest along the common mass where the start puts it."""
    start = at_random(bright, sphere, 300, seed=1)

    def loss(log_factor):
        moved = Parameters(*start.tensors()[:3], start.log_masses + log_factor)
        return bright.gradient(moved.voxelize(bright.size))[1]

    assert loss(0.0) < min(loss(-0.02), loss(0.02))


def test_the_seed_decides_where_they_are(bright, sphere):
    first, again, other = (at_random(bright, sphere, 50, seed=s).centres for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_dark_particles_have_no_random_start(bright, sphere):
    dark = replace(bright, data=-bright.data)
    with pytest.raises(NumericsError, match=r"mass -.*contrast is inverted; check poses, CTFs and --invert"):
        at_random(dark, sphere, 300, seed=0)
