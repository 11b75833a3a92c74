"""Gaussians that are divided or taken away: what is kept, what is bounded, and whose momentum goes on."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gemmap.fit.density_control import LEAST_MASS, SPLIT_ABOVE_PX, densify, prune
from gemmap.fit.parameters import Parameters, clone

WIDE, NARROW = 1.6 * SPLIT_ABOVE_PX, 0.6 * SPLIT_ABOVE_PX


def some(n=12, seed=0, widest=WIDE):
    rng = np.random.default_rng(seed)
    scales = np.stack([rng.uniform(0.7, 0.9, n) * widest, np.full(n, widest), np.full(n, 0.4)], axis=1)
    values = rng.normal(size=(n, 3)) * 2, np.log(scales), rng.normal(size=(n, 4)), rng.normal(size=n) * 0.3
    return Parameters(*(torch.from_numpy(v) for v in values))


def moments(p):
    """Mass, mean and second moment of all Gaussians together, with rotations by another library."""
    mass = np.exp(p.log_masses.numpy())
    centres = p.centres.numpy()
    axes = (
        Rotation.from_quat(p.quaternions.numpy()[:, [1, 2, 3, 0]]).as_matrix() * np.exp(p.log_scales.numpy())[:, None]
    )
    second = axes @ axes.transpose(0, 2, 1) + centres[:, :, None] * centres[:, None, :]
    return mass.sum(), mass @ centres, np.einsum("n,nij->ij", mass, second)


def test_splitting_keeps_mass_mean_and_second_moment():
    before = some()
    after = densify(before, torch.ones(12), 1.0, 100).parameters
    assert len(after) == 24
    for a, b in zip(moments(before), moments(after), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_cloning_keeps_mass_and_mean_and_hardly_moves():
    before = some(widest=NARROW)
    change = densify(before, torch.ones(12), 1.0, 100)
    after = change.parameters
    kept, moved = moments(before), moments(after)
    np.testing.assert_allclose(kept[0], moved[0])
    np.testing.assert_allclose(kept[1], moved[1], atol=1e-12)
    torch.testing.assert_close(after.log_scales[:12], before.log_scales)
    apart = (after.centres[change.source[12:]] - after.centres[12:]).norm(dim=1)
    assert float(apart.min()) > 0.1 * NARROW
    assert float(apart.max()) < NARROW


@pytest.mark.parametrize(("fraction", "cap", "divided"), [(0.25, 100, 3), (1.0, 14, 2), (0.5, 12, 0), (0.5, 5, 0)])
def test_the_hardest_pulled_are_divided_within_bounds(fraction, cap, divided):
    pull = torch.arange(12.0).flip(0)
    change = densify(some(), pull, fraction, cap)
    assert len(change.parameters) == 12 + divided
    assert change.source.tolist() == [*range(12), *range(divided)]
    assert change.is_new.tolist() == [i < divided or i >= 12 for i in range(12 + divided)]
    torch.testing.assert_close(change.parameters.centres[divided:12], some().centres[divided:])


def test_without_a_pull_nothing_is_divided():
    assert len(densify(some(), torch.zeros(12), 1.0, 100).parameters) == 12


def test_empty_gaussians_go_and_the_mass_stays():
    before = some()
    before.log_masses[[2, 7]] = float(np.log(LEAST_MASS / 2))
    change = prune(before)
    assert change.source.tolist() == [i for i in range(12) if i not in (2, 7)]
    assert not change.is_new.any()
    np.testing.assert_allclose(moments(before)[0], moments(change.parameters)[0])


def test_one_gaussian_is_never_taken_away():
    assert len(prune(some(1)).parameters) == 1


def test_the_old_gaussians_are_left_alone():
    before = some()
    copy = clone(before)
    densify(before, torch.ones(12), 1.0, 100)
    prune(before)
    for a, b in zip(before.tensors(), copy.tensors(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
